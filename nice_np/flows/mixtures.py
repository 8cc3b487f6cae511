"""Mixtures as priors: components whose weights, means and scales are learned with the flow.

For a mixture p = sum_k w_k p_k the posterior probability of a component, r_k = w_k p_k / p, is all that a gradient
needs: a change of log p_k changes log p by r_k times as much,

    dlog p/da = sum_k r_k dlog p_k/da,    and with w = softmax(logits)    dlog p/dlogits_k = r_k - w_k
"""

from __future__ import annotations

from abc import abstractmethod
from math import log, pi
from typing import Any, ClassVar

import numpy as np

from nice_np.families.mixture import log_sum_exp
from nice_np.flows.priors import Prior, StandardLogistic, StandardNormal, check_dim
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_batch, as_dtype, as_int, as_rng


class Mixture(Prior):
    """What the mixtures share: their parameters, u = (z - mean) / scale, and the chain rule.

    Parameters
    ----------
    dim : int
        D.
    components : int
        K.
    dtype : {float64, float32}
    rng : seed or numpy.random.Generator
        The means start as normal random numbers, all scales at 1, all weights at 1/K.
    """

    param_names = ("logits", "means", "log_scales")
    dim: int
    weights_per_feature: ClassVar[bool] = False
    unit_variance: ClassVar[float] = 1.0  # of a component with scale 1

    @suggests
    def __init__(self, dim: int, components: int = 10, dtype: Any = np.float64, rng: Rng = None) -> None:
        who = type(self).__name__
        self.dim, k = as_int(dim, who, "dim", 1), as_int(components, who, "components", 1)
        means = as_rng(rng, who).standard_normal((k, self.dim))
        self.means: Array = means.astype(as_dtype(dtype, who))  # (K, D)
        self.log_scales = np.zeros_like(self.means)  # (K, D)
        self.logits = np.zeros((k, self.dim if self.weights_per_feature else 1), self.means.dtype)  # (K, 1) or (K, D)
        self.dmeans, self.dlog_scales = np.zeros_like(self.means), np.zeros_like(self.means)
        self.dlogits = np.zeros_like(self.logits)

    @abstractmethod
    def _densities(self, u: Array) -> tuple[Array, Array]:
        """log p_k (K, N, 1) or (K, N, D), and the slope dlog p_k/du (K, N, D), from u (K, N, D)."""

    @abstractmethod
    def _standard(self, n: int, rng: np.random.Generator) -> Array:
        """Draws of a component with mean 0 and scale 1: (n, D)."""

    @property
    def std(self) -> float:  # type: ignore[override]
        """The root of the mean variance: sum_k w_k (var_k + mean_k^2) - (sum_k w_k mean_k)^2 in each coordinate."""
        w, m = log_sum_exp(self.logits.astype(float))[1], self.means.astype(float)
        var = self.unit_variance * np.exp(2 * self.log_scales.astype(float))
        variance = (w * (var + m**2)).sum(axis=0) - (w * m).sum(axis=0) ** 2  # (D,)
        return float(np.sqrt(variance.mean()))

    def _terms(self, z: Array) -> tuple[Array, Array, Array, Array]:
        """log p (N,), r (K, N, 1) or (K, N, D), u (K, N, D) and dlog p_k/dz (K, N, D)."""
        z = as_batch(z, self.dim, self, "z")
        inverse_scales = np.exp(-self.log_scales)[:, None]  # (K, 1, D)
        u = (z - self.means[:, None]) * inverse_scales
        log_p_k, slope = self._densities(u)
        log_w = self.logits - log_sum_exp(self.logits)[0]
        log_p, r = log_sum_exp(log_w[:, None] + log_p_k)
        return log_p.sum(axis=1), r, u, slope * inverse_scales  # du/dz = 1 / scale

    def log_prob(self, z: Array) -> Array:
        return self._terms(z)[0]

    def grad_log_prob(self, z: Array) -> Array:
        _, r, _, slope = self._terms(z)
        gradient: Array = (r * slope).sum(axis=0)
        return gradient

    def backward(self, dlog_p: Array, z: Array) -> Array:
        _, r, u, slope = self._terms(z)
        r = dlog_p[:, None] * r  # dL/dlog p_k
        moved = r * slope  # dL/dz by way of component k, (K, N, D)
        self.dmeans[...] = -moved.sum(axis=1)  # u depends on z - mean
        # p_k has a factor 1 / scale, and du/dlog_scale = -u = -scale u du/dz
        self.dlog_scales[...] = -(moved * u).sum(axis=1) * np.exp(self.log_scales) - r.sum(axis=1)
        self.dlogits[...] = r.sum(axis=1) - log_sum_exp(self.logits)[1] * dlog_p.sum()
        dz: Array = moved.sum(axis=0)
        return dz

    def sample(self, n: int, dim: int, rng: Rng = None) -> Array:
        who = type(self).__name__
        n, rng = as_int(n, who, "n", 0), as_rng(rng, who)
        check_dim(self, dim, f"{who}.sample")
        ends = np.cumsum(log_sum_exp(self.logits.astype(float))[1], axis=0)[:-1]  # (K - 1, 1) or (K - 1, D)
        p = rng.random((n, 1, ends.shape[1]))
        k = (p > ends).sum(axis=1)  # (n, 1) or (n, D): each k with probability w_k
        columns = np.arange(self.dim)
        draws: Array = self.means[k, columns] + np.exp(self.log_scales[k, columns]) * self._standard(n, rng)
        return draws

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "components": len(self.means), "dtype": self.means.dtype.name}

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """How many numbers the mixture would hold at most, without making it."""
        return 3 * int(config["dim"] * config["components"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim={self.dim}, components={len(self.means)})"


class GaussianMixture(Mixture):
    """p(z) = sum_k w_k prod_d N(z_d; mean_kd, scale_kd^2): K clusters of latents in R^D."""

    def _densities(self, u: Array) -> tuple[Array, Array]:
        log_p = -0.5 * u**2 - self.log_scales[:, None] - u.dtype.type(0.5 * log(2 * pi))  # (K, N, D)
        return log_p.sum(axis=2, keepdims=True), -u

    def _standard(self, n: int, rng: np.random.Generator) -> Array:
        return StandardNormal().sample(n, self.dim, rng)


class LogisticMixture(Mixture):
    """p(z) = prod_d sum_k w_kd logistic((z_d - mean_kd) / scale_kd) / scale_kd: K bumps in each coordinate by itself.

    The density of a logistic variable u is sigmoid(u) sigmoid(-u), see `StandardLogistic`.
    """

    weights_per_feature = True
    unit_variance = StandardLogistic.std**2

    def _densities(self, u: Array) -> tuple[Array, Array]:
        size = np.abs(u)
        return -size - 2 * np.log1p(np.exp(-size)) - self.log_scales[:, None], -np.tanh(0.5 * u)

    def _standard(self, n: int, rng: np.random.Generator) -> Array:
        return StandardLogistic().sample(n, self.dim, rng)

"""Priors beside the standard ones: a Gaussian that is learned, and a uniform one; `student_t` has heavy tails.

Those with parameters write their gradients in `backward`, as a layer does, and the flow trains them with its layers.
"""

from __future__ import annotations

from math import inf, log, pi, sqrt
from typing import Any

import numpy as np

from nice_np.errors import NiceValueError
from nice_np.flows.priors import Prior, StandardNormal, check_dim
from nice_np.validation import Array, Rng, as_batch, as_dtype, as_float, as_int, as_rng


class DiagonalGaussian(Prior):
    """log p(z) = sum_d -(u_d^2 + log 2 pi) / 2 - log_std_d,  u_d = (z_d - mean_d) / std_d;  mean and log_std learned

    Parameters
    ----------
    dim : int
        D.
    dtype : {float64, float32}

    Notes
    -----
    dlog p/dz_d = -u_d / std_d,   dlog p/dmean_d = u_d / std_d,   dlog p/dlog_std_d = u_d^2 - 1.
    A `DiagonalScaling` next to it would have the same effect as log_std, so one of the two is enough.
    """

    param_names = ("mean", "log_std")
    dim: int

    def __init__(self, dim: int, dtype: Any = np.float64) -> None:
        self.dim = as_int(dim, "DiagonalGaussian", "dim", 1)
        self.mean, self.log_std = np.zeros((2, self.dim), as_dtype(dtype, "DiagonalGaussian"))  # (D,), (D,)
        self.dmean, self.dlog_std = np.zeros_like(self.mean), np.zeros_like(self.log_std)

    @property
    def std(self) -> float:  # type: ignore[override]
        """The root of the mean variance."""
        return sqrt(np.exp(2 * self.log_std.astype(float)).mean())

    def _units(self, z: Array) -> Array:
        """u, (N, D)."""
        u: Array = (as_batch(z, self.dim, self, "z") - self.mean) * np.exp(-self.log_std)
        return u

    def log_prob(self, z: Array) -> Array:
        u = self._units(z)
        constant = self.log_std.sum() + u.dtype.type(0.5 * log(2 * pi) * u.shape[1])
        log_p: Array = -0.5 * (u**2).sum(axis=1) - constant
        return log_p

    def grad_log_prob(self, z: Array) -> Array:
        gradient: Array = -self._units(z) * np.exp(-self.log_std)
        return gradient

    def backward(self, dlog_p: Array, z: Array) -> Array:
        u = self._units(z)
        dz: Array = -dlog_p[:, None] * u * np.exp(-self.log_std)
        self.dmean[...] = -dz.sum(axis=0)  # log p depends on z - mean
        self.dlog_std[...] = (dlog_p[:, None] * (u**2 - 1)).sum(axis=0)  # du/dlog_std = -u
        return dz

    def sample(self, n: int, dim: int, rng: Rng = None) -> Array:
        check_dim(self, dim, "DiagonalGaussian.sample")
        z: Array = self.mean + np.exp(self.log_std) * StandardNormal().sample(n, dim, rng)
        return z

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "dtype": self.mean.dtype.name}

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """How many numbers ``DiagonalGaussian(**config)`` would hold, without making it."""
        return 2 * int(config["dim"])

    def __repr__(self) -> str:
        return f"DiagonalGaussian(dim={self.dim})"


class Uniform(Prior):
    """log p(z) = -D log(high - low) for z in [low, high]^D, and -inf elsewhere.

    Outside, no gradient says where the density is, so the layers themselves must never leave the interval: put
    ``Inverse(Logit(dim))`` on top, whose values lie between 0 and 1.  The bounds themselves belong to the
    interval, because rounding may reach them.

    Parameters
    ----------
    low, high : float

    Examples
    --------
    >>> Uniform(-1.0, 1.0).log_prob(np.array([[0.5, 1.0], [0.0, 1.5]]))  # -2 log 2
    array([-1.38629436,        -inf])
    """

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        self.low, self.high = as_float(low, "Uniform", "low"), as_float(high, "Uniform", "high")
        self.width = self.high - self.low
        if not 0 < self.width < inf:
            raise NiceValueError(f"Uniform: low must be smaller than high, got {low} and {high}")
        self.std = self.width / sqrt(12)

    def log_prob(self, z: Array) -> Array:
        z = as_batch(z, None, self, "z")
        inside = ((z >= self.low) & (z <= self.high)).all(axis=1)  # (N,)
        log_p: Array = np.where(inside, z.dtype.type(-log(self.width) * z.shape[1]), z.dtype.type(-inf))
        return log_p

    def grad_log_prob(self, z: Array) -> Array:
        return np.zeros_like(as_batch(z, None, self, "z"))

    def sample(self, n: int, dim: int, rng: Rng = None) -> Array:
        u = as_rng(rng, "Uniform").random((as_int(n, "Uniform", "n", 0), as_int(dim, "Uniform", "dim", 1)))
        z: Array = self.low + self.width * np.clip(np.nan_to_num(u), 0, 1)
        return z

    def config(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high}

    def __repr__(self) -> str:
        return f"Uniform({self.low:g}, {self.high:g})"

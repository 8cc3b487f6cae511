"""Densities in closed form to try inference on: each has log p(x), its gradient by hand, and exact samples.

A target is any function x (N, D) -> log p(x) (N,), d log p / dx (N, D); p need not integrate to one.  Those here do, so
that the evidence log Z = 0 is known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import log, pi
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.validation import Array, Rng, as_float, as_int, as_real_array, as_rng, as_samples, check_shape

Density = Callable[[Array], tuple[Array, Array]]  # x (N, D) -> log p(x) (N,), d log p / dx (N, D)


def log_density(density: Density, x: Array) -> tuple[Array, Array]:
    """log p(x) (N,) and its gradient (N, D) from a function, perhaps the user's, checked and in the dtype of x."""
    answer: Any = density(x.copy()) if callable(density) else density  # which may write into what it gets
    if not (isinstance(answer, tuple) and len(answer) == 2):
        raise NiceTypeError(
            "log_density_and_grad must be a function x (N, D) -> log p (N,), d log p / dx (N, D), two arrays; got "
            f"{type(answer).__name__}"
        )
    log_p, dlog_p = (as_real_array(part, "log_density_and_grad", "its answer") for part in answer)
    check_shape(log_p, x.shape[:1], "log_density_and_grad", "log p")
    check_shape(dlog_p, x.shape, "log_density_and_grad", "the gradient")
    bad = ~(np.isfinite(log_p) & np.isfinite(dlog_p).all(axis=1))
    if bad.any():
        row = bad.argmax()
        raise NiceOverflowError(f"log p(x), or its gradient, is not finite at x = {x[row]}: log p = {log_p[row]}")
    return log_p.astype(x.dtype, copy=False), dlog_p.astype(x.dtype, copy=False)


class Target(ABC):
    """A density with its gradient by hand; calling it gives both."""

    dim: int

    def __call__(self, x: npt.ArrayLike) -> tuple[Array, Array]:
        """log p(x) (N,) in nats and d log p / dx (N, D), both float64."""
        who = type(self).__name__
        samples = as_samples(x, self.dim, owner=who, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # `log_density` looks for it
            return self._log_prob_and_grad(samples)

    @abstractmethod
    def _log_prob_and_grad(self, x: Array) -> tuple[Array, Array]: ...

    def log_prob(self, x: npt.ArrayLike) -> Array:
        """log p(x): (N, D) -> (N,)."""
        return self(x)[0]

    def grad_log_prob(self, x: npt.ArrayLike) -> Array:
        """d log p / dx: (N, D) -> (N, D)."""
        return self(x)[1]


class Banana(Target):
    """A bent Gaussian: x_1 ~ N(0, s^2), x_2 ~ N(b (x_1^2 - s^2), 1)      (Haario et al. 1999)

    Parameters
    ----------
    scale : float
        s.
    bend : float
        b.
    """

    dim = 2

    def __init__(self, scale: float = 3.0, bend: float = 0.3) -> None:
        self.scale = as_float(scale, "Banana", "scale", above=0)
        self.bend = as_float(bend, "Banana", "bend")

    def _log_prob_and_grad(self, x: Array) -> tuple[Array, Array]:
        s, b = self.scale, self.bend
        u = x[:, 0] / s
        r = x[:, 1] - b * (x[:, 0] ** 2 - s**2)  # (N,): straight again
        log_p = -0.5 * (u**2 + r**2) - log(2 * pi * s)
        # d(-r^2/2)/dx_1 = r 2 b x_1,  d(-r^2/2)/dx_2 = -r
        return log_p, np.column_stack([-u / s + 2 * b * r * x[:, 0], -r])

    def sample(self, n: int, rng: Rng = None) -> Array:
        """`n` exact draws, (n, 2)."""
        x = as_rng(rng, "Banana").standard_normal((as_int(n, "Banana.sample", "n", 0), 2))
        x[:, 0] *= self.scale
        x[:, 1] += self.bend * (x[:, 0] ** 2 - self.scale**2)
        return x


class Funnel(Target):
    """Neal's funnel: v ~ N(0, 3^2), x_k ~ N(0, e^v) for k = 1 .. D - 1      (Neal 2003, section 8)

    Its width varies from e^-4.5 to e^4.5 within three deviations of v, the first feature.

    Parameters
    ----------
    dim : int
        D >= 2; Neal's is 10.
    """

    def __init__(self, dim: int = 10) -> None:
        self.dim = as_int(dim, "Funnel", "dim", 2)

    def _log_prob_and_grad(self, x: Array) -> tuple[Array, Array]:
        v, rest = x[:, 0], x[:, 1:]  # (N,), (N, D - 1)
        precision = np.exp(-v)
        squares = (rest**2).sum(axis=1) * precision
        log_p = -(v**2) / 18 - log(3) - 0.5 * (squares + (self.dim - 1) * v + self.dim * log(2 * pi))
        dv = -v / 9 + 0.5 * (squares - (self.dim - 1))  # d precision/dv = -precision
        return log_p, np.column_stack([dv, -rest * precision[:, None]])

    def sample(self, n: int, rng: Rng = None) -> Array:
        """`n` exact draws, (n, D)."""
        x = as_rng(rng, "Funnel").standard_normal((as_int(n, "Funnel.sample", "n", 0), self.dim))
        x[:, 0] *= 3
        x[:, 1:] *= np.exp(x[:, :1] / 2)
        return x


class Mixture(Target):
    """Round Gaussians of one width: p(x) = sum_k w_k N(x; m_k, s^2 I)

    Parameters
    ----------
    means : array_like, shape (K, D)
    std : float
        s.
    weights : array_like, shape (K,), optional
        Positive, with any sum; equal by default.
    """

    def __init__(self, means: npt.ArrayLike, std: float = 1.0, weights: npt.ArrayLike | None = None) -> None:
        self.means = as_samples(means, None, owner="Mixture", name="means", dtype=np.float64)  # (K, D)
        if len(self.means) == 0:
            raise NiceValueError("Mixture: means must have at least one row")
        self.dim, self.std = self.means.shape[1], as_float(std, "Mixture", "std", above=0)
        w = np.ones(len(self.means)) if weights is None else as_real_array(weights, "Mixture", "weights").astype(float)
        check_shape(w, self.means.shape[:1], "Mixture", "weights")
        if not ((w > 0) & np.isfinite(w)).all():
            raise NiceValueError(f"Mixture: weights must be positive and finite, got {w}")
        self.weights = w / w.sum()  # (K,)

    def _log_prob_and_grad(self, x: Array) -> tuple[Array, Array]:
        log_terms = self._log_terms(x)  # (N, K)
        top = log_terms.max(axis=1, keepdims=True)
        log_p = top[:, 0] + np.log(np.exp(log_terms - top).sum(axis=1))
        share = np.exp(log_terms - log_p[:, None])  # (N, K): of each Gaussian in p(x)
        # d log sum_k e^a_k = sum_k share_k da_k,  da_k/dx = (m_k - x) / s^2
        return log_p, (share @ self.means - x) / self.std**2

    def _log_terms(self, x: Array) -> Array:
        squares = ((x[:, None] - self.means) ** 2).sum(axis=2) / self.std**2  # (N, K)
        log_terms: Array = np.log(self.weights) - 0.5 * (squares + self.dim * log(2 * pi * self.std**2))
        return log_terms

    def nearest(self, x: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """The Gaussian with the largest share at each x: (N, D) -> (N,)."""
        samples = as_samples(x, self.dim, owner="Mixture.nearest", dtype=np.float64)
        largest: npt.NDArray[np.intp] = self._log_terms(samples).argmax(axis=1)
        return largest

    def sample(self, n: int, rng: Rng = None) -> Array:
        """`n` exact draws, (n, D)."""
        n, rng = as_int(n, "Mixture.sample", "n", 0), as_rng(rng, "Mixture")
        which = rng.choice(len(self.means), n, p=self.weights)
        return self.means[which] + self.std * rng.standard_normal((n, self.dim))

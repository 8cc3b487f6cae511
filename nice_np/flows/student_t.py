"""A prior with heavy tails; how heavy is given or learned."""

from __future__ import annotations

from math import inf, log, pi, sqrt
from typing import Any

import numpy as np

from nice_np.flows.priors import Prior, check_dim
from nice_np.validation import Array, Rng, as_batch, as_dtype, as_float, as_int, as_rng


class StudentT(Prior):
    """log p(z) = sum_d lgamma((nu + 1)/2) - lgamma(nu/2) - log(nu pi)/2 - (nu + 1)/2 log(1 + z_d^2 / nu)

    Its tails fall like |z|^-(nu + 1), so that outliers cost little likelihood: layers with bounded slopes, such as
    affine couplings under a `TanhScale`, cannot make such tails from a Gaussian (Jaini et al. 2020, "Tails of
    Lipschitz triangular flows").

    Parameters
    ----------
    nu : float
        The degrees of freedom, > 0; large ones are nearly Gaussian.  Up to nu = 2 `std` is infinite, and builders that
        scale standardised data to it refuse the prior.

    Notes
    -----
    With a = z / sqrt(nu) and h = sqrt(1 + a^2):  dlog p/dz = -(nu + 1) / sqrt(nu) * a / h^2.
    """

    def __init__(self, nu: float = 5.0) -> None:
        self.nu: Any = as_float(nu, type(self).__name__, "nu", above=0)

    @property
    def std(self) -> float:  # type: ignore[override]
        """The root of the mean variance nu / (nu - 2)."""
        nu = np.asarray(self.nu, float)
        return sqrt(np.mean(nu / (nu - 2))) if (nu > 2).all() else inf

    def _slopes(self, z: Array) -> tuple[Array, Array, Array]:
        """nu in z's dtype, a and h; h by hypot, which squares nothing that could overflow."""
        z = as_batch(z, self.dim, self, "z")
        nu = np.asarray(self.nu, z.dtype)
        a = z / np.sqrt(nu)
        return nu, a, np.hypot(1, a)

    def log_prob(self, z: Array) -> Array:
        from scipy.special import gammaln

        nu, _, h = self._slopes(z)
        constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * pi)
        log_p: Array = (constant - (nu + 1) * np.log(h)).sum(axis=1)
        return log_p.astype(h.dtype, copy=False)

    def grad_log_prob(self, z: Array) -> Array:
        nu, a, h = self._slopes(z)
        gradient: Array = -(nu + 1) / np.sqrt(nu) * (a / h) / h
        return gradient

    def sample(self, n: int, dim: int, rng: Rng = None) -> Array:
        shape = (as_int(n, "StudentT", "n", 0), as_int(dim, "StudentT", "dim", 1))
        return np.nan_to_num(np.clip(as_rng(rng, "StudentT").standard_t(self.nu, shape), -1e30, 1e30))

    def config(self) -> dict[str, Any]:
        return {"nu": self.nu}

    def __repr__(self) -> str:
        return f"StudentT({self.nu:g})"


class LearnedStudentT(StudentT):
    """`StudentT` with degrees of freedom nu_d = exp(log_nu_d) that are learned for each coordinate.

    Parameters
    ----------
    dim : int
        D.
    nu : float
        Where all nu_d start.
    dtype : {float64, float32}

    Notes
    -----
    With psi the derivative of lgamma,
    2 dlog p/dnu = psi((nu + 1)/2) - psi(nu/2) - 1/nu - 2 log h + (nu + 1)/nu (a/h)^2,   dlog p/dlog_nu = nu dlog p/dnu.
    """

    param_names = ("log_nu",)
    dim: int

    def __init__(self, dim: int, nu: float = 5.0, dtype: Any = np.float64) -> None:
        self.dim = as_int(dim, "LearnedStudentT", "dim", 1)
        start = log(as_float(nu, "LearnedStudentT", "nu", above=0))
        self.log_nu: Array = np.full(self.dim, start, as_dtype(dtype, "LearnedStudentT"))  # (D,)
        self.dlog_nu = np.zeros_like(self.log_nu)

    @property
    def nu(self) -> Array:
        """(D,)."""
        nu: Array = np.exp(self.log_nu)
        return nu

    def backward(self, dlog_p: Array, z: Array) -> Array:
        from scipy.special import psi

        nu, a, h = self._slopes(z)
        twice = psi((nu + 1) / 2) - psi(nu / 2) - 1 / nu - 2 * np.log(h) + (nu + 1) / nu * (a / h) ** 2  # (N, D)
        self.dlog_nu[...] = (dlog_p[:, None] * twice).sum(axis=0) * nu / 2
        return dlog_p[:, None] * self.grad_log_prob(z)

    def sample(self, n: int, dim: int, rng: Rng = None) -> Array:
        check_dim(self, dim, "LearnedStudentT.sample")
        return super().sample(n, dim, rng)

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "dtype": self.log_nu.dtype.name}

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """How many numbers ``LearnedStudentT(**config)`` would hold, without making it."""
        return int(config["dim"])

    def __repr__(self) -> str:
        return f"LearnedStudentT(dim={self.dim})"

"""Radial flow: z = x + beta (x - c) / (alpha + r).  Space is stretched or squeezed around one centre c."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nice_np.families.implicit import ImplicitInverse
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_batch, as_dtype, as_int, as_rng


class RadialCache(NamedTuple):
    """y = x - c (N, D), its length r (N, 1), and the stretch across and along the radius, q and p (N, 1)."""

    y: Array
    r: Array
    q: Array
    p: Array


class Radial(ImplicitInverse):
    """z = c + q y,  q = 1 + beta / (alpha + r),  y = x - c,  r = |y|      (Rezende & Mohamed 2015, equation 14)

    The radius becomes rho = q r, whose slope is p = d rho / dr = 1 + alpha beta / (alpha + r)^2.  So J has the
    eigenvalue p along the radius and q in the D - 1 directions across it:

        J = q I + (p - q) y y^T / r^2,    log|det J| = (D - 1) log q + log p

    Both are positive for beta > -alpha; appendix A.2 takes beta = log(1 + e^b) - alpha, and here alpha = e^a.  The
    inverse has a closed form: rho = q r is the quadratic equation r^2 + (alpha + beta - rho) r = alpha rho.

    Parameters
    ----------
    dim : int
        D.
    dtype : {float64, float32}
    rng : seed or numpy.random.Generator
        Of the centre c; a starts at 0, and b where beta is 0: the layer starts as the identity.

    Examples
    --------
    >>> Radial(2, rng=0).forward(np.array([[1.0, -2.0]]))[0].round(12)
    array([[ 1., -2.]])
    """

    param_names = ("c", "a", "b")

    @suggests
    def __init__(self, dim: int, dtype: Any = np.float64, rng: Rng = None) -> None:
        self.dim = as_int(dim, "Radial", "dim", 1)
        dtype, rng = as_dtype(dtype, "Radial"), as_rng(rng, "Radial")
        self.c: Array = rng.normal(size=self.dim).astype(dtype)  # (D,)
        self.a, self.b = np.zeros(1, dtype), np.full(1, np.log(np.e - 1), dtype)  # alpha = 1, beta = 0
        self.dc, self.da, self.db = np.zeros_like(self.c), np.zeros_like(self.a), np.zeros_like(self.b)

    def forward(self, x: Array) -> tuple[Array, Array, RadialCache]:
        x = as_batch(x, self.dim, self)
        alpha, beta = self.positive()
        y = x - self.c
        r = np.sqrt((y * y).sum(axis=1, keepdims=True))  # (N, 1)
        q, p = 1 + beta / (alpha + r), 1 + alpha * beta / (alpha + r) ** 2
        log_det = (self.dim - 1) * np.log(q) + np.log(p)
        return self.c + q * y, log_det[:, 0], RadialCache(y, r, q, p)

    def backward(self, dz: Array, dlog_det: Array, cache: RadialCache, parameters: bool = True) -> Array:
        y, r, q, p = cache
        alpha, beta = self.positive()
        s = alpha + r  # (N, 1)
        # z = c + q y and log_det = (D - 1) log q + log p
        dq = (dz * y).sum(axis=1, keepdims=True) + dlog_det[:, None] * (self.dim - 1) / q
        dp = dlog_det[:, None] / p
        # q = 1 + beta / s and p = 1 + alpha beta / s^2;  r = |y|, dr/dy = y / r (0 at the centre, where it has none)
        ds = -dq * beta / s**2 - 2 * dp * alpha * beta / s**3
        dx: Array = q * dz + ds * y / np.where(r > 0, r, 1)
        if parameters:
            dbeta = (dq / s + dp * alpha / s**2).sum()
            dalpha = (ds + dp * beta / s**2).sum() - dbeta  # alpha stands in s, in p and in beta = log(1 + e^b) - alpha
            self.da[...] = dalpha * alpha  # alpha = e^a
            self.db[...] = dbeta * -np.expm1(-(alpha + beta))  # log(1 + e^b) has the slope 1 - e^-(alpha + beta)
            self.dc[...] = (dz - dx).sum(axis=0)  # z = c + q y, and y = x - c
        return dx

    def positive(self) -> tuple[Array, Array]:
        """alpha > 0 and beta > -alpha."""
        alpha: Array = np.exp(self.a)
        return alpha, np.logaddexp(0, self.b) - alpha

    def _search(self, z: Array) -> Array:
        alpha, beta = self.positive()
        y = z - self.c
        rho = np.sqrt((y * y).sum(axis=1, keepdims=True))  # (N, 1)
        half = 0.5 * (alpha + beta - rho)
        root = np.sqrt(half**2 + alpha * rho)
        r = np.where(
            half > 0, alpha * rho / (np.abs(half) + root), root - half
        )  # one root in two forms: no cancellation
        x: Array = self.c + y / (1 + beta / (alpha + r))
        return x

    def _solve_transposed(self, r: Array, cache: RadialCache) -> Array:
        # J = q (I - e e^T) + p e e^T with e = y / |y|, so J^-T r = r / q + (1/p - 1/q) e (e.r)
        e = cache.y / np.where(cache.r > 0, cache.r, 1)
        v: Array = r / cache.q + (1 / cache.p - 1 / cache.q) * e * (e * r).sum(axis=1, keepdims=True)
        return v

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "dtype": self.c.dtype.name}

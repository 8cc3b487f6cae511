"""Planar flow: z = x + u tanh(w.x + b).  Space is stretched or squeezed around the plane w.x + b = 0."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nice_np.families.implicit import ImplicitInverse
from nice_np.families.searches import root_of_increasing
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_batch, as_dtype, as_int, as_rng


class PlanarCache(NamedTuple):
    """x (N, D), h = tanh(w.x + b) (N,) and the stretch 1 + h' w.u (N,) across the plane."""

    x: Array
    h: Array
    stretch: Array


class Planar(ImplicitInverse):
    """z = x + u^ h,  h = tanh(w.x + b);  log|det J| = log(1 + h' w.u^)    (Rezende & Mohamed 2015, equations 10 to 12)

    J = I + h' u^ w^T is the identity plus a matrix of rank one, hence det J = 1 + h' w.u^.  With h' = 1 - h^2 in (0, 1]
    it is positive wherever w.u^ > -1, and appendix A.1 makes sure of that:

        u^ = u + (m - w.u) w / |w|^2,   m = w.u^ = log(1 + e^(w.u)) - 1 > -1

    The inverse needs one number for each row, a = w.x + b.  The product of w and z = x + u^ tanh(a), plus b, is
    w.z + b = a + m tanh(a), which increases with a; its root gives x = z - u^ tanh(a).

    Parameters
    ----------
    dim : int
        D.
    dtype : {float64, float32}
    rng : seed or numpy.random.Generator
        Of w, b and u; the layer starts near the identity.

    Examples
    --------
    >>> layer = Planar(2, rng=0)
    >>> z, _, _ = layer.forward(np.array([[1.0, -2.0]]))
    >>> layer.inverse(z)[0].round(12)
    array([[ 1., -2.]])
    """

    param_names = ("w", "u", "b")

    @suggests
    def __init__(self, dim: int, dtype: Any = np.float64, rng: Rng = None) -> None:
        self.dim = as_int(dim, "Planar", "dim", 1)
        dtype, rng = as_dtype(dtype, "Planar"), as_rng(rng, "Planar")
        w = rng.normal(0, 2 / np.sqrt(self.dim), self.dim)  # (D,): planes in all directions, w.x of order one
        at_identity = np.log(np.e - 1) * w / (w @ w)  # w.u = log(e - 1) gives m = 0, and this u then u^ = 0
        self.w, self.u = w.astype(dtype), (at_identity + rng.normal(0, 0.05, self.dim)).astype(dtype)  # (D,)
        self.b = rng.normal(size=1).astype(dtype)
        self.dw, self.du, self.db = np.zeros_like(self.w), np.zeros_like(self.u), np.zeros_like(self.b)

    def forward(self, x: Array) -> tuple[Array, Array, PlanarCache]:
        x = as_batch(x, self.dim, self)
        u_hat, m = self.invertible()
        h = np.tanh(x @ self.w + self.b)  # (N,)
        stretch = 1 + (1 - h * h) * m  # (N,)
        return x + np.outer(h, u_hat), np.log(stretch), PlanarCache(x, h, stretch)

    def backward(self, dz: Array, dlog_det: Array, cache: PlanarCache, parameters: bool = True) -> Array:
        x, h, stretch = cache
        u_hat, m = self.invertible()
        # z = x + u^ h and stretch = 1 + (1 - h^2) m:  dz/dh = u^,  dstretch/dh = -2 h m
        dstretch = dlog_det / stretch  # (N,)
        dh = dz @ u_hat - 2 * h * m * dstretch  # (N,)
        da = dh * (1 - h * h)  # h = tanh(a),  a = w.x + b
        if parameters:
            self.db[...] = da.sum()
            self._backward_to_w_and_u(x.T @ da, dz.T @ h, ((1 - h * h) * dstretch).sum())
        return dz + np.outer(da, self.w)

    def invertible(self) -> tuple[Array, Any]:
        """u^ (D,) and m = w.u^, a number > -1."""
        s = self.w @ self.u
        m = np.logaddexp(0, s) - 1
        return self.u + (m - s) / (self.w @ self.w) * self.w, m

    def _backward_to_w_and_u(self, dw: Array, du_hat: Array, dm: Any) -> None:
        """u^ = u + c w,  c = (m - s) / n,  m = log(1 + e^s) - 1,  s = w.u,  n = w.w; dw is that of a = w.x + b."""
        s, n = self.w @ self.u, self.w @ self.w
        m = np.logaddexp(0, s) - 1
        c = (m - s) / n
        dc = du_hat @ self.w
        dn = -dc * c / n
        ds = (dm + dc / n) * -np.expm1(-(1 + m)) - dc / n  # dm/ds = sigmoid(s) = 1 - e^-(1 + m);  s stands in c, too
        self.du[...] = du_hat + ds * self.w
        self.dw[...] = dw + c * du_hat + ds * self.u + 2 * dn * self.w

    def _search(self, z: Array) -> Array:
        u_hat, m = self.invertible()
        a = root_of_increasing(lambda a: (a + m * np.tanh(a), 1 + m * (1 - np.tanh(a) ** 2)), z @ self.w + self.b)
        return z - np.outer(np.tanh(a), u_hat)

    def _solve_transposed(self, r: Array, cache: PlanarCache) -> Array:
        # J^T = I + h' w (u^)^T, so J^-T r = r - h' w (u^.r) / (1 + h' w.u^)      (Sherman & Morrison)
        u_hat, _ = self.invertible()
        return r - np.outer((1 - cache.h**2) * (r @ u_hat) / cache.stretch, self.w)

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "dtype": self.w.dtype.name}

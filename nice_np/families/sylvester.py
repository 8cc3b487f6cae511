"""Sylvester flow: like a planar flow, but in M directions at once; its determinant has size M."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nice_np.errors import NiceValueError
from nice_np.families.householder import reflections, reflections_backward
from nice_np.families.implicit import ImplicitInverse
from nice_np.families.searches import root_of_increasing
from nice_np.families.triangular import upper, upper_backward
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_batch, as_dtype, as_int, as_rng


class SylvesterCache(NamedTuple):
    """x (N, D); v = x Q, h = tanh(v R~^T + b) and the stretch 1 + h' r r~, (N, M) each; the matrices."""

    x: Array
    v: Array
    h: Array
    stretch: Array
    Q: Array
    R: Array
    R_tilde: Array


class Sylvester(ImplicitInverse):
    """z = x + Q R h,  h = tanh(R~ v + b),  v = Q^T x      (van den Berg et al. 2018)

    Q (D, M) has orthonormal columns, made of M Householder reflections; R and R~ (M, M) are upper triangular.  By
    Sylvester's identity det(I_D + A B) = det(I_M + B A) the determinant is one of size M, of a triangular matrix:

        det J = det(I_D + Q R diag(h') R~ Q^T) = det(I_M + diag(h') R~ R) = prod_m (1 + h'_m r_mm r~_mm)

    With h' in (0, 1] every factor is positive where r_mm r~_mm > -1; here both are tanh of a free number.  Orthogonal
    to the columns of Q nothing changes.  Along them the inverse is a back substitution: the last row of Q^T z = v + R h
    holds v_M alone, the row above it v_{M-1} and what is known by then.  M = 1 is a planar layer with u parallel to w.

    Parameters
    ----------
    dim : int
        D.
    rank : int, optional
        M <= D; by default D.
    dtype : {float64, float32}
    rng : seed or numpy.random.Generator
    """

    param_names = ("Y", "r", "r_tilde", "b")

    @suggests
    def __init__(self, dim: int, rank: int | None = None, dtype: Any = np.float64, rng: Rng = None) -> None:
        self.dim = as_int(dim, "Sylvester", "dim", 1)
        self.rank = self.dim if rank is None else as_int(rank, "Sylvester", "rank", 1)
        if self.rank > self.dim:
            raise NiceValueError(f"Sylvester: rank must be at most dim = {self.dim}, got {self.rank}")
        dtype, rng = as_dtype(dtype, "Sylvester"), as_rng(rng, "Sylvester")
        n_upper = self.rank * (self.rank + 1) // 2
        self.Y: Array = rng.normal(size=(self.rank, self.dim)).astype(dtype)
        self.r, self.r_tilde = rng.normal(0, 0.5, (2, n_upper)).astype(dtype)  # row by row
        self.b: Array = np.zeros(self.rank, dtype)
        self.dY, self.db = np.zeros_like(self.Y), np.zeros_like(self.b)
        self.dr, self.dr_tilde = np.zeros_like(self.r), np.zeros_like(self.r)

    def forward(self, x: Array) -> tuple[Array, Array, SylvesterCache]:
        x = as_batch(x, self.dim, self)
        Q, R, R_tilde = self.matrices()
        v = x @ Q  # (N, D) @ (D, M) -> (N, M)
        h = np.tanh(v @ R_tilde.T + self.b)
        stretch = 1 + (1 - h * h) * np.diag(R) * np.diag(R_tilde)  # (N, M)
        return x + h @ R.T @ Q.T, np.log(stretch).sum(axis=1), SylvesterCache(x, v, h, stretch, Q, R, R_tilde)

    def backward(self, dz: Array, dlog_det: Array, cache: SylvesterCache, parameters: bool = True) -> Array:
        x, v, h, stretch, Q, R, R_tilde = cache
        k = np.diag(R) * np.diag(R_tilde)  # (M,)
        dstretch = dlog_det[:, None] / stretch  # (N, M)
        dy = dz @ Q  # z = x + y Q^T,  y = h R^T
        dh = dy @ R - 2 * h * k * dstretch  # stretch = 1 + (1 - h^2) k
        da = dh * (1 - h * h)  # h = tanh(a),  a = v R~^T + b
        dv = da @ R_tilde
        if parameters:
            dk = ((1 - h * h) * dstretch).sum(axis=0)  # (M,)
            self.db[...] = da.sum(axis=0)
            self.dr[...] = upper_backward(dy.T @ h + np.diag(dk * np.diag(R_tilde)), R)
            self.dr_tilde[...] = upper_backward(da.T @ v + np.diag(dk * np.diag(R)), R_tilde)
            dQ = x.T @ dv + dz.T @ (h @ R.T)  # (D, M): Q stands in v = x Q and in y Q^T
            self.dY[...] = reflections_backward(dQ @ Q.T, self.Y)
        dx: Array = dz + dv @ Q.T
        return dx

    def matrices(self) -> tuple[Array, Array, Array]:
        """Q (D, M), R and R~ (M, M)."""
        return reflections(self.Y, self.rank), upper(self.r, self.rank), upper(self.r_tilde, self.rank)

    def _search(self, z: Array) -> Array:
        Q, R, R_tilde = self.matrices()
        target = z @ Q  # v + R h: (N, M)
        v, h = np.zeros_like(target), np.zeros_like(target)
        for m in reversed(range(self.rank)):  # the later columns of v and h are known, the others still 0
            c = v @ R_tilde[m] + self.b[m]  # (N,)

            def row_m(v_m: Array, m: int = m, c: Array = c) -> tuple[Array, Array]:
                h_m = np.tanh(R_tilde[m, m] * v_m + c)
                return v_m + R[m, m] * h_m, 1 + R[m, m] * R_tilde[m, m] * (1 - h_m**2)

            v[:, m] = root_of_increasing(row_m, target[:, m] - h @ R[m])
            h[:, m] = np.tanh(R_tilde[m, m] * v[:, m] + c)
        x: Array = z - h @ R.T @ Q.T
        return x

    def _solve_transposed(self, r: Array, cache: SylvesterCache) -> Array:
        # J = I + Q (K - I) Q^T with K = I + R diag(h') R~, so J^-T r = r + Q (K^-T - I) Q^T r      (Woodbury)
        K = np.eye(self.rank, dtype=r.dtype) + (cache.R * (1 - cache.h**2)[:, None, :]) @ cache.R_tilde  # (N, M, M)
        inside = r @ cache.Q  # (N, M)
        solved = np.linalg.solve(K.transpose(0, 2, 1), inside[:, :, None])[:, :, 0]
        v: Array = r + (solved - inside) @ cache.Q.T
        return v

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "rank": self.rank, "dtype": self.Y.dtype.name}

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """How many numbers ``Sylvester(**config)`` would hold, without making it."""
        dim, rank = int(config["dim"]), int(config["rank"])
        return rank * (dim + rank + 2)

    def __repr__(self) -> str:
        return f"Sylvester(dim={self.dim}, rank={self.rank})"

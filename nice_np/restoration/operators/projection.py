"""Random projections: the operator of compressive sensing."""

from __future__ import annotations

from math import sqrt

from nice_np.restoration.operators.base import Operator
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_batch, as_int, as_rng


class RandomProjection(Operator):
    """y = A x,  A_md ~ N(0, 1/M) independently, drawn once.  For compressive sensing.

    Each measurement depends on all pixels.  The variance 1/M preserves the mean square length, E |A x|^2 = |x|^2.

    Parameters
    ----------
    dim : int
        D.
    n_measurements : int
        M, usually far smaller than D.
    rng : seed or numpy.random.Generator, optional
        Draws A; the same seed gives the same A.

    Attributes
    ----------
    A : ndarray, shape (M, D), float64
    """

    @suggests
    def __init__(self, dim: int, n_measurements: int, rng: Rng = None) -> None:
        self.dim_in = as_int(dim, "RandomProjection", "dim", 1)
        self.dim_out = as_int(n_measurements, "RandomProjection", "n_measurements", 1)
        draws = as_rng(rng, "RandomProjection").standard_normal((self.dim_out, self.dim_in))
        self.A: Array = draws / sqrt(self.dim_out)

    def forward(self, x: Array) -> Array:
        x = as_batch(x, self.dim_in, self)
        y: Array = x @ self.A.T.astype(x.dtype, copy=False)  # per row (A x)^T = x^T A^T
        return y

    def adjoint(self, u: Array) -> Array:
        u = as_batch(u, self.dim_out, self, "u")
        x: Array = u @ self.A.astype(u.dtype, copy=False)  # (A^T u)^T = u^T A
        return x

    def __repr__(self) -> str:
        return f"RandomProjection(dim={self.dim_in}, n_measurements={self.dim_out})"

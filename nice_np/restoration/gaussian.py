"""The linear baseline of restoration: images as samples of one Gaussian, whose conditional mean has a closed form.

    x ~ N(m, C),  y = A x + n,  n ~ N(0, sigma^2 I)
    E[x | y] = m + C A^T (A C A^T + sigma^2 I)^-1 (y - A m)

For any density of images with this mean and covariance, no estimate linear in y has a smaller mean squared error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.restoration.operators import Operator
from nice_np.validation import Array, Rng, as_constants, as_float, as_int, as_rng, as_samples


class GaussianImages:
    """N(m, C) as a model of images.

    Parameters
    ----------
    mean : array_like, shape (D,)
    covariance : array_like, shape (D, D)
        Symmetric and positive semidefinite; singular ones need sigma > 0.

    Raises
    ------
    NiceValueError, NiceTypeError
        For NaN or inf, a wrong shape, and a matrix that is not a covariance.

    Examples
    --------
    Two correlated pixels; the first is observed without noise:

    >>> from nice_np import Mask
    >>> model = GaussianImages([0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]])
    >>> model.conditional_mean([[2.0]], Mask([True, False]))
    array([[2., 1.]])
    """

    def __init__(self, mean: Any, covariance: Any) -> None:
        self.mean = as_constants(mean, 1, "GaussianImages", "mean")
        self.covariance = as_constants(covariance, 2, "GaussianImages", "covariance")
        self.dim = len(self.mean)
        if self.covariance.shape != (self.dim, self.dim) or not np.allclose(self.covariance, self.covariance.T):
            raise NiceValueError(
                f"GaussianImages: covariance must be symmetric, ({self.dim}, {self.dim}), got shape "
                f"{self.covariance.shape}"
            )
        # Rounding may make an eigenvalue slightly negative: allow a millionth of their sum, the trace.
        slack = max(1e-6 * np.trace(self.covariance), np.finfo(np.float64).tiny)
        try:
            np.linalg.cholesky(self.covariance + slack * np.eye(self.dim))
        except np.linalg.LinAlgError:
            raise NiceValueError("GaussianImages: covariance has a negative eigenvalue, a variance below 0") from None

    @classmethod
    def fit(cls, x: npt.ArrayLike) -> GaussianImages:
        """The mean and covariance of samples x (N, D), N >= 2."""
        samples = as_samples(x, None, owner="GaussianImages.fit", dtype=np.float64)
        if len(samples) < 2:
            raise NiceValueError(f"GaussianImages.fit: a covariance needs at least two samples, got {len(samples)}")
        return cls(samples.mean(axis=0), np.cov(samples.T).reshape(2 * samples.shape[1:]))

    def conditional_mean(self, y: npt.ArrayLike, operator: Operator, sigma: float = 0.0) -> Array:
        """E[x | y] for each row: y (N, M) -> (N, D), float64.

        Raises
        ------
        NiceValueError, NiceTypeError
            For arguments of the wrong type or shape, and if A C A^T + sigma^2 I is singular.
        """
        owner = "GaussianImages.conditional_mean"
        if not isinstance(operator, Operator):
            raise NiceTypeError(f"{owner}: operator must be an Operator, got {operator!r}")
        if operator.dim_in != self.dim:
            raise NiceValueError(
                f"{owner}: the operator expects {operator.dim_in} features, the images have {self.dim}"
            )
        sigma = as_float(sigma, owner, "sigma", minimum=0, below=1e150)  # its square is finite
        measured = as_samples(y, operator.dim_out, owner=owner, name="y", dtype=np.float64)
        CA = operator.forward(self.covariance)  # C A^T, (D, M): A applied to the rows of C
        ACA = operator.forward(CA.T)  # A C A^T, (M, M)
        residual = measured - operator.forward(self.mean[None])  # (N, M)
        weights = solved(ACA + sigma**2 * np.eye(len(ACA)), residual.T, owner)  # (M, N)
        estimate: Array = self.mean + (CA @ weights).T
        return estimate

    def conditional_draws(self, y: npt.ArrayLike, operator: Operator, sigma: float, k: int, rng: Rng = None) -> Array:
        """`k` samples of x | y for each row: y (N, M) -> (N, k, D), float64; errors as in `conditional_mean`.

        For a sample x' of N(m, C) and its measurement y' = A x' + n', the corrected x' + E[x | y] - E[x | y'] has the
        conditional mean and covariance (Matheron's rule).
        """
        owner = "GaussianImages.conditional_draws"
        k, rng = as_int(k, owner, "k", 1), as_rng(rng, owner)
        mean = self.conditional_mean(y, operator, sigma)  # (N, D)
        values, directions = np.linalg.eigh(self.covariance)
        factor = directions * np.sqrt(np.maximum(values, 0))  # C = factor factor^T
        x = self.mean + rng.standard_normal((len(mean) * k, self.dim)) @ factor.T  # (N k, D)
        measured = operator.forward(x) + sigma * rng.standard_normal((len(x), operator.dim_out))  # y'
        deviation = (x - self.conditional_mean(measured, operator, sigma)).reshape(len(mean), k, self.dim)
        samples: Array = mean[:, None] + deviation
        return samples


def solved(B: Array, right: Array, owner: str) -> Array:
    """B^-1 right for B = A C A^T + sigma^2 I: (M, M), (M, N) -> (M, N); NiceValueError for a singular B.

    A pivot in B = L L^T is the variance of a row given the rows above, 0 if it depends on them.  Rounding turns that 0
    into a multiple of the variance times epsilon, or into a negative number, at which `cho_factor` stops.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        factor = cho_factor(B, lower=True, check_finite=False)
        pivots = np.diag(factor[0]) ** 2  # (M,)
        if not (pivots > 10 * len(B) * np.finfo(B.dtype).eps * np.diag(B)).all():
            raise LinAlgError
    except LinAlgError:
        raise NiceValueError(f"{owner}: A C A^T + sigma^2 I is singular; give a sigma > 0, or a larger one") from None
    solution: Array = cho_solve(factor, right, check_finite=False)
    return solution

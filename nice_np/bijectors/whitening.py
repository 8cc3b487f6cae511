"""Whitening as a bijector: z = (x - mean) W with covariance 1; its log-determinant counts in the likelihood.

With the covariance C = (1/N) sum_n (x_n - mean)^T (x_n - mean) = U diag(lambda) U^T and std = sqrt(lambda + epsilon),

    PCA:  W = U diag(1/std)          the features of z are the principal components, largest variance first
    ZCA:  W = U diag(1/std) U^T      the whitening that changes x least: z is still an image

and |det W| = prod_d 1/std_d for both, since |det U| = 1.

The role of epsilon.  Dividing by sqrt(lambda) alone would magnify directions in which the data hardly vary, or which
fewer than D samples cannot show, to variance 1 and beyond, along with their rounding errors.  With epsilon a component
of z has variance lambda / (lambda + epsilon): 1 where lambda is large, near 0 where it is small.  The noise of
dequantisation makes pixels vary by at least (1/256)^2 / 12 in every direction, so this is the default; `relative` adds
a share of the mean variance, for data in other units.  For every epsilon the map is exactly invertible and the
likelihood is that of x.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.fitted import Chunks, mean_of
from nice_np.errors import NiceOverflowError, NiceValueError
from nice_np.pixels.dequantize import BIN_WIDTH
from nice_np.validation import Array, as_batch, as_constants, as_dtype, as_flag, as_float, as_int

NOISE_VARIANCE = BIN_WIDTH**2 / 12  # of the dequantisation noise u / 256


class Whitening(Bijector):
    """z = (x - mean) W,  log|det| = -sum_d log std_d.  Nothing is trained.

    Parameters
    ----------
    mean : array_like, shape (D,)
    components : array_like, shape (D, D)
        U: orthonormal columns, the directions.
    std : array_like, shape (D,)
        > 0, one for each direction.  All three finite and of one dtype, float32 or float64; others become float64.

    Attributes
    ----------
    matrix, inverse_matrix : ndarray, shape (D, D)
        W and its inverse, so that every pass is one matrix product.
    fitted : bool
        False marks a layer that `fit` will measure.
    """

    def __init__(self, mean: Any, components: Any, std: Any) -> None:
        who = type(self).__name__
        components = as_constants(components, 2, who, "components")  # (D, D)
        std = _positive(std, who)  # (D,)
        if components.shape != 2 * std.shape:
            raise NiceValueError(f"{who}: std {std.shape} does not fit components {components.shape}")
        probe = np.cos(np.arange(len(std)))  # U^T U v = v, tried on one generic vector v
        if not np.allclose(components.T @ (components @ probe), probe, rtol=0, atol=1e-3):
            raise NiceValueError(f"{who}: the columns of components are not orthonormal")
        self._set(mean, std, *self._matrices(components, std))
        self.fitted, self.epsilon, self.relative = True, 0.0, 0.0

    @classmethod
    def unfitted(
        cls, dim: int, epsilon: float = NOISE_VARIANCE, relative: float = 0.0, dtype: Any = np.float64
    ) -> Whitening:
        """The identity, marked so that ``fit`` measures mean and covariance before its first step.

        Parameters
        ----------
        dim : int
        epsilon : float
            Added to every variance, in the unit of x squared; >= 0.
        relative : float
            Added to every variance in units of the mean variance, trace(C) / D; >= 0.
        dtype : {float64, float32}
        """
        dim, dtype = as_int(dim, cls.__name__, "dim", 1), as_dtype(dtype, cls.__name__)
        layer = cls(np.zeros(dim, dtype), np.eye(dim, dtype=dtype), np.ones(dim, dtype))
        layer.fitted = False
        layer.epsilon = as_float(epsilon, cls.__name__, "epsilon", minimum=0)
        layer.relative = as_float(relative, cls.__name__, "relative", minimum=0)
        return layer

    @staticmethod
    @abstractmethod
    def _matrices(components: Array, std: Array) -> tuple[Array, Array]:
        """W and its inverse, each (D, D)."""

    def fit(self, chunks: Chunks) -> None:
        """Measure mean and covariance in float64; see `nice_np.bijectors.fitted`.

        Raises
        ------
        NiceValueError
            If the data do not vary in some direction and epsilon is 0.
        NiceOverflowError
            If a variance is too large for a number.
        """
        who, dtype = type(self).__name__, self.std.dtype
        covariance = np.zeros((self.dim, self.dim))
        with np.errstate(over="ignore", invalid="ignore"):  # looked for below
            mean, n_samples = mean_of(chunks)
            for x in chunks():
                centred = x - mean  # (n, D), float64
                covariance += centred.T @ centred
            covariance /= n_samples
        if not np.isfinite(covariance).all():
            raise NiceOverflowError("fit: the covariance of the data overflows; rescale them")
        variances, components = principal_components(covariance)
        variances += self.epsilon + self.relative * variances.mean()
        flat = variances <= self.dim * np.finfo(np.float64).eps * variances[0]
        if flat.any():
            raise NiceValueError(
                f"fit: {n_samples} samples do not vary in {flat.sum()} of {self.dim} directions; "
                f"make the layer by {who}.unfitted with epsilon > 0 or relative > 0"
            )
        std = np.sqrt(variances)
        constants = (mean, std, *self._matrices(components, std))
        self._set(*[constant.astype(dtype) for constant in constants])
        self.fitted = True

    def forward(self, x: Array) -> tuple[Array, Array, None]:
        x = as_batch(x, self.dim, self)
        return (x - self.mean) @ self.matrix, np.full(len(x), -self._log_std(), self.std.dtype), None

    def inverse(self, z: Array) -> tuple[Array, Array, None]:
        z = as_batch(z, self.dim, self, "z")
        return z @ self.inverse_matrix + self.mean, np.full(len(z), self._log_std(), self.std.dtype), None

    def backward(self, dz: Array, dlog_det: Array, cache: None) -> Array:
        dx: Array = dz @ self.matrix.T
        return dx  # log_det is constant, so dlog_det adds nothing

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: None) -> Array:
        dz: Array = dx @ self.inverse_matrix.T
        return dz

    def config(self) -> dict[str, Any]:
        names = ("mean", "std", "matrix", "inverse_matrix", "fitted", "epsilon", "relative")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(
        cls, mean: Any, std: Any, matrix: Any, inverse_matrix: Any, fitted: bool, epsilon: float, relative: float
    ) -> Whitening:
        """Rebuild a layer from what `config` returned."""
        layer = cls.__new__(cls)
        layer._set(mean, std, matrix, inverse_matrix)
        layer.fitted = as_flag(fitted, cls.__name__, "fitted")
        layer.epsilon = as_float(epsilon, cls.__name__, "epsilon", minimum=0)
        layer.relative = as_float(relative, cls.__name__, "relative", minimum=0)
        return layer

    def _set(self, mean: Any, std: Any, matrix: Any, inverse_matrix: Any) -> None:
        who = type(self).__name__
        self.mean, self.std = as_constants(mean, 1, who, "mean"), _positive(std, who)  # (D,)
        self.matrix = as_constants(matrix, 2, who, "matrix")  # (D, D)
        self.inverse_matrix = as_constants(inverse_matrix, 2, who, "inverse_matrix")  # (D, D)
        self.dim = len(self.mean)
        arrays = (self.mean, self.std, self.matrix, self.inverse_matrix)
        shapes = [array.shape for array in arrays]
        if shapes != 2 * [(self.dim,)] + 2 * [(self.dim, self.dim)] or len({array.dtype for array in arrays}) > 1:
            found = ", ".join(f"{array.shape} {array.dtype}" for array in arrays)
            raise NiceValueError(f"{who}: mean, std and the matrices must fit and have one dtype, got {found}")

    def _log_std(self) -> float:
        return float(np.log(self.std).sum(dtype=np.float64))


class ZCAWhitening(Whitening):
    """z = (x - mean) U diag(1/std) U^T: scales every direction and rotates none.

    Examples
    --------
    >>> layer = ZCAWhitening(mean=[1.0, 1.0], components=np.array([[0.6, -0.8], [0.8, 0.6]]), std=[5.0, 1.0])
    >>> z, log_det, _ = layer.forward(np.array([[4.0, 5.0]]))  # 5 from the mean in the first direction, (0.6, 0.8)
    >>> z.round(6), log_det  # 1 in the same direction; -log 5
    (array([[0.6, 0.8]]), array([-1.60943791]))
    """

    @staticmethod
    def _matrices(components: Array, std: Array) -> tuple[Array, Array]:
        return (components / std) @ components.T, (components * std) @ components.T


class PCAWhitening(Whitening):
    """z = (x - mean) U diag(1/std): the principal components, each in units of its std.

    Examples
    --------
    >>> layer = PCAWhitening(mean=[1.0, 1.0], components=np.array([[0.6, -0.8], [0.8, 0.6]]), std=[5.0, 1.0])
    >>> z, log_det, _ = layer.forward(np.array([[4.0, 5.0]]))
    >>> z.round(6) + 0.0, log_det
    (array([[1., 0.]]), array([-1.60943791]))
    """

    @staticmethod
    def _matrices(components: Array, std: Array) -> tuple[Array, Array]:
        return components / std, (components * std).T


def principal_components(covariance: Array) -> tuple[Array, Array]:
    """Variances (D,), largest first and >= 0, and directions (D, D) in columns, of a symmetric matrix (D, D).

    The sign of an eigenvector is arbitrary: here its largest entry is positive.
    """
    variances, components = np.linalg.eigh(covariance)  # ascending
    variances, components = np.maximum(variances[::-1], 0), components[:, ::-1]
    largest = np.abs(components).argmax(axis=0)  # (D,)
    signs: Array = np.sign(components[largest, np.arange(len(largest))])  # (D,)
    return variances, components * signs


def _positive(values: Any, owner: str) -> Array:
    std = as_constants(values, 1, owner, "std")  # (D,)
    smallest = np.finfo(std.dtype).tiny  # 1/std overflows below it
    if not (std >= smallest).all():
        found = f"{std.min()} in direction {std.argmin()}"
        raise NiceValueError(f"{owner}: std must be > 0, got {found}; the smallest possible is {smallest:.3g}")
    return std

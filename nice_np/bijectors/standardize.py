"""Standardisation as a bijector: z = (x - mean) / std, measured on data; its log-determinant counts in the likelihood.

Why it comes before the couplings.  A pixel at the border of a digit has a standard deviation near 0.001, one in the
middle near 0.4.  On raw pixels the scaling layer has to climb to log(1000) = 7 one learning-rate step at a time, and
every error of m on a border pixel is then multiplied by 1000.  Standardising first changes neither the family of
functions (it is one more diagonal scaling) nor the unit of the likelihood, only the conditioning.

Why no sample may lie too far out.  A border pixel that is lit in a single digit of 50,000 is there 200 standard
deviations from its mean.  A step of Adam changes a weight by about the learning rate, whatever the input, so after a
step or two the hidden units of that digit are off by 200 times as much as those of any other; the gradient that follows
changes the weights behind them for all digits.  So std is enlarged until no training sample is more than FARTHEST
of them away from the mean.  The trained scaling on top makes up for it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.fitted import Chunks, mean_of
from nice_np.errors import NiceOverflowError, NiceValueError
from nice_np.validation import Array, as_batch, as_constants, as_dtype, as_flag, as_int

FARTHEST = 50.0  # standard deviations


class Standardize(Bijector):
    """z = (x - mean) / std,  log|det| = -sum_d log std_d.  Nothing is trained.

    Parameters
    ----------
    mean, std : array_like, shape (D,)
        std > 0, all finite, both float32 or both float64 (anything else becomes float64).
    fitted : bool
        False marks a layer whose mean and std `fit` will set.

    Examples
    --------
    >>> layer = Standardize(mean=[1.0, 2.0], std=[1.0, 4.0])
    >>> z, log_det, _ = layer.forward(np.array([[2.0, 6.0]]))
    >>> z, log_det  # log_det = -log 4
    (array([[1., 1.]]), array([-1.38629436]))
    """

    def __init__(self, mean: Any, std: Any, fitted: bool = True) -> None:
        self.mean = as_constants(mean, 1, "Standardize", "mean")  # (D,)
        self.std = as_constants(std, 1, "Standardize", "std")  # (D,)
        if self.mean.shape != self.std.shape or self.mean.dtype != self.std.dtype:
            raise NiceValueError(
                f"Standardize: mean {self.mean.shape} {self.mean.dtype} and std {self.std.shape} {self.std.dtype} "
                "must have the same shape and dtype"
            )
        if not (self.std > 0).all():
            raise NiceValueError(f"Standardize: std must be > 0, got {self.std.min()} in feature {self.std.argmin()}")
        self.dim = len(self.mean)
        self.fitted = as_flag(fitted, "Standardize", "fitted")

    @classmethod
    def unfitted(cls, dim: int, dtype: Any = np.float64) -> Standardize:
        """The identity, marked so that ``fit`` sets mean and std from the training data before its first step."""
        dim, dtype = as_int(dim, "Standardize", "dim", 1), as_dtype(dtype, "Standardize")
        return cls(np.zeros(dim, dtype), np.ones(dim, dtype), fitted=False)

    def set(self, mean: Any, std: Any) -> None:
        """Replace mean and std, each of shape (D,), keeping the dtype."""
        dtype = self.mean.dtype
        new = Standardize(
            as_constants(mean, 1, "Standardize", "mean").astype(dtype),
            as_constants(std, 1, "Standardize", "std").astype(dtype),
        )
        if new.dim != self.dim:
            raise NiceValueError(f"Standardize: expected mean and std of shape ({self.dim},), got ({new.dim},)")
        self.mean, self.std, self.fitted = new.mean, new.std, True

    def fit(self, chunks: Chunks) -> None:
        """Set mean and std to those of the data; see `nice_np.bijectors.fitted`.

        A std is enlarged where a sample would otherwise lie more than FARTHEST of them away from the mean.
        A feature that never changes has no scale: its likelihood would grow without bound.  It gets std 1 and a
        warning.

        Raises
        ------
        NiceOverflowError
            If a mean or std is too large for a number.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # looked for below
            mean, n_samples = mean_of(chunks)
            squares, farthest = np.zeros_like(mean), np.zeros_like(mean)  # (D,)
            for x in chunks():  # a second pass: the textbook E x^2 - (E x)^2 cancels
                distance = np.abs(x - mean)  # (n, D)
                squares += (distance**2).sum(axis=0)
                farthest = np.maximum(farthest, distance.max(axis=0))
        std = np.sqrt(squares / n_samples)
        if not (np.isfinite(mean) & np.isfinite(std)).all():
            raise NiceOverflowError("fit: the standard deviation of the data overflows; rescale them")
        # A constant still varies by rounding errors, and no digits are left below the dtype's normal numbers.
        constant = std <= 1e-12 * np.abs(mean) + np.finfo(self.std.dtype).tiny
        if constant.any():
            warnings.warn(never_changes(np.flatnonzero(constant)), stacklevel=5)
        self.set(mean, np.where(constant, 1.0, np.maximum(std, farthest / FARTHEST)))

    def forward(self, x: Array) -> tuple[Array, Array, None]:
        x = as_batch(x, self.dim, self)
        return (x - self.mean) / self.std, np.full(len(x), -np.log(self.std).sum()), None

    def inverse(self, z: Array) -> tuple[Array, Array, None]:
        z = as_batch(z, self.dim, self, "z")
        return z * self.std + self.mean, np.full(len(z), np.log(self.std).sum()), None

    def backward(self, dz: Array, dlog_det: Array, cache: None) -> Array:
        return dz / self.std  # log_det is constant, so dlog_det adds nothing

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: None) -> Array:
        return dx * self.std

    def config(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std, "fitted": self.fitted}


def never_changes(constant: npt.NDArray[np.intp]) -> str:
    """The warning about these features, by number: with a scale of their own their likelihood has no maximum."""
    return (
        f"feature {constant[0]} never changes in the training data ({len(constant)} in all): its density has no upper "
        "bound; drop it, or add noise"
    )

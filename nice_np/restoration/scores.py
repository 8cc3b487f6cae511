"""How close a restored image is to the original: PSNR = 10 log10(R^2 / MSE), in decibels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceOverflowError, NiceValueError
from nice_np.validation import Array, as_float, as_samples


def psnr(x: npt.ArrayLike, reference: npt.ArrayLike, data_range: float = 1.0) -> Array:
    """The peak signal-to-noise ratio of each image,

        PSNR = 10 log10(R^2 / MSE),  MSE = (1/D) sum_d (x_d - r_d)^2

    Parameters
    ----------
    x, reference : array_like, shape (N, D)
        Images as rows, and their originals r.
    data_range : float
        R > 0, white minus black: 1 for pixels in [0, 1], 255 for 8-bit pixels.

    Returns
    -------
    ndarray, shape (N,), float64
        In dB; higher is better, and ten times the squared error costs 10 dB.  inf for equal images.

    Raises
    ------
    NiceValueError, NiceTypeError
        Unless both are finite real arrays of the same shape (N, D), D >= 1.
    NiceOverflowError
        If a difference overflows.

    Examples
    --------
    An error of 0.1 in every pixel, and no error:

    >>> psnr([[0.1, 0.9], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]])
    array([20., inf])
    """
    r = as_samples(reference, None, owner="psnr", name="reference", dtype=np.float64)
    images = as_samples(x, r.shape[1], owner="psnr", dtype=np.float64)
    data_range = as_float(data_range, "psnr", "data_range", above=0)
    if images.shape != r.shape or r.shape[1] == 0:
        raise NiceValueError(f"psnr: expected x and reference of one shape (N, D), got {images.shape} and {r.shape}")
    with np.errstate(over="ignore"):  # checked below
        error = np.abs(images - r)  # (N, D)
    peak = error.max(axis=1)  # (N,): divided by it, squares neither overflow nor underflow
    if not np.isfinite(peak).all():
        raise NiceOverflowError("psnr: x - reference overflows float64; check their scale")
    error /= np.where(peak > 0, peak, 1)[:, None]
    mean_square = np.einsum("nd,nd->n", error, error) / error.shape[1]  # MSE / peak^2
    with np.errstate(divide="ignore"):  # log10(0) = -inf: equal images
        decibels: Array = 20 * (np.log10(data_range) - np.log10(peak) - np.log10(mean_square) / 2)
    return decibels

"""How near a restored image is to the original: PSNR = 10 log10(R^2 / MSE), in decibels."""

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
    x : array_like, shape (N, D)
        Images, as rows.
    reference : array_like, shape (N, D)
        The originals r.
    data_range : float
        R > 0, white minus black: 1 for pixels in [0, 1], 255 for 8-bit levels.

    Returns
    -------
    ndarray, shape (N,), float64
        In dB, the higher the nearer; ten times the squared error costs 10 dB.  Of equal images it is inf.

    Raises
    ------
    NiceValueError, NiceTypeError
        If the two are not finite real numbers of the same shape (N, D), D >= 1.
    NiceOverflowError
        If a difference is too large for a float.

    Examples
    --------
    An error of 0.1 in every pixel, and none:

    >>> psnr([[0.1, 0.9], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]])
    array([20., inf])
    """
    r = as_samples(reference, None, owner="psnr", name="reference", dtype=np.float64)
    images = as_samples(x, r.shape[1], owner="psnr", dtype=np.float64)
    data_range = as_float(data_range, "psnr", "data_range", above=0)
    if images.shape != r.shape or r.shape[1] == 0:
        raise NiceValueError(f"psnr: expected x and reference of one shape (N, D), got {images.shape} and {r.shape}")
    with np.errstate(over="ignore"):  # looked for below
        error = np.abs(images - r)  # (N, D)
    peak = error.max(axis=1)  # (N,): in its unit no square is too large or too small for a float
    if not np.isfinite(peak).all():
        raise NiceOverflowError("psnr: x - reference overflows float64; check their scale")
    error /= np.where(peak > 0, peak, 1)[:, None]
    mean_square = np.einsum("nd,nd->n", error, error) / error.shape[1]  # MSE / peak^2
    with np.errstate(divide="ignore"):  # log10(0) = -inf: no error at all
        decibels: Array = 20 * (np.log10(data_range) - np.log10(peak) - np.log10(mean_square) / 2)
    return decibels

"""From 8-bit pixels to real numbers: x' = (x + u) / 256, u ~ U[0, 1); x may also have been divided by 255 before.

Integers have no density: a flow trained on them could put a spike on each of the 256 levels and reach any likelihood.
With fresh uniform noise each time it is read, a pixel fills its bin of width 1/256, and by Jensen's inequality
E log p(x') - D log 256 <= log P(x), the log-probability that the model assigns to the integer image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_dtype, as_real_array, as_rng, is_pixels

BIN_WIDTH = 1 / 256  # of one grey level, with 256 levels in [0, 1]
NOISE_SEED = 1  # of the noise with which pixels are scored, so that a score is the same at each call


@suggests
def dequantize(pixels: Any, rng: Rng, dtype: npt.DTypeLike = np.float64) -> Array:
    """(x + u) / 256 in [0, 1].

    Parameters
    ----------
    pixels : ndarray of uint8 or float, any shape
        Levels x = 0..255; floats are x / 255 in [0, 1], as the authors of NICE store them, and give the same result,
        (255 pixels + u) / 256.
    rng : seed or numpy.random.Generator
    dtype : {float64, float32}

    Returns
    -------
    ndarray
        Of the same shape.

    Raises
    ------
    NiceTypeError
        For integers other than uint8.
    NiceValueError
        For a float outside [0, 1], or NaN.

    Examples
    --------
    >>> x = dequantize(np.full(1000, 255, np.uint8), rng=0)
    >>> bool(x.min() >= 255 / 256), bool(x.max() <= 1)
    (True, True)
    """
    pixels, dtype = as_pixels(pixels, "dequantize"), as_dtype(dtype, "dequantize")
    levels = pixels if is_pixels(pixels) else pixels.astype(dtype) * 255
    x: Array = as_rng(rng, "dequantize").random(pixels.shape, dtype)
    x += levels
    x *= BIN_WIDTH
    return x


def as_pixels(pixels: npt.ArrayLike, owner: str) -> npt.NDArray[Any]:
    """Checked pixels: uint8 levels, or floats in [0, 1]; the error for other values gives the first and its index."""
    found = as_real_array(pixels, owner, "pixels")
    if is_pixels(found):
        return found
    if found.dtype.kind != "f":
        raise NiceTypeError(f"{owner}: pixels must be uint8 (0 .. 255) or floats in [0, 1], got {found.dtype}")
    bad = ~((found >= 0) & (found <= 1))
    if bad.any():
        where = np.argwhere(bad)[0].tolist()
        raise NiceValueError(
            f"{owner}: pixels{where} = {found[tuple(where)]!s} is not in [0, 1]; give level / 255, or uint8"
        )
    return found

"""From 8-bit pixels to black and white: each pixel is white with probability x / 255, its grey level.

A Bernoulli decoder defines probabilities of zeros and ones only.  For grey values the same formula is a cross-entropy
that does not sum to 1 over all images, so it is not a likelihood.  Sampling the pixels, anew whenever training reads
them like dequantisation noise, keeps their mean; a threshold would lose the grey levels.  Burda, Grosse &
Salakhutdinov (2015) evaluate MNIST this way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.pixels.dequantize import as_pixels
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_dtype, as_rng, is_pixels


@suggests
def binarize(pixels: Any, rng: Rng, dtype: npt.DTypeLike = np.float64) -> Array:
    """1 with probability x / 255, otherwise 0.

    Parameters
    ----------
    pixels : ndarray of uint8 or float, any shape
        Levels x = 0..255; floats are x / 255 in [0, 1].
    rng : seed or numpy.random.Generator
        The same seed draws the same images.
    dtype : {float64, float32}

    Returns
    -------
    ndarray
        Zeros and ones, of the same shape.

    Raises
    ------
    NiceTypeError, NiceValueError
        As in `dequantize`.

    Examples
    --------
    >>> x = binarize(np.array([0, 51, 255], np.uint8).repeat(1000), rng=0).reshape(3, 1000)
    >>> x.mean(axis=1).round(1)
    array([0. , 0.2, 1. ])
    """
    pixels, dtype = as_pixels(pixels, "binarize"), as_dtype(dtype, "binarize")
    greys = pixels / np.float32(255) if is_pixels(pixels) else pixels
    white: Array = (as_rng(rng, "binarize").random(pixels.shape, np.float32) < greys).astype(dtype)
    return white

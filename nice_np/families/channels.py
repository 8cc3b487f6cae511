"""Images as channels and pixels, for maps that all pixels share: reshaping, and two products.

An image is stored plane after plane, as everywhere in nice_np: x (N, C P), and X_n (C, P) is one image.  A map that
all pixels share is one matrix product, Z_n = W X_n for every n: NumPy's matmul takes the images one by one, without a
copy.  With the channels of a pixel side by side it would be the single product (N P, C) @ (C, C), which takes as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from nice_np.errors import NiceValueError
from nice_np.validation import Array, as_int, as_sizes


def channels_and_pixels(dim: int, image_shape: Sequence[int] | None, owner: str) -> tuple[int, int]:
    """C and P: (C, H W) for images of shape (C, H, W) or (H, W), (D, 1) where `image_shape` is None."""
    dim = as_int(dim, owner, "dim", 1)
    if image_shape is None:
        return dim, 1
    shape = as_sizes(image_shape, owner, "image_shape")
    if len(shape) not in (2, 3) or prod(shape) != dim:
        raise NiceValueError(
            f"{owner}: image_shape must be (height, width) or (channels, height, width) of {dim} features, got {shape}"
        )
    channels = (1, *shape)[-3]
    return channels, dim // channels


def channels_of(config: dict[str, Any]) -> int:
    """C of a layer with this `dim` and `image_shape`, from a file that nobody has checked yet."""
    shape = config.get("image_shape")
    return int(config["dim"] if shape is None else (1, *shape)[-3:][0])


def planes(x: Array, channels: int) -> Array:
    """The same numbers as planes: (N, C P) -> (N, C, P)."""
    return x.reshape(len(x), channels, x.shape[1] // channels)


def times(W: Array, x: Array) -> Array:
    """z_p = W x_p at every pixel p: W (C, C), x (N, C P) -> (N, C P)."""
    channels = len(W)
    if x.shape[1] == channels:
        flat: Array = x @ W.T  # (N, C) @ (C, C); one column per matmul would be slow
        return flat
    images: Array = np.matmul(W, planes(x, channels))  # (C, C) @ (N, C, P) -> (N, C, P)
    return images.reshape(x.shape)


def outer(a: Array, b: Array, channels: int) -> Array:
    """sum_np a_np b_np^T over all rows and pixels: (N, C P) twice -> (C, C)."""
    if a.shape[1] == channels:
        flat: Array = a.T @ b  # (C, N) @ (N, C)
        return flat
    images = np.matmul(planes(a, channels), planes(b, channels).transpose(0, 2, 1))  # (N, C, C)
    total: Array = images.sum(axis=0)
    return total


def columns(x: Array, channels: int) -> Array:
    """The channels of every pixel of every row as a column: (N, C P) -> (C, N P), for solvers."""
    y: Array = planes(x, channels).transpose(1, 0, 2).reshape(channels, -1)
    return y


def rows(y: Array, n: int) -> Array:
    """Undoes `columns`: (C, N P) -> (N, C P), N >= 1."""
    x: Array = y.reshape(len(y), n, y.shape[1] // n).transpose(1, 0, 2).reshape(n, -1)
    return x

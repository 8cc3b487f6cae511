"""Averages over blocks of pixels (fewer pixels) and over channels (a grey image)."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from nice_np.errors import NiceValueError
from nice_np.restoration.operators.base import Operator, as_image_shape
from nice_np.restoration.operators.separable import Separable
from nice_np.validation import Array, as_batch, as_int, as_sizes


class Downsample(Separable):
    """Y_ij = mean of X over block (i, j) of factor x factor pixels.  For super-resolution.

    A mean over a block is a mean over its rows, then over its columns, hence `Separable`.

    Parameters
    ----------
    image_shape : (height, width) or (channels, height, width)
        Shape of x.  M = D / factor^2.
    factor : int
        Must divide height and width.

    Examples
    --------
    >>> Downsample((2, 4), factor=2).forward(np.arange(8.0)[None])
    array([[2.5, 4.5]])
    """

    def __init__(self, image_shape: Any, factor: int) -> None:
        shape = as_image_shape(image_shape, "Downsample")
        height, width = shape[-2:]
        self.factor = as_int(factor, "Downsample", "factor", 1)
        if height % self.factor or width % self.factor:
            raise NiceValueError(
                f"Downsample: factor {self.factor} must divide height and width of image_shape, got {shape}; "
                "crop or pad the images"
            )
        super().__init__(shape, block_means(height, self.factor), block_means(width, self.factor))

    def __repr__(self) -> str:
        return f"Downsample(image_shape={self.image_shape}, factor={self.factor})"


def block_means(size: int, factor: int) -> Array:
    """The means over blocks of `factor` numbers as a matrix, (size / factor, size)."""
    means: Array = np.eye(size // factor).repeat(factor, axis=1) / factor
    return means


class GreyOut(Operator):
    """Y = mean of the channels X_c: a colour image turned grey.  For colourisation.

    Parameters
    ----------
    channels, height, width : int
        Shape of x.  M = height * width.

    Examples
    --------
    >>> GreyOut(3, height=1, width=2).forward(np.array([[1.0, 0.0, 1.0, 3.0, 4.0, 6.0]]))
    array([[2., 3.]])
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.image_shape = as_sizes((channels, height, width), "GreyOut", "(channels, height, width)")
        self.channels, self.dim_out = self.image_shape[0], prod(self.image_shape[1:])
        self.dim_in = self.channels * self.dim_out

    def forward(self, x: Array) -> Array:
        x = as_batch(x, self.dim_in, self)
        y: Array = x.reshape(len(x), self.channels, self.dim_out).mean(axis=1)
        return y

    def adjoint(self, u: Array) -> Array:
        # <A x, u> = sum_c sum_m x_cm u_m / channels: every channel gets u / channels.
        u = as_batch(u, self.dim_out, self, "u")
        return np.tile(u / self.channels, (1, self.channels))

    def __repr__(self) -> str:
        channels, height, width = self.image_shape
        return f"GreyOut(channels={channels}, height={height}, width={width})"

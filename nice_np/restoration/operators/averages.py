"""Means: of blocks of pixels, an image with fewer of them; of the channels, an image in grey."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from nice_np.errors import NiceValueError
from nice_np.restoration.operators.base import Operator, as_image_shape
from nice_np.validation import Array, as_batch, as_int, as_sizes


class Downsample(Operator):
    """Y_ij = mean of X over the block (i, j) of factor x factor pixels.  For super-resolution.

    Parameters
    ----------
    image_shape : (height, width) or (channels, height, width)
        Of x.  M = D / factor^2.
    factor : int
        Divides height and width.

    Examples
    --------
    >>> Downsample((2, 4), factor=2).forward(np.arange(8.0)[None])
    array([[2.5, 4.5]])
    """

    def __init__(self, image_shape: Any, factor: int) -> None:
        self.image_shape = as_image_shape(image_shape, "Downsample")
        self.factor = as_int(factor, "Downsample", "factor", 1)
        if any(side % self.factor for side in self.image_shape[-2:]):
            raise NiceValueError(
                f"Downsample: factor {self.factor} must divide height and width of image_shape, got "
                f"{self.image_shape}; crop or pad the images"
            )
        self.dim_in = prod(self.image_shape)
        self.dim_out = self.dim_in // self.factor**2

    def forward(self, x: Array) -> Array:
        x = as_batch(x, self.dim_in, self)
        height, width = (side // self.factor for side in self.image_shape[-2:])
        blocks = x.reshape(-1, height, self.factor, width, self.factor)
        y: Array = blocks.mean(axis=(2, 4))  # (N channels, height, width)
        return y.reshape(len(x), self.dim_out)

    def adjoint(self, u: Array) -> Array:
        # <A x, u> = sum_ij u_ij (sum of x over block ij) / factor^2: every pixel of block ij gets u_ij / factor^2.
        u = as_batch(u, self.dim_out, self, "u")
        height, width = (side // self.factor for side in self.image_shape[-2:])
        shares = u.reshape(-1, height, width) / self.factor**2
        return shares.repeat(self.factor, axis=1).repeat(self.factor, axis=2).reshape(len(u), self.dim_in)

    def __repr__(self) -> str:
        return f"Downsample(image_shape={self.image_shape}, factor={self.factor})"


class GreyOut(Operator):
    """Y = mean of the planes X_c over the channels c: a colour image in grey.  For colourisation.

    Parameters
    ----------
    channels, height, width : int
        Of x.  M = height * width.

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
        # <A x, u> = sum_c sum_m x_cm u_m / channels: every plane gets u / channels.
        u = as_batch(u, self.dim_out, self, "u")
        return np.tile(u / self.channels, (1, self.channels))

    def __repr__(self) -> str:
        channels, height, width = self.image_shape
        return f"GreyOut(channels={channels}, height={height}, width={width})"

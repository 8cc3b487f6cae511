"""Maps of the channels that all pixels share: z_p = W x_p at every pixel p, a 1x1 convolution.

A vector of D numbers is C channels at each of P pixels; one that is no image has C = D channels at one pixel.  Then

    log|det| = P log|det W|,    dL/dx_p = W^T dL/dz_p,    dL/dW = sum_np dL/dz_np x_np^T

An image is stored plane after plane, as everywhere in nice_np: x (N, C P), and X_n (C, P) is one image.  A map that
all pixels share is one matrix product, Z_n = W X_n for every n: NumPy's matmul takes the images one by one, without a
copy.  With the channels of a pixel side by side it would be the single product (N P, C) @ (C, C), which takes as long.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.errors import NiceValueError
from nice_np.validation import Array, as_batch, as_int, as_sizes

Passed = tuple[Array, Array]  # x and z of a pass, (N, D) each


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


class ChannelMap(Bijector):
    """z_p = W x_p at every pixel p; the subclass has W, its inverse, and the gradients of what W is made of."""

    def __init__(self, dim: int, image_shape: Sequence[int] | None) -> None:
        who = type(self).__name__
        self.channels, self.pixels = channels_and_pixels(dim, image_shape, who)
        self.dim = self.channels * self.pixels
        self.image_shape = None if image_shape is None else as_sizes(image_shape, who, "image_shape")

    @abstractmethod
    def matrix(self) -> Array:
        """W, (C, C)."""

    @abstractmethod
    def _log_det(self) -> Any:
        """log|det W|."""

    @abstractmethod
    def _solve(self, z: Array, transposed: bool) -> Array:
        """W^-1 z_p at every pixel, or W^-T z_p: (N, D) -> (N, D)."""

    @abstractmethod
    def _write(self, dz: Array, dlog_det: Any, x: Array, z: Array) -> None:
        """The gradients of the parameters for dL/dz (N, D) and dL/dlog|det W|, a number."""

    def forward(self, x: Array) -> tuple[Array, Array, Passed]:
        x = as_batch(x, self.dim, self)
        z = times(self.matrix(), x)
        return z, np.full(len(x), self.pixels * self._log_det(), z.dtype), (x, z)

    def inverse(self, z: Array) -> tuple[Array, Array, Passed]:
        z = as_batch(z, self.dim, self, "z")
        x = self._solve(z, transposed=False)
        return x, np.full(len(z), -self.pixels * self._log_det(), x.dtype), (x, z)

    def backward(self, dz: Array, dlog_det: Array, cache: Passed, parameters: bool = True) -> Array:
        if parameters:
            self._write(dz, self.pixels * dlog_det.sum(), *cache)
        return times(self.matrix().T, dz)

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: Passed, parameters: bool = True) -> Array:
        # x = W^-1 z:  dL/dz = W^-T dL/dx =: v  and  dx = -W^-1 dW x, so dL/dW = -v x^T: that of forward for dL/dz = -v
        v = self._solve(dx, transposed=True)
        if parameters:
            self._write(-v, -self.pixels * dlog_det.sum(), *cache)
        return v

    def __repr__(self) -> str:
        image = "" if self.image_shape is None else f", image_shape={self.image_shape}"
        return f"{type(self).__name__}(dim={self.dim}{image})"

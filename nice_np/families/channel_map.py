"""A linear map of the channels that all pixels share: z_p = W x_p at every pixel p, a 1x1 convolution.

A vector of D numbers is C channels at each of P pixels; one that is no image has C = D channels at one pixel.  Then

    log|det| = P log|det W|,    dL/dx_p = W^T dL/dz_p,    dL/dW = sum_np dL/dz_np x_np^T
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.families.channels import channels_and_pixels, times
from nice_np.validation import Array, as_batch, as_sizes

Passed = tuple[Array, Array]  # x and z of a pass, (N, D) each


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

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "image_shape": None if self.image_shape is None else list(self.image_shape)}

    def __repr__(self) -> str:
        image = "" if self.image_shape is None else f", image_shape={self.image_shape}"
        return f"{type(self).__name__}(dim={self.dim}{image})"

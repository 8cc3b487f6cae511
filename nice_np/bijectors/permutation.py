"""Permutation of the features: z_j = x_{order[j]}.  |det| = 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.bijectors.base import Bijector
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.validation import Array, Rng, as_batch, as_int, as_real_array, as_rng, as_sizes


class Permutation(Bijector):
    """z_j = x_{order[j]},  log|det| = 0.

    Parameters
    ----------
    order : array_like of int, shape (D,)
        A permutation of 0 .. D-1.

    Examples
    --------
    >>> Permutation.tile(5).forward(np.array([[0.0, 1.0, 2.0, 3.0, 4.0]]))[0]
    array([[0., 2., 4., 1., 3.]])
    """

    def __init__(self, order: Any) -> None:
        order = as_real_array(order, "Permutation", "order")
        if order.dtype.kind not in "iu":
            raise NiceTypeError(f"Permutation: order must hold whole numbers, got dtype {order.dtype}")
        if order.ndim != 1 or order.size == 0 or not np.array_equal(np.sort(order), np.arange(len(order))):
            raise NiceValueError(f"Permutation: order must hold each of 0 .. {order.size - 1} once")
        self.order: npt.NDArray[np.intp] = order.astype(np.intp)  # (D,)
        self.inverse_order = np.argsort(self.order)  # (D,)
        self.dim = len(order)

    @classmethod
    def tile(cls, dim: int) -> Permutation:
        """Even positions, then odd ones: [0, 2, 4, ..., 1, 3, ...], as in the code of the NICE paper."""
        positions = np.arange(as_int(dim, "Permutation", "dim", 1))
        return cls(np.concatenate([positions[::2], positions[1::2]]))

    @classmethod
    def reversal(cls, dim: int) -> Permutation:
        """All features in reverse order, z = x[::-1]."""
        return cls(np.arange(as_int(dim, "Permutation", "dim", 1))[::-1])

    @classmethod
    def halves(cls, dim: int) -> Permutation:
        """The second half first; with an odd dim the first half is one longer."""
        positions = np.arange(as_int(dim, "Permutation", "dim", 1))
        middle = (dim + 1) // 2
        return cls(np.concatenate([positions[middle:], positions[:middle]]))

    @classmethod
    def random(cls, dim: int, rng: Rng = None) -> Permutation:
        """A random order, fixed from then on (and saved with the model)."""
        return cls(as_rng(rng, "Permutation").permutation(as_int(dim, "Permutation", "dim", 1)))

    @classmethod
    def squeeze(cls, image_shape: Sequence[int]) -> Permutation:
        """An image (C, H, W) as one of shape (4 C, H/2, W/2): each 2x2 block becomes one pixel with 4 C channels.

        Both are stored plane after plane.  The channels 4 c to 4 c + 3 are the upper left, upper right, lower left and
        lower right pixels of channel c (Dinh et al. 2016, section 3.6); with them as neighbours in one pixel, a map of
        the channels such as `LULinear` reaches what lies beside a pixel.

        Parameters
        ----------
        image_shape : (channels, height, width) or (height, width)
            Height and width even.
        """
        shape = as_sizes(image_shape, "Permutation.squeeze", "image_shape")
        if len(shape) not in (2, 3) or any(side % 2 for side in shape[-2:]):
            raise NiceValueError(
                "Permutation.squeeze: image_shape must be (height, width) or (channels, height, width) with even "
                f"height and width, got {shape}"
            )
        channels, height, width = (1, *shape)[-3:]
        blocks = np.arange(channels * height * width).reshape(channels, height // 2, 2, width // 2, 2)
        return cls(blocks.transpose(0, 2, 4, 1, 3).ravel())

    def forward(self, x: Array) -> tuple[Array, Array, None]:
        x = as_batch(x, self.dim, self)
        return np.take(x, self.order, axis=1), np.zeros(len(x), x.dtype), None

    def inverse(self, z: Array) -> tuple[Array, Array, None]:
        z = as_batch(z, self.dim, self, "z")
        return np.take(z, self.inverse_order, axis=1), np.zeros(len(z), z.dtype), None

    def backward(self, dz: Array, dlog_det: Array, cache: None) -> Array:
        return np.take(dz, self.inverse_order, axis=1)  # z_j = x_order[j], so dx_order[j] = dz_j

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: None) -> Array:
        return np.take(dx, self.order, axis=1)

    def config(self) -> dict[str, Any]:
        return {"order": self.order}

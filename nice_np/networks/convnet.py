"""The conditioner m for images: h_k = f(3x3 convolution of h_{k-1}), with a linear last layer.

A coupling layer keeps some pixels of each 2x2 block, for example the black fields of a checkerboard.  They become the
channels of an image of half the height and width, see `fold`, so nothing is computed for the other pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceValueError
from nice_np.networks.activations import ACTIVATIONS, Activation
from nice_np.networks.convolutions import Convolutions
from nice_np.parameters.part import name_of
from nice_np.suggestions import suggests
from nice_np.validation import (
    Array,
    Rng,
    as_int,
    as_real_array,
    as_sizes,
)

Indices = npt.NDArray[np.intp]


def fold(idx: npt.ArrayLike, image_shape: Sequence[int]) -> Indices:
    """The order that turns the features `idx` of an image into a small image, one pixel for each 2x2 block.

        0  .  2  .
        .  5  .  7          (0  5)  (2  7)
        8  . 10  .    ->    (8 13) (10 15)        x_idx (N, 8)  ->  x_idx[:, order] (N, 2, 2, 2)
        . 13  . 15

    A colour image, stored plane after plane, gets its channels one after the other in each pixel.

    Parameters
    ----------
    idx : array_like of int, shape (A,)
        The same fields in every 2x2 block, in any order.
    image_shape : (height, width) or (channels, height, width)
        Height and width even.

    Returns
    -------
    order : ndarray of int, shape (height / 2, width / 2, k)
        Positions in `idx`; k of the 4 * channels features of a block are in `idx`.

    Raises
    ------
    NiceValueError
        If the fields are not the same in every block, or there are none.
    """
    idx = as_real_array(idx, "ConvNet", "idx_a")
    c, height, width = (1, *image_shape)[-3:]
    blocks = np.arange(prod(image_shape)).reshape(c, height // 2, 2, width // 2, 2)
    blocks = blocks.transpose(1, 3, 0, 2, 4).reshape(height // 2, width // 2, 4 * c)  # features, block by block
    small = blocks[:, :, np.isin(blocks[0, 0], idx)]  # (h, w, k)
    if idx.ndim != 1 or small.size == 0 or not np.array_equal(np.sort(small, axis=None), np.sort(idx)):
        raise NiceValueError(
            f"ConvNet: idx_a must hold the same fields of every 2x2 block of an image {tuple(image_shape)}, and not "
            "all of them; take a partition such as Partition.checkerboard(height, width, channels), or an MLP"
        )
    ascending = np.argsort(idx)
    order: Indices = ascending[np.searchsorted(idx, small, sorter=ascending)]
    return order


class ConvNet(Convolutions):
    """A convolutional network from the kept pixels of an image to the parameters of the others.

    Parameters
    ----------
    image_shape : (height, width) or (channels, height, width)
        Height and width even; a colour image's vector holds one plane after the other.
    idx_a : array_like of int, shape (A,)
        The kept features, ``partition.idx_a``: the same fields of every 2x2 block.  The B others are transformed.
    channels : sequence of int
        Of the hidden images (height / 2, width / 2); () gives a single convolution, a linear map.
    thetas_per_feature : int
        T: 1 for the additive and multiplicative laws, 2 for the affine one.
    context_dim : int
        C: the last C inputs, such as a label, act on all pixels alike: context @ W_context is added to the first
        convolution.
    activation, init, output_scale, dtype, rng
        See `MLP`; a weight's n_in is 9 times the channels of its input, and the context's C in the first layer.

    Attributes
    ----------
    sizes : (A + C, T * B)
        The numbers of inputs and outputs.

    Examples
    --------
    >>> from nice_np import AdditiveCoupling, Partition
    >>> part = Partition.checkerboard(28, 28)
    >>> AdditiveCoupling(part, ConvNet((28, 28), part.idx_a, channels=(16, 16), rng=0))
    AdditiveCoupling(dim=784, kept=392, conditioner=ConvNet(28x28, 2-16-16-2, relu))
    """

    @suggests
    def __init__(
        self,
        image_shape: Sequence[int],
        idx_a: npt.ArrayLike,
        channels: Sequence[int] = (32, 32),
        thetas_per_feature: int = 1,
        context_dim: int = 0,
        activation: str | Activation = "relu",
        init: str = "spread",
        output_scale: float = 0.01,
        dtype: Any = np.float64,
        rng: Rng = None,
    ) -> None:
        self.image_shape = as_sizes(image_shape, "ConvNet", "image_shape")
        if len(self.image_shape) not in (2, 3) or any(side % 2 for side in self.image_shape[-2:]):
            raise NiceValueError(
                "ConvNet: image_shape must be (height, width) or (channels, height, width) with even height and width, "
                f"got {self.image_shape}; pad the images, or use an MLP"
            )
        channels = as_sizes(channels, "ConvNet", "channels")
        self.thetas_per_feature = as_int(thetas_per_feature, "ConvNet", "thetas_per_feature", 1)
        self.context_dim = as_int(context_dim, "ConvNet", "context_dim", 0)
        order_a = fold(idx_a, self.image_shape)  # (h, w, k_a)
        self.idx_a: Indices = np.array(idx_a, np.intp)
        idx_b = np.setdiff1d(np.arange(prod(self.image_shape)), self.idx_a)
        order_b = fold(idx_b, self.image_shape)  # (h, w, k_b)
        # theta = [theta_1 | theta_2 | ...], each (N, B); a pixel's channels are the same, each k_b
        order_theta = order_b[:, :, None] + len(idx_b) * np.arange(self.thetas_per_feature)[:, None]  # (h, w, T, k_b)
        self._order_a, self._order_theta = order_a, order_theta.reshape(*order_b.shape[:2], -1)
        self.sizes = (len(self.idx_a) + self.context_dim, self._order_theta.size)
        self.channels = (order_a.shape[2], *channels, self._order_theta.shape[2])

        kernels = (3,) * (len(channels) + 1)
        self._make(kernels, context_dim, activation, init, output_scale, dtype, rng)

    def _image(self, features: Array) -> Array:
        return np.take(features, self._order_a, axis=1)

    def _features(self, image: Array) -> Array:
        return _unfold(image, self._order_a)

    def _theta(self, image: Array) -> Array:
        return _unfold(image, self._order_theta)

    def _theta_image(self, features: Array) -> Array:
        return np.take(features, self._order_theta, axis=1)  # (N, h, w, T k_b)

    def config(self) -> dict[str, Any]:
        return {
            "image_shape": list(self.image_shape),
            "idx_a": self.idx_a.tolist(),  # whole numbers, so that `count_parameters` can see how many
            "channels": list(self.channels[1:-1]),
            "thetas_per_feature": self.thetas_per_feature,
            **self._settings(),
        }

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """How many numbers ``ConvNet(**config)`` would hold, without making it: parameters and orders."""
        shape, kept, thetas = config["image_shape"], len(config["idx_a"]), config["thetas_per_feature"]
        others, small = prod(shape) - kept, max(1, prod(shape[-2:]) // 4)  # B, h w
        channels = (kept // small, *config["channels"], thetas * others // small)
        parameters = sum((9 * c_in + 1) * c_out for c_in, c_out in pairwise(channels))
        return int(parameters + config["context_dim"] * channels[1] + kept + thetas * others)

    def __repr__(self) -> str:
        shape, channels = "x".join(map(str, self.image_shape)), "-".join(map(str, self.channels))
        return f"ConvNet({shape}, {channels}, {name_of(self.activation, ACTIVATIONS)})"


def _unfold(y: Array, order: Indices) -> Array:
    """A small image back to features: (N, h, w, k) -> (N, h w k), undoes ``np.take(x, order, axis=1)``."""
    return np.take(y.reshape(len(y), order.size), np.argsort(order, axis=None), axis=1)

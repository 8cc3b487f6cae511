"""The conditioner m for images: h_k = f(3x3 convolution of h_{k-1}), with a linear last layer.

A coupling layer keeps some pixels of each 2x2 block, for example the black fields of a checkerboard.  They become the
channels of an image of half the height and width, see `fold`, so nothing is computed for the other pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceValueError
from nice_np.networks.activations import ACTIVATIONS, Activation, get_activation
from nice_np.networks.convolution import Conv3x3
from nice_np.networks.initialisation import INITS, initial_biases, initial_weights
from nice_np.parameters import Module
from nice_np.parameters.part import name_of
from nice_np.suggestions import suggests
from nice_np.validation import (
    Array,
    Rng,
    as_batch,
    as_choice,
    as_dtype,
    as_float,
    as_int,
    as_real_array,
    as_rng,
    as_sizes,
    check_shape,
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


class ConvNetCache(NamedTuple):
    """What the gradient needs: the input (N, h, w, c) of every convolution, and the context (N, C)."""

    inputs: list[Array]
    context: Array


class ConvNet(Module):
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

    param_names = ("W_context",)

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
        self.activation = get_activation(activation)
        self.init = as_choice(init, INITS, "ConvNet", "init")
        self.output_scale = as_float(output_scale, "ConvNet", "output_scale")
        dtype, rng = as_dtype(dtype, "ConvNet"), as_rng(rng, "ConvNet")

        order_a = fold(idx_a, self.image_shape)  # (h, w, k_a)
        self.idx_a: Indices = np.array(idx_a, np.intp)
        idx_b = np.setdiff1d(np.arange(prod(self.image_shape)), self.idx_a)
        order_b = fold(idx_b, self.image_shape)  # (h, w, k_b)
        # theta = [theta_1 | theta_2 | ...], each (N, B); a pixel's channels are the same, each k_b
        order_theta = order_b[:, :, None] + len(idx_b) * np.arange(self.thetas_per_feature)[:, None]  # (h, w, T, k_b)
        self._order_a, self._order_theta = order_a, order_theta.reshape(*order_b.shape[:2], -1)
        self.sizes = (len(self.idx_a) + self.context_dim, self._order_theta.size)
        self.channels = (order_a.shape[2], *channels, self._order_theta.shape[2])

        layers = []
        for k, (c_in, c_out) in enumerate(pairwise(self.channels)):
            n_in = 9 * c_in + (self.context_dim if k == 0 else 0)
            last = k == len(channels)
            W = initial_weights(self.init, n_in, c_out, self.output_scale if last else 1.0, rng).astype(dtype)
            b = np.zeros(c_out) if last else initial_biases(self.init, W, rng)
            layers.append(Conv3x3(W[: 9 * c_in].reshape(3, 3, c_in, c_out), b.astype(dtype)))
            if k == 0:
                self.W_context = W[9 * c_in :]  # (C, c_1)
        self.dW_context = np.zeros_like(self.W_context)
        self.layers = tuple(layers)

    def forward(self, x: Array) -> tuple[Array, ConvNetCache]:
        """m(x).

        Parameters
        ----------
        x : ndarray, shape (N, A + C)
            The kept features in the order of `idx_a`, then the context.

        Returns
        -------
        theta : ndarray, shape (N, T * B)
            [theta_1 | theta_2 | ...], in each the transformed features in ascending order.
        cache : ConvNetCache
        """
        x = as_batch(x, self.sizes[0], self)
        cache = ConvNetCache([np.take(x, self._order_a, axis=1)], x[:, len(self.idx_a) :])
        y = self.layers[0].product(cache.inputs[0])  # (N, h, w, c)
        y += (cache.context @ self.W_context)[:, None, None]
        for layer, above in pairwise(self.layers):
            cache.inputs.append(self.activation.forward(y, layer.b))
            y = above.product(cache.inputs[-1])
        return _unfold(y + self.layers[-1].b, self._order_theta), cache

    def backward(self, dy: Array, cache: ConvNetCache, parameters: bool = True) -> Array:
        """The gradient through m: writes dL/d(parameter), returns dL/dx.

        Parameters
        ----------
        dy : ndarray, shape (N, T * B)
        cache : ConvNetCache
            From the forward pass.
        parameters : bool
            False gives dL/dx alone, in less time, and leaves the gradients of the parameters as they are.

        Returns
        -------
        dx : ndarray, shape (N, A + C)

        Raises
        ------
        NiceValueError
            If `dy` does not have the shape of the theta that came with the cache.
        """
        check_shape(dy, (len(cache.context), self.sizes[-1]), "ConvNet", "dy")
        dh = np.take(dy, self._order_theta, axis=1)  # (N, h, w, T k_b): a permutation's gradient is its inverse
        for layer, h in zip(self.layers[:0:-1], cache.inputs[:0:-1], strict=True):
            dh = self.activation.backward(layer.backward(dh, h, parameters), h)
        # a_p = (convolution)_p + context W_context at every pixel p, so the context's gradients sum over p
        da = dh.sum(axis=(1, 2))  # (N, c)
        if parameters:
            self.dW_context[...] = cache.context.T @ da  # (C, N) @ (N, c) -> (C, c)
        dx_a = _unfold(self.layers[0].backward(dh, cache.inputs[0], parameters), self._order_a)
        return np.concatenate([dx_a, da @ self.W_context.T], axis=1)

    def config(self) -> dict[str, Any]:
        return {
            "image_shape": list(self.image_shape),
            "idx_a": self.idx_a.tolist(),  # whole numbers, so that `count_parameters` can see how many
            "channels": list(self.channels[1:-1]),
            "thetas_per_feature": self.thetas_per_feature,
            "context_dim": self.context_dim,
            "activation": name_of(self.activation, ACTIVATIONS),
            "init": self.init,
            "output_scale": self.output_scale,
            "dtype": self.W_context.dtype.name,
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

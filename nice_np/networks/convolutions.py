"""What networks of images share: convolutions in a row, h_k = f(convolution of h_{k-1}), the last one linear.

A coupling layer has rows of features, a convolution has images.  Both orders hold the same numbers, so a subclass says
how to permute: the kept features into an image, and the last image into theta.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from nice_np.networks.activations import ACTIVATIONS, Activation, get_activation
from nice_np.networks.convolution import Conv1x1, Conv3x3
from nice_np.networks.initialisation import INITS, initial_biases, initial_weights
from nice_np.parameters import Module
from nice_np.parameters.part import name_of
from nice_np.validation import Array, Rng, as_batch, as_choice, as_dtype, as_float, as_int, as_rng, check_shape


class ConvolutionsCache(NamedTuple):
    """What the gradient needs: the input (N, h, w, c) of every convolution, and the context (N, C)."""

    inputs: list[Array]
    context: Array


class Convolutions(Module):
    """m: (N, A + C) -> theta (N, T * B); the context (N, C) @ W_context is added at every pixel of the first layer.

    Attributes
    ----------
    sizes : (A + C, T * B)
        The numbers of inputs and outputs.
    channels : tuple of int
        Of the images, from the first to the last.
    """

    param_names = ("W_context",)
    sizes: tuple[int, int]
    channels: tuple[int, ...]

    def _make(
        self,
        kernels: Sequence[int],
        context_dim: int,
        activation: str | Activation,
        init: str,
        output_scale: float,
        dtype: Any,
        rng: Rng,
    ) -> None:
        """The layers between `channels`, one for each of `kernels`, 1 or 3: 1x1 or 3x3."""
        who = type(self).__name__
        self.context_dim = as_int(context_dim, who, "context_dim", 0)
        self.activation = get_activation(activation)
        self.init = as_choice(init, INITS, who, "init")
        self.output_scale = as_float(output_scale, who, "output_scale")
        dtype, rng = as_dtype(dtype, who), as_rng(rng, who)
        layers: list[Conv1x1 | Conv3x3] = []
        for k, (c_in, c_out) in enumerate(pairwise(self.channels)):
            size, last = kernels[k], k == len(self.channels) - 2
            n_in = size**2 * c_in
            n_context = self.context_dim if k == 0 else 0
            W = initial_weights(self.init, n_in + n_context, c_out, self.output_scale if last else 1.0, rng)
            W = W.astype(dtype)
            b = (np.zeros(c_out) if last else initial_biases(self.init, W, rng)).astype(dtype)
            if k == 0:
                self.W_context = W[n_in:]  # (C, c_1)
            layers.append(Conv3x3(W[:n_in].reshape(3, 3, c_in, c_out), b) if size == 3 else Conv1x1(W[:n_in], b))
        self.dW_context = np.zeros_like(self.W_context)
        self.layers = tuple(layers)

    @abstractmethod
    def _image(self, features: Array) -> Array:
        """The kept features as an image: (N, A) -> (N, h, w, c)."""

    @abstractmethod
    def _features(self, image: Array) -> Array:
        """Undoes `_image`."""

    @abstractmethod
    def _theta(self, image: Array) -> Array:
        """The last image as theta: (N, h, w, c) -> (N, T * B)."""

    @abstractmethod
    def _theta_image(self, features: Array) -> Array:
        """Undoes `_theta`."""

    def forward(self, x: Array) -> tuple[Array, ConvolutionsCache]:
        """m(x).

        Parameters
        ----------
        x : ndarray, shape (N, A + C)
            The kept features, then the context.

        Returns
        -------
        theta : ndarray, shape (N, T * B)
            [theta_1 | theta_2 | ...], in each the transformed features in ascending order.
        cache : ConvolutionsCache
        """
        x = as_batch(x, self.sizes[0], self)
        width = x.shape[1] - self.context_dim
        cache = ConvolutionsCache([self._image(x[:, :width])], x[:, width:])
        y = self.layers[0].product(cache.inputs[0])  # (N, h, w, c)
        if self.context_dim:
            y += (cache.context @ self.W_context)[:, None, None]
        for layer, above in pairwise(self.layers):
            cache.inputs.append(self.activation.forward(y, layer.b))
            y = above.product(cache.inputs[-1])
        return self._theta(y + self.layers[-1].b), cache

    def backward(self, dy: Array, cache: ConvolutionsCache, parameters: bool = True) -> Array:
        """The gradient through m: writes dL/d(parameter), returns dL/dx.

        Parameters
        ----------
        dy : ndarray, shape (N, T * B)
        cache : ConvolutionsCache
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
        check_shape(dy, (len(cache.context), self.sizes[-1]), type(self).__name__, "dy")
        dh = self._theta_image(dy)  # a permutation's gradient is its inverse
        for layer, h in zip(self.layers[:0:-1], cache.inputs[:0:-1], strict=True):
            dh = self.activation.backward(layer.backward(dh, h, parameters), h)
        dx_a = self._features(self.layers[0].backward(dh, cache.inputs[0], parameters))
        # a_p = (convolution)_p + context W_context at every pixel p, so the context's gradients sum over p
        da = dh.sum(axis=(1, 2)) if self.context_dim else np.zeros((len(dh), dh.shape[3]), dh.dtype)  # (N, c)
        if parameters:
            self.dW_context[...] = cache.context.T @ da  # (C, N) @ (N, c) -> (C, c)
        return np.concatenate([dx_a, da @ self.W_context.T], axis=1)

    def _settings(self) -> dict[str, Any]:
        """What `config` has in common."""
        return {
            "context_dim": self.context_dim,
            "activation": name_of(self.activation, ACTIVATIONS),
            "init": self.init,
            "output_scale": self.output_scale,
            "dtype": self.W_context.dtype.name,
        }

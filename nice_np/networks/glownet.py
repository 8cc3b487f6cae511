"""The network of Glow's couplings: a 3x3 convolution, 1x1 convolutions, and a 3x3 one that starts at zero.

An image is stored plane after plane, so all pixels of some channels, x_a (N, c H W), are an image of c channels, and
theta is one of T times as many channels as x_b has.  A 1x1 convolution mixes the channels of a pixel, a 3x3 one lets a
pixel see its neighbours; the 1x1 ones between cost a ninth.  (Kingma & Dhariwal 2018, section 4)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from nice_np.errors import NiceValueError
from nice_np.networks.activations import ACTIVATIONS, Activation
from nice_np.networks.convolutions import Convolutions
from nice_np.parameters.part import name_of
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_sizes


class GlowNet(Convolutions):
    """From the planes of some channels to the planes of others, of the same height and width.

    Parameters
    ----------
    pixels : (height, width)
    channels : sequence of int
        From input to output: (2, 48, 48, 4) has two hidden images; the first and the last convolution are 3x3, those
        between 1x1.  (2, 4) is a single 3x3 convolution.
    context_dim : int
        C: the last C inputs, such as a label, act on all pixels alike: context @ W_context is added to the first
        convolution.
    activation, init, dtype, rng
        See `MLP`.
    output_scale : float
        Factor on the initial weights of the last layer.  At 0 a coupling starts as the identity, and its hidden layers
        start to learn at the second step.

    Attributes
    ----------
    sizes : (c_in * height * width + C, c_out * height * width)
        The numbers of inputs and outputs.

    Examples
    --------
    >>> from nice_np import AffineCoupling, Partition
    >>> AffineCoupling(Partition.halves(4 * 14 * 14), GlowNet((14, 14), (2, 48, 48, 4), rng=0))
    AffineCoupling(dim=784, kept=392, conditioner=GlowNet(14x14, 2-48-48-4, relu))
    """

    @suggests
    def __init__(
        self,
        pixels: Sequence[int],
        channels: Sequence[int],
        context_dim: int = 0,
        activation: str | Activation = "relu",
        init: str = "he",
        output_scale: float = 0.0,
        dtype: Any = np.float64,
        rng: Rng = None,
    ) -> None:
        self.pixels, self.channels = as_sizes(pixels, "GlowNet", "pixels"), as_sizes(channels, "GlowNet", "channels")
        if len(self.pixels) != 2:
            raise NiceValueError(f"GlowNet: pixels must be (height, width), got {self.pixels}")
        if len(self.channels) < 2:
            raise NiceValueError(f"GlowNet: channels must be at least two (input, ..., output), got {self.channels}")
        kernels = (3, *(1,) * (len(self.channels) - 3), 3)  # of the one layer of two channels: 3
        self._make(kernels, context_dim, activation, init, output_scale, dtype, rng)
        area = self.pixels[0] * self.pixels[1]
        self.sizes = (self.channels[0] * area + self.context_dim, self.channels[-1] * area)

    def _image(self, features: Array) -> Array:
        planes = features.reshape(len(features), features.shape[1] // (self.pixels[0] * self.pixels[1]), *self.pixels)
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))  # (N, c, h, w) -> (N, h, w, c)

    def _features(self, image: Array) -> Array:
        planes = np.ascontiguousarray(image.transpose(0, 3, 1, 2))  # (N, h, w, c) -> (N, c, h, w)
        return planes.reshape(len(planes), prod(planes.shape[1:]))

    _theta, _theta_image = _features, _image  # theta, too, is planes

    def config(self) -> dict[str, Any]:
        return {"pixels": list(self.pixels), "channels": list(self.channels), **self._settings()}

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """How many numbers ``GlowNet(**config)`` would hold, without making it."""
        channels = config["channels"]
        kernels = (9, *(1,) * (len(channels) - 3), 9)
        parameters = sum((k * c_in + 1) * c_out for k, (c_in, c_out) in zip(kernels, pairwise(channels), strict=False))
        return int(parameters + config["context_dim"] * channels[1])

    def __repr__(self) -> str:
        shape, channels = "x".join(map(str, self.pixels)), "-".join(map(str, self.channels))
        return f"GlowNet({shape}, {channels}, {name_of(self.activation, ACTIVATIONS)})"

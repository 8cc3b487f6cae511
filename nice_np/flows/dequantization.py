"""Learned noise for images, and the likelihood of integer pixels by more than one draw of it.

The noise [v | x], plane after plane, is an image of twice the channels: noise and what it depends on.  A squeeze puts
2x2 pixels of both into one, and couplings move half of the noise's channels, given the others and all of the image's.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.bijectors import Bijector, Chain, Partition, Permutation
from nice_np.errors import NiceTypeError
from nice_np.families.learned_noise import VariationalDequantization
from nice_np.flows.flow import Flow
from nice_np.flows.glow import LAWS, image_of
from nice_np.networks.activations import Activation
from nice_np.networks.glownet import GlowNet
from nice_np.pixels.dequantize import as_pixels
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_choice, as_dtype, as_int, as_rng


@suggests
def variational_dequantization(
    image_shape: Sequence[int],
    couplings: int = 4,
    channels: int = 16,
    *,
    law: str = "affine",
    levels: int = 256,
    activation: str | Activation = "relu",
    init: str = "he",
    dtype: Any = np.float32,
    rng: Rng = None,
) -> VariationalDequantization:
    """The layer of `VariationalDequantization` for images: noise by convolutions, as uniform as ever before training.

    Parameters
    ----------
    image_shape : (height, width) or (channels, height, width)
        Height and width even.
    couplings : int
        Half of the noise is moved by the other half, by turns.
    channels : int
        Of both hidden images of every network, see `GlowNet`.
    law : {"affine", "additive", "spline", "mixture"}
    levels : int
        Of a pixel.
    activation, init, dtype, rng
        As for `nice`.

    Returns
    -------
    VariationalDequantization
        The first layer of a flow, in front of its logit.

    Examples
    --------
    >>> from nice_np import glow
    >>> noise = variational_dequantization((8, 8), channels=4, rng=0)
    >>> flow = glow((8, 8), channels=4, preprocess=(noise, "logit"), rng=0)
    >>> flow.layers[0]
    VariationalDequantization(dim=64, levels=256, noise=6 layers)
    """
    who = "variational_dequantization"
    planes, height, width = image_of(image_shape, 1, who)
    dim, pixels, half = planes * height * width, (height // 2, width // 2), 2 * planes  # 4 * planes after the squeeze
    law = as_choice(law, LAWS, who, "law")
    hidden = (as_int(channels, who, "channels", 1),) * 2
    settings: dict[str, Any] = {"activation": activation, "init": init, "dtype": as_dtype(dtype, who)}
    settings["rng"] = as_rng(rng, who)
    squeeze, part = Permutation.squeeze((2 * planes, height, width)), Partition.halves(dim).with_context(dim)
    layers: list[Bijector] = [squeeze]
    for _ in range(as_int(couplings, who, "couplings", 1)):
        sizes = (half + 2 * half, *hidden, LAWS[law].thetas_per_feature * half)  # the noise that is kept, and the image
        layers.append(LAWS[law](part, GlowNet(pixels, sizes, **settings)))
        part = part.swapped()
    return VariationalDequantization(Chain([*layers, Permutation(squeeze.inverse_order)]), levels)


@suggests
def log_prob_of_pixels(
    flow: Flow, pixels: npt.ArrayLike, draws: int = 1, rng: Rng = None, context: npt.ArrayLike | None = None
) -> Array:
    """log (1/K) sum_i p(x_i) for K draws x_i = (pixels + v_i) / 256 of the noise: (N, D) -> (N,).

    For one draw its mean is the bound that training raises; it grows with K, and tends to log P(pixels) + D log 256,
    whatever the noise: the importance-weighted bound (Burda et al. 2015).

    Parameters
    ----------
    flow : Flow
        Of dequantised pixels; with a `VariationalDequantization` next to the data the noise is its own.
    pixels : array_like, shape (N, D)
        uint8, or floats in [0, 1], as for `dequantize`.
    draws : int
        K.
    rng : seed or numpy.random.Generator
    context : array_like, shape (N, C) or (C,)

    Returns
    -------
    ndarray of float64, shape (N,)
        In nats of the dequantised data, as ``flow.log_prob``; `to_bits_per_dim` of their mean counts pixels.

    Raises
    ------
    NiceTypeError, NiceValueError
        As `dequantize` and `Flow.log_prob`.
    """
    who = "log_prob_of_pixels"
    if not isinstance(flow, Flow):
        raise NiceTypeError(f"{who}: expected a Flow, got {flow!r}")
    pixels, draws, rng = as_pixels(pixels, who), as_int(draws, who, "draws", 1), as_rng(rng, who)
    total: Array = np.full(len(pixels) if pixels.ndim else 0, -np.inf)  # float64
    for _ in range(draws):
        total = np.logaddexp(total, flow.log_prob(flow.from_pixels(pixels, rng), context))
    total -= log(draws)
    return total

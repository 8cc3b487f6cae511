"""Glow: flows of images on several scales (Kingma & Dhariwal 2018, figure 2; Dinh et al. 2016, section 3.6).

In a flat vector all of it is made of parts that other flows have, too:

    squeeze          a permutation: (C, H, W) -> (4 C, H/2, W/2)
    step             ActNorm, a 1x1 convolution, a coupling of one half of the channels given the other
    factoring out    an affine coupling whose result is left alone: with z_b ~ N(0, 1) and z_b = x_b s(x_a) + t(x_a),
                     x_b given x_a is Gaussian, of mean -t / s and standard deviation 1 / s
    a deeper level   the same of x_a, past z_b: `OnPart`
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from nice_np.bijectors import (
    AdditiveCoupling,
    AffineCoupling,
    Bijector,
    Chain,
    OnPart,
    Partition,
    Permutation,
    WithContext,
)
from nice_np.bijectors.coupling import Conditioner
from nice_np.bijectors.scales import Scale, get_scale
from nice_np.errors import NiceValueError
from nice_np.families.actnorm import ActNorm
from nice_np.families.linear import LULinear
from nice_np.families.mixture_law import MixtureCoupling
from nice_np.families.spline_law import SplineCoupling
from nice_np.flows.builders import Network, network_of, preprocessing
from nice_np.flows.flow import Flow
from nice_np.flows.priors import Prior
from nice_np.networks.activations import Activation
from nice_np.networks.glownet import GlowNet
from nice_np.suggestions import suggests
from nice_np.validation import Rng, as_choice, as_dtype, as_int, as_rng, as_sizes, as_widths

LAWS: dict[str, Any] = {
    "additive": AdditiveCoupling,
    "affine": AffineCoupling,
    "spline": SplineCoupling,
    "mixture": MixtureCoupling,
}
STARTS = ("rotation", "whitening")


@suggests
def glow(
    image_shape: Sequence[int],
    levels: int = 2,
    steps: int = 6,
    channels: int = 48,
    prior: str | Prior = "normal",
    *,
    dense: int = 0,
    hidden: int | Sequence[int] = (256,),
    law: str = "affine",
    scale: str | Scale = "tanh",
    activation: str | Activation = "relu",
    preprocess: str | Bijector | Sequence[str | Bijector] = ("logit",),
    init: str = "he",
    start: str = "rotation",
    context_dim: int = 0,
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """Glow: convolutions on several scales (Kingma & Dhariwal 2018).

    Every level squeezes 2x2 pixels into one with four times the channels and takes some steps; then, but for the last
    level, half of the channels become latents, and the next level has the others.

    Parameters
    ----------
    image_shape : (height, width) or (channels, height, width)
        Height and width divisible by 2^levels.
    levels, steps : int
        Steps of flow on each level.
    channels : int
        Of both hidden images of every conditioner, see `GlowNet`.
    prior : {"normal", "logistic"} or Prior
    dense : int
        More steps at the end of the last level, whose conditioners are MLPs: a convolution sees neighbours, these see
        the whole image at once, and at the coarsest scale they cost little.
    hidden : int or sequence of int
        Widths of the hidden layers of those MLPs.
    law : {"affine", "additive", "spline", "mixture"}
        Of the couplings; factoring out is always affine.
    scale : {"tanh", "exp", "sigmoid", "softplus"} or Scale
        Of affine couplings, see `AffineCoupling`.
    start : {"rotation", "whitening"}
        Of the 1x1 convolutions: random rotations; or on each level a whitening of the channels measured by `fit`, and
        then reversals, so that with an even number of steps what the next level gets are the channels that varied most.
    activation, preprocess, init, context_dim, dtype, rng
        As for `nice`; a context acts on all pixels of the first hidden image alike.

    Returns
    -------
    Flow

    Examples
    --------
    >>> glow((8, 8), steps=1, channels=4, rng=0)
    Flow(dim=64, prior=StandardNormal, float32, 888 parameters)
      Logit(dim=64, alpha=1e-06)                                                                             0
      Permutation(dim=64)                                                                                    0
      ActNorm(dim=64, image_shape=(4, 4, 4))                                                                 8
      LULinear(dim=64, image_shape=(4, 4, 4))                                                               16
      AffineCoupling(dim=64, kept=32, conditioner=GlowNet(4x4, 2-4-4-4, relu))                             244
      AffineCoupling(dim=64, kept=32, conditioner=GlowNet(4x4, 2-4, relu))                                  76
      OnPart(Permutation(dim=32), 32 of 64)                                                                  0
      OnPart(ActNorm(dim=32, image_shape=(8, 2, 2)), 32 of 64)                                              16
      OnPart(LULinear(dim=32, image_shape=(8, 2, 2)), 32 of 64)                                             64
      OnPart(AffineCoupling(dim=32, kept=16, conditioner=GlowNet(2x2, 4-4-4-8, relu)), 32 of 64)           464
    """
    shape = image_of(image_shape, levels)
    dim, context_dim = prod(shape), as_int(context_dim, "glow", "context_dim", 0)
    law, start = as_choice(law, LAWS, "glow", "law"), as_choice(start, STARTS, "glow", "start")
    settings = {"scale": get_scale(scale)} if law == "affine" else {}
    dtype, rng = as_dtype(dtype, "glow"), as_rng(rng, "glow")
    channels, hidden = as_int(channels, "glow", "channels", 1), as_widths(hidden, "glow", "hidden")
    steps, dense = as_int(steps, "glow", "steps", 1), as_int(dense, "glow", "dense", 0)
    network = {"activation": activation, "init": init, "dtype": dtype, "rng": rng}
    whole = network_of("glow", "mlp", dim, hidden, None, network)
    layers = [past_the_rest(layer, dim, dim, context_dim) for layer in preprocessing(preprocess, dim, dtype)]
    for level in range(levels):
        squeeze, shape = Permutation.squeeze(shape), (4 * shape[0], shape[1] // 2, shape[2] // 2)
        part = Partition.halves(prod(shape)).with_context(context_dim)  # of the channels: they are planes
        neighbours = glownets(shape, (channels, channels), network)
        here: list[Bijector] = [squeeze]
        nets = [neighbours] * steps + [whole] * (dense if level == levels - 1 else 0)
        for net, mixing in zip(nets, mixings(start, part.dim, shape, dtype, rng), strict=False):
            here += [ActNorm(part.dim, shape, dtype=dtype), mixing]
            here.append(LAWS[law](part, net(part, LAWS[law].thetas_per_feature), **settings))
        shape = (shape[0] // 2, *shape[1:])
        if level < levels - 1:
            mean_and_scale = glownets((2 * shape[0], *shape[1:]), (), network)(part, AffineCoupling.thetas_per_feature)
            here.append(AffineCoupling(part, mean_and_scale, scale=scale))
        layers += [past_the_rest(layer, part.dim, dim, context_dim) for layer in here]
    return Flow(prior, Chain(layers), context_dim)


def mixings(start: str, dim: int, shape: Sequence[int], dtype: Any, rng: Rng) -> Iterator[LULinear]:
    """The 1x1 convolutions of a level, one after the other."""
    if start == "whitening":
        yield LULinear(dim, shape, dtype, rng, fitted=False)
    while True:
        mixing = LULinear(dim, shape, dtype, rng)
        if start == "whitening":
            mixing.start_at(np.eye(mixing.channels)[::-1])
        yield mixing


def image_of(image_shape: Sequence[int], levels: int, owner: str = "glow") -> tuple[int, int, int]:
    """(channels, height, width) of images that can be squeezed so often."""
    given = as_sizes(image_shape, owner, "image_shape")
    cut = 2 ** as_int(levels, owner, "levels", 1, 30)
    if len(given) not in (2, 3) or any(side % cut for side in given[-2:]):
        raise NiceValueError(
            f"{owner}: image_shape must be (height, width) or (channels, height, width) with height and width "
            f"divisible by 2^levels = {cut}, got {given}; take fewer levels, or pad the images"
        )
    channels, height, width = (1, *given)[-3:]
    return channels, height, width


def glownets(shape: Sequence[int], hidden: tuple[int, ...], settings: Any) -> Network:
    """Conditioners that see the first half of the channels of an image."""
    kept, pixels = shape[0] // 2, shape[1:]

    def conditioner(part: Partition, thetas: int) -> Conditioner:
        return GlowNet(pixels, (kept, *hidden, thetas * kept), part.context_dim, **settings)

    return conditioner


def past_the_rest(layer: Bijector, size: int, dim: int, context_dim: int) -> Bijector:
    """A layer of the first `size` features past the others, and past the context if it does not take that itself."""
    if layer.dim == dim + context_dim:
        return layer
    if layer.dim == dim:
        return WithContext(layer, context_dim)
    if layer.dim == size:  # the context is among the others
        return OnPart(layer, Partition(dim + context_dim, np.arange(size)))
    return OnPart(layer, Partition(dim, np.arange(size), context_dim))

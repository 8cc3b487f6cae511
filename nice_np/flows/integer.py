"""Integer discrete flows: bijections of the grid of pixels, whose likelihood is a probability: the length of a code.

Pixels are taken as they are, x = k / 256 without noise, and log P(x) = log P_Z(f(x)) is the logarithm of a probability:
-log2 P(x) bits are what an ideal code needs for x, see `nice_np.codec`.  (Hoogeboom et al. 2019)

    squeeze          a permutation: (1, H, W) -> (4, H/2, W/2)
    couplings        of two channels given the other two, each by a rounded network
    factoring out    the fourth channel, then the third, then the second become latents, each given those before it
    a deeper level   the same of the first channel, an image of half the size
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.bijectors import Bijector, Chain, Partition, Permutation
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.families.rounding import RoundedAdditiveCoupling
from nice_np.flows.flow import Flow
from nice_np.flows.integer_priors import DeeperLevel, DiscretisedLogistics, GivenTheFirst, IntegerPrior
from nice_np.networks.glownet import GlowNet
from nice_np.pixels.dequantize import BIN_WIDTH
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_dtype, as_int, as_rng, as_sizes


class IntegerFlow(Flow):
    """A probability of images on a grid: log P(x) = log P_Z(f(x)), in nats.

    Parameters
    ----------
    prior : IntegerPrior
    bijector : Bijector
        A bijection of the grid: permutations and rounded couplings.

    Attributes
    ----------
    step : float
        Of the grid: x is a multiple of it, 1/256 for pixels, and any other x is refused.
    """

    step = BIN_WIDTH
    prior: IntegerPrior

    def __init__(self, prior: IntegerPrior, bijector: Bijector) -> None:
        if not isinstance(prior, IntegerPrior):
            raise NiceTypeError(f"IntegerFlow: expected an IntegerPrior such as DiscretisedLogistics, got {prior!r}")
        super().__init__(prior, bijector)

    @property
    def pixel_width(self) -> float:
        """1: the likelihood is a probability already, no density times the width of a bin."""
        return 1.0

    def from_pixels(self, pixels: npt.NDArray[np.uint8], rng: Rng) -> Array:
        """x = k / 256, without noise."""
        x: Array = pixels.astype(self.dtype) * self.dtype.type(BIN_WIDTH)
        return x

    def without_rounding(self) -> None:
        """Accept any x from now on; see `RoundedAdditiveLaw.without_rounding`."""
        self.step = 0.0

    def check_samples(self, x: Array, owner: str) -> None:
        super().check_samples(x, owner)
        if self.step and not np.array_equal(np.rint(x / self.step) * self.step, x):
            row = (np.rint(x / self.step) * self.step != x).any(axis=1).argmax()
            raise NiceValueError(
                f"{owner}: expected x on the grid k / {1 / self.step:g}, row {row} has other numbers; give uint8 "
                "pixels to fit, score and bits_per_dim, or flow.from_pixels(pixels, None), without noise"
            )


@suggests
def integer_flow(
    image_shape: Sequence[int],
    levels: int = 2,
    couplings: int = 2,
    channels: int = 32,
    components: int = 3,
    *,
    dtype: Any = np.float32,
    rng: Rng = None,
) -> IntegerFlow:
    """An integer discrete flow of grey images, with convolutions on several scales.

    Parameters
    ----------
    image_shape : (height, width) or (1, height, width)
        Both divisible by 2^levels.
    levels : int
    couplings : int
        On each level; half of the channels are moved by the other half, by turns.
    channels : int
        Of both hidden images of every network, see `GlowNet`.
    components : int
        Logistics in the mixture of every pixel.
    dtype, rng
        As for `nice`.

    Returns
    -------
    IntegerFlow

    Examples
    --------
    >>> flow = integer_flow((8, 8), levels=1, channels=4, rng=0)
    >>> x = flow.from_pixels(np.arange(64, dtype=np.uint8)[None], None)
    >>> bool((flow.decode(flow.encode(x)) == x).all())  # to the bit
    True
    """
    who = "integer_flow"
    shape, cut = as_sizes(image_shape, who, "image_shape"), 2 ** as_int(levels, who, "levels", 1, 30)
    if len(shape) not in (2, 3) or shape[:-2] not in ((), (1,)) or any(side % cut for side in shape[-2:]):
        raise NiceValueError(
            f"{who}: image_shape must be (height, width) of grey images, both divisible by 2^levels = {cut}, got "
            f"{shape}; take fewer levels, or pad the images"
        )
    hidden = (as_int(channels, who, "channels", 1),) * 2
    count, k = as_int(couplings, who, "couplings", 0), as_int(components, who, "components", 1)
    settings: dict[str, Any] = {"dtype": as_dtype(dtype, who), "rng": as_rng(rng, who)}
    sides = [tuple(side // 2**level for side in shape[-2:]) for level in range(levels + 1)]
    prior: IntegerPrior = DiscretisedLogistics(prod(sides[-1]), k, dtype=dtype)
    for above, pixels in zip(sides[-2::-1], sides[:0:-1], strict=True):  # from the deepest level up
        for known in (1, 2, 3):
            net = GlowNet(pixels, (known, *hidden, 3 * k), **settings)
            prior = GivenTheFirst(prior, net, (known + 1) * prod(pixels))
        bijector = _level(above, pixels, count, hidden, settings)
        if above == sides[0]:
            return IntegerFlow(prior, bijector)
        prior = DeeperLevel(prior, bijector)
    raise AssertionError("there is at least one level")


def _level(
    above: tuple[int, ...], pixels: tuple[int, ...], couplings: int, hidden: tuple[int, ...], settings: dict[str, Any]
) -> Chain:
    """An image as four of half the size, which move each other in pairs."""
    part = Partition.halves(4 * prod(pixels)).swapped()  # the first pair learns from the second: it is coded first
    layers: list[Bijector] = [Permutation.squeeze(above)]
    for _ in range(couplings):
        layers.append(RoundedAdditiveCoupling(part, GlowNet(pixels, (2, *hidden, 2), **settings)))
        part = part.swapped()
    return Chain(layers)

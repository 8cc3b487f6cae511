"""The same probabilities on every machine: a decoder that differs in one bit reads nothing but noise.

Floating-point sums depend on their order, and BLAS chooses the order by machine, version and number of threads; exp
differs between libraries in the last digit.  Three rules remove all of it, without a second implementation:

1. **Sums of integers have no order.**  In a copy of the flow in float64 all weights are multiples of 2^-16, and all
   activations multiples of 2^-12 between 0 and 2^11.  Products are then multiples of 2^-28, and where the weights into
   one unit add up to at most 2^13 in size, no partial sum exceeds 2^24 = 2^52 2^-28: each is a whole number of 2^-28
   below 2^53, which float64 holds exactly.  Exact sums are equal in any order, with or without BLAS.
2. **One operation at a time.**  IEEE 754 prescribes + - * / and square roots to the last bit, and NumPy rounds after
   each.  exp is made of these alone.
3. **Whole numbers in the coder.**  The distribution function F becomes interval bounds of M = 2^24, each symbol at
   least one wide.

Should a machine still differ, the checksum of the pixels in the file refuses the result (`nice_np.codec.images`).
"""

from __future__ import annotations

import hashlib
import json
from math import log
from typing import Any, NamedTuple

import numpy as np

from nice_np.codec.rans import TOTAL, Whole
from nice_np.errors import NiceValueError
from nice_np.families.mixture import Mixture
from nice_np.files.architecture import Arrays, describe
from nice_np.flows.integer import IntegerFlow
from nice_np.networks.activations import Activation, ReLU
from nice_np.validation import Array

WEIGHT, ACTIVE = 2.0**-16, 2.0**-12  # grids of the weights and of the activations
LARGEST, INTO_ONE = 2.0**11, 2.0**13  # of an activation; of the weights into one unit
LEVELS = 1 << 12  # latents: -2048 .. 2047 grey levels
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # log 2 = both, as in fdlibm
FACTORIALS = np.cumprod([1.0, *range(1, 14)])  # 0! .. 13!


class GridReLU(Activation):
    """f(a) = max(a, 0) on a grid of 2^-12, at most 2^11; without a gradient."""

    def forward(self, a: Array, b: Array) -> Array:
        h: Array = np.rint(np.clip(a + b, 0, LARGEST) / ACTIVE) * ACTIVE
        return h

    def backward(self, dh: Array, h: Array) -> Array:
        raise NiceValueError("a portable flow is not trained")


def portable(flow: IntegerFlow) -> IntegerFlow:
    """A copy of the flow whose passes give the same bits everywhere; NiceValueError if there can be none."""
    twin = flow.astype(np.float64)
    twin.params.values[...] = np.rint(twin.params.values / WEIGHT) * WEIGHT
    for path, module in twin.modules():
        activation = getattr(module, "activation", None)
        if activation is not None and type(activation) is not ReLU:
            raise NiceValueError(f"{path}: only a ReLU gives the same bits on every machine, got {activation!r}")
        if activation is not None:
            module.activation = GridReLU()
    for path, array, _ in twin.named_parameters():
        if path.endswith(".W") and np.abs(array).reshape(-1, array.shape[-1]).sum(axis=0).max() > INTO_ONE:
            raise NiceValueError(f"{path}: the weights into one unit add up to more than {INTO_ONE:g}; train it again")
    return twin


def digest_of(twin: IntegerFlow) -> bytes:
    """16 bytes that name a portable flow: its architecture and weights."""
    constants: Arrays = {}
    digest = hashlib.sha256(json.dumps(describe(twin.prior, constants, [])).encode())
    digest.update(json.dumps(describe(twin.bijector, constants, [])).encode())
    for array in (*constants.values(), twin.params.values):
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.digest()[:16]


def exp(x: Array) -> Array:
    """e^x = 2^k e^r with k = [x / log 2]: |r| <= log(2)/2, where thirteen terms of the series are enough."""
    k = np.rint(np.clip(x, -700.0, 700.0) / log(2))
    r = (np.clip(x, -700.0, 700.0) - k * LN2_HIGH) - k * LN2_LOW
    series = np.full_like(r, 1 / FACTORIALS[13])
    for factorial in FACTORIALS[12::-1]:
        series = series * r + 1 / factorial
    e: Array = np.ldexp(series, k.astype(np.int32))  # a change of the exponent: exact
    return e


FAR, PER_UNIT = 32, 256  # a table of the sigmoid between -32 and 32, in steps of 1/256
TABLE = 1.0 / (1.0 + exp(np.arange(FAR * PER_UNIT, -FAR * PER_UNIT - 1, -1) / PER_UNIT))
SLOPES = np.diff(TABLE)


def sigmoid(u: Array) -> Array:
    """1 / (1 + e^-u) within 2e-7, by straight lines: few operations, and it rises, which is all that a code asks."""
    t = np.clip((u + FAR) * PER_UNIT, 0, 2 * FAR * PER_UNIT)
    i = np.minimum(t.astype(np.int64), len(SLOPES) - 1)
    y: Array = TABLE[i] + (t - i) * SLOPES[i]
    return y


class Intervals(NamedTuple):
    """The distribution of features, (K, N) each, as the coder needs it: w_k, mu_k, 1 / s_k; and the grid."""

    weights: Array
    mu: Array
    inverse_width: Array
    step: float

    @classmethod
    def of(cls, mixture: Mixture, n: int, step: float) -> Intervals:
        """Of a mixture (K, n, B), or (K, 1, B) for n rows: K logistics of n B features."""
        k, _, b = mixture.mu.shape
        logits, mu, s = (np.broadcast_to(part, (k, n, b)).reshape(k, n * b) for part in mixture)
        weights = exp(logits - logits.max(axis=0))
        return cls(weights / _sum(weights), mu, exp(-s), step)

    def rows(self, where: slice) -> Intervals:
        """Of some of the features."""
        return Intervals(self.weights[:, where], self.mu[:, where], self.inverse_width[:, where], self.step)

    def bound(self, symbol: Whole) -> Whole:
        """Where the intervals of symbols (N,) start, and those before them end: rises from 0 to M.

        F (M - 2 R) + 2 k is at least one more for symbol k + 1 than for k, also where rounding lets F, which never
        falls, appear to fall by a last digit.
        """
        edge = (symbol - (LEVELS // 2 + 0.5)) * self.step  # half a step below z
        F = _sum(self.weights * sigmoid((edge - self.mu) * self.inverse_width))
        inner = np.floor(F * (TOTAL - 2 * LEVELS)).astype(np.int64) + 2 * symbol
        return np.where(symbol == 0, 0, np.where(symbol == LEVELS, TOTAL, inner))

    def find(self, point: Whole) -> tuple[Whole, Whole, Whole]:
        """The symbol whose interval holds each point (N,), and the interval's start and width: by bisection."""
        low, high = np.zeros_like(point), np.full_like(point, LEVELS)
        start, end = np.zeros_like(point), np.full_like(point, TOTAL)
        while high[0] - low[0] > 1:  # the same for all: LEVELS is a power of two
            middle = (low + high) >> 1
            bound = self.bound(middle)
            right = bound <= point
            low, start = np.where(right, middle, low), np.where(right, bound, start)
            high, end = np.where(right, high, middle), np.where(right, end, bound)
        return low, start, end - start


def _sum(terms: Array) -> Array:
    """Over the components, one after the other: the order of np.sum is NumPy's business."""
    total: Any = terms[0]
    for term in terms[1:]:
        total = total + term
    return np.asarray(total)


def to_symbols(z: Array, step: float) -> Whole:
    """Latents (n, B) as symbols 0 .. LEVELS - 1, (n B,); NiceValueError for one that is off the grid or too far out."""
    levels = np.rint(z / step).ravel()
    if (levels * step != z.ravel()).any():
        raise NiceValueError("the flow leaves the grid of whole numbers: it has a layer that does not round")
    if (np.abs(levels + 0.5) > LEVELS // 2).any():
        raise NiceValueError(f"the flow moves a pixel by more than {LEVELS // 2} grey levels; train it longer")
    symbols: Whole = levels.astype(np.int64) + LEVELS // 2
    return symbols


def from_symbols(symbols: Whole, step: float) -> Array:
    """Undoes `to_symbols`, (n B,)."""
    z: Array = (symbols - LEVELS // 2) * step
    return z

"""How a coupling layer turns a network's raw output r into a multiplier s > 0, worked in log s throughout.

    exp        log s = r
    tanh       log s = B tanh(r / B), B = 2            s stays within (e^-2, e^2)
    sigmoid    s = sigmoid(r + 2)                      s < 1: a forward pass can only contract
    softplus   s = softplus(r + c), c = log(e - 1)     s = 1 at r = 0, grows linearly

s must never reach 0 or infinity, or the inverse would divide by it: r is clipped where log s would leave [-30, 30]
(s from 1e-13 to 1e13, safe in float32), with gradient 0 beyond.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log
from typing import NamedTuple

import numpy as np

from nice_np.checks import Array, as_choice

LIMIT = 30.0  # of |log s|
BOUND = 2.0  # B of the tanh scale
SHIFT = log(exp(1) - 1)  # softplus(SHIFT) = 1


class Scale(NamedTuple):
    """A map r -> log s and its derivative, the latter written in terms of log s.

    The raw output is first clipped to [low, high].
    """

    name: str
    low: float
    high: float
    log_of: Callable[[Array], Array]
    slope: Callable[[Array], Array]

    def forward(self, r: Array) -> Array:
        """log s, of r's shape."""
        return self.log_of(np.clip(r, self.low, self.high))

    def backward(self, dlog_s: Array, r: Array, log_s: Array) -> Array:
        """dL/dr from dL/dlog_s."""
        inside = (r > self.low) & (r < self.high)  # clipping is constant outside
        return dlog_s * self.slope(log_s) * inside


SCALES = {
    scale.name: scale
    for scale in (
        Scale("exp", -LIMIT, LIMIT, lambda r: r, np.ones_like),
        Scale(
            "tanh",
            -inf,
            inf,
            lambda r: BOUND * np.tanh(r / BOUND),
            lambda log_s: 1 - (log_s / BOUND) ** 2,  # 1 - tanh^2
        ),
        Scale(
            "sigmoid",
            -LIMIT - 2,
            LIMIT,
            lambda r: -np.log1p(np.exp(-(r + 2))),
            lambda log_s: -np.expm1(log_s),  # d log sigmoid = 1 - sigmoid = 1 - s
        ),
        Scale(
            "softplus",
            -LIMIT - SHIFT,
            exp(LIMIT),
            lambda r: np.log(np.logaddexp(0, r + SHIFT)),
            lambda log_s: -np.expm1(-np.exp(log_s)) * np.exp(-log_s),  # sigmoid(a) / softplus(a) = (1 - e^-s) / s
        ),
    )
}


def get_scale(name: str) -> Scale:
    """The scale called "exp", "tanh", "sigmoid" or "softplus".

    Examples
    --------
    >>> np.exp(get_scale("softplus").forward(np.array([0.0, 1e6]))).round(3)
    array([1.00000000e+00, 1.00000054e+06])
    """
    return SCALES[as_choice(name, SCALES, "scale", "scale")]

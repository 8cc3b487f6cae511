"""How a coupling layer turns a network's output r into a multiplier s > 0, in terms of log s throughout.

    exp        log s = r
    tanh       log s = B tanh(r / B), B = 2            s stays within (e^-2, e^2)
    sigmoid    s = sigmoid(r + 2)                      s < 1: forward can only contract
    softplus   s = softplus(r + c), c = log(e - 1)     s = 1 at r = 0, grows linearly

`TanhScale` takes another B, and `other_scales` has those of other libraries.  s must never reach 0 or infinity, or the
inverse would divide by it: r is clipped where log s would leave [-30, 30] (s from 1e-13 to 1e13, safe in float32), with
gradient 0 beyond.
"""

from __future__ import annotations

from abc import abstractmethod
from math import exp, inf, log
from typing import Any, ClassVar

import numpy as np

from nice_np.parameters.part import Part, as_part
from nice_np.validation import Array, as_float

LIMIT = 30.0  # of |log s|


class Scale(Part):
    """An elementwise map r -> log s and its derivative, written in terms of log s.

    Attributes
    ----------
    low, high : float
        r is first clipped to this interval.

    Examples
    --------
    One of your own, for ``real_nvp(2, scale=HardScale())``; `nice_np.load_model` is told about it by
    ``classes=[HardScale]``:

    >>> class HardScale(Scale):
    ...     low, high = -1.0, 1.0
    ...
    ...     def log_of(self, r):
    ...         return r
    ...
    ...     def slope(self, log_s):
    ...         return np.ones_like(log_s)
    >>> HardScale().forward(np.array([-3.0, 0.5]))
    array([-1. ,  0.5])
    """

    low: ClassVar[float] = -inf
    high: ClassVar[float] = inf

    @abstractmethod
    def log_of(self, r: Array) -> Array:
        """log s for r within [low, high]."""

    @abstractmethod
    def slope(self, log_s: Array) -> Array:
        """d log s / dr."""

    def forward(self, r: Array) -> Array:
        """log s, of r's shape."""
        return self.log_of(np.clip(r, self.low, self.high))

    def backward(self, dlog_s: Array, r: Array, log_s: Array) -> Array:
        """dL/dr from dL/dlog_s."""
        inside = (r > self.low) & (r < self.high)  # clipping is constant outside
        return dlog_s * self.slope(log_s) * inside


class ExpScale(Scale):
    """log s = r."""

    name = "exp"
    low, high = -LIMIT, LIMIT

    def log_of(self, r: Array) -> Array:
        return r

    def slope(self, log_s: Array) -> Array:
        return np.ones_like(log_s)


class TanhScale(Scale):
    """log s = B tanh(r / B).

    Parameters
    ----------
    bound : float
        B, in (0, 30); 2 by default.
    """

    name = "tanh"
    bound: float = 2.0

    def __init__(self, bound: float | None = None) -> None:
        self.bound = as_bound(self.bound if bound is None else bound, self)

    def log_of(self, r: Array) -> Array:
        log_s: Array = self.bound * np.tanh(r / self.bound)
        return log_s

    def slope(self, log_s: Array) -> Array:
        slope: Array = 1 - (log_s / self.bound) ** 2  # tanh' = 1 - tanh^2
        return slope

    def config(self) -> dict[str, Any]:
        return {"bound": self.bound}


def as_bound(bound: float, scale: Scale) -> float:
    """A bound of |log s|, in (0, 30)."""
    return as_float(bound, type(scale).__name__, "bound", above=0, below=LIMIT)


class SigmoidScale(Scale):
    """log s = log sigmoid(r + 2)."""

    name = "sigmoid"
    low = -LIMIT - 2  # log sigmoid(-30) = -30; upwards s only approaches 1

    def log_of(self, r: Array) -> Array:
        return -np.log1p(np.exp(-(r + 2)))

    def slope(self, log_s: Array) -> Array:
        return -np.expm1(log_s)  # (log sigmoid)' = 1 - sigmoid = 1 - s


class SoftplusScale(Scale):
    """log s = log softplus(r + c)."""

    name = "softplus"
    shift: ClassVar[float] = log(exp(1) - 1)  # softplus(shift) = 1
    low, high = -LIMIT - shift, exp(LIMIT)

    def log_of(self, r: Array) -> Array:
        log_s: Array = np.log(np.logaddexp(0, r + self.shift))
        return log_s

    def slope(self, log_s: Array) -> Array:
        s = np.exp(log_s)
        slope: Array = -np.expm1(-s) / s  # (log softplus)'(a) = sigmoid(a) / softplus(a) = (1 - e^-s) / s
        return slope


SCALES: dict[str, type[Scale]] = {scale.name: scale for scale in (ExpScale, TanhScale, SigmoidScale, SoftplusScale)}


def get_scale(scale: str | Scale) -> Scale:
    """The scale called "exp", "tanh", "sigmoid" or "softplus", or a copy of the given one.

    Examples
    --------
    >>> np.exp(get_scale("softplus").forward(np.array([0.0, 5.0]))).round(3)
    array([1.   , 5.545])
    >>> get_scale(TanhScale(3.0))
    TanhScale(bound=3.0)
    """
    return as_part(scale, SCALES, Scale, "scale")  # type: ignore[type-abstract]

"""Rescaling of the unit interval: z = low + (high - low) x; the change of unit counts in the likelihood.

The NICE paper trains on CIFAR-10 in [-1, 1].  Data rescaled outside the model are in another unit: every density is
2^D times smaller, and nats cannot be compared.  A layer's log_det accounts for it, so the likelihood stays that of x.
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.validation import Array, as_batch, as_float, as_int


class Rescale(Bijector):
    """z = low + (high - low) x,  log|det| = D log(high - low).  Nothing is trained.

    Parameters
    ----------
    dim : int
    low, high : float
        The images of x = 0 and x = 1; low < high.

    Examples
    --------
    >>> z, log_det, _ = Rescale(2).forward(np.array([[0.0, 0.75]]))
    >>> z, log_det  # 2 log 2
    (array([[-1. ,  0.5]]), array([1.38629436]))
    """

    def __init__(self, dim: int, low: float = -1.0, high: float = 1.0) -> None:
        self.dim = as_int(dim, "Rescale", "dim", 1)
        self.low = as_float(low, "Rescale", "low")
        self.high = as_float(high, "Rescale", "high", above=self.low)
        self.width = as_float(self.high - self.low, "Rescale", "high - low", above=0)

    def forward(self, x: Array) -> tuple[Array, Array, None]:
        x = as_batch(x, self.dim, self)
        return self.low + self.width * x, np.full(len(x), self.dim * log(self.width), x.dtype), None

    def inverse(self, z: Array) -> tuple[Array, Array, None]:
        z = as_batch(z, self.dim, self, "z")
        return (z - self.low) / self.width, np.full(len(z), -self.dim * log(self.width), z.dtype), None

    def backward(self, dz: Array, dlog_det: Array, cache: None) -> Array:
        return self.width * dz  # log_det is constant, so dlog_det adds nothing

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: None) -> Array:
        return dx / self.width

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "low": self.low, "high": self.high}

    def __repr__(self) -> str:
        return f"Rescale(dim={self.dim}, low={self.low:g}, high={self.high:g})"

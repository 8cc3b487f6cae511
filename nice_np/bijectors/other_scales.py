"""The scales of other libraries' affine couplings, for flows that come from there; see `nice_np.interop.torch_flows`.

zuko      log s = r / (1 + |r| / B), B = log 1000      like tanh, but approaches +-B slowly
nflows    s = sigmoid(r + 2) + c, c = 1/1000           forward can contract by 1000 at most
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from nice_np.bijectors.scales import LIMIT, Scale, as_bound
from nice_np.validation import Array, as_float


class SoftclipScale(Scale):
    """log s = r / (1 + |r| / B), zuko's MonotonicAffineTransform.

    Parameters
    ----------
    bound : float
        B, in (0, 30); log 1000 by default.
    """

    def __init__(self, bound: float = log(1000)) -> None:
        self.bound = as_bound(bound, self)

    def log_of(self, r: Array) -> Array:
        log_s: Array = r / (1 + np.abs(r) / self.bound)
        return log_s

    def slope(self, log_s: Array) -> Array:
        slope: Array = (1 - np.abs(log_s) / self.bound) ** 2  # 1 - |log s| / B = 1 / (1 + |r| / B)
        return slope

    def config(self) -> dict[str, Any]:
        return {"bound": self.bound}


class FlooredSigmoidScale(Scale):
    """log s = log(sigmoid(r + 2) + c), nflows' AffineCouplingTransform.

    Parameters
    ----------
    floor : float
        c > 0; 1/1000 by default.
    """

    low = -LIMIT - 2

    def __init__(self, floor: float = 1e-3) -> None:
        self.floor = as_float(floor, "FlooredSigmoidScale", "floor", above=0)

    def log_of(self, r: Array) -> Array:
        log_s: Array = np.log(1 / (1 + np.exp(-(r + 2))) + self.floor)
        return log_s

    def slope(self, log_s: Array) -> Array:
        s = np.exp(log_s)
        sigmoid = s - self.floor
        slope: Array = sigmoid * (1 - sigmoid) / s  # sigmoid' = sigmoid (1 - sigmoid)
        return slope

    def config(self) -> dict[str, Any]:
        return {"floor": self.floor}

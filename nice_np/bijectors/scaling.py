"""Diagonal scaling: z_d = exp(s_d) y_d, the only layer of NICE that changes volume."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.validation import Array, as_batch, as_dtype, as_float, as_int


class ScalingCache(NamedTuple):
    """The scaled side of the map: z = exp(s) y for forward, y = exp(-s) z for inverse."""

    scaled: Array  # (N, D)


class DiagonalScaling(Bijector):
    """z = exp(s) * y,  log|det| = sum_d s_d      (Dinh et al. 2014, section 3.3)

    Parameters
    ----------
    dim : int
    log_scale : float
        Start value of every s_d.  0 is the identity; log(std of the prior) fits standardised data to the prior.
    dtype : {float64, float32}

    Notes
    -----
    With dL/dz given:  dL/dy = dL/dz exp(s),  dL/ds_d = sum_n dL/dz_nd z_nd + sum_n dL/dlog_det_n.
    The sorted sigma_d = exp(-s_d) are the model's spectrum: a small one marks a direction it treats as unused.
    """

    param_names = ("log_scale",)

    def __init__(self, dim: int, log_scale: float = 0.0, dtype: Any = np.float64) -> None:
        self.dim = as_int(dim, "DiagonalScaling", "dim", 1)
        start = as_float(log_scale, "DiagonalScaling", "log_scale")
        self.log_scale: Array = np.full(self.dim, start, as_dtype(dtype, "DiagonalScaling"))  # (D,)
        self.dlog_scale = np.zeros_like(self.log_scale)

    def forward(self, x: Array) -> tuple[Array, Array, ScalingCache]:
        x = as_batch(x, self.dim, self)
        z = x * self._factors(self.log_scale)
        return z, np.full(len(x), self.log_scale.sum()), ScalingCache(z)

    def inverse(self, z: Array) -> tuple[Array, Array, ScalingCache]:
        z = as_batch(z, self.dim, self, "z")
        x = z * self._factors(-self.log_scale)
        return x, np.full(len(z), -self.log_scale.sum()), ScalingCache(x)

    def backward(self, dz: Array, dlog_det: Array, cache: ScalingCache, parameters: bool = True) -> Array:
        if parameters:
            # dz_d/ds_d = exp(s_d) y_d = z_d;  dlog_det/ds_d = 1 for every row
            self.dlog_scale[...] = (dz * cache.scaled).sum(axis=0) + dlog_det.sum()
        return dz * np.exp(self.log_scale)

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: ScalingCache, parameters: bool = True) -> Array:
        if parameters:
            # x_d = exp(-s_d) z_d: dx_d/ds_d = -x_d;  the inverse's log_det is -sum s
            self.dlog_scale[...] = -(dx * cache.scaled).sum(axis=0) - dlog_det.sum()
        return dx * np.exp(-self.log_scale)

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "dtype": self.log_scale.dtype.name}

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """How many numbers ``DiagonalScaling(**config)`` would hold, without making it."""
        return int(config["dim"])

    @staticmethod
    def _factors(log_factors: Array) -> Array:
        """exp(log_factors), (D,).  A factor that underflows has no inverse: infinity makes it an error, 0 would not."""
        factors: Array = np.exp(log_factors)
        smallest = np.finfo(factors.dtype).tiny
        if factors.min() < smallest:
            factors[factors < smallest] = np.inf
        return factors

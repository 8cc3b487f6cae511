"""Multiplicative coupling: y_b = x_b * s(x_a) with s > 0."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nice_np.bijectors.coupling import Conditioner, Coupling
from nice_np.bijectors.law import Law
from nice_np.bijectors.partition import Partition
from nice_np.bijectors.scales import SCALES, Scale, get_scale
from nice_np.parameters.part import name_of
from nice_np.validation import Array


class MultiplicativeCache(NamedTuple):
    """r, log_s: (N, B); s: the factor applied, exp(+-log_s); result: x_b s for forward, y_b / s for inverse."""

    r: Array
    log_s: Array
    s: Array
    result: Array


class MultiplicativeLaw(Law):
    """y_b = x_b * exp(log_s),  log_s = scale(r),  theta = r;  log|det| = sum_j log_s_j"""

    scale: Scale

    def _couple(self, x_b: Array, theta: Array) -> tuple[Array, Array, MultiplicativeCache]:
        log_s = self.scale.forward(theta)
        s = np.exp(log_s)
        y_b = x_b * s
        return y_b, log_s.sum(axis=1), MultiplicativeCache(theta, log_s, s, y_b)

    def _couple_backward(self, dy_b: Array, dlog_det: Array, cache: MultiplicativeCache) -> tuple[Array, Array]:
        dlog_s = dy_b * cache.result + dlog_det[:, None]  # dy_b/dlog_s = y_b;  dlog_det/dlog_s_j = 1
        return dy_b * cache.s, self.scale.backward(dlog_s, cache.r, cache.log_s)  # dy_b/dx_b = s

    def _uncouple(self, y_b: Array, theta: Array) -> tuple[Array, Array, MultiplicativeCache]:
        log_s = self.scale.forward(theta)
        s = np.exp(-log_s)
        x_b = y_b * s
        return x_b, -log_s.sum(axis=1), MultiplicativeCache(theta, log_s, s, x_b)

    def _uncouple_backward(self, dx_b: Array, dlog_det: Array, cache: MultiplicativeCache) -> tuple[Array, Array]:
        dlog_s = -dx_b * cache.result - dlog_det[:, None]  # dx_b/dlog_s = -x_b;  dlog_det/dlog_s_j = -1
        return dx_b * cache.s, self.scale.backward(dlog_s, cache.r, cache.log_s)  # dx_b/dy_b = 1/s


class MultiplicativeCoupling(MultiplicativeLaw, Coupling):
    """y_b = x_b * exp(log_s),  r = conditioner(x_a);  log|det J| = sum_j log_s_j     (Dinh et al. 2014, section 3.2)

    Zero stays zero, so multiplicative layers alone cannot move probability across the axes.

    Parameters
    ----------
    partition : Partition
    conditioner : Module
        m: (N, A) -> (N, B), the r above.
    scale : {"tanh", "exp", "sigmoid", "softplus"} or Scale
        How log_s follows from r, see `nice_np.bijectors.scales`.
    """

    def __init__(self, partition: Partition, conditioner: Conditioner, scale: str | Scale = "tanh") -> None:
        super().__init__(partition, conditioner)
        self.scale = get_scale(scale)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "scale": name_of(self.scale, SCALES)}

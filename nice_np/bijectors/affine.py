"""Affine coupling, the layer of RealNVP: y_b = x_b * s(x_a) + t(x_a)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nice_np.bijectors.coupling import Conditioner, Coupling
from nice_np.bijectors.law import Law
from nice_np.bijectors.partition import Partition
from nice_np.bijectors.scales import SCALES, Scale, get_scale
from nice_np.parameters.part import name_of
from nice_np.validation import Array


class AffineCache(NamedTuple):
    """r, log_s: (N, B); s: the factor applied, exp(+-log_s); scaled: x_b s for forward, x_b for inverse."""

    r: Array
    log_s: Array
    s: Array
    scaled: Array


class AffineLaw(Law):
    """y_b = x_b * exp(log_s) + t,  log_s = scale(r),  theta = [r | t];  log|det| = sum_j log_s_j"""

    thetas_per_feature = 2
    scale: Scale

    def _couple(self, x_b: Array, theta: Array) -> tuple[Array, Array, AffineCache]:
        r, t = theta[:, : x_b.shape[1]], theta[:, x_b.shape[1] :]  # (N, 2B) -> (N, B), (N, B)
        log_s = self.scale.forward(r)
        s = np.exp(log_s)
        scaled = x_b * s
        return scaled + t, log_s.sum(axis=1), AffineCache(r, log_s, s, scaled)

    def _couple_backward(self, dy_b: Array, dlog_det: Array, cache: AffineCache) -> tuple[Array, Array]:
        dx_b = dy_b * cache.s  # dy_b/dx_b = s
        dlog_s = dy_b * cache.scaled + dlog_det[:, None]  # dy_b/dlog_s = x_b s;  dlog_det/dlog_s_j = 1
        dr = self.scale.backward(dlog_s, cache.r, cache.log_s)
        return dx_b, np.concatenate([dr, dy_b], axis=1)  # (N, B), (N, 2B);  dy_b/dt = 1

    def _uncouple(self, y_b: Array, theta: Array) -> tuple[Array, Array, AffineCache]:
        r, t = theta[:, : y_b.shape[1]], theta[:, y_b.shape[1] :]  # (N, 2B) -> (N, B), (N, B)
        log_s = self.scale.forward(r)
        s = np.exp(-log_s)
        x_b = (y_b - t) * s
        return x_b, -log_s.sum(axis=1), AffineCache(r, log_s, s, x_b)

    def _uncouple_backward(self, dx_b: Array, dlog_det: Array, cache: AffineCache) -> tuple[Array, Array]:
        dy_b = dx_b * cache.s  # dx_b/dy_b = 1/s
        dlog_s = -dx_b * cache.scaled - dlog_det[:, None]  # dx_b/dlog_s = -x_b;  dlog_det/dlog_s_j = -1
        dr = self.scale.backward(dlog_s, cache.r, cache.log_s)
        return dy_b, np.concatenate([dr, -dy_b], axis=1)  # (N, B), (N, 2B);  dx_b/dt = -1/s


class AffineCoupling(AffineLaw, Coupling):
    """y_b = x_b * exp(log_s) + t,  (r, t) = conditioner(x_a);  log|det J| = sum_j log_s_j

    (Dinh et al. 2016, section 3.2)

    Parameters
    ----------
    partition : Partition
    conditioner : Module
        m: (N, A) -> (N, 2B), first r, then the shifts t.
    scale : {"tanh", "exp", "sigmoid", "softplus"} or Scale
        How log_s follows from r, see `nice_np.bijectors.scales`.
    """

    def __init__(self, partition: Partition, conditioner: Conditioner, scale: str | Scale = "tanh") -> None:
        super().__init__(partition, conditioner)
        self.scale = get_scale(scale)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "scale": name_of(self.scale, SCALES)}

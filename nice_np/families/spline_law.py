"""The spline law: between -bound and bound a monotone rational-quadratic spline, outside the identity.

(Durkan et al. 2019, section 3.)  `spline` has the function and its gradient, `spline_knots` what theta means.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nice_np.bijectors.coupling import Conditioner, Coupling
from nice_np.bijectors.law import Law
from nice_np.bijectors.partition import Partition
from nice_np.families.autoregressive import Autoregressive
from nice_np.families.spline import SplineCache, curvature, inverse_spline, spline, spline_backward
from nice_np.families.spline_knots import LEAST, Knots, Place, knots_of, place_of, theta_gradient
from nice_np.networks.masked import MaskedMLP
from nice_np.validation import Array, as_float, as_int

BINS, BOUND = 8, 4.0


class SplineLawCache(NamedTuple):
    """inside: whether x_b lies between -bound and bound, (N, B)."""

    inside: npt.NDArray[np.bool_]
    knots: Knots
    place: Place
    spline: SplineCache


class SplineLaw(Law):
    """y_b = spline(x_b; theta) where |x_b| < bound, x_b elsewhere;  log|det| = sum_j log dy_j/dx_j

    theta = 0 is the identity.
    """

    thetas_per_feature = 3 * BINS - 1
    bins: int
    bound: float

    def _set(self, bins: int, bound: float) -> None:
        self.bins = as_int(bins, type(self).__name__, "bins", 1, int(0.5 / LEAST))
        self.bound = as_float(bound, type(self).__name__, "bound", above=0)
        self.thetas_per_feature = 3 * self.bins - 1

    def _couple(self, x_b: Array, theta: Array) -> tuple[Array, Array, SplineLawCache]:
        knots, inside = knots_of(theta, self.bins, self.bound), np.abs(x_b) < self.bound
        x = np.clip(x_b, -self.bound, self.bound)
        place, bin = place_of(x, 0, knots)
        y, log_slope, cache = spline(x, bin)
        log_det = (log_slope * inside).sum(axis=1)  # slope 1 outside
        return np.where(inside, y, x_b), log_det, SplineLawCache(inside, knots, place, cache)

    def _couple_backward(self, dy_b: Array, dlog_det: Array, cache: SplineLawCache) -> tuple[Array, Array]:
        inside, knots, place, at_x = cache
        dx, dbin = spline_backward(dy_b * inside, dlog_det[:, None] * inside, at_x)
        return np.where(inside, dx, dy_b), theta_gradient(dbin, knots, place, self.bound)

    def _uncouple(self, y_b: Array, theta: Array) -> tuple[Array, Array, SplineLawCache]:
        knots, inside = knots_of(theta, self.bins, self.bound), np.abs(y_b) < self.bound
        y = np.clip(y_b, -self.bound, self.bound)
        place, bin = place_of(y, 1, knots)
        x = inverse_spline(y, bin)
        _, log_slope, cache = spline(x, bin)
        log_det = -(log_slope * inside).sum(axis=1)
        return np.where(inside, x, y_b), log_det, SplineLawCache(inside, knots, place, cache)

    def _uncouple_backward(self, dx_b: Array, dlog_det: Array, cache: SplineLawCache) -> tuple[Array, Array]:
        # spline(x; theta) = y defines x: the gradient is that of `families.implicit`, with J = dy/dx.
        inside, knots, place, at_x = cache
        dlog_slope = -dlog_det[:, None] * inside
        dy = (dx_b * inside + dlog_slope * curvature(at_x)) / at_x.slope
        _, dbin = spline_backward(-dy, dlog_slope, at_x)
        return np.where(inside, dy, dx_b), theta_gradient(dbin, knots, place, self.bound)


class SplineCoupling(SplineLaw, Coupling):
    """y_b = spline(x_b; m(x_a)), feature by feature: neural spline coupling (Durkan et al. 2019, section 3).

    Parameters
    ----------
    partition : Partition
    conditioner : Module
        m: (N, A) -> (N, (3 * bins - 1) * B): widths, heights and slopes, see `nice_np.families.spline_knots`.
    bins : int
        K, from 1 to 500.
    bound : float
        Numbers beyond -bound and bound pass unchanged.
    """

    def __init__(self, partition: Partition, conditioner: Conditioner, bins: int = BINS, bound: float = BOUND) -> None:
        self._set(bins, bound)
        super().__init__(partition, conditioner)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "bins": self.bins, "bound": self.bound}


class SplineAutoregressive(SplineLaw, Autoregressive):
    """z_i = spline(x_i; m_i(x_<i, c)): autoregressive neural splines (Durkan et al. 2019, section 3).

    Parameters
    ----------
    conditioner : MaskedMLP
        m: (N, D + C) -> (N, (3 * bins - 1) * D).
    bins, bound
        As for `SplineCoupling`.
    """

    def __init__(self, conditioner: MaskedMLP, bins: int = BINS, bound: float = BOUND) -> None:
        self._set(bins, bound)
        super().__init__(conditioner)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "bins": self.bins, "bound": self.bound}

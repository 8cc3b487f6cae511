"""Inverses that no formula gives: a search finds x with f(x) = z, and calculus still gives the exact gradient.

The search itself is never differentiated.  With J = df/dx, the equation f(x; w) = z says how x follows z and w:

    J dx + (df/dw) dw = dz,    so    dx = J^-1 (dz - (df/dw) dw)         (implicit function theorem)

The inverse returns x and l = -log|det J(x; w)|.  For a loss L(x, l) with the gradients dL/dx and dL/dl

    r = dL/dx - dL/dl  d log|det J| / dx        all that acts on x
    v = J^-T r  =  dL/dz
    dL/dw = -(df/dw)^T v - dL/dl  d log|det J| / dw

and the last line is the gradient of `forward` for dL/df = -v and dL/dlog_det = -dL/dl.  So a layer with a forward, its
backward and a solution of J^T v = r has an inverse gradient, too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.law import Law
from nice_np.errors import NiceOverflowError
from nice_np.parameters import run_backward
from nice_np.validation import Array, as_batch

STEPS = 200  # Newton needs about six; halving a bracket of float64 down to neighbouring numbers some 60


class ImplicitInverse(Bijector):
    """A bijector whose inverse is a search: the subclass has `forward`, `backward` and these two."""

    @abstractmethod
    def _search(self, z: Array) -> Array:
        """x with forward(x) = z, to rounding: (N, D) -> (N, D)."""

    @abstractmethod
    def _solve_transposed(self, r: Array, cache: Any) -> Array:
        """v with J^T v = r for each row, J = df/dx at the x of the cache: (N, D) -> (N, D)."""

    def inverse(self, z: Array) -> tuple[Array, Array, Any]:
        x = self._search(as_batch(z, self.dim, self, "z"))
        _, log_det, cache = self.forward(x)
        return x, -log_det, cache

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: Any, parameters: bool = True) -> Array:
        r = dx + run_backward(self.backward, np.zeros_like(dx), -dlog_det, cache, parameters=False)
        v = self._solve_transposed(r, cache)
        if parameters:
            self.backward(-v, -dlog_det, cache)
        return v


class ImplicitLaw(Law):
    """A law whose inverse is a search: the subclass has `_couple`, `_couple_backward` and `_value_and_slope`.

    J is diagonal here, so v = r / h'(x).
    """

    @abstractmethod
    def _value_and_slope(self, x_b: Array, theta: Array) -> tuple[Array, Array]:
        """h(x_b; theta) and dh/dx_b > 0: (N, B) each."""

    def _uncouple(self, y_b: Array, theta: Array) -> tuple[Array, Array, Any]:
        x_b = root_of_increasing(lambda x_b: self._value_and_slope(x_b, theta), y_b)
        _, log_det, cache = self._couple(x_b, theta)
        return x_b, -log_det, cache

    def _uncouple_backward(self, dx_b: Array, dlog_det: Array, cache: Any) -> tuple[Array, Array]:
        nothing = np.zeros_like(dlog_det)
        slope = self._couple_backward(np.ones_like(dx_b), nothing, cache)[0]  # dh/dx_b
        r = dx_b + self._couple_backward(np.zeros_like(dx_b), -dlog_det, cache)[0]
        v = r / slope
        return v, self._couple_backward(-v, -dlog_det, cache)[1]


def root_of_increasing(function: Callable[[Array], tuple[Array, Array]], y: Array) -> Array:
    """x with function(x) = y, element by element, for an increasing function of the whole real line.

    A bracket around each root is found by doubling.  Then Newton's steps are taken, or the middle of the bracket where
    a step would leave it, until no x moves any more.

    Parameters
    ----------
    function : callable
        x -> (value, slope), arrays of x's shape; the slope is not negative.
    y : ndarray

    Returns
    -------
    x : ndarray
        Of y's shape and dtype.

    Raises
    ------
    NiceOverflowError
        Where the function does not reach y before x overflows.
    """
    with np.errstate(all="ignore"):  # far out the function may overflow; where it is flat a Newton step is infinite
        low, high = _bracket(function, y)
        x, eps = 0.5 * (low + high), np.finfo(y.dtype).eps
        found, last = np.zeros(y.shape, bool), np.full_like(y, np.inf)
        for _ in range(STEPS):
            value, slope = function(x)
            low, high = np.where(value <= y, x, low), np.where(value >= y, x, high)
            newton = x - (value - y) / slope
            inside = (newton >= low) & (newton <= high)
            moved = np.where(inside, newton, 0.5 * (low + high))
            # Newton's steps shrink until only rounding is left.
            step = np.abs(moved - x)
            rounding = inside & (step >= last) & (step <= np.sqrt(eps) * np.maximum(np.abs(x), 1))
            closed = high - low <= 2 * eps * np.abs(x)
            x, last = np.where(found, x, moved), step
            found |= rounding | closed | (np.abs(value - y) <= 2 * eps * np.abs(y))
            if found.all():
                break
    return x


def _bracket(function: Callable[[Array], tuple[Array, Array]], y: Array) -> tuple[Array, Array]:
    """low and high with function(low) <= y <= function(high)."""
    ends = []
    for away in (-1.0, 1.0):
        width = np.ones_like(y)
        while (outside := away * (function(y + away * width)[0] - y) < 0).any():
            width = np.where(outside, 2 * width, width)
            if not np.isfinite(width).all():
                raise NiceOverflowError("inverse: no finite x has this z")
        ends.append(y + away * width)
    return ends[0], ends[1]

"""Inverses that no formula gives: a search finds x with f(x) = z, and calculus still gives the exact gradient.

The search itself is never differentiated.  With J = df/dx, the equation f(x; w) = z says how x follows z and w:

    J dx + (df/dw) dw = dz,    so    dx = J^-1 (dz - (df/dw) dw)         (implicit function theorem)

The inverse returns x and l = -log|det J(x; w)|.  For a loss L(x, l) with the gradients dL/dx and dL/dl

    r = dL/dx - dL/dl  d log|det J| / dx        all that acts on x
    v = J^-T r  =  dL/dz
    dL/dw = -(df/dw)^T v - dL/dl  d log|det J| / dw

and the last line is the gradient of `forward` for dL/df = -v and dL/dlog_det = -dL/dl.  So a layer with a forward, its
backward and a solution of J^T v = r has an inverse gradient, too.  `searches` finds x.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.law import Law
from nice_np.families.searches import root_of_increasing
from nice_np.parameters import run_backward
from nice_np.validation import Array, as_batch


class ImplicitInverse(Bijector):
    """A bijector whose inverse may be a search: the subclass has `forward`, `backward` and these two."""

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

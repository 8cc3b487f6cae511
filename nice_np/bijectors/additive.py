"""Additive coupling, the layer of NICE: y_b = x_b + m(x_a).  It preserves volume."""

from __future__ import annotations

import numpy as np

from nice_np.bijectors.coupling import Coupling
from nice_np.bijectors.law import Law
from nice_np.validation import Array


class AdditiveLaw(Law):
    """y_b = x_b + t,  theta = t;  log|det| = 0"""

    def _couple(self, x_b: Array, theta: Array) -> tuple[Array, Array, None]:
        return x_b + theta, np.zeros(len(x_b), x_b.dtype), None

    def _couple_backward(self, dy_b: Array, dlog_det: Array, cache: None) -> tuple[Array, Array]:
        return dy_b, dy_b  # dy_b/dx_b = 1,  dy_b/dt = 1

    def _uncouple(self, y_b: Array, theta: Array) -> tuple[Array, Array, None]:
        return y_b - theta, np.zeros(len(y_b), y_b.dtype), None

    def _uncouple_backward(self, dx_b: Array, dlog_det: Array, cache: None) -> tuple[Array, Array]:
        return dx_b, -dx_b  # dx_b/dy_b = 1,  dx_b/dt = -1


class AdditiveCoupling(AdditiveLaw, Coupling):
    """y_b = x_b + t,  t = conditioner(x_a);  log|det J| = 0      (Dinh et al. 2014, section 3.2)

    Examples
    --------
    >>> from nice_np import MLP, Partition
    >>> AdditiveCoupling(Partition.odd_even(784), MLP((392, 1000, 392), rng=0))
    AdditiveCoupling(dim=784, kept=392, conditioner=MLP(392-1000-392, relu))
    """

"""A law y = h(x; theta): one number from another, invertible for every theta, feature by feature.

The family of coupling and autoregressive layers is laws times wirings.  A wiring says what theta may depend on: on the
kept features in `coupling`, on the features before this one in an autoregressive layer.  A law says what is done with
it, in four short methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from nice_np.validation import Array


class Law(ABC):
    """h and its inverse, with their gradients; x_b and y_b are (N, B), theta is (N, T * B).

    Attributes
    ----------
    thetas_per_feature : int
        T.  theta holds T blocks of B columns: the first parameter of every feature, then the second of every feature.
    """

    thetas_per_feature: int = 1

    @abstractmethod
    def _couple(self, x_b: Array, theta: Array) -> tuple[Array, Array, Any]:
        """y_b = h(x_b; theta), log|det dh/dx_b| (N,), cache."""

    @abstractmethod
    def _couple_backward(self, dy_b: Array, dlog_det: Array, cache: Any) -> tuple[Array, Array]:
        """dL/dx_b, dL/dtheta."""

    @abstractmethod
    def _uncouple(self, y_b: Array, theta: Array) -> tuple[Array, Array, Any]:
        """x_b = h^-1(y_b; theta), log|det dh^-1/dy_b| (N,), cache."""

    @abstractmethod
    def _uncouple_backward(self, dx_b: Array, dlog_det: Array, cache: Any) -> tuple[Array, Array]:
        """dL/dy_b, dL/dtheta."""

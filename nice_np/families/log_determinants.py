"""log det(I + J) for the Jacobian J = dg/dx of a contraction g: what a way to compute it must have, and the exact one.

D tangents give all of A = I + J, and d log det A / dA = A^-T.  `power_series` has an estimate for many features.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from nice_np.networks.mlp import MLP
from nice_np.networks.tangents import backward_with_tangents, forward_with_tangents
from nice_np.parameters.part import Part
from nice_np.validation import Array


class LogDeterminant(Part):
    """A way to log det(I + dg/dx), for a network g: (N, D + C) -> (N, D); J holds the derivatives by the first D."""

    @abstractmethod
    def forward(self, g: MLP, x: Array) -> tuple[Array, Array, Any]:
        """g(x) (N, D), log det (N,), cache."""

    @abstractmethod
    def backward(self, g: MLP, dg: Array, dlog_det: Array, cache: Any, parameters: bool) -> Array:
        """dL/dx (N, D + C) from dL/dg(x) (N, D) and dL/dlog_det (N,); writes dL/dW and dL/db of g."""


class ExactLogDeterminant(LogDeterminant):
    """D tangents per row and a determinant of size D: up to some tens of features."""

    name = "exact"

    def forward(self, g: MLP, x: Array) -> tuple[Array, Array, Any]:
        D = g.sizes[-1]
        units = np.eye(D, g.sizes[0], dtype=x.dtype)  # D steps along the features
        y, JV, cache = forward_with_tangents(g, x, np.broadcast_to(units, (len(x), *units.shape)))
        A = np.eye(D, dtype=x.dtype) + JV  # (N, D, D): row k is column k of I + J
        return y, np.linalg.slogdet(A)[1], (A, cache)

    def backward(self, g: MLP, dg: Array, dlog_det: Array, cache: Any, parameters: bool) -> Array:
        A, tangents = cache
        dA = dlog_det[:, None, None] * np.linalg.inv(A).transpose(0, 2, 1)  # d log det A = tr(A^-1 dA)
        return backward_with_tangents(g, dg, dA, tangents, parameters)[0]

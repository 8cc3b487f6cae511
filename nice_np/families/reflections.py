"""Orthonormal columns from free numbers: a product of Householder reflections.

A reflection H = I - 2 y y^T / |y|^2 is orthogonal, symmetric and its own inverse, for every y but 0; so a product of
them is orthogonal whatever a training step does to the y, and every orthogonal matrix is a product of at most D of
them, up to the sign of a column.
"""

from __future__ import annotations

import numpy as np

from nice_np.validation import Array


def orthonormal_columns(Y: Array) -> Array:
    """Q (D, M), the first M columns of H_1 ... H_M, from Y (M, D) (van den Berg et al. 2018, section 3.2)."""
    Q = np.eye(Y.shape[1], len(Y), dtype=Y.dtype)
    for y in Y[::-1]:
        Q -= np.outer(2 / (y @ y) * y, y @ Q)
    return Q


def columns_backward(dQ: Array, Y: Array) -> Array:
    """dL/dY (M, D) from dL/dQ (D, M), one reflection after the other: B = H A, so A = H B and dA = H dB."""
    dY, B, dB = np.zeros_like(Y), orthonormal_columns(Y), dQ
    for i, y in enumerate(Y):
        n = y @ y
        A = B - np.outer(2 / n * y, y @ B)
        p, dp = y @ A, y @ dB  # (M,)
        dY[i] = -2 / n * (dB @ p + A @ dp) + 4 / n**2 * (p @ dp) * y  # B = A - 2 y p / n,  p = y A,  n = y.y
        B, dB = A, dB - np.outer(2 / n * y, dp)
    return dY

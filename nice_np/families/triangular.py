"""Upper triangular matrices with a bounded diagonal: R_ij = r_ij for i < j, R_ii = tanh(r_ii) in (-1, 1)."""

from __future__ import annotations

import numpy as np

from nice_np.validation import Array


def upper(r: Array, size: int) -> Array:
    """The upper triangular matrix (M, M) of these entries, row by row, with tanh of them on the diagonal."""
    R = np.zeros((size, size), r.dtype)
    R[np.triu_indices(size)] = r
    np.fill_diagonal(R, np.tanh(np.diag(R)))
    return R


def upper_backward(dR: Array, R: Array) -> Array:
    """dL/dr from dL/dR: tanh' = 1 - tanh^2 on the diagonal, and nothing of what is below it."""
    dr: Array = (dR * (1 - np.diag(np.diag(R)) ** 2))[np.triu_indices(len(R))]
    return dr

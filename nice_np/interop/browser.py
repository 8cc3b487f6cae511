"""NumPy in a browser tab has no BLAS, but SciPy has: its matrix products take a third of the time there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nice_np.interop.products import Gemm, by_columns, multiply_by
from nice_np.validation import Array

SMALL = 1 << 12  # multiplications; below, the call of a BLAS takes longer than NumPy's own loop


def use_blas() -> None:
    """From now on np.dot and np.matmul, in this process, let SciPy multiply matrices of floats.

    Results agree with NumPy's to rounding; everything else, such as ``a @ b``, stays NumPy's.  The first cell of a
    notebook in a browser tab calls it.  Where NumPy has a BLAS of its own, it gains nothing.
    """
    from scipy.linalg import blas

    multiply_by({np.dtype(np.float32): _by(blas.sgemm), np.dtype(np.float64): _by(blas.dgemm)}, SMALL)


def _by(gemm: Callable[..., Any]) -> Gemm:
    def multiply(a: Array, b: Array, out: Array) -> None:
        # A BLAS stores columns, and (a b)^T = b^T a^T: it writes the transpose, which is `out` by rows
        (left, left_turned), (right, right_turned) = by_columns(b.T), by_columns(a.T)
        gemm(1, left, right, trans_a=left_turned, trans_b=right_turned, c=out.T, overwrite_c=True)

    return multiply

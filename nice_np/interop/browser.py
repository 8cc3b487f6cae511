"""NumPy in a browser tab has no BLAS, but SciPy has: its matrix products take a third of the time there."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from nice_np.validation import Array

# NumPy's own functions are replaced, instead of a product of the package's own that the networks would call: their code
# is to be read, and np.dot(x, W) says what it does; and what a student writes in the tab becomes fast, too.
SMALL = 1 << 12  # multiplications; below, the call of a BLAS takes longer than NumPy's own loop


def use_blas() -> None:
    """From now on np.dot and np.matmul, in this process, let SciPy multiply matrices of floats.

    Results agree with NumPy's to rounding; everything else, such as ``a @ b``, stays NumPy's.  The first cell of a
    notebook in a browser tab calls it.  Where NumPy has a BLAS of its own, it gains nothing.
    """
    from scipy.linalg import blas

    gemms = {np.dtype(np.float32): blas.sgemm, np.dtype(np.float64): blas.dgemm}

    def by_blas(numpy_product: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(numpy_product)
        def product(a: Any, b: Any, *args: Any, **named: Any) -> Any:
            gemm = gemms.get(a.dtype) if _are_matrices(a, b) and not args and named.keys() <= {"out"} else None
            if gemm is None:
                return numpy_product(a, b, *args, **named)
            # A BLAS stores columns, and (a b)^T = b^T a^T: the transpose of its answer has NumPy's rows.
            (left, left_turned), (right, right_turned) = _by_columns(b.T), _by_columns(a.T)
            found = gemm(1, left, right, trans_a=left_turned, trans_b=right_turned).T
            if named.get("out") is None:
                return found
            named["out"][...] = found
            return named["out"]

        product.without_blas = numpy_product  # type: ignore[attr-defined]
        return product

    for name in ("dot", "matmul"):
        numpy_product = getattr(np, name)
        if not hasattr(numpy_product, "without_blas"):  # a second call changes nothing
            setattr(np, name, by_blas(numpy_product))


def _are_matrices(a: Any, b: Any) -> bool:
    """Whether a BLAS can multiply them, (N, K) and (K, M) of one dtype, and they are large enough."""
    if not (type(a) is type(b) is np.ndarray and a.ndim == b.ndim == 2 and a.dtype == b.dtype):
        return False
    return bool(a.shape[1] == b.shape[0] and a.size * b.shape[1] >= SMALL)


def _by_columns(a: Array) -> tuple[Array, bool]:
    """The matrix, or its transpose (True), whichever is stored by columns: a BLAS takes it without a copy."""
    return (a, False) if a.flags.f_contiguous else (a.T, True)

"""np.dot and np.matmul by another BLAS than NumPy's.

NumPy's own functions are replaced, instead of a product of the package's own that the networks would call: their code
is to be read, and np.dot(x, W) says what it does; and what a student writes becomes faster, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from nice_np.validation import Array

Gemm = Callable[[Array, Array, Array], None]  # writes a b into out: (N, K), (K, M), (N, M), the last one stored by rows


def multiply_by(gemms: dict[Any, Gemm], smallest: int) -> None:
    """From now on np.dot and np.matmul, in this process, let `gemms` multiply matrices.

    Parameters
    ----------
    gemms : dict
        One for each dtype.
    smallest : int
        Multiplications in a product, N K M, below which NumPy's is taken.
    """

    def by_blas(numpy_product: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(numpy_product)
        def product(a: Any, b: Any, *args: Any, **named: Any) -> Any:
            known = not args and named.keys() <= {"out"} and _are_matrices(a, b) and a.size * b.shape[1] >= smallest
            gemm = gemms.get(a.dtype) if known else None
            if gemm is None:
                return numpy_product(a, b, *args, **named)
            out = named.get("out")
            out = np.empty((len(a), b.shape[1]), a.dtype) if out is None else out
            if not _takes_product(out, a, b):
                return numpy_product(a, b, out=out)
            gemm(a, b, out)
            return out

        product.without_blas = numpy_product  # type: ignore[attr-defined]
        return product

    for name in ("dot", "matmul"):
        now = getattr(np, name)
        setattr(np, name, by_blas(getattr(now, "without_blas", now)))  # the last call decides


def _are_matrices(a: Any, b: Any) -> bool:
    """Whether a BLAS can multiply them: (N, K) and (K, M) of one dtype, and it counts in 32 bits."""
    if not (type(a) is type(b) is np.ndarray and a.ndim == b.ndim == 2 and a.dtype == b.dtype):
        return False
    return bool(a.shape[1] == b.shape[0] and max(a.shape + b.shape) < 1 << 31)


def _takes_product(out: Any, a: Array, b: Array) -> bool:
    """Whether a b can be written into `out` without a copy, and without a factor being overwritten."""
    if not (type(out) is np.ndarray and out.shape == (len(a), b.shape[1]) and out.dtype == a.dtype):
        return False
    return bool(out.flags.carray and not np.may_share_memory(out, a) and not np.may_share_memory(out, b))


def by_columns(a: Array) -> tuple[Array, bool]:
    """The matrix, or its transpose (True), stored by columns, as a BLAS takes it: a copy only if it has gaps."""
    return (np.asfortranarray(a), False) if not a.flags.c_contiguous else (a.T, True)

"""Intel's MKL for the matrix products: on Intel's processors a training step of a large flow takes an eighth less time.

NumPy's wheels contain OpenBLAS.  MKL is a package of its own, ``pip install "nice-np[mkl]"``, one shared library that
is called here through ctypes.  On other processors measure first.
"""

from __future__ import annotations

import ctypes
import os
import site
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from nice_np._blas import BLAS
from nice_np.errors import NiceImportError
from nice_np.interop.products import by_columns, multiply_by
from nice_np.validation import Array

SMALL = 1 << 20  # multiplications; below, the call through ctypes takes longer than is gained
BY_COLUMNS, AS_IT_IS, TRANSPOSED = 102, 111, 112  # of cblas.h
NAMES = ("libmkl_rt.so.*", "mkl_rt.*.dll", "libmkl_rt.*.dylib")
FOLDERS = [  # where pip and conda put it
    folder for base in (sys.prefix, site.USER_BASE) if base for folder in (f"{base}/lib", f"{base}/Library/bin")
]


def use_blas() -> None:
    """From now on np.dot and np.matmul, in this process, let MKL multiply large matrices of floats.

    Results agree with NumPy's to rounding.  The number of threads follows the load of the machine as before.

    Raises
    ------
    NiceImportError
        If there is no MKL beside this Python.
    """
    mkl = library()
    gemms = {np.float32: mkl.cblas_sgemm, np.float64: mkl.cblas_dgemm}
    multiply_by({np.dtype(kind): partial(_multiply, gemm) for kind, gemm in gemms.items()}, SMALL)


@cache
def library() -> Any:
    """MKL, loaded once."""
    for path in (path for folder in FOLDERS for name in NAMES for path in sorted(Path(folder).glob(name))):
        os.environ.setdefault("KMP_BLOCKTIME", "1")  # its threads, too, go to sleep soon; see `nice_np._blas`
        mkl = ctypes.CDLL(str(path))
        whole, pointer = ctypes.c_int, ctypes.c_void_p
        for gemm, scalar in ((mkl.cblas_sgemm, ctypes.c_float), (mkl.cblas_dgemm, ctypes.c_double)):
            gemm.argtypes = [*6 * [whole], scalar, pointer, whole, pointer, whole, scalar, pointer, whole]
            gemm.restype = None
        BLAS.known = None  # there is one more
        return mkl
    raise NiceImportError(f"use_blas: no MKL in {sys.prefix}; pip install mkl")


def _multiply(gemm: Any, a: Array, b: Array, out: Array) -> None:
    (left, left_turned), (right, right_turned) = by_columns(b.T), by_columns(a.T)  # (a b)^T = b^T a^T, see `browser`
    (m, k), n = b.T.shape, len(a)
    turns = (TRANSPOSED if turned else AS_IT_IS for turned in (left_turned, right_turned))
    # out^T = 1 left right + 0 out^T, with the length of a column behind each matrix
    from_left, from_right = (left.ctypes.data, len(left)), (right.ctypes.data, len(right))
    gemm(BY_COLUMNS, *turns, m, n, k, 1, *from_left, *from_right, 0, out.ctypes.data, m)

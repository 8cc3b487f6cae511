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
    mkl = _library()
    single, double = (ctypes.c_float, mkl.cblas_sgemm), (ctypes.c_double, mkl.cblas_dgemm)
    multiply_by({np.dtype(c): partial(_multiply, c, function) for c, function in (single, double)}, SMALL)


@cache
def _library() -> Any:
    for path in (path for folder in FOLDERS for name in NAMES for path in sorted(Path(folder).glob(name))):
        os.environ.setdefault("KMP_BLOCKTIME", "1")  # its threads, too, go to sleep soon; see `nice_np._blas`
        library = ctypes.CDLL(str(path))
        BLAS.known = None  # there is one more
        return library
    raise NiceImportError(f"use_blas: no MKL in {sys.prefix}; pip install mkl")


def _multiply(scalar: Any, gemm: Any, a: Array, b: Array, out: Array) -> None:
    (left, left_turned), (right, right_turned) = by_columns(b.T), by_columns(a.T)  # (a b)^T = b^T a^T, see `browser`
    (m, k), n = b.T.shape, len(a)
    gemm(
        ctypes.c_int(BY_COLUMNS),
        ctypes.c_int(TRANSPOSED if left_turned else AS_IT_IS),
        ctypes.c_int(TRANSPOSED if right_turned else AS_IT_IS),
        *(ctypes.c_int(size) for size in (m, n, k)),
        scalar(1),
        ctypes.c_void_p(left.ctypes.data),
        ctypes.c_int(len(left)),
        ctypes.c_void_p(right.ctypes.data),
        ctypes.c_int(len(right)),
        scalar(0),
        ctypes.c_void_p(out.ctypes.data),
        ctypes.c_int(m),
    )

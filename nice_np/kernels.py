"""The hot loops for Numba, and what compiles them; the only file that imports Numba, and it imports nothing of nice_np.

A kernel is a loop with a NumPy twin.  It is compiled at its first call, so importing the package costs nothing.  The
twin runs instead if Numba is missing or NUMBA_DISABLE_JIT=1 is set; the results agree up to rounding.

Compiled loops trust shapes: with a wrong one they read and write past the end of an array.  Callers of a kernel have
checked the shapes or made the arrays themselves.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

V = npt.NDArray[np.floating[Any]]  # a vector, such as that of all parameters (P,)
A = npt.NDArray[np.floating[Any]]  # an array of any shape
M = npt.NDArray[np.floating[Any]]  # a matrix, such as the output of a layer (N, width)
F = Any  # a scalar of the arrays' dtype
LONG = 1 << 20  # from this length on, a vector is worth a second thread


class Kernel:
    """A loop for Numba and its NumPy twin under one name."""

    def __init__(self, loop: Callable[..., None], twin: Callable[..., None]) -> None:
        self.loop, self.twin = loop, twin
        self._chosen: Callable[..., None] | None = None
        self._on_disk = True  # keep the compiled code for the next process

    def __call__(self, *args: Any) -> None:
        try:
            (self._chosen or self.choose())(*args)
        except Exception:  # compiled loops raise nothing; a full or damaged disk does, before they start
            if self._chosen in (None, self.twin) or not self._on_disk:
                raise
            self._on_disk = False
            self._chosen = compile_loop(self.loop, on_disk=False) or self.twin
            self._chosen(*args)

    def choose(self) -> Callable[..., None]:
        """The compiled loop if there is Numba, otherwise the twin; chosen once."""
        if self._chosen is None:
            self._chosen = compile_loop(self.loop) or self.twin
            log.debug("%s: %s", self.loop.__name__, "NumPy" if self._chosen is self.twin else "compiled by Numba")
        return self._chosen

    @property
    def is_compiled(self) -> bool:
        """Whether calls go to the compiled loop."""
        return self.choose() is not self.twin


class InPlaceKernel(Kernel):
    """A loop over flat views of its arrays; a non-contiguous array has no such view, so the twin runs."""

    def __call__(self, *arrays: Any) -> None:
        for array in arrays:
            if not array.flags.c_contiguous:
                self.twin(*arrays)
                return
        super().__call__(*arrays)


def compile_loop(loop: Callable[..., None], on_disk: bool = True) -> Callable[..., None] | None:
    """`loop` compiled by Numba and cached on disk, or None if Numba is missing or switched off."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return None
    try:
        import numba
    except ImportError:
        return None
    # error_model="numpy": division by zero gives inf, not an exception.  Without that test the loop vectorises and runs
    # six times faster.  Not fastmath, which makes isnan return False.
    compiled: Any = numba.njit(nogil=True, error_model="numpy")(loop)
    if on_disk:
        try:
            compiled._cache = _cache_of(loop)  # what njit(cache=True) does, with another choice of folders
        except (RuntimeError, AttributeError):  # no writable one, or another Numba: compile again in each process
            log.debug("%s: no folder to cache the compiled code in", loop.__name__)
    return compiled  # type: ignore[no-any-return]


def _cache_of(loop: Callable[..., None]) -> Any:
    """Numba's cache on disk, in NUMBA_CACHE_DIR or the user's cache folder, but never beside the source: there it would
    outlive ``pip uninstall``, and Python would import what is left as an empty package."""
    from numba.core import caching

    kind = caching.FunctionCache._impl_class
    folders = [locator for locator in kind._locator_classes if "InTree" not in locator.__name__]
    elsewhere = type(kind.__name__, (kind,), {"_locator_classes": folders})
    return type("FunctionCache", (caching.FunctionCache,), {"_impl_class": elsewhere})(loop)


def in_halves(kernel: Callable[..., None], vectors: Sequence[V], others: Sequence[Any]) -> None:
    """``kernel(*vectors, *others)``; for long vectors, one half in this thread and the other half in a second one.

    These loops are limited by memory bandwidth, which two cores use better than one.
    """
    size = len(vectors[0])
    if size < LONG or sys.platform == "emscripten":  # a browser tab has no second thread
        kernel(*vectors, *others)
        return

    def work(half: slice) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # as in `Optimizer.step`, whose setting is per thread
            kernel(*(vector[half] for vector in vectors), *others)

    other = _helper(os.getpid()).submit(work, slice(size // 2, size))
    try:
        work(slice(size // 2))
    finally:
        other.result()  # re-raises an error of the other thread


@cache
def _helper(process: int) -> ThreadPoolExecutor:
    """The second thread, which sleeps between two steps: starting one in each step costs as much as it gains.

    One for each process: threads do not survive a fork.
    """
    return ThreadPoolExecutor(1, "nice_np")


# The loops.  Each is compiled from the text below; its NumPy twin is next to the formula it speeds up.


class AdamScalars(NamedTuple):
    """The numbers of one step of Adam, all in the dtype of the vectors; see `nice_np.training.optim.adam_step`."""

    beta1: F
    beta2: F
    rest1: F  # 1 - beta1
    rest2: F
    bias1: F  # 1 - beta1^t, the bias of m after t steps
    bias2: F
    rate: F  # learning rate
    eps: F
    keep: F  # 1 - rate * weight decay
    tiny: F  # smallest normal number


def adam_loop(values: V, grads: V, m: V, v: V, s: AdamScalars) -> None:
    """See `nice_np.training.optim.adam_update`."""
    # With a 1 of another type in place of `one` the whole loop would compute in float64, half as fast.
    one = values.dtype.type(1)
    rate, root = s.rate / s.bias1, one / np.sqrt(s.bias2)
    for i in range(values.size):
        mean = s.beta1 * m[i] + s.rest1 * grads[i]
        square = s.beta2 * v[i] + s.rest2 * grads[i] * grads[i]
        m[i] = 0 if abs(mean) < s.tiny else mean  # NaN stays NaN
        v[i] = 0 if square < s.tiny else square
        values[i] = s.keep * values[i] - rate * m[i] / (np.sqrt(v[i]) * root + s.eps)


def _average_loop(average: V, values: V, weight: F) -> None:
    for i in range(values.size):
        average[i] += weight * (values[i] - average[i])


def _average_twin(average: V, values: V, weight: F) -> None:
    average += weight * (values - average)


average_kernel = Kernel(_average_loop, _average_twin)


def average_step(average: V, values: V, weight: float, kernel: Callable[..., None] = average_kernel) -> None:
    """average <- average + weight (values - average) over flat vectors of shape (P,), in place."""
    in_halves(kernel, (average, values), [values.dtype.type(weight)])


def _find_infinite_loop(vector: V, limit: F, found: npt.NDArray[np.bool_]) -> None:
    infinite = False
    for i in range(vector.size):
        infinite |= not abs(vector[i]) <= limit  # True for NaN too
    if infinite:
        found[0] = True


def _find_infinite_twin(vector: V, limit: F, found: npt.NDArray[np.bool_]) -> None:
    if not np.isfinite(vector).all():
        found[0] = True


find_infinite = Kernel(_find_infinite_loop, _find_infinite_twin)


def all_finite(vector: V, kernel: Callable[..., None] = find_infinite) -> bool:
    """Whether a flat vector has neither NaN nor infinity."""
    found = np.zeros(1, np.bool_)
    kernel(vector, np.finfo(vector.dtype).max, found)
    return not found[0]


def bias_relu_loop(a: M, b: V) -> None:
    """a <- max(a + b, 0): (N, width), (width,), in place."""
    for n in range(a.shape[0]):
        for j in range(a.shape[1]):
            shifted = a[n, j] + b[j]
            a[n, j] = 0 if shifted < 0 else shifted  # NaN stays NaN


def relu_backward_loop(dh: A, h: A) -> None:
    """dh <- dh where h > 0, else 0, in place."""
    flat_dh, flat_h = dh.reshape(dh.size), h.reshape(h.size)
    for i in range(flat_dh.size):
        flat_dh[i] = flat_dh[i] if flat_h[i] > 0 else 0


# Every second column of x (N, D) out of it, and into it: with a known step the compiler moves many numbers at once.


def take_pairs_loop(x: M, even: M, odd: M) -> None:
    """even_j <- x_2j, odd_j <- x_2j+1: (N, D // 2) each."""
    for n in range(len(x)):
        for j in range(even.shape[1]):
            even[n, j] = x[n, 2 * j]
            odd[n, j] = x[n, 2 * j + 1]


def put_pairs_loop(x: M, even: M, odd: M) -> None:
    """x_2j <- even_j, x_2j+1 <- odd_j."""
    for n in range(len(x)):
        for j in range(even.shape[1]):
            x[n, 2 * j] = even[n, j]
            x[n, 2 * j + 1] = odd[n, j]


def neighbours_loop(padded: A, u: A) -> None:
    """u_p <- three rows of three pixels around p: (N, h + 2, (w + 2) c) -> (N, h, w, 3, 3 c), for convolutions."""
    channels = u.shape[4] // 3
    for n in range(u.shape[0]):
        for i in range(u.shape[1]):
            for j in range(u.shape[2]):
                for r in range(3):
                    for c in range(u.shape[4]):  # three pixels of a row lie behind each other
                        u[n, i, j, r, c] = padded[n, i + r, j * channels + c]


def add_to_neighbours_loop(u: A, padded: A) -> None:
    """Its transpose: every u_p is added to where `neighbours_loop` reads it."""
    channels = u.shape[4] // 3
    for n in range(u.shape[0]):
        for i in range(u.shape[1]):
            for j in range(u.shape[2]):
                for r in range(3):
                    for c in range(u.shape[4]):
                        padded[n, i + r, j * channels + c] += u[n, i, j, r, c]

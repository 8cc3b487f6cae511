"""The hot loops, each beside its plain NumPy twin; the only file with Numba in it, and nothing else of nice_np.

A kernel is compiled at its first call, so importing the package costs nothing.  The twin runs instead where Numba is
missing or NUMBA_DISABLE_JIT=1 is set, the mode in which to step through the code: the results agree to rounding.

Compiled loops trust shapes: where one is wrong they read and write what lies behind the end of an array.  Who calls a
kernel has checked them, or made the arrays.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

V = npt.NDArray[np.floating[Any]]  # a vector, such as that of all parameters (P,)
A = npt.NDArray[np.floating[Any]]  # an array of any shape
M = npt.NDArray[np.floating[Any]]  # a matrix, such as the output of a layer (N, width)
I = npt.NDArray[np.unsignedinteger[Any]]  # positions, unsigned: no time goes into asking whether one is negative
F = Any  # a scalar of the arrays' dtype
LONG = 1 << 20  # numbers in a vector from which on a second thread is worth its start


class Kernel:
    """A loop for Numba and its NumPy twin under one name."""

    def __init__(self, loop: Callable[..., None], twin: Callable[..., None]) -> None:
        self.loop, self.twin = loop, twin
        self._chosen: Callable[..., None] | None = None
        self._on_disk = True  # compiled code is kept there from one process to the next

    def __call__(self, *args: Any) -> None:
        try:
            (self._chosen or self.choose())(*args)
        except Exception:  # compiled loops raise nothing; a disk that is full or damaged does, before they begin
            if self._chosen in (None, self.twin) or not self._on_disk:
                raise
            self._on_disk = False
            self._chosen = compile_loop(self.loop, on_disk=False) or self.twin
            self._chosen(*args)

    def choose(self) -> Callable[..., None]:
        """The compiled loop where there is Numba, the twin elsewhere; once and for all."""
        if self._chosen is None:
            self._chosen = compile_loop(self.loop) or self.twin
            log.debug("%s: %s", self.loop.__name__, "NumPy" if self._chosen is self.twin else "compiled by Numba")
        return self._chosen

    @property
    def is_compiled(self) -> bool:
        """Whether calls go to the compiled loop."""
        return self.choose() is not self.twin


class InPlaceKernel(Kernel):
    """A loop that takes its arrays flat, as views; where one has gaps there is no such view, and the twin runs."""

    def __call__(self, *arrays: Any) -> None:
        for array in arrays:
            if not array.flags.c_contiguous:
                self.twin(*arrays)
                return
        super().__call__(*arrays)


def compile_loop(loop: Callable[..., None], on_disk: bool = True) -> Callable[..., None] | None:
    """`loop` compiled by Numba and kept on disk, or None where Numba is missing or switched off."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return None
    try:
        import numba
    except ImportError:
        return None
    # error_model="numpy": a division by zero gives inf instead of an exception.  Without the test for zero the loop
    # vectorises and runs six times faster.  Not fastmath: it would make isnan return False.
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    compiled: Callable[..., None]
    try:
        compiled = numba.njit(cache=on_disk, **options)(loop)
    except RuntimeError:  # nowhere to keep the compiled code: compile again in each process
        log.debug("%s: there is no folder to keep the compiled code in", loop.__name__)
        compiled = numba.njit(**options)(loop)
    return compiled


def in_halves(kernel: Callable[..., None], vectors: Sequence[V], others: Sequence[Any]) -> None:
    """``kernel(*vectors, *others)``; of long vectors this thread takes one half and another thread the other.

    Memory's bandwidth limits these loops, and one core alone does not use all of it; two come near to it.
    """
    size = len(vectors[0])
    if size < LONG:
        kernel(*vectors, *others)
        return

    def work(half: slice) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # as in `Optimizer.step`, which holds for its own thread
            kernel(*(vector[half] for vector in vectors), *others)

    with ThreadPoolExecutor(1) as helper:
        other = helper.submit(work, slice(size // 2, size))
        work(slice(size // 2))
        other.result()  # raises what was raised there


# A unit that is dead has a gradient of 0 from then on, and its moments would fade into the numbers below `tiny`, the
# smallest that has all its digits, and stay there: with those a processor takes thirty times as long.


def _adam_loop(
    values: V, grads: V, m: V, v: V, rate: F, b1: F, c1: F, b2: F, c2: F, root: F, eps: F, keep: F, tiny: F
) -> None:
    for i in range(values.size):
        mean = b1 * m[i] + c1 * grads[i]
        square = b2 * v[i] + c2 * grads[i] * grads[i]
        m[i] = 0 if abs(mean) < tiny else mean  # NaN stays NaN
        v[i] = 0 if square < tiny else square
        values[i] = keep * values[i] - rate * m[i] / (np.sqrt(v[i]) * root + eps)


def _adam_twin(
    values: V, grads: V, m: V, v: V, rate: F, b1: F, c1: F, b2: F, c2: F, root: F, eps: F, keep: F, tiny: F
) -> None:
    m *= b1
    m += c1 * grads
    v *= b2
    v += c2 * grads * grads
    m[np.abs(m) < tiny] = 0
    v[v < tiny] = 0
    values *= keep
    values -= rate * m / (np.sqrt(v) * root + eps)


adam_kernel = Kernel(_adam_loop, _adam_twin)


def adam_step(
    values: V,
    grads: V,
    m: V,
    v: V,
    *,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    kernel: Callable[..., None] = adam_kernel,
) -> None:
    """Adam's step number `step` (from 1) over flat vectors of shape (P,), in place.

    m <- beta1 m + (1 - beta1) g
    v <- beta2 v + (1 - beta2) g^2
    values <- (1 - lr wd) values - lr m_hat / (sqrt(v_hat) + eps)
    with m_hat = m / (1 - beta1^t),  v_hat = v / (1 - beta2^t)
    """
    scalars = (
        learning_rate / (1 - beta1**step),  # the bias correction of m joins the rate,
        beta1,
        1 - beta1,
        beta2,
        1 - beta2,
        1 / sqrt(1 - beta2**step),  # that of v the root
        eps,
        1 - learning_rate * weight_decay,
        np.finfo(values.dtype).tiny,
    )
    # In the vectors' own dtype: a float64 scalar would make the loop compute in float64.
    in_halves(kernel, (values, grads, m, v), [values.dtype.type(scalar) for scalar in scalars])


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
        infinite |= not abs(vector[i]) <= limit  # True for NaN, too
    if infinite:
        found[0] = True


def _find_infinite_twin(vector: V, limit: F, found: npt.NDArray[np.bool_]) -> None:
    if not np.isfinite(vector).all():
        found[0] = True


find_infinite = Kernel(_find_infinite_loop, _find_infinite_twin)


def all_finite(vector: V, kernel: Callable[..., None] = find_infinite) -> bool:
    """Whether a flat vector has no NaN and no infinity."""
    found = np.zeros(1, np.bool_)
    kernel(vector, np.finfo(vector.dtype).max, found)
    return not found[0]


def _bias_relu_loop(a: M, b: V) -> None:
    for n in range(a.shape[0]):
        for j in range(a.shape[1]):
            shifted = a[n, j] + b[j]
            a[n, j] = 0 if shifted < 0 else shifted  # NaN stays NaN


def _bias_relu_twin(a: M, b: V) -> None:
    a += b
    np.maximum(a, 0, out=a)


bias_relu = Kernel(_bias_relu_loop, _bias_relu_twin)  # a <- max(a + b, 0): (N, width), (width,), in place


def _relu_backward_loop(dh: A, h: A) -> None:
    flat_dh, flat_h = dh.reshape(dh.size), h.reshape(h.size)
    for i in range(flat_dh.size):
        flat_dh[i] = flat_dh[i] if flat_h[i] > 0 else 0


def _relu_backward_twin(dh: A, h: A) -> None:
    dh *= h > 0


relu_backward = InPlaceKernel(_relu_backward_loop, _relu_backward_twin)  # dh <- dh where h > 0, else 0, in place


def _add_bias_loop(y: M, b: V) -> None:
    for n in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[n, j] += b[j]


def _add_bias_twin(y: M, b: V) -> None:
    y += b


add_bias = Kernel(_add_bias_loop, _add_bias_twin)  # y_n <- y_n + b for every row: (N, width), (width,), in place


def _add_rows_loop(db: V, dy: M) -> None:
    for n in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            db[j] += dy[n, j]


def _add_rows_twin(db: V, dy: M) -> None:
    db += dy.sum(axis=0)


add_rows = Kernel(_add_rows_loop, _add_rows_twin)  # db <- db + sum_n dy_n: (width,), (N, width), in place


# Columns of x (N, D) out of it and into it.  Every second column has kernels of its own: with a step that is known the
# compiler moves many numbers at once.


def _take_columns_loop(x: M, columns: I, part: M) -> None:
    for n in range(len(x)):
        for j in range(len(columns)):
            part[n, j] = x[n, columns[j]]


def _take_columns_twin(x: M, columns: I, part: M) -> None:
    part[:] = x[:, columns]


def _put_columns_loop(x: M, columns: I, part: M) -> None:
    for n in range(len(x)):
        for j in range(len(columns)):
            x[n, columns[j]] = part[n, j]


def _put_columns_twin(x: M, columns: I, part: M) -> None:
    x[:, columns] = part


def _take_pairs_loop(x: M, even: M, odd: M) -> None:
    for n in range(len(x)):
        for j in range(even.shape[1]):
            even[n, j] = x[n, 2 * j]
            odd[n, j] = x[n, 2 * j + 1]


def _take_pairs_twin(x: M, even: M, odd: M) -> None:
    end = 2 * even.shape[1]
    even[:], odd[:] = x[:, 0:end:2], x[:, 1:end:2]


def _put_pairs_loop(x: M, even: M, odd: M) -> None:
    for n in range(len(x)):
        for j in range(even.shape[1]):
            x[n, 2 * j] = even[n, j]
            x[n, 2 * j + 1] = odd[n, j]


def _put_pairs_twin(x: M, even: M, odd: M) -> None:
    end = 2 * even.shape[1]
    x[:, 0:end:2], x[:, 1:end:2] = even, odd


take_columns = Kernel(_take_columns_loop, _take_columns_twin)  # part_j <- x_columns[j]: (N, len(columns))
put_columns = Kernel(_put_columns_loop, _put_columns_twin)  # x_columns[j] <- part_j
take_pairs = Kernel(_take_pairs_loop, _take_pairs_twin)  # even_j <- x_2j, odd_j <- x_2j+1: (N, D // 2)
put_pairs = Kernel(_put_pairs_loop, _put_pairs_twin)  # x_2j <- even_j, x_2j+1 <- odd_j

"""The hot loops, each beside its plain NumPy twin; the only file with Numba in it, and nothing else of nice_np.

A kernel is compiled at its first call, so importing the package costs nothing.  The twin runs instead where Numba is
missing or NUMBA_DISABLE_JIT=1 is set, the mode in which to step through the code: the results agree to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

V = npt.NDArray[np.floating[Any]]  # a flat vector (P,)
F = Any  # a scalar of the vectors' dtype


class Kernel:
    """A loop for Numba and its NumPy twin under one name."""

    def __init__(self, loop: Callable[..., None], twin: Callable[..., None]) -> None:
        self.loop, self.twin = loop, twin
        self._compiled: Callable[..., None] | None = None

    def __call__(self, *args: Any) -> None:
        if self._compiled is None:
            self._compiled = compile_loop(self.loop) or self.twin
        self._compiled(*args)


def compile_loop(loop: Callable[..., None]) -> Callable[..., None] | None:
    """`loop` compiled by Numba, or None where Numba is missing or switched off."""
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
        compiled = numba.njit(cache=True, **options)(loop)
    except RuntimeError:  # nowhere to keep the compiled code: compile again in each process
        compiled = numba.njit(**options)(loop)
    return compiled


def _adam_loop(values: V, grads: V, m: V, v: V, rate: F, b1: F, c1: F, b2: F, c2: F, root: F, eps: F, keep: F) -> None:
    for i in range(values.size):
        m[i] = b1 * m[i] + c1 * grads[i]
        v[i] = b2 * v[i] + c2 * grads[i] * grads[i]
        values[i] = keep * values[i] - rate * m[i] / (np.sqrt(v[i]) * root + eps)


def _adam_twin(values: V, grads: V, m: V, v: V, rate: F, b1: F, c1: F, b2: F, c2: F, root: F, eps: F, keep: F) -> None:
    m *= b1
    m += c1 * grads
    v *= b2
    v += c2 * grads * grads
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
    )
    # In the vectors' own dtype: a float64 scalar would make the loop compute in float64.
    with np.errstate(over="ignore"):  # an absurd rate becomes inf, and the weights show it
        kernel(values, grads, m, v, *(values.dtype.type(scalar) for scalar in scalars))


def _average_loop(average: V, values: V, weight: F) -> None:
    for i in range(values.size):
        average[i] += weight * (values[i] - average[i])


def _average_twin(average: V, values: V, weight: F) -> None:
    average += weight * (values - average)


average_kernel = Kernel(_average_loop, _average_twin)


def average_step(average: V, values: V, weight: float, kernel: Callable[..., None] = average_kernel) -> None:
    """average <- average + weight (values - average) over flat vectors of shape (P,), in place."""
    kernel(average, values, values.dtype.type(weight))

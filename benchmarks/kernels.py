"""The compiled loops of nice_np against their NumPy twins: a line each, called as nice_np calls them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.model import Array
from benchmarks.options import Options
from benchmarks.result import Result, Row
from benchmarks.timing import Task, side_by_side
from nice_np import kernels
from nice_np.bijectors import partition
from nice_np.kernels import Kernel
from nice_np.networks import activations, convolution
from nice_np.training import optim

P = 4_000_000  # parameters: 16 MB a vector, about a model of four couplings of 3 x 500 units
SHAPE = (200, 1000)  # a batch in a hidden layer of the paper's model
Arrays = tuple[Array, ...]


def vectors(count: int) -> Callable[[], Arrays]:
    """So many vectors of P positive numbers; positive, so that they can be second moments, too."""
    return lambda: tuple(np.random.default_rng(0).random((count, P), np.float32))


def matrices(count: int) -> Callable[[], Arrays]:
    """So many batches of activations, half of them negative."""
    return lambda: tuple(np.random.default_rng(0).standard_normal((count, *SHAPE), np.float32))


def vector_and_matrix() -> Arrays:
    """A bias, small, since it is added again and again; and a batch."""
    rng = np.random.default_rng(0)
    return rng.random(SHAPE[1], np.float32) * np.float32(1e-3), rng.standard_normal(SHAPE, np.float32)


def pairs() -> Arrays:
    """A batch of the paper's digits, and both halves of its columns."""
    x = np.random.default_rng(0).standard_normal((200, 784), np.float32)
    return x, x[:, :392].copy(), x[:, 392:].copy()


def surroundings() -> Arrays:
    """100 digits of 14x14 pixels with a border, 4 channels, and what every pixel sees."""
    padded = np.random.default_rng(0).standard_normal((100, 16, 16 * 4), np.float32)
    return padded, np.zeros((100, 14, 14, 3, 3 * 4), np.float32)


def adam(kernel: Callable[..., None], values: Array, grads: Array, m: Array, v: Array) -> None:
    rates = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    optim.adam_step(values, grads, m, v, step=100, **rates, kernel=kernel)


def average(kernel: Callable[..., None], mean: Array, values: Array) -> None:
    kernels.average_step(mean, values, 0.01, kernel=kernel)


def plainly(kernel: Callable[..., None], *arrays: Array) -> None:
    kernel(*arrays)


def finite(kernel: Callable[..., None], vector: Array) -> None:
    kernels.all_finite(vector, kernel)


def matrix_first(kernel: Callable[..., None], vector: Array, matrix: Array) -> None:
    kernel(matrix, vector)


# name of a kernel: the arrays, and how they are handed to it
LINES: dict[str, tuple[Callable[[], Arrays], Callable[..., None]]] = {
    "adam_kernel": (vectors(4), adam),
    "average_kernel": (vectors(2), average),
    "find_infinite": (vectors(1), finite),
    "take_pairs": (pairs, plainly),
    "put_pairs": (pairs, plainly),
    "see_neighbours": (surroundings, plainly),
    "add_in_place": (lambda: surroundings()[::-1], plainly),
    "bias_relu": (vector_and_matrix, matrix_first),
    "relu_backward": (matrices(2), plainly),
}


def all_kernels() -> dict[str, Kernel]:
    """The kernels of nice_np by the name of their attribute."""
    modules = (kernels, partition, activations, convolution, optim)
    return {name: value for of in modules for name, value in vars(of).items() if isinstance(value, Kernel)}


def measure(options: Options) -> Result:
    """Time each kernel and its twin."""
    result = Result("Kernels of nice_np, compiled and in NumPy")
    tasks: list[Task] = []
    for name, kernel in all_kernels().items():
        if name not in LINES:
            result.rows.append(Row(name, note="benchmarks/kernels.py has no line for it"))
        else:
            tasks += tasks_of(name, kernel)
    timings = side_by_side(tasks, options.repeats)
    for name in (task.name for task in tasks):
        result.rows.append(Row.of(name, timings[name], f"{P:,} numbers" if is_flat(name) else f"batch {SHAPE}"))
    if kernels.compile_loop(optim.adam_kernel.loop) is None:
        result.notes.append("Numba is missing or switched off: both lines of a kernel are its twin.")
    return result


def tasks_of(name: str, kernel: Kernel) -> list[Task]:
    """The kernel and its twin, each on arrays of its own."""
    make, call = LINES[name]
    forms: dict[str, Callable[..., Any]] = {"compiled": kernel, "NumPy": kernel.twin}
    return [Task(f"{name}, {form}", partial(call, function, *make())) for form, function in forms.items()]


def is_flat(task: str) -> bool:
    return task.startswith(("adam", "average"))

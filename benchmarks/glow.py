"""A training step of a flow with convolutions, Glow on digits, beside the same model in PyTorch and JAX.

The model of the preset mnist-glow behind a logit: 2 levels of 6 steps, 48 channels, 4 dense steps.  The others have
images, not flat vectors, and their 1x1 convolutions are free matrices, since they have no triangular ones: the same
loss, the same number of products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks import child
from benchmarks.contender import LEARNING_RATE, Unavailable
from benchmarks.contenders import CONTENDERS, ONE_OF_EACH, check_installed
from benchmarks.memory import MB, RECOMPUTE, with_recompute
from benchmarks.model import Array
from benchmarks.options import Options
from benchmarks.result import MS, Result, Row
from benchmarks.roofline import Product, gflops, runner
from benchmarks.timing import Task, side_by_side
from nice_np import Flow, glow
from nice_np.training.malloc import keep_freed_memory
from nice_np.training.optim import Adam

SHAPE = (28, 28)
TOLERANCE = 1e-4
CHANNELS_LAST = "torch, channels last"
NAMES = (*(name for name in CONTENDERS if name != "nice_np-mkl"), CHANNELS_LAST)


class Part(NamedTuple):
    """A layer as the others see it: "squeeze", "actnorm", "linear", "convolutions" or "dense", and its arrays."""

    kind: str
    arrays: list[Array]


class Step(NamedTuple):
    """A training step, `wait` for what it returns, and a `loss` as a number."""

    call: Callable[[], Any]
    wait: Callable[[Any], Any] = lambda result: result
    loss: Callable[[Any], float] = float


def model() -> Flow:
    return glow(SHAPE, dense=4, hidden=(64,), rng=0)


def data(batch: int) -> Array:
    x: Array = (np.random.default_rng(0).random((batch, SHAPE[0] * SHAPE[1])) * 0.98 + 0.01).astype(np.float32)
    return x


def parts(flow: Flow) -> list[Part]:
    """The layers behind the logit; before each squeeze but the first, half of the channels become latents."""
    found = []
    for layer in (getattr(each, "bijector", each) for each in flow.layers[1:]):
        kind = type(layer).__name__
        if kind == "Permutation":
            found.append(Part("squeeze", []))
        elif kind == "ActNorm":
            found.append(Part("actnorm", [layer.b, layer.log_s]))
        elif kind == "LULinear":
            found.append(Part("linear", [layer.matrix()]))
        else:
            arrays = [array for each in layer.conditioner.layers for array in (each.W, each.b)]
            found.append(Part("dense" if type(layer.conditioner).__name__ == "MLP" else "convolutions", arrays))
    return found


def measure(batch: int, options: Options) -> Result:
    """Time a step of each, after their losses have been compared, and the products alone; then the peaks of memory."""
    flow = model()
    tasks, missing = contenders(flow, batch, options)
    alone = products(flow, batch)
    timings = side_by_side([*tasks, Task("products", runner(alone))], options.repeats)
    peaks = {name: peak(name, batch) for name in with_recompute(options.among(ONE_OF_EACH))}
    result = Result(f"A training step of Glow: {len(flow.params):,} parameters, batch {batch}")
    result.ideal = timings["products"].median * MS
    result.rows = [Row.of(task.name, timings[task.name], peaks.get(task.name, "")) for task in tasks]
    result.rows += [Row(name, note=why) for name, why in missing.items()]
    result.facts = {"products_gflops": gflops(alone, timings["products"].median)}
    result.notes += [
        "Ideal: the matrix products of the step alone, by NumPy's BLAS; a convolution is a product over all pixels.",
        "Memory: the peak of a step beyond what is there before it, in a process of its own.",
    ]
    if RECOMPUTE in peaks:
        result.notes.append(f"With recompute=True: {peaks[RECOMPUTE]}.")
    return result


def contenders(flow: Flow, batch: int, options: Options) -> tuple[list[Task], dict[str, str]]:
    """Those whose first loss is the flow's, and the reasons of the others."""
    x, tasks, missing = data(batch), [], {}
    expected = -float(flow.log_prob(x).mean())
    for name in NAMES:
        if name.split(",")[0] not in options.only:
            continue
        try:
            step = build(name, flow, x)
            found = step.loss(step.wait(step.call()))
        except Unavailable as reason:
            missing[name] = str(reason)
            continue
        if abs(found - expected) > TOLERANCE * abs(expected):
            missing[name] = f"another loss: {found:.6g}, ours is {expected:.6g}"
            continue
        tasks.append(Task(name, step.call, step.wait))
    return tasks, missing


def build(name: str, flow: Flow, x: Array) -> Step:
    """The step of that name, from the flow's weights; Unavailable if its library is not installed."""
    check_installed(name.split(",")[0])
    if name.startswith("nice_np"):
        return own_step(flow.copy(), x, recompute=name == RECOMPUTE)
    if name == "jax":
        from benchmarks.glow_jax import jax_step

        return jax_step(parts(flow), x)
    from benchmarks.glow_torch import torch_step

    return torch_step(parts(flow), x, name)


def own_step(flow: Flow, x: Array, recompute: bool = False) -> Step:
    """Loss, gradient, Adam."""
    adam = Adam()
    keep_freed_memory()  # as `fit` does

    def step() -> float:
        nll, grads = flow.nll_and_grad(x, recompute=recompute)
        adam.step(flow.params.values, grads, LEARNING_RATE)
        return nll

    return Step(step)


def products(flow: Flow, batch: int) -> list[Product]:
    """Three for each matrix: y = x W, dL/dW = x^T dL/dy, dL/dx = dL/dy W^T; a row of x is a pixel, or an image."""
    found, pixels, rng = [], SHAPE[0] * SHAPE[1], np.random.default_rng(0)
    for kind, arrays in parts(flow):
        pixels = pixels // 4 if kind == "squeeze" else pixels
        for W in (as_matrix(array) for array in arrays if array.ndim > 1):
            n = batch * (1 if kind == "dense" else pixels)
            (h, dh), (y, dy) = (rng.standard_normal((2, n, width), np.float32) for width in W.shape)
            found += [Product(h, W, y), Product(h.T, dy, np.empty_like(W)), Product(dy, W.T, dh)]
    return found


def as_matrix(W: Array) -> Array:
    """(3, 3, c_in, c_out) as `Conv3x3` does it: 9 c_in rows, or where the output has fewer channels 9 c_out columns."""
    if W.ndim == 2:
        return W
    c_in, c_out = W.shape[2:]
    return W.reshape(9 * c_in, c_out) if c_in <= c_out else W.reshape(c_in, 9 * c_out)


def peak(name: str, batch: int) -> str:
    """The peak of memory in a step of a process of its own, in words."""
    try:
        answer = child.run("-m", "benchmarks.glow_memory", name, str(batch))
    except child.ChildError as error:
        return str(error)
    return answer.get("reason") or f"{answer['bytes'] * MB:.0f} MB at the peak"

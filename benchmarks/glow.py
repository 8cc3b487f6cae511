"""A training step of a flow with convolutions, Glow on digits, beside the same model in PyTorch.

28 x 28 pixels, logit, 2 levels of 6 steps, 48 channels, 100 digits.  PyTorch's model is on images, not on flat vectors,
and its 1x1 convolutions are free matrices, since it has no triangular ones: the same loss, the same number of products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.contender import LEARNING_RATE
from benchmarks.model import Array
from benchmarks.options import Options
from benchmarks.result import Result, Row
from benchmarks.timing import Task, side_by_side
from nice_np import Flow, glow
from nice_np.training.malloc import keep_freed_memory
from nice_np.training.optim import Adam

BATCH, LEVELS, STEPS = 100, 2, 6
NAMES = {"torch": "torch", "torch, channels last": "torch"}  # row: contender


def measure(options: Options) -> Result:
    """Time a step of each, after their losses have been compared."""
    x = (np.random.default_rng(0).random((BATCH, 784)) * 0.98 + 0.01).astype(np.float32)
    flow = glow((28, 28), LEVELS, STEPS, rng=0)
    result = Result(f"A training step of Glow: {len(flow.params):,} parameters, batch {BATCH}")
    tasks = [Task("nice_np", own_step(flow, x))] if "nice_np" in options.only else []
    expected = -float(flow.log_prob(x).mean())
    for name, contender in NAMES.items():
        if contender in options.only:
            try:
                step = torch_step(flow, x, "last" in name)
            except ImportError:
                result.rows.append(Row(name, note="not installed"))
                continue
            if abs(step() - expected) > 1e-4 * abs(expected):
                result.rows.append(Row(name, note=f"another loss: {step():.6g}, ours is {expected:.6g}"))
                continue
            tasks.append(Task(name, step))
    timings = side_by_side(tasks, options.repeats)
    result.rows[:0] = [Row.of(task.name, timings[task.name]) for task in tasks]
    return result


def own_step(flow: Flow, x: Array) -> Any:
    """Loss, gradient, Adam."""
    adam = Adam()
    keep_freed_memory()  # as `fit` does

    def step() -> float:
        nll, grads = flow.nll_and_grad(x)
        adam.step(flow.params.values, grads, LEARNING_RATE)
        return nll

    return step


def torch_step(flow: Flow, x: Array, channels_last: bool) -> Any:
    """The same with PyTorch's Adam, from the flow's own weights."""
    import torch
    from torch.nn import functional as F

    layers = [getattr(layer, "bijector", layer) for layer in flow.layers]
    weights = []

    def parameter(array: Array) -> Any:
        weights.append(torch.tensor(np.array(array)).requires_grad_())
        return weights[-1]

    def convolution(layer: Any) -> tuple[Any, Any]:
        W = layer.W if layer.W.ndim == 4 else layer.W[None, None]
        return parameter(W.transpose(3, 2, 0, 1)), parameter(layer.b)

    made = []
    for layer in layers:
        kind = type(layer).__name__
        if kind == "ActNorm":
            made.append((kind, [parameter(layer.b[:, None, None]), parameter(layer.log_s[:, None, None])]))
        elif kind == "LULinear":
            made.append((kind, [parameter(layer.matrix())]))
        elif kind == "AffineCoupling":
            made.append((kind, [convolution(each) for each in layer.conditioner.layers]))
    images = torch.tensor(x)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    adam = torch.optim.Adam(weights, lr=LEARNING_RATE)

    def loss() -> Any:
        p = 1e-6 + (1 - 2e-6) * images
        log_det = (np.log1p(-2e-6) - p.log() - (1 - p).log()).sum(dim=1)
        h, latents = F.pixel_unshuffle(torch.logit(p).reshape(-1, 1, 28, 28), 2).to(memory_format=memory), []
        for number, (kind, parts) in enumerate(made):
            area = h.shape[2] * h.shape[3]
            if kind == "ActNorm":
                h, log_det = (h + parts[0]) * parts[1].exp(), log_det + area * parts[1].sum()
            elif kind == "LULinear":
                h = F.conv2d(h, parts[0][:, :, None, None])
                log_det = log_det + area * torch.linalg.slogdet(parts[0])[1]
            else:
                a, b = h.chunk(2, dim=1)
                theta = a
                for k, (W, bias) in enumerate(parts):
                    theta = F.conv2d(F.relu(theta) if k else theta, W, bias, padding=W.shape[-1] // 2)
                r, t = theta.chunk(2, dim=1)
                log_s = 2 * torch.tanh(r / 2)
                b, log_det = b * log_s.exp() + t, log_det + log_s.sum(dim=(1, 2, 3))
                h = torch.cat([a, b], dim=1)
                if number == 3 * STEPS:  # factoring out, between the two levels
                    latents.append(b)
                    h = F.pixel_unshuffle(a, 2).to(memory_format=memory)
        log_p = sum(-(z**2 + np.log(2 * np.pi)).sum(dim=(1, 2, 3)) / 2 for z in (*latents, h))
        return -(log_p + log_det).mean()

    def step() -> float:
        adam.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        adam.step()
        return float(value.detach())

    return step

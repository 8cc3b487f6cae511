"""The step of `benchmarks.glow` in PyTorch, on images (N, C, H, W)."""

from __future__ import annotations

import shutil
import warnings
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.contender import LEARNING_RATE, Unavailable
from benchmarks.glow import CHANNELS_LAST, SHAPE, Part, Step
from benchmarks.model import Array
from benchmarks.with_torch import COMPILERS, first_line

Tensors = list[torch.Tensor]


def torch_step(parts: list[Part], x: Array, name: str) -> Step:
    """Loss, gradient and Adam; "torch-fused" and "torch-compile" have Adam as one kernel."""
    compiled = name == "torch-compile"
    if compiled and not any(map(shutil.which, COMPILERS)):
        raise Unavailable("no C++ compiler, which torch.compile needs")
    images, weights = torch.tensor(x), [parameters(part) for part in parts]
    memory = torch.channels_last if name == CHANNELS_LAST else torch.contiguous_format
    adam = torch.optim.Adam(chain(*weights), lr=LEARNING_RATE, fused=name in ("torch-fused", "torch-compile") or None)
    kinds = [part.kind for part in parts]

    def mean_nll(images: torch.Tensor) -> torch.Tensor:
        return -log_prob(kinds, weights, images, memory).mean()

    loss: Any = torch.compile(mean_nll) if compiled else mean_nll

    def step() -> torch.Tensor:
        adam.zero_grad(set_to_none=True)
        value: torch.Tensor = loss(images)
        value.backward()
        adam.step()
        return value.detach()

    if compiled:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's about its own modules
                loss(images)
        except Exception as error:  # any: it runs a compiler and loads what it made
            raise Unavailable(f"torch.compile failed: {first_line(error)}") from error
    return Step(step)


def parameters(part: Part) -> Tensors:
    """Leaves, in PyTorch's order of axes."""
    found = []
    for array in part.arrays:
        if part.kind == "convolutions" and array.ndim > 1:
            kernel = array if array.ndim == 4 else array[None, None]  # (k, k, c_in, c_out)
            array = kernel.transpose(3, 2, 0, 1)
        elif part.kind == "actnorm":
            array = array[:, None, None]
        elif part.kind == "dense" and array.ndim > 1:
            array = array.T
        found.append(torch.tensor(np.array(array)).requires_grad_())
    return found


def log_prob(kinds: list[str], weights: list[Tensors], x: torch.Tensor, memory: torch.memory_format) -> torch.Tensor:
    """log p(x) of each row."""
    p = 1e-6 + (1 - 2e-6) * x
    log_det = (np.log1p(-2e-6) - p.log() - (1 - p).log()).sum(dim=1)
    h, latents = torch.logit(p).reshape(-1, 1, *SHAPE), []
    for number, (kind, parts) in enumerate(zip(kinds, weights, strict=True)):
        area = h.shape[2] * h.shape[3]
        if kind == "squeeze":
            if number > 0:
                h, factored_out = h.chunk(2, dim=1)
                latents.append(factored_out)
            h = F.pixel_unshuffle(h, 2).to(memory_format=memory)
        elif kind == "actnorm":
            h, log_det = (h + parts[0]) * parts[1].exp(), log_det + area * parts[1].sum()
        elif kind == "linear":
            h = F.conv2d(h, parts[0][:, :, None, None])
            log_det = log_det + area * torch.linalg.slogdet(parts[0])[1]
        else:
            a, b = h.chunk(2, dim=1)
            r, t = (convolutions if kind == "convolutions" else dense)(parts, a).chunk(2, dim=1)
            log_s = 2 * torch.tanh(r / 2)
            h, log_det = torch.cat([a, b * log_s.exp() + t], dim=1), log_det + log_s.sum(dim=(1, 2, 3))
    log_p = sum(-(z**2 + np.log(2 * np.pi)).sum(dim=(1, 2, 3)) / 2 for z in (*latents, h))
    return log_p + log_det


def convolutions(parts: Tensors, h: torch.Tensor) -> torch.Tensor:
    for k, (W, b) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        h = F.conv2d(F.relu(h) if k else h, W, b, padding=W.shape[-1] // 2)
    return h


def dense(parts: Tensors, image: torch.Tensor) -> torch.Tensor:
    h = image.flatten(start_dim=1)
    for k, (W, b) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        h = F.linear(F.relu(h) if k else h, W, b)
    return h.reshape(len(h), -1, *image.shape[2:])

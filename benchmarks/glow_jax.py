"""The step of `benchmarks.glow` in JAX, on images (N, H, W, C), which its CPU convolutions prefer; one jit."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contender import LEARNING_RATE
from benchmarks.glow import SHAPE, Part, Step
from benchmarks.model import Array
from benchmarks.with_jax import adam


def jax_step(parts: list[Part], x: Array) -> Step:
    """Loss, gradient and Adam in one compiled function, the old weights and moments donated to the new."""
    kinds = tuple(part.kind for part in parts)
    weights = [[jnp.array(array) for array in part.arrays] for part in parts]
    zeros = partial(jax.tree.map, jnp.zeros_like)
    state, images = (weights, zeros(weights), zeros(weights), jnp.zeros(())), jnp.asarray(x)
    compiled = train_step.lower(state, images, kinds).compile()

    def step() -> Any:
        nonlocal state
        state, loss = compiled(state, images)
        return loss

    return Step(step, jax.block_until_ready)


@partial(jax.jit, donate_argnums=0, static_argnums=2)
def train_step(state: Any, x: Array, kinds: tuple[str, ...]) -> tuple[Any, Array]:
    weights, m, v, t = state
    loss, grads = jax.value_and_grad(lambda weights: -log_prob(kinds, weights, x).mean())(weights)
    t = t + 1
    return (*adam(weights, grads, m, v, t, LEARNING_RATE), t), loss


def log_prob(kinds: tuple[str, ...], weights: Any, x: Array) -> Array:
    """log p(x) of each row."""
    p = 1e-6 + (1 - 2e-6) * x
    log_det = (np.log1p(-2e-6) - jnp.log(p) - jnp.log(1 - p)).sum(axis=1)
    h, latents = jax.scipy.special.logit(p).reshape(-1, *SHAPE, 1), []
    for number, (kind, parts) in enumerate(zip(kinds, weights, strict=True)):
        area = h.shape[1] * h.shape[2]
        if kind == "squeeze":
            if number > 0:
                h, factored_out = jnp.split(h, 2, axis=3)
                latents.append(factored_out)
            h = squeeze(h)
        elif kind == "actnorm":
            h, log_det = (h + parts[0]) * jnp.exp(parts[1]), log_det + area * parts[1].sum()
        elif kind == "linear":
            h, log_det = h @ parts[0].T, log_det + area * jnp.linalg.slogdet(parts[0])[1]
        else:
            a, b = jnp.split(h, 2, axis=3)
            r, t = jnp.split((convolutions if kind == "convolutions" else dense)(parts, a), 2, axis=3)
            log_s = 2 * jnp.tanh(r / 2)
            h, log_det = jnp.concatenate([a, b * jnp.exp(log_s) + t], axis=3), log_det + log_s.sum(axis=(1, 2, 3))
    log_p = sum(-(z**2 + np.log(2 * np.pi)).sum(axis=(1, 2, 3)) / 2 for z in (*latents, h))
    return log_p + log_det


def squeeze(h: Array) -> Array:
    """(N, H, W, C) -> (N, H/2, W/2, 4 C), the four pixels of a block behind each other for each channel."""
    n, height, width, channels = h.shape
    blocks = h.reshape(n, height // 2, 2, width // 2, 2, channels)
    return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(n, height // 2, width // 2, 4 * channels)


def convolutions(parts: Any, h: Array) -> Array:
    for k, (W, b) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        h = jax.nn.relu(h) if k else h
        h = b + (h @ W if W.ndim == 2 else convolution(h, W))
    return h


def convolution(h: Array, W: Array) -> Array:
    return jax.lax.conv_general_dilated(h, W, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def dense(parts: Any, image: Array) -> Array:
    """The features plane after plane, as in the flow."""
    n, height, width, _ = image.shape
    h = image.transpose(0, 3, 1, 2).reshape(n, -1)
    for k, (W, b) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        h = (jax.nn.relu(h) if k else h) @ W + b
    return h.reshape(n, -1, height, width).transpose(0, 2, 3, 1)

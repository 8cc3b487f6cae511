"""The model in JAX: pytrees of parameters, the whole training step under one jit, old buffers donated to the new."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.contender import LEARNING_RATE
from benchmarks.model import Array, Model
from benchmarks.weights import Weights

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def mlp(layers: list[tuple[Array, Array]], h: Array) -> Array:
    """Linear layers with a ReLU between any two."""
    for W, b in layers[:-1]:
        h = jax.nn.relu(h @ W + b)
    W, b = layers[-1]
    return h @ W + b


def merge(even: Array, odd: Array) -> Array:
    """(N, D/2) twice -> (N, D): the halves in turn, feature by feature."""
    return jnp.stack((even, odd), axis=2).reshape(len(even), -1)


def log_prior(z: Array) -> Array:
    """The logistic prior, log p(z) = -z - 2 softplus(-z), summed over the features."""
    return -(z + 2 * jax.nn.softplus(-z)).sum(axis=1)


def log_prob(params: Weights, x: Array) -> Array:
    halves = [x[:, ::2], x[:, 1::2]]
    for k, layers in enumerate(params.couplings):
        kept, changed = k % 2, 1 - k % 2
        halves[changed] = halves[changed] + mlp(layers, halves[kept])
    z = merge(*halves) * jnp.exp(params.log_scale)
    return log_prior(z) + params.log_scale.sum()


def decode(params: Weights, z: Array) -> Array:
    y = z * jnp.exp(-params.log_scale)
    halves = [y[:, ::2], y[:, 1::2]]
    for k, layers in reversed(list(enumerate(params.couplings))):
        kept, changed = k % 2, 1 - k % 2
        halves[changed] = halves[changed] - mlp(layers, halves[kept])
    return merge(*halves)


def mean_nll(params: Weights, x: Array) -> Array:
    return -log_prob(params, x).mean()


def latent_objective(z: Array, params: Weights, target: Array) -> Array:
    """|decode(z) - target|^2 / 2 - log p(z), summed over the rows."""
    return jnp.square(decode(params, z) - target).sum() / 2 - log_prior(z).sum()


def adam(
    params: Weights, grads: Weights, m: Weights, v: Weights, t: Array, learning_rate: float
) -> tuple[Weights, Weights, Weights]:
    """Step number `t` of Adam."""
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grads)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grads)
    rate, root = learning_rate / (1 - BETA1**t), 1 / jnp.sqrt(1 - BETA2**t)
    params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) * root + EPS), params, m, v)
    return params, m, v


State = tuple[Weights, Weights, Weights, Array]  # parameters, Adam's m and v, the number of steps


@partial(jax.jit, donate_argnums=0, static_argnums=2)
def train_step(state: State, x: Array, learning_rate: float) -> tuple[State, Array]:
    params, m, v, t = state
    loss, grads = jax.value_and_grad(mean_nll)(params, x)
    t = t + 1
    return (*adam(params, grads, m, v, t, learning_rate), t), loss


@partial(jax.jit, static_argnums=2)
def sample(params: Weights, key: Array, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Samples, and the key of the next ones."""
    key, now = jax.random.split(key)
    return decode(params, jax.random.logistic(now, shape)), key


class JaxModel:
    """The functions above with their state: parameters, Adam's moments and the random key."""

    def __init__(self, model: Model, weights: Weights, learning_rate: float = LEARNING_RATE) -> None:
        self.model, self.learning_rate = model, learning_rate
        params = jax.tree.map(jnp.array, weights)
        self.state: State = (
            params,
            jax.tree.map(jnp.zeros_like, params),
            jax.tree.map(jnp.zeros_like, params),
            jnp.zeros(()),
        )
        self.key = jax.random.key(0)
        # Compiles at its first call for each shape.
        self.compiled_step: Any = lambda state, x: train_step(state, x, learning_rate)
        self.compiled_log_prob = jax.jit(log_prob)
        self.compiled_decode = jax.jit(decode)
        self.compiled_latent_gradient = jax.jit(jax.grad(latent_objective))

    def prepare(self, array: Array) -> Array:
        return jnp.asarray(array)

    def wait(self, result: Any) -> None:
        """JAX returns before the work is done; here it ends."""
        jax.block_until_ready(result)

    def loss_and_gradients(self, x: Array) -> tuple[float, Array]:
        loss, grads = jax.jit(jax.value_and_grad(mean_nll))(self.state[0], x)
        return float(loss), grads.flat()

    def step(self, x: Array) -> tuple[State, Array]:
        self.state, loss = self.compiled_step(self.state, x)
        return self.state, loss

    def compile_step(self, x: Array) -> None:
        """Compile for the shape of `x`, without a step."""
        self.compiled_step = train_step.lower(self.state, x, self.learning_rate).compile()

    def log_prob(self, x: Array) -> Array:
        return self.compiled_log_prob(self.state[0], x)

    def decode(self, z: Array) -> Array:
        return self.compiled_decode(self.state[0], z)

    def sample(self, rows: int) -> Array:
        x, self.key = sample(self.state[0], self.key, (rows, self.model.dim))
        return x

    def latent_gradient(self, z: Array, target: Array) -> Array:
        return self.compiled_latent_gradient(z, self.state[0], target)

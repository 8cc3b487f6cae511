"""The model in nice_np."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from benchmarks.contenders import LEARNING_RATE, Unavailable
from benchmarks.model import Array, Model
from nice_np.optim import Adam


class NumpyModel:
    """nice_np's own flow, with its Adam.

    Parameters
    ----------
    model : Model
    recompute : bool
        Whether a training step computes activations anew in the backward pass instead of storing them.
    learning_rate : float
    """

    def __init__(self, model: Model, recompute: bool = False, learning_rate: float = LEARNING_RATE) -> None:
        self.flow = model.flow()
        self.learning_rate = learning_rate
        self.adam = Adam()
        self.options: dict[str, Any] = {"recompute": True} if recompute else {}
        if recompute and "recompute" not in inspect.signature(self.flow.nll_and_grad).parameters:
            raise Unavailable("this nice_np has no nll_and_grad(x, recompute=True)")

    def prepare(self, array: Array) -> Array:
        return array

    def wait(self, result: Any) -> None:
        """Nothing to wait for: NumPy returns when it is done."""

    def loss_and_gradients(self, x: Array) -> tuple[float, Array]:
        nll, grads = self.flow.nll_and_grad(x, **self.options)
        return nll, grads.copy()

    def step(self, x: Array) -> float:
        nll, grads = self.flow.nll_and_grad(x, **self.options)
        self.adam.step(self.flow.params.values, grads, self.learning_rate)
        return nll

    def log_prob(self, x: Array) -> Array:
        return self.flow.log_prob(x)

    def decode(self, z: Array) -> Array:
        return self.flow.decode(z)

    def sample(self, rows: int) -> Array:
        return self.flow.sample(rows)

    def latent_gradient(self, z: Array, target: Array) -> Array:
        """d/dz of |decode(z) - target|^2 / 2 - log p(z), summed over the rows."""
        x, _, cache = self.flow.bijector.inverse(z)
        no_log_det = np.zeros(len(z), z.dtype)
        dz = self.flow.bijector.inverse_backward(x - target, no_log_det, cache, accumulate=False)
        return dz - self.flow.prior.grad_log_prob(z)

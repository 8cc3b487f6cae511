"""The model in nice_np: the gradient as `fit` takes it, in the way that is fastest for flow and batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from benchmarks.contender import LEARNING_RATE, Unavailable
from benchmarks.model import Array, Model
from nice_np.errors import NiceImportError
from nice_np.interop import mkl
from nice_np.training.optim import Adam
from nice_np.training.parallel import Gradient, in_threads


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
        self.alone: Gradient = partial(self.flow.unchecked_loss_and_grad, recompute=recompute)
        self.source, self.recompute = self.alone, recompute
        self.learning_rate = learning_rate
        self.adam = Adam()

    @contextmanager
    def around_steps(self, rows: int) -> Iterator[None]:
        """As in `fit`: couplings in a row together, BLAS with as many threads as pay."""
        with in_threads(self.flow, 1, rows, self.recompute) as self.source:
            yield
        self.source = self.alone

    def prepare(self, array: Array) -> Array:
        return array

    def wait(self, result: Any) -> None:
        """Nothing to wait for: NumPy returns when it is done."""

    def loss_and_gradients(self, x: Array) -> tuple[float, Array]:
        with self.around_steps(len(x)):
            nll, grads = self.source(x, None)
        return nll, grads.copy()

    def step(self, x: Array) -> float:
        nll, grads = self.source(x, None)
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
        dz = self.flow.bijector.inverse_backward(x - target, no_log_det, cache, parameters=False)
        return dz - self.flow.prior.grad_log_prob(z)


class MKLModel(NumpyModel):
    """The same with `nice_np.interop.mkl`, switched on around its steps only."""

    def __init__(self, model: Model, learning_rate: float = LEARNING_RATE) -> None:
        super().__init__(model, learning_rate=learning_rate)
        try:
            mkl.library()
        except NiceImportError as error:
            raise Unavailable(str(error)) from None

    @contextmanager
    def around_steps(self, rows: int) -> Iterator[None]:
        with products_by_mkl(), super().around_steps(rows):
            yield


@contextmanager
def products_by_mkl() -> Iterator[None]:
    """A block in which `nice_np.interop.mkl` multiplies."""
    before = np.dot, np.matmul
    mkl.use_blas()
    try:
        yield
    finally:
        np.dot, np.matmul = before  # type: ignore[assignment]

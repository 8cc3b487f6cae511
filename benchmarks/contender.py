"""What is measured: the methods that each library's form of the model has."""

from __future__ import annotations

from typing import Any, Protocol

from benchmarks.model import Array

LEARNING_RATE = 1e-3


class Unavailable(Exception):
    """Somebody cannot take part, and why; a line of the report, not an error."""


class Contender(Protocol):
    """What is measured.  Arrays are the library's own; `prepare` makes them."""

    def prepare(self, array: Array) -> Array:
        """A NumPy array as the library's own."""

    def wait(self, result: Any) -> None:
        """Return when `result` is there."""

    def loss_and_gradients(self, x: Array) -> tuple[float, Array]:
        """Mean negative log-likelihood and its gradient, (P,), in nice_np's order, without a step."""

    def step(self, x: Array) -> Any:
        """Loss, gradient, Adam."""

    def log_prob(self, x: Array) -> Array: ...

    def decode(self, z: Array) -> Array: ...

    def sample(self, rows: int) -> Array: ...

    def latent_gradient(self, z: Array, target: Array) -> Array:
        """d/dz of |decode(z) - target|^2 / 2 - log p(z), summed over the rows."""

"""A context (a label, say) behind the features that passes through a layer unchanged: (x, c) -> (f(x), c).

A map that leaves c unchanged is a map of x for every value of c.  Its Jacobian is block triangular with the identity
in the block of c, so log|det| is that of x alone, and the flow gives the density of x given c: log p(x | c).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.errors import NiceTypeError
from nice_np.parameters import run_backward
from nice_np.validation import Array, as_batch, as_int


class WithContext(Bijector):
    """Apply a bijector to all features but the last `context_dim`, which pass unchanged.

    For layers that know nothing of a context; a coupling layer takes one through its partition.

    Parameters
    ----------
    bijector : Bijector
        Of the D features in front.
    context_dim : int
        C; the layer's own dim is D + C.

    Examples
    --------
    >>> from nice_np import DiagonalScaling
    >>> WithContext(DiagonalScaling(2, log_scale=1.0), 1).forward(np.array([[1.0, 2.0, 5.0]]))[0].round(3)
    array([[2.718, 5.437, 5.   ]])
    """

    def __init__(self, bijector: Bijector, context_dim: int) -> None:
        if not isinstance(bijector, Bijector):
            raise NiceTypeError(f"WithContext: expected a Bijector, got {bijector!r}")
        self.bijector = bijector
        self.context_dim = as_int(context_dim, "WithContext", "context_dim", 1)
        self.dim = bijector.dim + self.context_dim
        self.interval = bijector.interval

    def forward(self, x: Array) -> tuple[Array, Array, Any]:
        features, context = self._split(as_batch(x, self.dim, self))  # (N, D), (N, C)
        z, log_det, cache = self.bijector.forward(features)
        return np.concatenate([z, context], axis=1), log_det, cache

    def inverse(self, z: Array) -> tuple[Array, Array, Any]:
        latents, context = self._split(as_batch(z, self.dim, self, "z"))  # (N, D), (N, C)
        x, log_det, cache = self.bijector.inverse(latents)
        return np.concatenate([x, context], axis=1), log_det, cache

    def backward(self, dz: Array, dlog_det: Array, cache: Any, parameters: bool = True) -> Array:
        dlatents, dcontext = self._split(dz)
        dx = run_backward(self.bijector.backward, dlatents, dlog_det, cache, parameters=parameters)
        return np.concatenate([dx, dcontext], axis=1)

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: Any, parameters: bool = True) -> Array:
        dfeatures, dcontext = self._split(dx)
        dz = run_backward(self.bijector.inverse_backward, dfeatures, dlog_det, cache, parameters=parameters)
        return np.concatenate([dz, dcontext], axis=1)

    def _split(self, x: Array) -> tuple[Array, Array]:
        return x[:, : self.bijector.dim], x[:, self.bijector.dim :]

    @property
    def fitted(self) -> bool:
        """False until the bijector inside has been fitted."""
        return bool(getattr(self.bijector, "fitted", True))

    def fit(self, chunks: Callable[[], Iterable[Array]]) -> None:
        """Fit the bijector inside to the features alone."""
        inner: Any = self.bijector
        inner.fit(lambda: (self._split(chunk)[0] for chunk in chunks()))

    def config(self) -> dict[str, Any]:
        return {"bijector": self.bijector, "context_dim": self.context_dim}

    def __repr__(self) -> str:
        return f"WithContext({self.bijector!r}, {self.context_dim})"


def without_context(layers: Iterable[Bijector]) -> list[Bijector]:
    """The layers, each without a WithContext around it."""
    return [layer.bijector if isinstance(layer, WithContext) else layer for layer in layers]

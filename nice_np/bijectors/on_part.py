"""A bijector of some of the features, past the others: (x_a, x_b) -> (f(x_a), x_b).

The Jacobian is block diagonal with the identity in the block of x_b, so log|det| is that of f.  It is all that a flow
of several scales needs: features that a level has factored out are the x_b of the levels above it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.partition import Partition
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.parameters import run_backward
from nice_np.validation import Array, as_batch


class OnPart(Bijector):
    """z_a = f(x_a), z_b = x_b,  log|det| = log|det df/dx_a|

    Parameters
    ----------
    bijector : Bijector
        f, of the features idx_a of the partition and of its context.
    partition : Partition
        x_a (N, A + C) goes through f, x_b (N, B) passes unchanged.

    Examples
    --------
    >>> import numpy as np
    >>> from nice_np import DiagonalScaling
    >>> OnPart(DiagonalScaling(2, log_scale=1.0), Partition(3, [0, 2])).forward(np.array([[1.0, 5.0, 2.0]]))[0].round(3)
    array([[2.718, 5.   , 5.437]])
    """

    def __init__(self, bijector: Bijector, partition: Partition) -> None:
        who = type(self).__name__
        if not isinstance(bijector, Bijector):
            raise NiceTypeError(f"{who}: expected a Bijector, got {bijector!r}")
        if not isinstance(partition, Partition):
            raise NiceTypeError(f"{who}: partition must be a Partition, got {partition!r}")
        width = len(partition.idx_a) + partition.context_dim
        if bijector.dim != width:
            raise NiceValueError(f"{who}: the part has {width} features, the bijector takes {bijector.dim}")
        self.bijector = bijector
        self.partition = partition
        self.dim = partition.dim + partition.context_dim
        self.interval = bijector.interval

    def forward(self, x: Array) -> tuple[Array, Array, Any]:
        x_a, x_b = self.partition.split(as_batch(x, self.dim, self))  # (N, A + C), (N, B)
        z_a, log_det, cache = self.bijector.forward(x_a)
        return self.partition.merge(z_a, x_b), log_det, cache

    def inverse(self, z: Array) -> tuple[Array, Array, Any]:
        z_a, z_b = self.partition.split(as_batch(z, self.dim, self, "z"))  # (N, A + C), (N, B)
        x_a, log_det, cache = self.bijector.inverse(z_a)
        return self.partition.merge(x_a, z_b), log_det, cache

    def rebuild(self, z: Array) -> tuple[Array, Any]:
        z_a, z_b = self.partition.split(z)
        x_a, cache = self.bijector.rebuild(z_a)
        return self.partition.merge(x_a, z_b), cache

    def backward(self, dz: Array, dlog_det: Array, cache: Any, parameters: bool = True) -> Array:
        dz_a, dz_b = self.partition.split(dz)
        dx_a = run_backward(self.bijector.backward, dz_a, dlog_det, cache, parameters=parameters)
        return self.partition.merge(dx_a, dz_b)  # dz_b/dx_b = 1

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: Any, parameters: bool = True) -> Array:
        dx_a, dx_b = self.partition.split(dx)
        dz_a = run_backward(self.bijector.inverse_backward, dx_a, dlog_det, cache, parameters=parameters)
        return self.partition.merge(dz_a, dx_b)

    @property
    def fitted(self) -> bool:
        """False until the bijector inside has been fitted."""
        return bool(getattr(self.bijector, "fitted", True))

    def fit(self, chunks: Callable[[], Iterable[Array]]) -> None:
        """Fit the bijector inside to its part alone."""
        inner: Any = self.bijector
        inner.fit(lambda: (self.partition.split(chunk)[0] for chunk in chunks()))

    def config(self) -> dict[str, Any]:
        part = self.partition
        return {"bijector": self.bijector, "dim": part.dim, "idx_a": part.idx_a, "context_dim": part.context_dim}

    @classmethod
    def from_config(cls, bijector: Any, dim: int, idx_a: Any, context_dim: int) -> OnPart:
        """Rebuild a layer from what `config` returned."""
        return OnPart(bijector, Partition(dim, idx_a, context_dim))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.bijector!r}, {len(self.partition.idx_a)} of {self.partition.dim})"

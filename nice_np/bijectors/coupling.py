"""What all coupling layers share: split, evaluate the conditioner, apply the law, merge.

    y_a = x_a
    y_b = h(x_b; m(x_a))            (Dinh et al. 2014, section 3.2)

The Jacobian is block triangular with the identity in the first block, so log|det| = log|det dh/dx_b|; and since
y_a = x_a, the inverse evaluates m at the same point: x_b = h^-1(y_b; m(y_a)).  m itself is never inverted.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.law import Law
from nice_np.bijectors.partition import Partition
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.parameters import Module, run_backward
from nice_np.validation import Array, as_batch, as_sizes, check_shape


class Conditioner(Protocol):
    """What a coupling layer needs of m: a value and its gradient."""

    def forward(self, x: Array) -> tuple[Array, Any]:
        """m(x) (N, n_theta), and a cache."""

    def backward(self, dy: Array, cache: Any) -> Array:
        """Returns dL/dx and writes dL/d(parameter); may have the keyword `parameters`, see `Bijector.backward`."""


class CouplingCache(NamedTuple):
    """The caches of the conditioner and of the law."""

    conditioner: Any
    law: Any


class Coupling(Law, Bijector):
    """A coupling layer; the law h is the subclass's, see `Law`.

    Parameters
    ----------
    partition : Partition
        The features that are kept (idx_a, A of them) and those that are transformed (idx_b, B of them).
    conditioner : Module
        m: (N, A) -> theta (N, ``thetas_per_feature`` * B); with a context of C features behind the others it sees
        those as well: (N, A + C) -> theta.
    """

    def __init__(self, partition: Partition, conditioner: Conditioner) -> None:
        if not isinstance(partition, Partition):
            raise NiceTypeError(f"{type(self).__name__}: partition must be a Partition, got {partition!r}")
        given: object = conditioner  # at run time it may be anything
        passes = [getattr(given, name, None) for name in ("forward", "backward")]
        if not isinstance(given, Module) or isinstance(given, Bijector) or not all(map(callable, passes)):
            raise NiceTypeError(
                f"{type(self).__name__}: conditioner must be a Module with forward and backward, got {conditioner!r}"
            )
        self.partition = partition
        self.dim = partition.dim + partition.context_dim
        self.conditioner = conditioner
        self._check_sizes(getattr(conditioner, "sizes", None))

    def _check_sizes(self, sizes: Any) -> None:
        """A conditioner that declares its widths, from input to output, is refused at once if they do not fit."""
        if sizes is None:
            return
        who, part = type(self).__name__, self.partition
        sizes = as_sizes(sizes, who, "the conditioner's sizes")
        if not sizes:
            raise NiceValueError(f"{who}: the conditioner's sizes must be its widths from input to output, got none")
        expected = (len(part.idx_a) + part.context_dim, self.thetas_per_feature * len(part.idx_b))
        if (sizes[0], sizes[-1]) != expected:
            raise NiceValueError(
                f"{who}: the conditioner must map {expected[0]} to {expected[1]} features, "
                f"{self.conditioner!r} maps {sizes[0]} to {sizes[-1]}"
            )

    def forward(self, x: Array) -> tuple[Array, Array, CouplingCache]:
        x_a, x_b = self.partition.split(as_batch(x, self.dim, self))  # (N, A), (N, B)
        theta, m_cache = self._theta(x_a)
        y_b, log_det, law_cache = self._couple(x_b, theta)
        return self.partition.merge(x_a, y_b), log_det, CouplingCache(m_cache, law_cache)

    def inverse(self, z: Array) -> tuple[Array, Array, CouplingCache]:
        y_a, y_b = self.partition.split(as_batch(z, self.dim, self, "z"))  # (N, A), (N, B)
        theta, m_cache = self._theta(y_a)
        x_b, log_det, law_cache = self._uncouple(y_b, theta)
        return self.partition.merge(y_a, x_b), log_det, CouplingCache(m_cache, law_cache)

    def rebuild(self, z: Array) -> tuple[Array, CouplingCache]:
        y_a, y_b = self.partition.split(as_batch(z, self.dim, self, "z"))  # (N, A), (N, B)
        theta, m_cache = self._theta(y_a)  # y_a = x_a, so one m(y_a) serves the inverse and forward
        x_b = self._uncouple(y_b, theta)[0]
        law_cache = self._couple(x_b, theta)[2]
        return self.partition.merge(y_a, x_b), CouplingCache(m_cache, law_cache)

    def backward(self, dz: Array, dlog_det: Array, cache: CouplingCache, parameters: bool = True) -> Array:
        dy_a, dy_b = self.partition.split(dz)
        dx_b, dtheta = self._couple_backward(dy_b, dlog_det, cache.law)
        # x_a acts twice: as y_a = x_a, and through theta = m(x_a).
        dx_a = dy_a + self._theta_backward(dtheta, cache.conditioner, parameters)
        return self.partition.merge(dx_a, dx_b)

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: CouplingCache, parameters: bool = True) -> Array:
        dx_a, dx_b = self.partition.split(dx)
        dy_b, dtheta = self._uncouple_backward(dx_b, dlog_det, cache.law)
        # m itself is never inverted: its own backward serves here, too.
        dy_a = dx_a + self._theta_backward(dtheta, cache.conditioner, parameters)
        return self.partition.merge(dy_a, dy_b)

    def _theta(self, x_a: Array) -> tuple[Array, Any]:
        theta, cache = self.conditioner.forward(x_a)
        expected = (len(x_a), self.thetas_per_feature * len(self.partition.idx_b))
        if np.shape(theta) != expected:  # NumPy would broadcast a (N, 1) answer silently
            raise NiceValueError(
                f"{type(self).__name__}: the conditioner must return shape {expected}, got {np.shape(theta)}"
            )
        return theta, cache

    def _theta_backward(self, dtheta: Array, cache: Any, parameters: bool) -> Array:
        """The part of dL/dx_a that comes through theta = m(x_a): (N, A + C)."""
        dx_a = run_backward(self.conditioner.backward, dtheta, cache, parameters=parameters)
        width = len(self.partition.idx_a) + self.partition.context_dim
        check_shape(dx_a, (len(dtheta), width), type(self).__name__, "the conditioner's gradient")
        return dx_a

    def config(self) -> dict[str, Any]:
        part = self.partition
        context = {"context_dim": part.context_dim} if part.context_dim else {}
        return {"dim": part.dim, "idx_a": part.idx_a, **context, "conditioner": self.conditioner}

    @classmethod
    def from_config(cls, dim: int, idx_a: Any, conditioner: Any, context_dim: int = 0, **law: Any) -> Coupling:
        """Rebuild a layer from what `config` returned."""
        return cls(Partition(dim, idx_a, context_dim), conditioner, **law)

    def __repr__(self) -> str:
        kept = len(self.partition.idx_a) + self.partition.context_dim
        return f"{type(self).__name__}(dim={self.dim}, kept={kept}, conditioner={self.conditioner!r})"

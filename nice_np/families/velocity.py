"""A network as a velocity field: v(x, t) and its divergence tr(dv/dx), exact or as an estimate, with their gradient."""

from __future__ import annotations

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.networks.mlp import MLP
from nice_np.networks.tangents import (
    TangentCache,
    backward_with_tangents,
    forward_with_tangents,
    signs_of_rows,
    smooth_activation,
)
from nice_np.validation import Array, as_int


class VelocityField(Bijector):
    """dx/dt = v(x, c, t) and tr(dv/dx) = sum_k v_k . J v_k, J = dv/dx, for directions v_k; see `NeuralODE`.

    The v_k are the D unit vectors, or random ones with E[sum_k v_k v_k^T] = I (Hutchinson 1990).
    """

    def __init__(self, network: MLP, probes: int | None, seed: int) -> None:
        who = type(self).__name__
        if not isinstance(network, MLP):
            raise NiceTypeError(f"{who}: expected an MLP, got {network!r}")
        smooth_activation(network, who)
        self.network = network
        self.dim, self.features = network.sizes[0] - 1, network.sizes[-1]  # D + C, D
        if self.dim < self.features:
            raise NiceValueError(
                f"{who}: expected a network from D features, C of context and the time to D velocities, "
                f"{network!r} maps {network.sizes[0]} to {self.features}"
            )
        self.probes = None if probes is None else as_int(probes, who, "probes", 1)
        self.seed = as_int(seed, who, "seed", 0)

    def directions(self, x: Array) -> Array:
        """V, rows v_k with sum_k v_k . J v_k = tr J, exactly or in expectation, for each row of x: (N, K, D)."""
        if self.probes is not None:
            return signs_of_rows(self.network, x, self.probes, self.seed)
        return np.broadcast_to(np.eye(self.features, dtype=x.dtype), (len(x), self.features, self.features))

    def velocity(self, x: Array, t: float, V: Array) -> tuple[Array, Array, TangentCache]:
        """dx/dt (N, D + C), 0 for the context, tr(dv/dx) (N,), and a cache."""
        others = np.zeros((*V.shape[:2], self.dim + 1 - self.features), x.dtype)  # context and time stay: (N, K, C + 1)
        inputs = np.concatenate([x, np.full((len(x), 1), t, x.dtype)], axis=1)  # (N, D + C + 1)
        v, JV, cache = forward_with_tangents(self.network, inputs, np.concatenate([V, others], axis=2))
        still = np.zeros_like(x[:, self.features :])  # (N, C)
        return np.concatenate([v, still], axis=1), (V * JV).sum(axis=(1, 2)), cache

    def velocity_backward(
        self, dv: Array, dtrace: Array, V: Array, cache: TangentCache, parameters: bool = True
    ) -> Array:
        """dL/dx (N, D + C); writes the gradients of the network."""
        dJV = dtrace[:, None, None] * V  # (N, K, D)
        return backward_with_tangents(self.network, dv[:, : self.features], dJV, cache, parameters)[0][:, :-1]

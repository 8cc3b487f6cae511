"""The weights of a model as NumPy arrays: how they travel from nice_np to the other libraries, and gradients back."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from benchmarks.model import Array, Model


class Weights(NamedTuple):
    """One number for each parameter of a model: its values, or its gradients.

    A NamedTuple of lists and tuples, so that JAX takes it as a pytree as it is.
    """

    couplings: list[list[tuple[Array, Array]]]  # for each coupling and linear layer W (n_in, n_out), b (n_out,)
    log_scale: Array  # (D,)

    @classmethod
    def of_flow(cls, flow: Any) -> Weights:
        """Copies of a nice_np flow's parameters."""
        *couplings, scaling = flow.layers
        layers = [[(np.array(l.W), np.array(l.b)) for l in c.conditioner.layers] for c in couplings]
        return cls(layers, np.array(scaling.log_scale))

    @classmethod
    def random(cls, model: Model) -> Weights:
        """He initialisation, for a start without nice_np."""
        rng = np.random.default_rng(0)

        def layer(n_in: int, n_out: int) -> tuple[Array, Array]:
            W = rng.standard_normal((n_in, n_out), dtype=np.float32) * np.float32(np.sqrt(2 / n_in))
            return W, np.zeros(n_out, np.float32)

        couplings = [[layer(*sizes) for sizes in pairwise(model.sizes)] for _ in range(model.couplings)]
        return cls(couplings, np.zeros(model.dim, np.float32))

    def flat(self) -> Array:
        """All numbers in one vector, (P,), in the order of nice_np's ``flow.params``."""
        parts = [part for coupling in self.couplings for layer in coupling for part in layer]
        return np.concatenate([np.asarray(part).ravel() for part in (*parts, self.log_scale)])

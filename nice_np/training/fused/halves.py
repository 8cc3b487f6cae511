"""Couplings in turns: split once before the first, merge once behind the last.

The layers of NICE keep and transform the same two sets of features, in turns.  Each splits its input, and merges its
output only for the next one to split it again: a tenth of a training step on digits.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.chain import Chain
from nice_np.bijectors.coupling import Coupling, CouplingCache
from nice_np.files.recognised import is_own
from nice_np.validation import Array


def two_sets(layer: Bijector) -> Hashable:
    """The same for two couplings that divide the features alike, whichever set they keep; None for other layers."""
    if not isinstance(layer, Coupling) or not is_own(layer) or layer.partition.context_dim:
        return None  # a law of yours may return any shape, and a context is kept by all layers
    return frozenset((layer.partition.idx_a.tobytes(), layer.partition.idx_b.tobytes()))


class InHalves(Chain):
    """A `Chain` of couplings with the same `two_sets`, whose forward and backward pass merge them at the end only."""

    def __init__(self, couplings: Sequence[Coupling]) -> None:
        super().__init__(couplings)
        self._partition = couplings[0].partition
        kept = (int(not np.array_equal(layer.partition.idx_a, self._partition.idx_a)) for layer in couplings)
        self._turns = list(zip(couplings, kept, strict=True))  # each layer, and which of the two sets it keeps

    def forward(self, x: Array) -> tuple[Array, Array, list[Any]]:
        sets = list(self._partition.split(x))  # of the first layer: (N, A), (N, B)
        total, caches = np.zeros(len(x), x.dtype), []
        for layer, a in self._turns:
            theta, m_cache = layer._theta(sets[a])
            sets[1 - a], log_det, law_cache = layer._couple(sets[1 - a], theta)
            total = total + log_det
            caches.append(CouplingCache(m_cache, law_cache))
        return self._partition.merge(*sets), total, caches

    def backward(self, dz: Array, dlog_det: Array, cache: list[Any], parameters: bool = True) -> Array:
        sets = list(self._partition.split(dz))
        for (layer, a), layer_cache in zip(self._turns[::-1], cache[::-1], strict=True):
            sets[1 - a], dtheta = layer._couple_backward(sets[1 - a], dlog_det, layer_cache.law)
            # x_a acts twice, as y_a = x_a and through theta = m(x_a): see `Coupling.backward`
            sets[a] = sets[a] + layer._theta_backward(dtheta, layer_cache.conditioner, parameters)
        return self._partition.merge(*sets)

"""A parameter of layer k changes nothing below it: the layers before k are evaluated once, not for every difference.

log p(x) = sum_{j<k} log_det_j + [sum_{j>=k} log_det_j + log p_Z(f_K(... f_k(h)))],    h = f_{k-1}(... f_1(x))
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from nice_np.checks.objects import has_methods
from nice_np.validation import Array

Objective = Callable[[], Array]


def shorten(whole: Objective, flow: Any, x: Array, path: str, values: Array, step: float) -> Objective:
    """``whole()``, that is ``flow.log_prob(x)``, as a function that evaluates only what depends on `values`.

    `path` names the parameter.  The shorter function must give the same bits, here and when all of `values` are changed
    by `step`; otherwise, and for a model without layers, `whole` is returned.
    """
    k = _layer_of(path, flow)
    if k is None:
        return whole
    short, kept = _from_layer(flow, k, x), values.copy()
    try:
        same = np.array_equal(short(), whole())
        values += step
        return short if same and np.array_equal(short(), whole()) else whole
    finally:
        values[...] = kept


def _layer_of(path: str, flow: Any) -> int | None:
    """The layer that holds a parameter; None if the flow has no chain of layers, or a context."""
    found = re.match(r"prior\.|bijector\.layers\.(\d+)\.", path)
    layers: tuple[Any, ...] = getattr(flow, "layers", ())
    if not (found and layers and has_methods(getattr(flow, "prior", None), "log_prob")) or flow.context_dim:
        return None
    return len(layers) if found[1] is None else int(found[1])


def _from_layer(flow: Any, k: int, x: Array) -> Objective:
    """log p(x) (N,) from layer k on, at the parameters of the moment."""
    h, below = _through(flow.layers[:k], x, np.zeros(()))

    def log_prob() -> Array:
        z, log_det = _through(flow.layers[k:], h, below)
        log_prob: Array = flow.prior.log_prob(z) + log_det
        return log_prob

    return log_prob


def _through(layers: tuple[Any, ...], x: Array, log_det: Array) -> tuple[Array, Array]:
    x = x.copy()
    for layer in layers:
        x, layer_log_det, *_ = layer.forward(x)
        log_det = log_det + layer_log_det
    return x, log_det

"""Layers that know the levels of pixels, as ONNX operators; see `nice_np.interop.onnx_layers`."""

from __future__ import annotations

from typing import Any

import numpy as np

from nice_np.bijectors import Equalize
from nice_np.families.learned_noise import VariationalDequantization
from nice_np.interop.onnx_graph import Graph
from nice_np.interop.onnx_layers import Named, forward, inverse


@forward.register
def _(layer: Equalize, graph: Graph, x: str) -> Named:
    (edges, below), bins = layer.knots(), float(len(layer.shares))
    k = graph.add("Clip", graph.add("Floor", graph.add("Mul", x, bins)), 0.0, bins - 1)
    return _straight(graph, x, graph.add("Cast", k, to=7), edges, below)  # to int64


@inverse.register
def _(layer: Equalize, graph: Graph, z: str) -> Named:
    edges, below = layer.knots()
    bins = len(layer.shares)
    after = 2 ** (bins - 1).bit_length()  # the first power of two that is no less
    starts = np.concatenate([below[:-1], np.full(after - bins, np.inf, below.dtype)])
    k = graph.add("Cast", graph.add("Mul", z, 0.0), to=7)  # zeros
    while after > 1:  # bisection: is the bin as far to the right as that?
        after //= 2
        further = graph.add("Add", k, np.array(after))
        k = graph.add("Where", graph.add("Less", z, graph.add("Gather", starts, further)), k, further)
    return _straight(graph, z, k, below, edges)


def _straight(graph: Graph, x: str, k: str, before: Any, after: Any) -> Named:
    """The straight line of bin k that leads from the knots `before` to those `after`."""
    slope = graph.add("Gather", np.diff(after) / np.diff(before), k)
    from_knot = graph.add("Mul", slope, graph.add("Sub", x, graph.add("Gather", before, k)))
    return graph.add("Add", graph.add("Gather", after, k), from_knot), graph.sum_of_rows(graph.add("Log", slope))


@forward.register
def _(layer: VariationalDequantization, graph: Graph, x: str) -> Named:
    return _moved(layer, graph, x, forward)


@inverse.register
def _(layer: VariationalDequantization, graph: Graph, z: str) -> Named:
    return _moved(layer, graph, z, inverse)


def _moved(layer: VariationalDequantization, graph: Graph, x: str, noise: Any) -> Named:
    """(k + v) / L -> (k + sigmoid(h(logit v; k))) / L, with h either way."""
    L, eps = float(layer.levels), float(np.finfo(graph.dtype).eps)
    least, most = eps, 1 - eps * max(1, layer.levels / 2)  # where a logit is finite, within the bin
    scaled = graph.add("Mul", x, L)
    k = graph.add("Clip", graph.add("Floor", scaled), 0.0, L - 1)
    logits, log_det_v = forward(layer.logit, graph, graph.add("Clip", graph.add("Sub", scaled, k), least, most))
    moved, log_det = noise(layer.noise, graph, graph.add("Concat", logits, graph.add("Div", k, L), axis=1))
    u, log_det_u = inverse(layer.logit, graph, graph.columns(moved, np.arange(layer.dim)))
    z = graph.add("Div", graph.add("Add", k, graph.add("Clip", u, least, most)), L)
    return z, graph.add("Add", graph.add("Add", log_det_v, log_det), log_det_u)

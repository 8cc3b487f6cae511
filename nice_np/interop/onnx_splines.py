"""The spline law in ONNX.

No operator looks up the bin of every number, so the bins are summed, with weight 1 for the right one and 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nice_np.families import spline
from nice_np.families.spline_knots import LEAST, SHIFT
from nice_np.families.spline_law import SplineLaw
from nice_np.interop.onnx_graph import Graph
from nice_np.interop.onnx_layers import Named, couple, uncouple

formula: Any = spline.spline  # of arrays, and of whatever has their operators
in_bin: Any = spline.Bin


class Term:
    """An array of a graph, with Python's operators: the formula itself is written into the graph."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name = graph, name

    def apply(self, operator: str, *others: Any, **attributes: Any) -> Term:
        inputs = [other.name if isinstance(other, Term) else other for other in others]
        inputs = [float(each) if isinstance(each, int) else each for each in inputs]  # integers are for indices
        return Term(self.graph, self.graph.add(operator, self.name, *inputs, **attributes))

    def __add__(self, other: Term | float) -> Term:
        return self.apply("Add", other)

    def __sub__(self, other: Term | float) -> Term:
        return self.apply("Sub", other)

    def __rsub__(self, other: float) -> Term:
        return self.apply("Neg") + other

    def __mul__(self, other: Term | float) -> Term:
        return self.apply("Mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Term) -> Term:
        return self.apply("Div", other)

    def __pow__(self, two: int) -> Term:
        return self * self

    def log(self) -> Term:  # what np.log calls
        return self.apply("Log")


@couple.register
def _(layer: SplineLaw, graph: Graph, x_b: str, theta: list[str]) -> Named:
    x, bin = _located(layer, graph, x_b, theta, axis=0)
    y, log_slope, _ = formula(x, bin)
    return _inside(layer, graph, x_b, y, log_slope)


@uncouple.register
def _(layer: SplineLaw, graph: Graph, y_b: str, theta: list[str]) -> Named:
    y, bin = _located(layer, graph, y_b, theta, axis=1)
    x = _inverse(y, bin)
    return _inside(layer, graph, y_b, x, formula(x, bin)[1].apply("Neg"))


def _inside(layer: SplineLaw, graph: Graph, before: str, after: Term, log_slope: Term) -> Named:
    inside = graph.add("Less", graph.add("Abs", before), layer.bound)
    log_slopes = graph.add("Where", inside, log_slope.name, 0.0)
    return graph.add("Where", inside, after.name, before), graph.sum_of_rows(log_slopes)


def _inverse(y: Any, bin: Any) -> Any:
    """See `nice_np.families.spline.inverse_spline`."""
    v, s = ((y - bin.y0) / bin.h).apply("Max", 0.0).apply("Min", 1.0), bin.h / bin.w
    b = bin.d0 - v * (bin.d0 + bin.d1 - 2 * s)
    root = ((b - 2 * s * v) ** 2 + 4 * s * s * v * (1 - v)).apply("Sqrt")
    first = (0.0 - b).apply("Less", 0.0)
    above = first.apply("Where", 2 * s * v, root - b)
    return bin.x0 + bin.w * (above / first.apply("Where", b + root, 2 * (s - b)))


def _located(layer: SplineLaw, graph: Graph, value: str, theta: list[str], axis: int) -> tuple[Any, Any]:
    """x (axis = 0) or y (axis = 1) within the bounds, and its bin, (N, B) each."""
    K, bound = layer.bins, layer.bound
    value = graph.add("Min", graph.add("Max", value, -bound), bound)
    zero, one = graph.add("Mul", value, 0.0), graph.add("Add", graph.add("Mul", value, 0.0), 1.0)
    sizes, ends = [], []
    for logits in (theta[:K], theta[K : 2 * K]):
        share = Term(graph, graph.add("Softmax", _stack(graph, logits), axis=1))  # (N, K, B)
        sizes.append(share * (2 * bound * (1 - K * LEAST)) + 2 * bound * LEAST)
        ends.append(sizes[-1].apply("CumSum", np.array(1)) - bound)
    inner = graph.add("Gather", ends[axis].name, np.arange(K - 1), axis=1)
    before = graph.add("Less", graph.add("Unsqueeze", value, np.array([1])), inner)
    beyond = graph.add("Where", before, 0.0, 1.0)  # (N, K - 1, B)
    first, last = (graph.add("Unsqueeze", end, np.array([1])) for end in (one, zero))
    reached, passed = graph.add("Concat", first, beyond, axis=1), graph.add("Concat", beyond, last, axis=1)
    here = Term(graph, reached) - Term(graph, passed)  # (N, K, B), 1 for its bin

    def pick(all_bins: Term) -> Term:
        return (all_bins * here).apply("ReduceSum", np.array([1]), keepdims=0)

    (w, h), (x1, y1) = map(pick, sizes), map(pick, ends)
    raw = Term(graph, _stack(graph, [zero, *theta[2 * K :], zero]))  # (N, K + 1, B)
    d0, d1 = (
        Term(graph, graph.softplus((pick(raw.apply("Gather", np.arange(K) + knot, axis=1)) + SHIFT).name)) + LEAST
        for knot in (0, 1)
    )
    return Term(graph, value), in_bin(x1 - w, w, y1 - h, h, d0, d1)


def _stack(graph: Graph, names: Sequence[str]) -> str:
    """K arrays (N, B) -> (N, K, B)."""
    return graph.add("Concat", *(graph.add("Unsqueeze", name, np.array([1])) for name in names), axis=1)

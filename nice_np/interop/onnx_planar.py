"""Planar, radial and Sylvester layers as ONNX operators; see `nice_np.interop.onnx_layers`."""

from __future__ import annotations

from typing import Any

import numpy as np

from nice_np.families.planar import Planar
from nice_np.families.radial import Radial
from nice_np.families.residual import Residual
from nice_np.families.sylvester import Sylvester
from nice_np.interop.onnx_graph import Graph
from nice_np.interop.onnx_layers import Named, forward, inverse, unknown


@forward.register
def _(layer: Planar, graph: Graph, x: str) -> Named:
    u_hat, m = layer.invertible()
    h = graph.add("Tanh", graph.add("Add", graph.add("MatMul", x, layer.w[:, None]), layer.b))  # (N, 1)
    return graph.add("Add", x, graph.add("Mul", h, u_hat)), _log_stretch(graph, h, m)


@forward.register
def _(layer: Sylvester, graph: Graph, x: str) -> Named:
    Q, R, R_tilde = layer.matrices()
    h = graph.add("Tanh", graph.add("Add", graph.add("MatMul", x, Q @ R_tilde.T), layer.b))  # (N, M)
    z = graph.add("Add", x, graph.add("MatMul", h, R.T @ Q.T))
    return z, _log_stretch(graph, h, np.diag(R) * np.diag(R_tilde))


def _log_stretch(graph: Graph, h: str, k: Any) -> str:
    """The sum of log(1 + (1 - h^2) k) over the columns."""
    slope = graph.add("Sub", 1.0, graph.add("Mul", h, h))
    return graph.sum_of_rows(graph.add("Log", graph.add("Add", graph.add("Mul", slope, k), 1.0)))


@forward.register
def _(layer: Radial, graph: Graph, x: str) -> Named:
    alpha = layer.positive()[0]
    y = graph.add("Sub", x, layer.c)
    q, log_det = _around_centre(layer, graph, graph.add("Add", _length(graph, y), alpha))
    return graph.add("Add", graph.add("Mul", q, y), layer.c), log_det


@inverse.register
def _(layer: Radial, graph: Graph, z: str) -> Named:
    alpha, beta = layer.positive()
    y = graph.add("Sub", z, layer.c)
    rho = _length(graph, y)
    half = graph.add("Mul", graph.add("Sub", alpha + beta, rho), 0.5)
    root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", half, half), graph.add("Mul", rho, alpha)))
    inside = graph.add("Div", graph.add("Mul", rho, alpha), graph.add("Add", graph.add("Abs", half), root))
    r = graph.add("Where", graph.add("Greater", half, 0.0), inside, graph.add("Sub", root, half))
    q, log_det = _around_centre(layer, graph, graph.add("Add", r, alpha))
    return graph.add("Add", graph.add("Div", y, q), layer.c), graph.add("Neg", log_det)


def _length(graph: Graph, y: str) -> str:
    """|y| of each row, (N, 1)."""
    return graph.add("Sqrt", graph.add("ReduceSum", graph.add("Mul", y, y), np.array([1]), keepdims=1))


def _around_centre(layer: Radial, graph: Graph, s: str) -> Named:
    """q = 1 + beta / s (N, 1) and the log-determinant of forward, from s = alpha + r."""
    alpha, beta = layer.positive()
    q = graph.add("Add", graph.add("Div", beta, s), 1.0)
    p = graph.add("Add", graph.add("Div", alpha * beta, graph.add("Mul", s, s)), 1.0)
    across = graph.add("Mul", graph.add("Log", q), float(layer.dim - 1))
    return q, graph.sum_of_rows(graph.add("Add", across, graph.add("Log", p)))


@inverse.register
def _(layer: Residual, graph: Graph, z: str) -> Named:
    raise unknown(layer)

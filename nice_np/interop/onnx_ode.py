"""The ONNX operators of a continuous flow: every step of the solver written out, with the network and its tangents."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from nice_np.errors import NiceTypeError
from nice_np.families.continuous import METHODS, NeuralODE
from nice_np.interop.onnx_graph import Graph
from nice_np.interop.onnx_layers import Named, forward, inverse
from nice_np.interop.onnx_networks import activated
from nice_np.networks.activations import Activation, Softplus, Tanh


@forward.register
def _(layer: NeuralODE, graph: Graph, x: str) -> Named:
    return _solve(layer, graph, x, 0.0, 1 / layer.steps)


@inverse.register
def _(layer: NeuralODE, graph: Graph, z: str) -> Named:
    return _solve(layer, graph, z, 1.0, -1 / layer.steps)


def _solve(layer: NeuralODE, graph: Graph, x: str, t: float, h: float) -> Named:
    if layer.probes is not None:
        raise NiceTypeError(f"to_onnx: {layer!r} estimates its trace; set probes = None for the exact one")
    context = graph.columns(x, np.arange(layer.features, layer.dim))  # (N, C)
    x, log_det = graph.columns(x, np.arange(layer.features)), graph.constant(0.0)
    for k in range(layer.steps):
        v, end = x, x
        for c, b in zip(*METHODS[layer.method], strict=True):
            point = graph.add("Add", x, graph.add("Mul", v, h * c)) if c > 0 else x
            v, trace = _velocity(layer, graph, point, context, t + (k + c) * h)
            end = graph.add("Add", end, graph.add("Mul", v, h * b))
            log_det = graph.add("Add", log_det, graph.add("Mul", trace, h * b))
        x = end
    return graph.add("Concat", x, context, axis=1), log_det


def _velocity(layer: NeuralODE, graph: Graph, x: str, context: str, t: float) -> Named:
    """v (N, D) and tr(dv/dx), (N,) or a single number; see `nice_np.networks.tangents`."""
    D, f, (first, *others) = layer.features, layer.network.activation, layer.network.layers
    a = graph.add("MatMul", graph.add("Concat", x, context, axis=1), first.W[:-1])
    a = graph.add("Add", a, first.b + t * first.W[-1])  # (N, width)
    U = graph.constant(first.W[:D])  # of the D unit vectors: (D, width), or (N, D, width) from the next layer on
    for linear in others:
        h = activated(f, graph, a)
        slopes = graph.add("Reshape", slope(f, graph, h), np.array([-1, 1, len(linear.W)]))
        a = graph.add("Add", graph.add("MatMul", h, linear.W), linear.b)
        U = graph.add("MatMul", graph.add("Mul", slopes, U), linear.W)
    return a, graph.add("ReduceSum", graph.add("Mul", U, np.eye(D)), np.array([-2, -1]), keepdims=0)


@singledispatch
def slope(activation: Activation, graph: Graph, h: str) -> str:
    """f'(a) from h = f(a); see `nice_np.networks.activations`."""
    raise NiceTypeError(f"to_onnx: no graph is known for the derivative of {activation!r}")


@slope.register
def _(activation: Tanh, graph: Graph, h: str) -> str:
    return graph.add("Sub", 1.0, graph.add("Mul", h, h))


@slope.register
def _(activation: Softplus, graph: Graph, h: str) -> str:
    return graph.add("Sub", 1.0, graph.add("Exp", graph.add("Neg", h)))

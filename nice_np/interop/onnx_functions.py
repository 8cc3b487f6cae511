"""Functions of one number that layers, networks and priors share, as ONNX operators."""

from __future__ import annotations

from nice_np.interop.onnx_graph import Graph
from nice_np.networks.activations import SLOPE, Activation


def softplus(graph: Graph, a: str) -> str:
    """log(1 + e^a) = max(a, 0) + log(1 + e^-|a|)."""
    return graph.add("Add", graph.add("Max", a, 0.0), log_one_plus_exp_minus(graph, graph.add("Abs", a)))


def log_one_plus_exp_minus(graph: Graph, size: str) -> str:
    """log(1 + e^-size) of size >= 0: nothing overflows."""
    return graph.add("Log", graph.add("Add", graph.add("Exp", graph.add("Neg", size)), 1.0))


def activated(activation: Activation, graph: Graph, a: str) -> str:
    """f(a); see `nice_np.networks.activations`."""
    if activation.name == "relu":
        return graph.add("Max", a, 0.0)
    if activation.name == "leaky_relu":
        return graph.add("Max", a, graph.add("Mul", a, SLOPE))
    if activation.name == "tanh":
        return graph.add("Tanh", a)
    return softplus(graph, a)

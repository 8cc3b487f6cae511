"""What each layer and prior writes into an ONNX graph: its forward or its inverse, and the log-determinant.

``forward(layer, graph, x)`` and ``inverse(layer, graph, z)`` return the names of the output (N, D) and of log|det|,
(N,) or a single number.  The formulas are those of the layers' own modules; operators are chosen so that they exist in
float32 and float64 alike.
"""

from __future__ import annotations

from functools import reduce, singledispatch
from math import log, pi
from typing import Any

import numpy as np

from nice_np.bijectors import (
    AdditiveCoupling,
    AffineCoupling,
    Bijector,
    Chain,
    Coupling,
    DiagonalScaling,
    Inverse,
    Logit,
    MultiplicativeCoupling,
    Permutation,
    Rescale,
    Standardize,
    Whitening,
    WithContext,
)
from nice_np.bijectors.scales import Scale
from nice_np.errors import NiceTypeError
from nice_np.flows.priors import Prior, StandardLogistic, StandardNormal
from nice_np.interop.onnx_functions import log_one_plus_exp_minus, softplus
from nice_np.interop.onnx_graph import Graph
from nice_np.interop.onnx_networks import network

Named = tuple[str, str]  # of the output and of log|det|


@singledispatch
def forward(layer: Bijector, graph: Graph, x: str) -> Named:
    """The names of z = f(x) and log|det df/dx|."""
    raise _unknown(layer)


@singledispatch
def inverse(layer: Bijector, graph: Graph, z: str) -> Named:
    """The names of x = f^-1(z) and log|det df^-1/dz|."""
    raise _unknown(layer)


# -- layers made of layers --------------------------------------------------------------------------------------------


@forward.register
def _(layer: Chain, graph: Graph, x: str) -> Named:
    log_dets = []
    for part in layer.layers:
        x, log_det = forward(part, graph, x)
        log_dets.append(log_det)
    return x, _sum(graph, log_dets)


@inverse.register
def _(layer: Chain, graph: Graph, z: str) -> Named:
    log_dets = []
    for part in layer.layers[::-1]:
        z, log_det = inverse(part, graph, z)
        log_dets.append(log_det)
    return z, _sum(graph, log_dets)


@forward.register
def _(layer: Inverse, graph: Graph, x: str) -> Named:
    return inverse(layer.bijector, graph, x)


@inverse.register
def _(layer: Inverse, graph: Graph, z: str) -> Named:
    return forward(layer.bijector, graph, z)


@forward.register
def _(layer: WithContext, graph: Graph, x: str) -> Named:
    return _beside_context(forward, layer, graph, x)


@inverse.register
def _(layer: WithContext, graph: Graph, z: str) -> Named:
    return _beside_context(inverse, layer, graph, z)


def _beside_context(pass_: Any, layer: WithContext, graph: Graph, x: str) -> Named:
    dim = layer.bijector.dim
    y, log_det = pass_(layer.bijector, graph, graph.columns(x, np.arange(dim)))
    return graph.add("Concat", y, graph.columns(x, np.arange(dim, layer.dim)), axis=1), log_det


# -- couplings --------------------------------------------------------------------------------------------------------


@forward.register
def _(layer: Coupling, graph: Graph, x: str) -> Named:
    x_a, x_b = _split(layer, graph, x)
    y_b, log_det = couple(layer, graph, x_b, network(layer.conditioner, graph, x_a))
    return _merge(layer, graph, x_a, y_b), log_det


@inverse.register
def _(layer: Coupling, graph: Graph, z: str) -> Named:
    y_a, y_b = _split(layer, graph, z)
    x_b, log_det = uncouple(layer, graph, y_b, network(layer.conditioner, graph, y_a))
    return _merge(layer, graph, y_a, x_b), log_det


def _split(layer: Coupling, graph: Graph, x: str) -> tuple[str, str]:
    part = layer.partition
    kept = np.concatenate([part.idx_a, np.arange(part.dim, layer.dim)])  # the context is kept, too
    return graph.columns(x, kept), graph.columns(x, part.idx_b)


def _merge(layer: Coupling, graph: Graph, x_a: str, x_b: str) -> str:
    part = layer.partition
    places = np.concatenate([part.idx_a, np.arange(part.dim, layer.dim), part.idx_b])
    return graph.columns(graph.add("Concat", x_a, x_b, axis=1), np.argsort(places))


@singledispatch
def couple(layer: Coupling, graph: Graph, x_b: str, theta: str) -> Named:
    """The law: y_b = h(x_b; theta) and log|det dh/dx_b|."""
    raise _unknown(layer)


@singledispatch
def uncouple(layer: Coupling, graph: Graph, y_b: str, theta: str) -> Named:
    """The law's inverse: x_b = h^-1(y_b; theta) and its log|det|."""
    raise _unknown(layer)


@couple.register
def _(layer: AdditiveCoupling, graph: Graph, x_b: str, theta: str) -> Named:
    return graph.add("Add", x_b, theta), graph.constant(0.0)


@uncouple.register
def _(layer: AdditiveCoupling, graph: Graph, y_b: str, theta: str) -> Named:
    return graph.add("Sub", y_b, theta), graph.constant(0.0)


@couple.register
def _(layer: MultiplicativeCoupling, graph: Graph, x_b: str, theta: str) -> Named:
    log_s = _log_s(layer.scale, graph, theta)
    return graph.add("Mul", x_b, graph.add("Exp", log_s)), graph.sum_of_rows(log_s)


@uncouple.register
def _(layer: MultiplicativeCoupling, graph: Graph, y_b: str, theta: str) -> Named:
    minus_log_s = graph.add("Neg", _log_s(layer.scale, graph, theta))
    return graph.add("Mul", y_b, graph.add("Exp", minus_log_s)), graph.sum_of_rows(minus_log_s)


@couple.register
def _(layer: AffineCoupling, graph: Graph, x_b: str, theta: str) -> Named:
    raw, t = _halves(layer, graph, theta)
    log_s = _log_s(layer.scale, graph, raw)
    return graph.add("Add", graph.add("Mul", x_b, graph.add("Exp", log_s)), t), graph.sum_of_rows(log_s)


@uncouple.register
def _(layer: AffineCoupling, graph: Graph, y_b: str, theta: str) -> Named:
    raw, t = _halves(layer, graph, theta)
    minus_log_s = graph.add("Neg", _log_s(layer.scale, graph, raw))
    x_b = graph.add("Mul", graph.add("Sub", y_b, t), graph.add("Exp", minus_log_s))
    return x_b, graph.sum_of_rows(minus_log_s)


def _halves(layer: Coupling, graph: Graph, theta: str) -> tuple[str, str]:
    width = len(layer.partition.idx_b)
    return graph.columns(theta, np.arange(width)), graph.columns(theta, np.arange(width, 2 * width))


def _log_s(scale: Scale, graph: Graph, r: str) -> str:
    """log s of the raw output r; see `nice_np.bijectors.scales`."""
    if scale.low > -np.inf:
        r = graph.add("Max", r, scale.low)
    if scale.high < np.inf:
        r = graph.add("Min", r, scale.high)
    if scale.name == "exp":
        return r
    if scale.name == "tanh":
        return graph.add("Mul", graph.add("Tanh", graph.add("Div", r, 2.0)), 2.0)
    if scale.name == "sigmoid":
        return graph.add("Neg", softplus(graph, graph.add("Neg", graph.add("Add", r, 2.0))))
    return graph.add("Log", softplus(graph, graph.add("Add", r, log(np.e - 1))))


# -- layers that act on features one by one ---------------------------------------------------------------------------


@forward.register
def _(layer: DiagonalScaling, graph: Graph, x: str) -> Named:
    return graph.add("Mul", x, np.exp(layer.log_scale)), graph.constant(layer.log_scale.sum())


@inverse.register
def _(layer: DiagonalScaling, graph: Graph, z: str) -> Named:
    return graph.add("Mul", z, np.exp(-layer.log_scale)), graph.constant(-layer.log_scale.sum())


@forward.register
def _(layer: Permutation, graph: Graph, x: str) -> Named:
    return graph.columns(x, layer.order), graph.constant(0.0)


@inverse.register
def _(layer: Permutation, graph: Graph, z: str) -> Named:
    return graph.columns(z, layer.inverse_order), graph.constant(0.0)


@forward.register
def _(layer: Standardize, graph: Graph, x: str) -> Named:
    return graph.add("Div", graph.add("Sub", x, layer.mean), layer.std), graph.constant(-np.log(layer.std).sum())


@inverse.register
def _(layer: Standardize, graph: Graph, z: str) -> Named:
    return graph.add("Add", graph.add("Mul", z, layer.std), layer.mean), graph.constant(np.log(layer.std).sum())


@forward.register
def _(layer: Whitening, graph: Graph, x: str) -> Named:
    z = graph.add("MatMul", graph.add("Sub", x, layer.mean), layer.matrix)
    return z, graph.constant(-np.log(layer.std).sum(dtype=np.float64))


@inverse.register
def _(layer: Whitening, graph: Graph, z: str) -> Named:
    x = graph.add("Add", graph.add("MatMul", z, layer.inverse_matrix), layer.mean)
    return x, graph.constant(np.log(layer.std).sum(dtype=np.float64))


@forward.register
def _(layer: Rescale, graph: Graph, x: str) -> Named:
    z = graph.add("Add", graph.add("Mul", x, layer.width), layer.low)
    return z, graph.constant(layer.dim * log(layer.width))


@inverse.register
def _(layer: Rescale, graph: Graph, z: str) -> Named:
    x = graph.add("Div", graph.add("Sub", z, layer.low), layer.width)
    return x, graph.constant(-layer.dim * log(layer.width))


@forward.register
def _(layer: Logit, graph: Graph, x: str) -> Named:
    log_u = graph.add("Log", graph.add("Add", x, layer.margin))
    log_v = graph.add("Log", graph.add("Add", graph.add("Sub", 1.0, x), layer.margin))
    log_det = graph.sum_of_rows(graph.add("Sub", log(layer.width), graph.add("Add", log_u, log_v)))
    return graph.add("Sub", log_u, log_v), log_det


@inverse.register
def _(layer: Logit, graph: Graph, z: str) -> Named:
    size = graph.add("Abs", z)
    small = graph.add("Exp", graph.add("Neg", size))
    large = graph.add("Div", 1.0, graph.add("Add", small, 1.0))
    end = graph.add("Sub", graph.add("Mul", graph.add("Mul", small, large), layer.width), layer.margin)
    x = graph.add("Where", graph.add("Less", z, 0.0), end, graph.add("Sub", 1.0, end))
    twice = graph.add("Mul", graph.add("Log", large), 2.0)
    return x, graph.sum_of_rows(graph.add("Add", graph.add("Sub", log(layer.width), size), twice))


# -- priors -----------------------------------------------------------------------------------------------------------


@singledispatch
def log_prior(prior: Prior, graph: Graph, z: str, dim: int) -> str:
    """The name of log p(z), (N,), of latents with `dim` features."""
    raise _unknown(prior)


@log_prior.register
def _(prior: StandardNormal, graph: Graph, z: str, dim: int) -> str:
    squares = graph.sum_of_rows(graph.add("Mul", z, z))
    return graph.add("Sub", graph.add("Mul", squares, -0.5), 0.5 * log(2 * pi) * dim)


@log_prior.register
def _(prior: StandardLogistic, graph: Graph, z: str, dim: int) -> str:
    size = graph.add("Abs", z)
    twice = graph.add("Mul", log_one_plus_exp_minus(graph, size), 2.0)
    return graph.add("Neg", graph.sum_of_rows(graph.add("Add", size, twice)))


def _sum(graph: Graph, names: list[str]) -> str:
    return reduce(lambda total, name: graph.add("Add", total, name), names)


def _unknown(part: Any) -> NiceTypeError:
    return NiceTypeError(f"to_onnx: no graph is known for {part!r}")

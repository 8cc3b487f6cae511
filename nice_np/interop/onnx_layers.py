"""The ONNX operators of each layer: forward or inverse, and the log-determinant; `onnx_priors` has the priors.

``forward(layer, graph, x)`` and ``inverse(layer, graph, z)`` return the names of the output (N, D) and of log|det|,
(N,) or a single number.  The formulas are those of the layers' own modules, in operators that exist in both float32
and float64.
"""

from __future__ import annotations

from functools import partial, reduce, singledispatch
from math import log
from typing import Any

import numpy as np

from nice_np.bijectors import (
    Bijector,
    Chain,
    Coupling,
    DiagonalScaling,
    ExpScale,
    FlooredSigmoidScale,
    Inverse,
    Logit,
    OnPart,
    Partition,
    Permutation,
    Rescale,
    Scale,
    SigmoidScale,
    SoftclipScale,
    SoftplusScale,
    Standardize,
    TanhScale,
    Whitening,
)
from nice_np.bijectors.additive import AdditiveLaw
from nice_np.bijectors.affine import AffineLaw
from nice_np.bijectors.law import Law
from nice_np.bijectors.multiplicative import MultiplicativeLaw
from nice_np.errors import NiceTypeError
from nice_np.families import mixture_law, umnn
from nice_np.families.actnorm import ActNorm
from nice_np.families.autoregressive import Autoregressive
from nice_np.families.channel_map import ChannelMap
from nice_np.families.implicit import ImplicitInverse, ImplicitLaw
from nice_np.families.mixture_law import MixtureLaw
from nice_np.families.umnn import UMNNLaw
from nice_np.interop.onnx_graph import Graph
from nice_np.interop.onnx_networks import network

Named = tuple[str, str]  # of the output and of log|det|


@singledispatch
def forward(layer: Bijector, graph: Graph, x: str) -> Named:
    """The names of z = f(x) and log|det df/dx|."""
    raise unknown(layer)


@singledispatch
def inverse(layer: Bijector, graph: Graph, z: str) -> Named:
    """The names of x = f^-1(z) and log|det df^-1/dz|."""
    raise unknown(layer)


# -- composite layers -------------------------------------------------------------------------------------------------


@forward.register
def _(layer: Chain, graph: Graph, x: str) -> Named:
    return _in_turn(forward, layer.layers, graph, x)


@inverse.register
def _(layer: Chain, graph: Graph, z: str) -> Named:
    return _in_turn(inverse, layer.layers[::-1], graph, z)


def _in_turn(pass_: Any, layers: Any, graph: Graph, x: str) -> Named:
    log_dets = []
    for layer in layers:
        x, log_det = pass_(layer, graph, x)
        log_dets.append(log_det)
    return x, reduce(lambda total, log_det: graph.add("Add", total, log_det), log_dets)


@forward.register
def _(layer: Inverse, graph: Graph, x: str) -> Named:
    return inverse(layer.bijector, graph, x)


@inverse.register
def _(layer: Inverse, graph: Graph, z: str) -> Named:
    return forward(layer.bijector, graph, z)


@forward.register
def _(layer: OnPart, graph: Graph, x: str) -> Named:
    return _on_part(forward, layer, graph, x)


@inverse.register
def _(layer: OnPart, graph: Graph, z: str) -> Named:
    return _on_part(inverse, layer, graph, z)


def _on_part(pass_: Any, layer: OnPart, graph: Graph, x: str) -> Named:
    kept, others, order = _parts(layer.partition)
    y, log_det = pass_(layer.bijector, graph, graph.columns(x, kept))
    return graph.columns(graph.add("Concat", y, graph.columns(x, others), axis=1), order), log_det


def _parts(part: Partition) -> tuple[Any, Any, Any]:
    """The columns of x_a with the context, those of x_b, and the order that merges the two."""
    x_a = np.concatenate([part.idx_a, np.arange(part.dim, part.dim + part.context_dim)])
    return x_a, part.idx_b, np.argsort(np.concatenate([x_a, part.idx_b]))


# -- couplings --------------------------------------------------------------------------------------------------------


@forward.register
def _(layer: Coupling, graph: Graph, x: str) -> Named:
    return _change_b(couple, layer, graph, x)


@inverse.register
def _(layer: Coupling, graph: Graph, z: str) -> Named:
    return _change_b(uncouple, layer, graph, z)


def _change_b(law: Any, layer: Coupling, graph: Graph, x: str) -> Named:
    kept, others, order = _parts(layer.partition)
    x_a, x_b = graph.columns(x, kept), graph.columns(x, others)
    theta = _blocks(layer, graph, network(layer.conditioner, graph, x_a), len(others))
    y_b, log_det = law(layer, graph, x_b, theta)
    return graph.columns(graph.add("Concat", x_a, y_b, axis=1), order), log_det


def _blocks(layer: Law, graph: Graph, theta: str, width: int) -> list[str]:
    """The T parameters of the law, (N, width) each, of theta (N, T * width)."""
    return [graph.columns(theta, np.arange(k * width, (k + 1) * width)) for k in range(layer.thetas_per_feature)]


# -- autoregressive layers --------------------------------------------------------------------------------------------


@forward.register
def _(layer: Autoregressive, graph: Graph, x: str) -> Named:
    dim = len(layer.conditioner.order)
    features, context = (graph.columns(x, indices) for indices in (np.arange(dim), np.arange(dim, layer.dim)))
    theta = _blocks(layer, graph, network(layer.conditioner, graph, x), dim)
    z, log_det = couple(layer, graph, features, theta)
    return graph.add("Concat", z, context, axis=1), log_det


@inverse.register
def _(layer: Autoregressive, graph: Graph, z: str) -> Named:
    latents = [graph.columns(z, np.array([i])) for i in range(layer.dim)]  # D + C columns, the context is the last C
    columns, log_dets = latents.copy(), []
    for i in layer.conditioner.order:  # one copy of the network for each feature
        x = graph.add("Concat", *columns, axis=1)
        theta = _blocks(layer, graph, network(layer.conditioner, graph, x), len(layer.conditioner.order))
        theta_i = [graph.columns(block, np.array([i])) for block in theta]
        columns[i], log_det = uncouple(layer, graph, latents[i], theta_i)
        log_dets.append(log_det)
    return graph.add("Concat", *columns, axis=1), reduce(partial(graph.add, "Add"), log_dets)


# -- laws -------------------------------------------------------------------------------------------------------------


@singledispatch
def couple(layer: Law, graph: Graph, x_b: str, theta: list[str]) -> Named:
    """The law: y_b = h(x_b; theta) and log|det dh/dx_b|; theta are its T parameters, (N, B) each."""
    raise unknown(layer)


@singledispatch
def uncouple(layer: Law, graph: Graph, y_b: str, theta: list[str]) -> Named:
    """The law's inverse: x_b = h^-1(y_b; theta) and its log|det|."""
    raise unknown(layer)


@couple.register
def _(layer: AdditiveLaw, graph: Graph, x_b: str, theta: list[str]) -> Named:
    return graph.add("Add", x_b, *theta), graph.constant(0.0)


@uncouple.register
def _(layer: AdditiveLaw, graph: Graph, y_b: str, theta: list[str]) -> Named:
    return graph.add("Sub", y_b, *theta), graph.constant(0.0)


@couple.register
def _(layer: MultiplicativeLaw, graph: Graph, x_b: str, theta: list[str]) -> Named:
    log_s = log_scale(layer.scale, graph, *theta)
    return graph.add("Mul", x_b, graph.add("Exp", log_s)), graph.sum_of_rows(log_s)


@uncouple.register
def _(layer: MultiplicativeLaw, graph: Graph, y_b: str, theta: list[str]) -> Named:
    minus_log_s = graph.add("Neg", log_scale(layer.scale, graph, *theta))
    return graph.add("Mul", y_b, graph.add("Exp", minus_log_s)), graph.sum_of_rows(minus_log_s)


@couple.register
def _(layer: AffineLaw, graph: Graph, x_b: str, theta: list[str]) -> Named:
    r, t = theta
    log_s = log_scale(layer.scale, graph, r)
    return graph.add("Add", graph.add("Mul", x_b, graph.add("Exp", log_s)), t), graph.sum_of_rows(log_s)


@uncouple.register
def _(layer: AffineLaw, graph: Graph, y_b: str, theta: list[str]) -> Named:
    r, t = theta
    minus_log_s = graph.add("Neg", log_scale(layer.scale, graph, r))
    x_b = graph.add("Mul", graph.add("Sub", y_b, t), graph.add("Exp", minus_log_s))
    return x_b, graph.sum_of_rows(minus_log_s)


@couple.register
def _(layer: UMNNLaw, graph: Graph, x_b: str, theta: list[str]) -> Named:
    add, mul = partial(graph.add, "Add"), partial(graph.add, "Mul")
    beta, c, *weights = theta
    c, *weights = (graph.add("Unsqueeze", each, np.array([2])) for each in (c, *weights))  # (N, B, 1)
    t = mul(graph.add("Unsqueeze", x_b, np.array([2])), umnn.NODES)  # (N, B, Q + 1)
    a = add(c, umnn.SHIFT)
    for k, bend in enumerate(umnn.BENDS[:, 0]):
        w, b, v = weights[k :: umnn.UNITS]
        a = add(a, mul(v, graph.add("Tanh", add(mul(add(w, 1.0), t), add(b, bend)))))
    g = add(graph.softplus(a), umnn.FLOOR)
    integral = mul(x_b, graph.add("ReduceSum", mul(g, umnn.WEIGHTS), np.array([2]), keepdims=0))
    slope = graph.add("Squeeze", graph.add("Gather", g, np.array([-1]), axis=2), np.array([2]))  # (N, B)
    return add(beta, integral), graph.sum_of_rows(graph.add("Log", slope))


@couple.register
def _(layer: MixtureLaw, graph: Graph, x_b: str, theta: list[str]) -> Named:
    add, sub, K = partial(graph.add, "Add"), partial(graph.add, "Sub"), layer.components
    a, b = log_of(mixture_law.A, graph, theta[-2]), theta[-1]
    totals: list[list[str]] = [[], [], [], []]  # the terms of the four log-sum-exps
    centres = mixture_law.centres(K)
    for logit, mu, raw_s, centre in zip(theta[:K], theta[K : 2 * K], theta[2 * K : 3 * K], centres, strict=True):
        s = log_of(mixture_law.S, graph, raw_s)
        u = graph.add("Mul", sub(x_b, add(mu, centre)), graph.add("Exp", graph.add("Neg", s)))
        log_sigmoid, log_rest = (graph.add("Neg", graph.softplus(v)) for v in (graph.add("Neg", u), u))
        both = sub(add(log_sigmoid, log_rest), s)
        for terms, term in zip(totals, ("", log_sigmoid, log_rest, both), strict=True):
            terms.append(graph.add("Unsqueeze", add(logit, term) if term else logit, np.array([2])))  # (N, B, 1)
    total, log_F, log_G, log_f = (
        graph.add("ReduceLogSumExp", graph.add("Concat", *terms, axis=2), axes=[2], keepdims=0) for terms in totals
    )
    log_slope = add(sub(add(log_f, total), add(log_F, log_G)), a)  # log pi_k = logit_k - total
    y_b = add(graph.add("Mul", sub(log_F, log_G), graph.add("Exp", a)), b)
    return y_b, graph.sum_of_rows(log_slope)


@uncouple.register
def _(layer: ImplicitLaw, graph: Graph, y_b: str, theta: list[str]) -> Named:
    raise _a_search(layer)


@inverse.register
def _(layer: ImplicitInverse, graph: Graph, z: str) -> Named:
    raise _a_search(layer)


def log_scale(scale: Scale, graph: Graph, r: str) -> str:
    """log s of the raw output r; see `nice_np.bijectors.scales`."""
    if not isinstance(scale, Scale):
        raise unknown(scale)
    if scale.low > -np.inf:
        r = graph.add("Max", r, scale.low)
    if scale.high < np.inf:
        r = graph.add("Min", r, scale.high)
    return log_of(scale, graph, r)


@singledispatch
def log_of(scale: Scale, graph: Graph, r: str) -> str:
    """log s of r within [low, high]."""
    raise unknown(scale)


@log_of.register
def _(scale: ExpScale, graph: Graph, r: str) -> str:
    return r


@log_of.register
def _(scale: TanhScale, graph: Graph, r: str) -> str:
    return graph.add("Mul", graph.add("Tanh", graph.add("Div", r, scale.bound)), scale.bound)


@log_of.register
def _(scale: SigmoidScale, graph: Graph, r: str) -> str:
    return graph.add("Neg", graph.softplus(graph.add("Neg", graph.add("Add", r, 2.0))))


@log_of.register
def _(scale: SoftplusScale, graph: Graph, r: str) -> str:
    return graph.add("Log", graph.softplus(graph.add("Add", r, scale.shift)))


@log_of.register
def _(scale: SoftclipScale, graph: Graph, r: str) -> str:
    return graph.add("Div", r, graph.add("Add", graph.add("Div", graph.add("Abs", r), scale.bound), 1.0))


@log_of.register
def _(scale: FlooredSigmoidScale, graph: Graph, r: str) -> str:
    return graph.add("Log", graph.add("Add", graph.add("Sigmoid", graph.add("Add", r, 2.0)), scale.floor))


# -- layers that act on each feature ----------------------------------------------------------------------------------


def _stretch(graph: Graph, x: str, width: Any, low: Any, log_det: float) -> Named:
    """x * width + low."""
    return graph.add("Add", graph.add("Mul", x, width), low), graph.constant(log_det)


def _shrink(graph: Graph, x: str, width: Any, low: Any, log_det: float) -> Named:
    """(x - low) / width."""
    return graph.add("Div", graph.add("Sub", x, low), width), graph.constant(log_det)


@forward.register
def _(layer: DiagonalScaling, graph: Graph, x: str) -> Named:
    return graph.add("Mul", x, np.exp(layer.log_scale)), graph.constant(layer.log_scale.sum())


@inverse.register
def _(layer: DiagonalScaling, graph: Graph, z: str) -> Named:
    return graph.add("Mul", z, np.exp(-layer.log_scale)), graph.constant(-layer.log_scale.sum())


@forward.register
def _(layer: ActNorm, graph: Graph, x: str) -> Named:
    scale, shift = (np.repeat(v, layer.pixels) for v in (np.exp(layer.log_s), np.exp(layer.log_s) * layer.b))
    return _stretch(graph, x, scale, shift, layer.pixels * layer.log_s.sum())


@inverse.register
def _(layer: ActNorm, graph: Graph, z: str) -> Named:
    scale, b = (np.repeat(v, layer.pixels) for v in (np.exp(-layer.log_s), layer.b))
    return _stretch(graph, z, scale, -b, -layer.pixels * layer.log_s.sum())


@forward.register
def _(layer: ChannelMap, graph: Graph, x: str) -> Named:
    W = layer.matrix()
    return _times(layer, W, graph, x), graph.constant(layer.pixels * np.linalg.slogdet(W)[1])


@inverse.register
def _(layer: ChannelMap, graph: Graph, z: str) -> Named:
    W = layer.matrix()
    return _times(layer, np.linalg.inv(W), graph, z), graph.constant(-layer.pixels * np.linalg.slogdet(W)[1])


def _times(layer: ChannelMap, W: Any, graph: Graph, x: str) -> str:
    """W x_p at every pixel p; in a shape 0 stands for N."""
    images = graph.add("Reshape", x, np.array([0, layer.channels, layer.pixels]))
    return graph.add("Reshape", graph.add("MatMul", W, images), np.array([0, layer.dim]))


@forward.register
def _(layer: Permutation, graph: Graph, x: str) -> Named:
    return graph.columns(x, layer.order), graph.constant(0.0)


@inverse.register
def _(layer: Permutation, graph: Graph, z: str) -> Named:
    return graph.columns(z, layer.inverse_order), graph.constant(0.0)


@forward.register
def _(layer: Standardize, graph: Graph, x: str) -> Named:
    return _shrink(graph, x, layer.std, layer.mean, -np.log(layer.std).sum())


@inverse.register
def _(layer: Standardize, graph: Graph, z: str) -> Named:
    return _stretch(graph, z, layer.std, layer.mean, np.log(layer.std).sum())


@forward.register
def _(layer: Rescale, graph: Graph, x: str) -> Named:
    return _stretch(graph, x, layer.width, layer.low, layer.dim * log(layer.width))


@inverse.register
def _(layer: Rescale, graph: Graph, z: str) -> Named:
    return _shrink(graph, z, layer.width, layer.low, -layer.dim * log(layer.width))


@forward.register
def _(layer: Whitening, graph: Graph, x: str) -> Named:
    z = graph.add("MatMul", graph.add("Sub", x, layer.mean), layer.matrix)
    return z, graph.constant(-np.log(layer.std).sum(dtype=np.float64))


@inverse.register
def _(layer: Whitening, graph: Graph, z: str) -> Named:
    x = graph.add("Add", graph.add("MatMul", z, layer.inverse_matrix), layer.mean)
    return x, graph.constant(np.log(layer.std).sum(dtype=np.float64))


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


def unknown(part: Any) -> NiceTypeError:
    return NiceTypeError(f"to_onnx: no graph is known for {part!r}")


def _a_search(part: Any) -> NiceTypeError:
    return NiceTypeError(f"to_onnx: the inverse of {part!r} is a search; only encode and log_prob can be exported")

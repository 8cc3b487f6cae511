"""The ONNX operators of each prior: log p(z), (N,), in nats."""

from __future__ import annotations

from functools import singledispatch
from math import inf, log, pi

import numpy as np

from nice_np.families.mixture import log_sum_exp
from nice_np.flows.mixtures import GaussianMixture, LogisticMixture, Mixture
from nice_np.flows.other_priors import DiagonalGaussian, Uniform
from nice_np.flows.priors import Prior, StandardLogistic, StandardNormal
from nice_np.flows.student_t import StudentT
from nice_np.interop.onnx_graph import Graph
from nice_np.interop.onnx_layers import unknown
from nice_np.validation import Array


@singledispatch
def log_prior(prior: Prior, graph: Graph, z: str, dim: int) -> str:
    """The name of log p(z), (N,), for latents with `dim` features."""
    raise unknown(prior)


@log_prior.register
def _(prior: StandardNormal, graph: Graph, z: str, dim: int) -> str:
    squares = graph.sum_of_rows(graph.add("Mul", z, z))
    return graph.add("Sub", graph.add("Mul", squares, -0.5), 0.5 * log(2 * pi) * dim)


@log_prior.register
def _(prior: StandardLogistic, graph: Graph, z: str, dim: int) -> str:
    return graph.sum_of_rows(_logistic(graph, z))


@log_prior.register
def _(prior: DiagonalGaussian, graph: Graph, z: str, dim: int) -> str:
    u = graph.add("Mul", graph.add("Sub", z, prior.mean), np.exp(-prior.log_std))
    return graph.add("Sub", log_prior(StandardNormal(), graph, u, dim), prior.log_std.sum())


@log_prior.register
def _(prior: Uniform, graph: Graph, z: str, dim: int) -> str:
    outside = graph.add("Or", graph.add("Less", z, prior.low), graph.add("Greater", z, prior.high))
    return graph.sum_of_rows(graph.add("Where", outside, -inf, -log(prior.width)))


@log_prior.register
def _(prior: StudentT, graph: Graph, z: str, dim: int) -> str:
    nu = np.asarray(prior.nu, np.float64)
    at_zero = prior.log_prob(np.zeros((1, dim)))[0]
    a = graph.add("Div", z, np.sqrt(nu))
    log_h = graph.add("Log", graph.add("Add", graph.add("Mul", a, a), 1.0))  # twice it
    return graph.add("Add", graph.sum_of_rows(graph.add("Mul", log_h, -(nu + 1) / 2)), at_zero)


@log_prior.register
def _(prior: GaussianMixture, graph: Graph, z: str, dim: int) -> str:
    u = _units(prior, graph, z)
    squares = graph.add("ReduceSum", graph.add("Mul", u, u), np.array([2]), keepdims=0)  # (N, K)
    constants = prior.log_scales.sum(axis=1) + 0.5 * log(2 * pi) * dim
    log_p_k = graph.add("Sub", graph.add("Mul", squares, -0.5), constants - _log_weights(prior)[:, 0])
    return graph.add("ReduceLogSumExp", log_p_k, axes=[1], keepdims=0)


@log_prior.register
def _(prior: LogisticMixture, graph: Graph, z: str, dim: int) -> str:
    log_p_k = _logistic(graph, _units(prior, graph, z))
    log_p_k = graph.add("Sub", log_p_k, prior.log_scales - _log_weights(prior))  # (N, K, D)
    return graph.sum_of_rows(graph.add("ReduceLogSumExp", log_p_k, axes=[1], keepdims=0))


def _logistic(graph: Graph, u: str) -> str:
    """-|u| - 2 log(1 + e^-|u|)."""
    size = graph.add("Abs", u)
    twice = graph.add("Mul", graph.log_one_plus_exp_minus(size), 2.0)
    return graph.add("Neg", graph.add("Add", size, twice))


def _units(prior: Mixture, graph: Graph, z: str) -> str:
    """(z - mean) / scale: (N, D) -> (N, K, D)."""
    distance = graph.add("Sub", graph.add("Unsqueeze", z, np.array([1])), prior.means)
    return graph.add("Mul", distance, np.exp(-prior.log_scales))


def _log_weights(prior: Mixture) -> Array:
    weights: Array = prior.logits - log_sum_exp(prior.logits)[0]
    return weights

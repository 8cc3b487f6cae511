"""Continuous flows as plain functions: one network, trained by maximum likelihood or by flow matching."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from nice_np.bijectors import Bijector, Chain
from nice_np.families.continuous import NeuralODE
from nice_np.flows.builders import default_hidden, preprocessing, with_context
from nice_np.flows.flow import Flow
from nice_np.flows.flow_matching import FlowMatching
from nice_np.flows.priors import Prior
from nice_np.networks.activations import Activation
from nice_np.networks.mlp import MLP
from nice_np.suggestions import suggests
from nice_np.validation import Rng, as_dtype, as_int, as_rng, as_widths


@suggests
def continuous_flow(
    dim: int,
    hidden: int | Sequence[int] | None = None,
    prior: str | Prior = "normal",
    *,
    steps: int = 10,
    method: str = "rk4",
    probes: int | None = None,
    activation: str | Activation = "tanh",
    preprocess: str | Bijector | Sequence[str | Bijector] = ("standardize",),
    init: str = "spread",
    context_dim: int = 0,
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """A continuous flow, FFJORD with fixed steps (Chen et al. 2018; Grathwohl et al. 2019), for maximum likelihood.

    A training step evaluates the network, with its tangents, 4 * `steps` times on the way forward and twice as often on
    the way back ("rk4"); `flow_matching` trains the same model with a single evaluation.

    Parameters
    ----------
    dim : int
        D, at least 1.
    hidden : int or sequence of int, optional
        Of the one network, v(x, context, t); by default three layers of the width that `nice` takes.
    prior, preprocess, init, context_dim, dtype, rng
        As for `nice`.
    steps, method
        Of the solver, see `NeuralODE`.
    probes : int, optional
        Of Hutchinson's estimate of the trace, for many features; by default the trace is exact.
    activation : {"tanh", "softplus"} or Smooth

    Returns
    -------
    Flow

    Examples
    --------
    >>> continuous_flow(2, rng=0)
    Flow(dim=2, prior=StandardNormal, float32, 8,706 parameters)
      Standardize(dim=2)                                                           0
      NeuralODE(dim=2, rk4, steps=10, network=MLP(3-64-64-64-2, tanh))         8,706
    """
    settings = {"activation": activation, "init": init, "dtype": as_dtype(dtype, "continuous_flow"), "rng": rng}
    ode = {"steps": steps, "method": method, "probes": probes}
    return Flow(prior, _chain("continuous_flow", dim, hidden, preprocess, context_dim, ode, settings), context_dim)


@suggests
def flow_matching(
    dim: int,
    hidden: int | Sequence[int] | None = None,
    prior: str | Prior = "normal",
    *,
    sigma: float = 0.0,
    steps: int = 10,
    method: str = "rk4",
    probes: int | None = None,
    activation: str | Activation = "tanh",
    preprocess: str | Bijector | Sequence[str | Bijector] = ("standardize",),
    init: str = "spread",
    context_dim: int = 0,
    dtype: Any = np.float32,
    rng: Rng = None,
) -> FlowMatching:
    """The model of `continuous_flow` for training by flow matching (Lipman et al. 2023).

    Parameters
    ----------
    dim, hidden, prior, steps, method, probes, activation, preprocess, init, context_dim, dtype, rng
        As for `continuous_flow`; only likelihoods and samples take steps, training takes none.
    sigma : float
        See `FlowMatching`.

    Returns
    -------
    FlowMatching

    Examples
    --------
    >>> from nice_np import fit
    >>> from nice_np.datasets import two_moons
    >>> flow = flow_matching(2, hidden=16, rng=0)
    >>> history = fit(flow, two_moons(rng=0), epochs=1, progress=False, rng=0)
    >>> flow.ode.steps = 4
    >>> flow.sample(3, rng=0).shape
    (3, 2)
    """
    settings = {"activation": activation, "init": init, "dtype": as_dtype(dtype, "flow_matching"), "rng": rng}
    ode = {"steps": steps, "method": method, "probes": probes}
    layers = _chain("flow_matching", dim, hidden, preprocess, context_dim, ode, settings)
    return FlowMatching(prior, layers, context_dim, sigma)


def _chain(
    owner: str,
    dim: int,
    hidden: Any,
    preprocess: Any,
    context_dim: int,
    ode: dict[str, Any],
    settings: dict[str, Any],
) -> Chain:
    """The fixed layers, and the equation on top."""
    dim, context_dim = as_int(dim, owner, "dim", 1), as_int(context_dim, owner, "context_dim", 0)
    settings["rng"] = as_rng(settings["rng"], owner)
    hidden = default_hidden(dim)[:1] * 3 if hidden is None else as_widths(hidden, owner, "hidden")
    network = MLP((dim + context_dim + 1, *hidden, dim), **settings)
    # The time, or the only 1 of a label, would be lost among many features: it starts with the weight of all of them.
    network.layers[0].W[dim:] *= sqrt(dim)
    layers = [*preprocessing(preprocess, dim, settings["dtype"]), NeuralODE(network, **ode)]
    return Chain(with_context(layers, context_dim))

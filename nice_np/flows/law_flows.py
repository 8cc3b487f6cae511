"""Spline and mixture flows as plain functions: one law on coupling layers or on autoregressive ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nice_np.bijectors import Bijector, Partition
from nice_np.families.mixture_law import COMPONENTS, MixtureAutoregressive, MixtureCoupling
from nice_np.families.spline_law import BINS, BOUND, SplineAutoregressive, SplineCoupling
from nice_np.flows.autoregressive_flows import autoregressive, flow_of
from nice_np.flows.builders import alternating, at_least_two, network_of
from nice_np.flows.flow import Flow
from nice_np.flows.priors import Prior
from nice_np.networks.activations import Activation
from nice_np.suggestions import suggests
from nice_np.validation import Rng, as_choice, as_dtype, as_int, as_rng

WIRINGS = ("coupling", "autoregressive")


@suggests
def spline_flow(
    dim: int,
    layers: int = 5,
    hidden: int | Sequence[int] | None = None,
    prior: str | Prior = "normal",
    *,
    wiring: str = "autoregressive",
    bins: int = BINS,
    bound: float = BOUND,
    activation: str | Activation = "relu",
    preprocess: str | Bijector | Sequence[str | Bijector] = ("standardize",),
    init: str = "spread",
    context_dim: int = 0,
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """Neural spline flow: rational-quadratic splines (Durkan et al. 2019).

    Parameters
    ----------
    dim : int
    layers : int
        Autoregressive layers, every second one in reversed order; or couplings with alternating roles, of which about
        twice as many are needed.
    hidden, prior, activation, preprocess, init, context_dim, dtype, rng
        As for `nice`.
    wiring : {"autoregressive", "coupling"}
        Autoregressive layers transform all features at once; for a sample each takes D passes.  Couplings are
        fast in both directions.
    bins, bound
        See `SplineCoupling`.  Standardised data lie within a bound of 4 but for their outliers, which pass unchanged.

    Returns
    -------
    Flow

    Examples
    --------
    >>> spline_flow(2, layers=2, hidden=64, rng=0)
    Flow(dim=2, prior=StandardNormal, float32, 6,364 parameters)
      Standardize(dim=2)                                                            0
      SplineAutoregressive(dim=2, conditioner=MaskedMLP(2-64-46, relu))         3,182
      SplineAutoregressive(dim=2, conditioner=MaskedMLP(2-64-46, relu))         3,182
    """
    kind = as_choice(wiring, WIRINGS, "spline_flow", "wiring")
    law: Any = SplineCoupling if kind == "coupling" else SplineAutoregressive
    thetas = 3 * as_int(bins, "spline_flow", "bins", 1) - 1
    network = {"activation": activation, "init": init, "context_dim": context_dim, "dtype": dtype, "rng": rng}
    stack = _stack("spline_flow", kind, law, thetas, dim, layers, hidden, network, bins=bins, bound=bound)
    return flow_of(prior, preprocess, stack, context_dim, dtype)


@suggests
def mixture_flow(
    dim: int,
    layers: int = 5,
    hidden: int | Sequence[int] | None = None,
    prior: str | Prior = "normal",
    *,
    wiring: str = "autoregressive",
    components: int = COMPONENTS,
    activation: str | Activation = "relu",
    preprocess: str | Bijector | Sequence[str | Bijector] = ("standardize",),
    init: str = "spread",
    context_dim: int = 0,
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """A flow whose law is that of Flow++: a mixture of logistics per feature (Ho et al. 2019, section 3.2).

    Densities are a formula, samples need a search per feature; those of `spline_flow` do not.

    Parameters
    ----------
    dim, layers, hidden, prior, wiring, activation, preprocess, init, context_dim, dtype, rng
        As for `spline_flow`.
    components : int
        Logistics per feature.

    Returns
    -------
    Flow
    """
    kind = as_choice(wiring, WIRINGS, "mixture_flow", "wiring")
    law: Any = MixtureCoupling if kind == "coupling" else MixtureAutoregressive
    thetas = 3 * as_int(components, "mixture_flow", "components", 1) + 2
    network = {"activation": activation, "init": init, "context_dim": context_dim, "dtype": dtype, "rng": rng}
    stack = _stack("mixture_flow", kind, law, thetas, dim, layers, hidden, network, components=components)
    return flow_of(prior, preprocess, stack, context_dim, dtype)


def _stack(
    owner: str, wiring: str, law: Any, thetas: int, dim: int, layers: int, hidden: Any, network: Any, **settings: Any
) -> list[Bijector]:
    if wiring == "autoregressive":
        return autoregressive(owner, law, thetas, dim, layers, hidden, ordering="reversed", **network, **settings)
    part = Partition.odd_even(at_least_two(dim, owner)).with_context(network.pop("context_dim"))
    network |= {"rng": as_rng(network["rng"], owner), "dtype": as_dtype(network["dtype"], owner)}
    networks = network_of(owner, "mlp", dim, hidden, None, network)
    return alternating(owner, law, thetas, part, layers, networks, stacklevel=5, **settings)

"""Residual flows as a plain function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nice_np.bijectors import Bijector, Chain
from nice_np.families.actnorm import ActNorm
from nice_np.families.log_determinants import LogDeterminant
from nice_np.families.residual import Residual
from nice_np.flows.builders import preprocessing, with_context
from nice_np.flows.flow import Flow
from nice_np.flows.priors import Prior, get_prior
from nice_np.networks.activations import Activation
from nice_np.networks.mlp import MLP
from nice_np.suggestions import suggests
from nice_np.validation import Rng, as_dtype, as_int, as_rng, as_widths


@suggests
def residual_flow(
    dim: int,
    layers: int = 16,
    hidden: int | Sequence[int] = 32,
    prior: str | Prior = "normal",
    *,
    c: float = 0.97,
    log_det: str | LogDeterminant = "exact",
    activation: str | Activation = "tanh",
    preprocess: str | Bijector | Sequence[str | Bijector] = ("standardize",),
    init: str = "spread",
    context_dim: int = 0,
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """Residual flow: contractive residual layers, each followed by an `ActNorm` (Chen et al. 2019).

    A residual layer can stretch no direction by more than 1 + L; the ActNorms between them can.

    Parameters
    ----------
    dim : int
        D.
    layers : int
        Residual layers.
    hidden : int or sequence of int
        Widths of the hidden layers of every network.  L = c^(hidden layers + 1): one wide layer is better than several.
    prior, preprocess, init, context_dim, dtype, rng
        As for `nice`.
    c, log_det
        As for `Residual`: "exact" for few features, "series" for many.
    activation : {"tanh", "softplus"} or Smooth

    Returns
    -------
    Flow

    Examples
    --------
    >>> residual_flow(2, layers=1, rng=0)
    Flow(dim=2, prior=StandardNormal, float32, 166 parameters)
      Standardize(dim=2)                                                            0
      Residual(dim=2, c=0.97, network=MLP(2-32-2, tanh), log_det=exact)           162
      ActNorm(dim=2)                                                                4
    """
    dim, context_dim = as_int(dim, "residual_flow", "dim", 1), as_int(context_dim, "residual_flow", "context_dim", 0)
    widths, rng = as_widths(hidden, "residual_flow", "hidden"), as_rng(rng, "residual_flow")
    dtype = as_dtype(dtype, "residual_flow")
    stack: list[Bijector] = preprocessing(preprocess, dim, dtype)
    for _ in range(as_int(layers, "residual_flow", "layers", 1)):
        network = MLP((dim + context_dim, *widths, dim), activation, init, dtype=dtype, rng=rng)
        stack += [Residual(network, c, log_det), ActNorm(dim, dtype=dtype)]
    return Flow(get_prior(prior), Chain(with_context(stack, context_dim)), context_dim)

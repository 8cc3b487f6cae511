"""Autoregressive flows as plain functions: MAF for densities, IAF for samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nice_np.bijectors import Bijector, Chain, Inverse
from nice_np.bijectors.scales import Scale, TanhScale
from nice_np.families.autoregressive import AffineAutoregressive
from nice_np.flows.builders import default_hidden, preprocessing, with_context
from nice_np.flows.flow import Flow
from nice_np.flows.priors import Prior
from nice_np.networks.activations import Activation
from nice_np.networks.masked import ORDERS, MaskedMLP, feature_order
from nice_np.suggestions import suggests
from nice_np.validation import Rng, as_choice, as_dtype, as_int, as_rng, as_widths


@suggests
def maf(
    dim: int,
    layers: int = 5,
    hidden: int | Sequence[int] | None = None,
    prior: str | Prior = "normal",
    *,
    scale: str | Scale | None = None,
    activation: str | Activation = "relu",
    ordering: str = "reversed",
    preprocess: str | Bijector | Sequence[str | Bijector] = ("standardize",),
    init: str = "spread",
    context_dim: int = 0,
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """Masked autoregressive flow: densities in one pass per layer, samples in D (Papamakarios et al. 2017).

    Parameters
    ----------
    dim : int
        D.
    layers : int
        Affine autoregressive layers.  In a single one, x_i is Gaussian given the features before; each further layer
        makes these conditionals more flexible.
    hidden, prior, activation
        As for `nice`.
    preprocess, init, context_dim, dtype, rng
        As for `nice`.
    scale : {"tanh", "exp", "sigmoid", "softplus"} or Scale, optional
        See `AffineAutoregressive`; by default ``TanhScale(B)``, B = min(2, 16 / layers), as for `real_nvp`.
    ordering : {"reversed", "random", "natural"}
        Of the features: reversed in every second layer, drawn anew in every layer, or the same in all.

    Returns
    -------
    Flow

    Examples
    --------
    >>> maf(2, layers=2, hidden=64, rng=0)
    Flow(dim=2, prior=StandardNormal, float32, 904 parameters)
      Standardize(dim=2)                                                           0
      AffineAutoregressive(dim=2, conditioner=MaskedMLP(2-64-4, relu))           452
      AffineAutoregressive(dim=2, conditioner=MaskedMLP(2-64-4, relu))           452
    """
    network = {"ordering": ordering, "activation": activation, "init": init, "context_dim": context_dim, "dtype": dtype}
    stack = _affine("maf", scale, dim, layers, hidden, **network, rng=rng)
    return flow_of(prior, preprocess, stack, context_dim, dtype)


@suggests
def iaf(
    dim: int,
    layers: int = 5,
    hidden: int | Sequence[int] | None = None,
    prior: str | Prior = "normal",
    *,
    scale: str | Scale | None = None,
    activation: str | Activation = "relu",
    ordering: str = "reversed",
    preprocess: str | Bijector | Sequence[str | Bijector] = ("standardize",),
    init: str = "spread",
    context_dim: int = 0,
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """Inverse autoregressive flow: samples in one pass per layer, densities of data in D (Kingma et al. 2016).

    The layers of `maf`, each in an `Inverse`: ``iaf(...).sample(n)`` takes as long as ``maf(...).log_prob(x)``, and
    vice versa.

    Parameters
    ----------
    dim, layers, hidden, prior, scale, activation, ordering
        As for `maf`.
    preprocess, init, context_dim, dtype, rng
        As for `nice`.

    Returns
    -------
    Flow

    Examples
    --------
    >>> iaf(2, layers=1, hidden=64, rng=0)
    Flow(dim=2, prior=StandardNormal, float32, 452 parameters)
      Standardize(dim=2)                                                                    0
      Inverse(AffineAutoregressive(dim=2, conditioner=MaskedMLP(2-64-4, relu)))           452
    """
    network = {"ordering": ordering, "activation": activation, "init": init, "context_dim": context_dim, "dtype": dtype}
    stack = _affine("iaf", scale, dim, layers, hidden, **network, rng=rng)
    return flow_of(prior, preprocess, [Inverse(layer) for layer in stack], context_dim, dtype)


def _affine(
    owner: str, scale: str | Scale | None, dim: int, layers: int, hidden: Any, **network: Any
) -> list[Bijector]:
    if scale is None:
        scale = TanhScale(min(2.0, 16 / as_int(layers, owner, "layers", 1)))
    return autoregressive(owner, AffineAutoregressive, 2, dim, layers, hidden, **network, scale=scale)


def autoregressive(
    owner: str,
    law: Callable[..., Bijector],
    thetas: int,
    dim: int,
    layers: int,
    hidden: int | Sequence[int] | None,
    *,
    ordering: str,
    activation: str | Activation,
    init: str,
    context_dim: int,
    dtype: Any,
    rng: Rng,
    **settings: Any,
) -> list[Bijector]:
    """The autoregressive layers, data side first; the law has `thetas` numbers per feature."""
    dim, layers = as_int(dim, owner, "dim", 1), as_int(layers, owner, "layers", 1)
    context_dim, dtype = as_int(context_dim, owner, "context_dim", 0), as_dtype(dtype, owner)
    widths = as_widths(default_hidden(dim) if hidden is None else hidden, owner, "hidden")
    kind, rng = as_choice(ordering, ORDERS, owner, "ordering"), as_rng(rng, owner)
    stack: list[Bijector] = []
    for k in range(layers):
        order = feature_order("natural" if kind == "reversed" and k % 2 == 0 else kind, dim, rng)
        sizes = (dim + context_dim, *widths, thetas * dim)
        network = MaskedMLP(sizes, order.tolist(), context_dim, activation, init, dtype=dtype, rng=rng)
        # A one-hot label has one number that is not 0: it starts with the weight of all features that a unit sees.
        first = network.layers[0]
        first.W[dim:] *= np.sqrt(np.maximum(first.M[:dim].sum(axis=0), 1))
        stack.append(law(network, **settings))
    return stack


def flow_of(prior: Any, preprocess: Any, stack: list[Bijector], context_dim: int, dtype: Any) -> Flow:
    fixed = preprocessing(preprocess, stack[0].dim - context_dim, dtype)
    return Flow(prior, Chain(with_context([*fixed, *stack], context_dim)), context_dim)

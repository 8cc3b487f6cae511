"""Fold a Standardize layer into the layers after it: the same density, without a layer for mean and deviation.

Many programs have no such layer.  NICE does not need one: standardising shifts and stretches every feature, and so can
the couplings and the scaling.  With x' = (x - mean) / std, rewrite all layers in units of x:

    y_b' = x_b' + m(x_a')     is     y_b = x_b + std_b m((x_a - mean_a) / std_a)
    z = exp(s) y'             is     z = exp(s) (y - mean) / std

An MLP absorbs a factor and a shift of its input in its first layer, and of its output in its last.  What remains is the
shift -mean at the top, which a scaling does not have: the first coupling that transforms a feature absorbs it in its
bias, and from there on the feature is centred.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np

from nice_np.bijectors import AdditiveCoupling, Bijector, Chain, DiagonalScaling, Partition, Standardize
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.files.recognised import is_own
from nice_np.flows.flow import Flow
from nice_np.networks.mlp import MLP
from nice_np.validation import Array


def fold_standardize(flow: Flow) -> Flow:
    """The same density without its first layer, Standardize; a flow without one is copied.

    Parameters
    ----------
    flow : Flow
        Standardize, additive couplings with MLPs that together transform every feature, and DiagonalScaling: what
        `nice_np.nice` builds.

    Returns
    -------
    Flow
        Couplings and scaling only; in exact arithmetic it gives the same latents and likelihoods.

    Raises
    ------
    NiceTypeError
        If it is not a flow.
    NiceValueError
        For other layers, or if some feature is never transformed.

    Examples
    --------
    >>> from nice_np import fit, nice
    >>> x = np.random.default_rng(0).normal([3.0, -1.0], [0.1, 2.0], (500, 2))
    >>> flow = nice(2, hidden=(8,), dtype=np.float64, rng=0)
    >>> history = fit(flow, x, epochs=2, progress=False, rng=0)
    >>> folded = fold_standardize(flow)
    >>> bool(np.allclose(folded.log_prob(x), flow.log_prob(x), rtol=0, atol=1e-9))
    True
    """
    return folded(flow, "fold_standardize")


def folded(flow: Flow, owner: str) -> Flow:
    """`fold_standardize`, with errors in the name of its caller."""
    if not isinstance(flow, Flow):
        raise NiceTypeError(f"{owner}: expected a Flow, got {type(flow).__name__}")
    if not isinstance(flow.layers[0], Standardize):
        return flow.copy()
    prior, layers = deepcopy((flow.prior, flow.layers))  # which belong to no flow yet
    first, couplings, scaling = layers[0], layers[1:-1], layers[-1]
    if not isinstance(first, Standardize) or not isinstance(scaling, DiagonalScaling) or not is_own(first):
        raise NiceValueError(f"{owner}: expected additive couplings and a DiagonalScaling on top, got {scaling!r}")
    shift, std = first.mean.copy(), first.std  # (D,) each: y = std y' + shift, where shift is still to be absorbed
    for part, mlp in partitions_and_networks(couplings, owner):
        _fold_into(part, mlp, shift, std)
    if shift.any():
        raise NiceValueError(
            f"{owner}: feature {np.flatnonzero(shift)[0]} is never transformed, so no coupling can absorb its mean; "
            "use two couplings or more that keep different features"
        )
    scaling.log_scale -= np.log(std)  # z = exp(s) y / std
    return Flow(prior, Chain([*couplings, scaling]))


def partitions_and_networks(couplings: Sequence[Bijector], owner: str) -> list[tuple[Partition, MLP]]:
    """Those of each additive coupling; NiceValueError for another layer or network, or with a context."""
    parts = []
    for layer in couplings:
        mlp = getattr(layer, "conditioner", None)
        if not (
            isinstance(layer, AdditiveCoupling)
            and type(mlp) is MLP
            and not layer.partition.context_dim
            and all(map(is_own, (layer, mlp, *mlp.layers)))
        ):
            raise NiceValueError(f"{owner}: expected additive couplings with MLPs and no context, got {layer!r}")
        parts.append((layer.partition, mlp))
    return parts


def _fold_into(part: Partition, mlp: MLP, shift: Array, std: Array) -> None:
    """Rewrite a coupling in units of x; it absorbs the `shift` (D,) of the features that it transforms."""
    a, b = part.idx_a, part.idx_b
    first, last = mlp.layers[0], mlp.layers[-1]
    first.W /= std[a][:, None]  # ((x_a - shift_a) / std_a) W + b = x_a (W / std_a) + b - shift_a (W / std_a)
    first.b -= shift[a] @ first.W
    last.W *= std[b]  # std_b (h W + b)
    last.b *= std[b]
    last.b -= shift[b]  # centres y_b
    shift[b] = 0

"""The papers' architectures as plain functions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np

from nice_np.bijectors import (
    AdditiveCoupling,
    AffineCoupling,
    Bijector,
    Chain,
    Coupling,
    DiagonalScaling,
    Partition,
    Standardize,
    get_partition,
)
from nice_np.checks import Rng, as_dtype, as_float, as_int, as_rng, as_sizes
from nice_np.flow import Flow
from nice_np.mlp import MLP
from nice_np.priors import Prior, get_prior


def nice(
    dim: int,
    couplings: int = 4,
    hidden: Sequence[int] = (1000,) * 5,
    prior: str | Prior = "logistic",
    *,
    activation: str = "relu",
    partition: str | Partition = "odd-even",
    image_shape: tuple[int, ...] | None = None,
    standardize: bool = True,
    init: str = "he",
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """NICE: additive couplings with alternating roles, and a diagonal scaling on top (Dinh et al. 2014, section 5.1).

    Called with the dimension alone it has the architecture of the paper's MNIST model: four couplings, each with five
    hidden layers of 1000 ReLU units, odd and even pixels in turn, logistic prior; ``standardize=False`` gives its raw
    pixels, too.

    Parameters
    ----------
    dim : int
        D, at least 2.
    couplings : int
        With fewer than three some outputs cannot depend on some inputs (a warning says so).
    hidden : sequence of int
        Widths of the hidden layers of every conditioner; () makes them linear.
    prior : {"logistic", "normal"} or Prior
    activation : {"relu", "tanh", "softplus"}
    partition : {"odd-even", "halves", "checkerboard"} or Partition
        What the first coupling keeps and transforms; "checkerboard" needs `image_shape`.
    image_shape : (height, width) or (channels, height, width), optional
    standardize : bool
        Put a fixed Standardize layer next to the data, which `fit` sets to the data's mean and std before its first
        step, and start the scaling at log(std of the prior).  The family of functions is the same, training is far
        better conditioned.  False is the paper's own setting: scaling started at 0, raw pixels.
    init : {"he", "uniform"}
        See `MLP`.
    dtype : {float32, float64}
        float32 for speed, float64 for truth.
    rng : seed or numpy.random.Generator

    Returns
    -------
    Flow

    Examples
    --------
    >>> nice(784, hidden=(500,) * 3, rng=0)
    Flow(dim=784, prior=StandardLogistic, float32, 3,576,352 parameters)
      Standardize(dim=784)                                                                        0
      AdditiveCoupling(dim=784, kept=392, conditioner=MLP(392-500-500-500-392, relu))       893,892
      AdditiveCoupling(dim=784, kept=392, conditioner=MLP(392-500-500-500-392, relu))       893,892
      AdditiveCoupling(dim=784, kept=392, conditioner=MLP(392-500-500-500-392, relu))       893,892
      AdditiveCoupling(dim=784, kept=392, conditioner=MLP(392-500-500-500-392, relu))       893,892
      DiagonalScaling(dim=784)                                                                  784
    """
    prior, dtype = get_prior(prior), as_dtype(dtype, "nice")
    first = get_partition(partition, _at_least_two(dim, "nice"), image_shape)
    conditioner = {"activation": activation, "init": init, "dtype": dtype, "rng": as_rng(rng, "nice")}
    layers = _coupling_stack(AdditiveCoupling, first, couplings, hidden, conditioner, {})
    width = as_float(getattr(prior, "std", None), "nice", "prior.std", above=0) if standardize else 1.0
    scaling = DiagonalScaling(dim, log(width), dtype)
    return Flow(prior, Chain([*_start(dim, standardize, dtype), *layers, scaling]))


def real_nvp(
    dim: int,
    couplings: int = 6,
    hidden: Sequence[int] = (256, 256),
    prior: str | Prior = "normal",
    *,
    scale: str = "tanh",
    activation: str = "relu",
    partition: str | Partition = "odd-even",
    image_shape: tuple[int, ...] | None = None,
    standardize: bool = True,
    init: str = "he",
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """RealNVP: affine couplings with alternating roles (Dinh et al. 2016), with MLP conditioners.

    The parameters are those of `nice`, and `scale`, which bounds the multipliers (see `AffineCoupling`).  With
    affine layers the volume changes from point to point, so there is no scaling layer on top.
    """
    prior, dtype = get_prior(prior), as_dtype(dtype, "real_nvp")
    first = get_partition(partition, _at_least_two(dim, "real_nvp"), image_shape)
    conditioner = {"activation": activation, "init": init, "dtype": dtype, "rng": as_rng(rng, "real_nvp")}
    layers = _coupling_stack(AffineCoupling, first, couplings, hidden, conditioner, {"scale": scale})
    return Flow(prior, Chain([*_start(dim, standardize, dtype), *layers]))


def _start(dim: int, standardize: bool, dtype: Any) -> list[Bijector]:
    return [Standardize.unfitted(dim, dtype)] if standardize else []


def _coupling_stack(
    law: type[Coupling],
    first: Partition,
    couplings: int,
    hidden: Sequence[int],
    conditioner: dict[str, Any],
    settings: dict[str, Any],
) -> list[Bijector]:
    hidden = as_sizes(hidden, law.__name__, "hidden")
    if as_int(couplings, law.__name__, "couplings", 1) < 3:
        warnings.warn(
            f"with {couplings} coupling layer(s) some outputs cannot depend on some inputs: "
            "three are needed for every dimension to affect every other (Dinh et al. 2014)",
            stacklevel=3,
        )
    layers: list[Bijector] = []
    part = first
    for _ in range(couplings):
        n_theta = law.thetas_per_feature * len(part.idx_b)
        m = MLP((len(part.idx_a), *hidden, n_theta), **conditioner)
        layers.append(law(part, m, **settings))
        part = part.swapped()  # what was transformed is kept next
    return layers


def _at_least_two(dim: int, owner: str) -> int:
    return as_int(dim, owner, "dim (a coupling layer needs at least 2 features)", 2)

"""The papers' architectures as plain functions."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from math import log, sqrt
from typing import Any

import numpy as np

from nice_np.bijectors import (
    AdditiveCoupling,
    AffineCoupling,
    Bijector,
    Chain,
    Coupling,
    DiagonalScaling,
    Equalize,
    Logit,
    Partition,
    PCAWhitening,
    Permutation,
    Rescale,
    Standardize,
    WithContext,
    ZCAWhitening,
    get_partition,
)
from nice_np.bijectors.coupling import Conditioner
from nice_np.bijectors.scales import Scale, TanhScale
from nice_np.bijectors.whitening import Whitening
from nice_np.errors import NiceValueError
from nice_np.flows.flow import Flow
from nice_np.flows.priors import Prior, get_prior
from nice_np.networks.activations import Activation
from nice_np.networks.convnet import ConvNet
from nice_np.networks.mlp import MLP
from nice_np.suggestions import suggests
from nice_np.validation import (
    Rng,
    as_choice,
    as_dtype,
    as_flag,
    as_float,
    as_int,
    as_rng,
    as_sizes,
    as_tuple,
    as_widths,
)

Network = Callable[[Partition, int], Conditioner]  # (partition, thetas per feature) -> a new conditioner
CONDITIONERS = ("mlp", "conv")
PREPROCESSING: dict[str, Callable[[int, Any], Bijector]] = {
    "standardize": lambda dim, dtype: Standardize.unfitted(dim, dtype),
    "logit": lambda dim, dtype: Logit(dim, alpha=1e-6),
    "equalize": lambda dim, dtype: Equalize.unfitted(dim, dtype=dtype),
    "rescale": lambda dim, dtype: Rescale(dim, -1.0, 1.0),
    "zca": lambda dim, dtype: ZCAWhitening.unfitted(dim, dtype=dtype),
    "pca": lambda dim, dtype: PCAWhitening.unfitted(dim, dtype=dtype),
}
UNIT_VARIANCE = (Standardize, Whitening)  # their outputs have std 1


@suggests
def nice(
    dim: int,
    couplings: int = 4,
    hidden: int | Sequence[int] | None = None,
    prior: str | Prior = "logistic",
    *,
    activation: str | Activation = "relu",
    conditioner: str = "mlp",
    partition: str | Partition = "odd-even",
    image_shape: tuple[int, ...] | None = None,
    preprocess: str | Bijector | Sequence[str | Bijector] = ("standardize",),
    init: str = "spread",
    context_dim: int = 0,
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """NICE: additive couplings with alternating roles, and a diagonal scaling on top (Dinh et al. 2014, section 5.1).

    The paper's MNIST model is ``nice(784, hidden=(1000,) * 5, preprocess=(), init="uniform")``: four couplings, each
    with five hidden layers of 1000 ReLU units, odd and even pixels in turn, logistic prior, raw pixels.

    Parameters
    ----------
    dim : int
        D, at least 2.
    couplings : int
        With fewer than three some outputs cannot depend on some inputs (a warning says so).
    hidden : int or sequence of int, optional
        Widths, or channels, of the hidden layers of every conditioner; 64 is one layer, () makes them linear.  By
        default two layers of as many units as there are features, but at least 64 and at most 256; or 32 channels.
    prior : {"logistic", "normal"} or Prior
    activation : {"relu", "leaky_relu", "tanh", "softplus"} or Activation
    conditioner : {"mlp", "conv"}
        "conv" needs `image_shape` and a checkerboard, see `ConvNet`.
    partition : {"odd-even", "halves", "checkerboard"} or Partition
        What the first coupling keeps and transforms; "checkerboard" needs `image_shape`.
    image_shape : (height, width) or (channels, height, width), optional
    preprocess : sequence of {"standardize", "logit", "equalize", "rescale", "zca", "pca"} or Bijector
        Fixed layers next to the data, data side first; they count in the likelihood, whose unit stays that of the
        data.  "logit" (alpha = 1e-6) is for pixels in [0, 1], better after "equalize", which spreads them by their
        histogram; "rescale" maps them to [-1, 1].  What is measured on the data, `fit` sets before its first step.
        A bijector is copied and cast to `dtype`.  After a layer that gives unit variance (`Standardize` or a whitening)
        the scaling starts at log(std of the prior), otherwise at 0.  Standardised pixels give the same family of
        functions as raw ones and train far better; () is the paper's setting.
    init : {"spread", "he", "uniform"}
        See `nice_np.networks.initialisation`; "uniform" is that of the paper's code.
    context_dim : int
        C > 0 gives a flow of x given a context of C numbers, such as a one-hot label, that every conditioner sees:
        ``flow.log_prob(x, context)``.
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
    part = get_partition(partition, at_least_two(dim, "nice"), image_shape).with_context(context_dim)
    settings = {"activation": activation, "init": init, "dtype": dtype, "rng": as_rng(rng, "nice")}
    network = network_of("nice", conditioner, dim, hidden, image_shape, settings)
    fixed = preprocessing(preprocess, dim, dtype)
    unit_variance = len(fixed) > 0 and isinstance(fixed[-1], UNIT_VARIANCE)
    width = as_float(getattr(prior, "std", None), "nice", "prior.std", above=0) if unit_variance else 1.0
    layers = [
        *fixed,
        *alternating("nice", AdditiveCoupling, 1, part, couplings, network),
        DiagonalScaling(dim, log(width), dtype),
    ]
    return Flow(prior, Chain(with_context(layers, context_dim)), context_dim)


@suggests
def real_nvp(
    dim: int,
    couplings: int = 6,
    hidden: int | Sequence[int] | None = None,
    prior: str | Prior = "normal",
    *,
    scale: str | Scale | None = None,
    activation: str | Activation = "relu",
    conditioner: str = "mlp",
    partition: str | Partition = "odd-even",
    image_shape: tuple[int, ...] | None = None,
    preprocess: str | Bijector | Sequence[str | Bijector] = ("standardize",),
    init: str = "spread",
    context_dim: int = 0,
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """RealNVP: affine couplings with alternating roles (Dinh et al. 2016).

    Affine layers change the volume from point to point, so no scaling layer is needed on top.

    Parameters
    ----------
    dim, couplings, hidden, prior, activation, conditioner, partition, image_shape
        As for `nice`.
    preprocess, init, context_dim, dtype, rng
        As for `nice`.
    scale : {"tanh", "exp", "sigmoid", "softplus"} or Scale, optional
        The bound on the multipliers, see `AffineCoupling`.  By default ``TanhScale(B)``, B = min(2, 16 / couplings):
        all couplings together stretch a feature by at most e^8, so that a deep flow does not diverge.

    Returns
    -------
    Flow
    """
    prior, dtype = get_prior(prior), as_dtype(dtype, "real_nvp")
    part = get_partition(partition, at_least_two(dim, "real_nvp"), image_shape).with_context(context_dim)
    settings = {"activation": activation, "init": init, "dtype": dtype, "rng": as_rng(rng, "real_nvp")}
    if scale is None:
        scale = TanhScale(min(2.0, 16 / as_int(couplings, "real_nvp", "couplings", 1)))
    network = network_of("real_nvp", conditioner, dim, hidden, image_shape, settings)
    layers = [
        *preprocessing(preprocess, dim, dtype),
        *alternating("real_nvp", AffineCoupling, 2, part, couplings, network, scale=scale),
    ]
    return Flow(prior, Chain(with_context(layers, context_dim)), context_dim)


@suggests
def original_nice(
    dim: int,
    depths: Sequence[int] = (5, 5, 5, 5),
    width: int = 1000,
    prior: str | Prior = "logistic",
    *,
    tile: bool = True,
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """NICE as its authors' code builds it: halves and reversals instead of alternating pixels.

    Each coupling keeps the first half and adds m of it to the second; then all features are reversed.  With `tile` the
    even pixels come before the odd ones, so that the halves are pixel parities (MNIST, TFD); without it the
    channel-major vector of a colour image is cut in the middle (CIFAR-10, SVHN).  Weights start in U(-0.01, 0.01),
    biases and log-scales at 0.

    Parameters
    ----------
    dim : int
    depths : sequence of int
        One coupling each: the number of hidden ReLU layers of its MLP.
    width : int
        Of every hidden layer.
    prior : {"logistic", "normal"} or Prior
    tile : bool
    dtype : {float32, float64}
    rng : seed or numpy.random.Generator

    Returns
    -------
    Flow

    Examples
    --------
    >>> original_nice(8, depths=(1, 2), width=5, rng=0)
    Flow(dim=8, prior=StandardLogistic, float32, 136 parameters)
      Permutation(dim=8)                                                          0
      AdditiveCoupling(dim=8, kept=4, conditioner=MLP(4-5-4, relu))              49
      Permutation(dim=8)                                                          0
      AdditiveCoupling(dim=8, kept=4, conditioner=MLP(4-5-5-4, relu))            79
      Permutation(dim=8)                                                          0
      DiagonalScaling(dim=8)                                                      8
    """
    part = Partition.halves(at_least_two(dim, "original_nice"))
    dtype, rng = as_dtype(dtype, "original_nice"), as_rng(rng, "original_nice")
    layers: list[Bijector] = [Permutation.tile(dim)] if as_flag(tile, "original_nice", "tile") else []
    for depth in as_sizes(depths, "original_nice", "depths"):
        sizes = (len(part.idx_a), *(width,) * depth, len(part.idx_b))
        layers.append(AdditiveCoupling(part, MLP(sizes, init="uniform", dtype=dtype, rng=rng)))
        layers.append(Permutation.reversal(dim))
    return Flow(prior, Chain([*layers, DiagonalScaling(dim, dtype=dtype)]))


def default_hidden(dim: int) -> tuple[int, int]:
    """The widths of a conditioner's two hidden layers for data of `dim` features."""
    return (min(max(dim, 64), 256),) * 2


def network_of(
    owner: str, conditioner: str, dim: int, hidden: Any, image_shape: tuple[int, ...] | None, settings: dict[str, Any]
) -> Network:
    kind = as_choice(conditioner, CONDITIONERS, owner, "conditioner")
    if hidden is None:  # by the size of the data
        hidden = (32, 32) if kind == "conv" else default_hidden(dim)
    hidden = as_widths(hidden, owner, "hidden")

    def mlp(part: Partition, thetas: int) -> Conditioner:
        network = MLP((len(part.idx_a) + part.context_dim, *hidden, thetas * len(part.idx_b)), **settings)
        if part.context_dim > 0:
            # Only one number of a one-hot label is not 0.  At the scale of the features' weights it would be lost among
            # them, so it starts with the weight of all of them together.
            network.layers[0].W[-part.context_dim :] *= sqrt(len(part.idx_a))
        return network

    def conv(part: Partition, thetas: int) -> Conditioner:
        if image_shape is None:
            raise NiceValueError('conditioner "conv" needs image_shape=(height, width) or (channels, height, width)')
        return ConvNet(image_shape, part.idx_a, hidden, thetas, part.context_dim, **settings)

    return mlp if kind == "mlp" else conv


def preprocessing(names: str | Bijector | Sequence[str | Bijector], dim: int, dtype: Any) -> list[Bijector]:
    """The fixed layers next to the data, by name or as copies of those given, in one dtype; see `nice`."""
    if isinstance(names, (str, Bijector)):
        names = (names,)
    fixed = [
        copy.deepcopy(name) if isinstance(name, Bijector)
        else PREPROCESSING[as_choice(name, PREPROCESSING, "preprocess", "name")](dim, dtype)
        for name in as_tuple(names, "preprocess must be a sequence of names or bijectors, such as ('logit',)")
    ]  # fmt: skip
    for layer in fixed:
        layer.cast(dtype)
    return fixed


def alternating(
    owner: str,
    law: type[Coupling],
    thetas: int,
    first: Partition,
    couplings: int,
    network: Network,
    stacklevel: int = 4,
    **settings: Any,
) -> list[Bijector]:
    """Couplings with alternating roles; the law has `thetas` numbers per feature."""
    if as_int(couplings, owner, "couplings", 1) < 3:
        warnings.warn(
            f"with {couplings} coupling layer(s) some outputs cannot depend on some inputs: "
            "three are needed for every dimension to affect every other (Dinh et al. 2014)",
            stacklevel=stacklevel,  # the line that calls the builder
        )
    parts = [first, first.swapped()]  # the transformed features are kept next
    return [law(parts[k % 2], network(parts[k % 2], thetas), **settings) for k in range(couplings)]


def with_context(layers: list[Bijector], context_dim: int) -> list[Bijector]:
    """The layers of the largest dim take the context themselves; it passes around the others."""
    if context_dim == 0:
        return layers
    dim = max(layer.dim for layer in layers)
    return [layer if layer.dim == dim else WithContext(layer, context_dim) for layer in layers]


def at_least_two(dim: int, owner: str) -> int:
    return as_int(dim, owner, "dim (a coupling layer needs at least 2 features)", 2)

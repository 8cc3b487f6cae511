"""Couplings of zuko and nflows, two PyTorch libraries of flows: their ``state_dict`` as a flow, and a flow as theirs.

    "zuko"     transform.transforms.0.mask, transform.transforms.0.hyper.0.weight, ...
               theta of a feature: shift and scale side by side.  log s = `SoftclipScale`
    "nflows"   _transform._transforms.0.identity_features, ...0.transform_net.final_layer.weight, ...
               theta: all shifts, then all scales.  log s = `FlooredSigmoidScale`

Both are data -> latents, as here, with a standard normal on top, and hand x_a and then the context to the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nice_np.bijectors import (
    AdditiveCoupling,
    AffineCoupling,
    Bijector,
    Chain,
    DiagonalScaling,
    FlooredSigmoidScale,
    Partition,
    Permutation,
    Scale,
    SoftclipScale,
    Standardize,
    WithContext,
)
from nice_np.bijectors.with_context import without_context
from nice_np.errors import NiceValueError
from nice_np.files.recognised import refuse_foreign
from nice_np.flows.flow import Flow
from nice_np.flows.priors import Prior, StandardNormal
from nice_np.networks.activations import Activation, ReLU, get_activation
from nice_np.networks.mlp import MLP
from nice_np.validation import Array, as_constants, as_int

Arrays = dict[str, Any]
Linears = list[tuple[Array, Array]]  # W (n_in, n_out) and b (n_out,) of each linear layer
Order = npt.NDArray[np.intp]

COUPLINGS = (AdditiveCoupling, AffineCoupling)
KNOWN = "networks can be read that are linear layers with one activation between them, and nflows' ResidualNet"


class Library(NamedTuple):
    """How a library names its layers and orders its numbers."""

    name: str
    prefix: str  # of a layer, before its number
    scale: Scale
    side_by_side: bool  # t and r of a feature are neighbours in theta; otherwise all t precede all r

    def order(self, n_b: int) -> Order:
        """The places of all r, then of all t, among the 2 B outputs of its network."""
        places = np.arange(2 * n_b)
        return np.concatenate([places[1::2], places[::2]] if self.side_by_side else [places[n_b:], places[:n_b]])


ZUKO = Library("zuko", "transform.transforms.", SoftclipScale(), side_by_side=True)
NFLOWS = Library("nflows", "_transform._transforms.", FlooredSigmoidScale(), side_by_side=False)
LIBRARIES = {library.name: library for library in (ZUKO, NFLOWS)}


def library_of(state: Arrays) -> Library | None:
    """The library that wrote these names, if it is one of the two."""
    return next((lib for lib in LIBRARIES.values() if any(name.startswith(lib.prefix) for name in state)), None)


# -- reading ----------------------------------------------------------------------------------------------------------


def read(state: Arrays, library: Library, prior: str | Prior, activation: str | Activation) -> Flow:
    """The flow of a state in float64; NiceValueError where it has layers that nice_np does not have."""
    left = dict(state)
    groups = _layers_of(left, library)
    if library is ZUKO:
        _check_base(left)
    if left:
        raise _unknown(library, sorted(left))
    activation = get_activation(activation)
    layers: list[Bijector] = []
    for i, group in enumerate(groups):
        try:
            layers.append((_zuko_layer if library is ZUKO else _nflows_layer)(group, activation))
        except NiceValueError as error:
            raise NiceValueError(
                f"from_state_dict: {library.prefix}{i}: {str(error).removeprefix('from_state_dict: ')}"
            ) from None
        if group:
            raise _unknown(library, [f"{library.prefix}{i}.{name}" for name in group])
    (context_dim, *others) = {c.partition.context_dim for c in layers if isinstance(c, COUPLINGS)} or {0}
    if others:
        raise NiceValueError("from_state_dict: the couplings have contexts of different sizes")
    if context_dim:
        layers = [layer if isinstance(layer, COUPLINGS) else WithContext(layer, context_dim) for layer in layers]
    return Flow(prior, Chain(layers), context_dim)


def _layers_of(left: Arrays, library: Library) -> list[Arrays]:
    """The arrays of each layer by their names within it, in the order of the layers; removed from `left`."""
    groups: dict[int, Arrays] = {}
    for name in list(left):
        if found := re.fullmatch(rf"{re.escape(library.prefix)}(\d{{1,6}})\.(.+)", name):
            groups.setdefault(int(found[1]), {})[found[2]] = left.pop(name)
    if sorted(groups) != list(range(len(groups))):
        raise NiceValueError(f"from_state_dict: layers {sorted(groups)} of {library.name}; some are missing")
    return [groups[i] for i in range(len(groups))]


def _check_base(left: Arrays) -> None:
    for name, value in (("base.loc", 0), ("base.scale", 1)):
        if name in left and not (_array(left, name, 1) == value).all():
            raise NiceValueError(f"from_state_dict: {name} is not {value}; only a standard normal base can be read")


def _zuko_layer(group: Arrays, activation: Activation) -> Bijector:
    if "mask" not in group:
        raise NiceValueError(f"expected a coupling's mask, found {', '.join(group)}; only couplings can be read")
    mask = np.asarray(group.pop("mask"))
    if mask.ndim != 1 or mask.dtype != np.bool_:
        raise NiceValueError(f"mask must be a vector of booleans, got {mask.dtype} of shape {mask.shape}")
    linears = _linears(group, [f"hyper.{2 * k}" for k in range(len(group) // 2)])
    return _coupling(len(mask), np.flatnonzero(mask), linears, ZUKO, activation)


def _nflows_layer(group: Arrays, activation: Activation) -> Bijector:
    if "_permutation" in group:
        return Permutation(_whole(group, "_permutation"))
    if "_shift" in group:  # PointwiseAffineTransform: z = x scale + shift
        shift, scale = _array(group, "_shift", 1), _array(group, "_scale", 1)
        if shift.shape != scale.shape or not (scale > 0).all():
            raise NiceValueError("_shift and _scale must have one shape, and _scale must be > 0")
        return Standardize(-shift / scale, 1 / scale)
    if "identity_features" not in group:
        raise NiceValueError(
            f"expected a coupling, a permutation or a PointwiseAffineTransform, found {', '.join(group)}"
        )
    kept, changed = _whole(group, "identity_features"), _whole(group, "transform_features")
    if not np.array_equal(changed, np.setdiff1d(np.arange(len(kept) + len(changed)), kept)):
        raise NiceValueError("transform_features must be the others than identity_features, in ascending order")
    net = "transform_net."
    if f"{net}initial_layer.weight" in group:
        if type(activation) is not ReLU:
            raise NiceValueError("a ResidualNet can be written as an MLP with ReLU only")
        blocks = len({name.split(".")[2] for name in group if name.startswith(f"{net}blocks.")})
        names = [f"{net}blocks.{i}.linear_layers.{k}" for i in range(blocks) for k in (0, 1)]
        linears = _without_skips(_linears(group, [f"{net}initial_layer", *names, f"{net}final_layer"]))
    else:
        hidden = len({name.split(".")[2] for name in group if name.startswith(f"{net}_hidden_layers.")})
        names = [f"{net}_hidden_layers.{i}" for i in range(hidden)]
        linears = _linears(group, [f"{net}_input_layer", *names, f"{net}_output_layer"])
    return _coupling(len(kept) + len(changed), kept, linears, NFLOWS, activation)


def _without_skips(linears: Linears) -> Linears:
    """A ReLU ResidualNet as a plain network: h = relu(h) - relu(-h), so ReLU units can carry h past a block.

    [p | n] = relu([h | -h]);   [p | n | a] = relu([p | n | p W_0 + b_0]);   h' = p - n + a W_1 + b_1
    """
    (W, b), *blocks, (W_out, b_out) = linears
    eye, none = np.eye(len(b)), np.zeros((len(b), len(b)))
    plain = [(np.hstack([W, -W]), np.hstack([b, -b]))]
    for (W_0, b_0), (W_1, b_1) in zip(blocks[::2], blocks[1::2], strict=True):
        if {W_0.shape, W_1.shape} != {none.shape}:
            raise NiceValueError(f"the weights of a block must be {none.shape}, got {W_0.shape} and {W_1.shape}")
        plain.append((np.block([[eye, none, W_0], [none, eye, none]]), np.hstack([0 * b_0, 0 * b_0, b_0])))
        plain.append((np.block([[eye, -eye], [-eye, eye], [W_1, -W_1]]), np.hstack([b_1, -b_1])))
    return [*plain, (np.vstack([W_out, -W_out]), b_out)]


def _coupling(dim: int, kept: Order, linears: Linears, library: Library, activation: Activation) -> Bijector:
    """The coupling whose network has these layers; the law follows from the number of outputs."""
    if not linears:
        raise NiceValueError(f"the network has no linear layers; {KNOWN}")
    n_in, n_out, n_b = len(linears[0][0]), len(linears[-1][1]), dim - len(kept)
    if n_in < len(kept) or n_out not in (n_b, 2 * n_b):
        raise NiceValueError(
            f"a network of {n_in} inputs and {n_out} outputs; {len(kept)} kept and {n_b} changed features need at "
            f"least {len(kept)} and {n_b} (additive) or {2 * n_b} (affine), other laws cannot be read"
        )
    part = Partition(dim, kept, n_in - len(kept))
    if n_out == 2 * n_b:
        W, b = linears[-1]
        order = library.order(n_b)
        linears = [*linears[:-1], (W[:, order], b[order])]
    mlp = MLP([n_in, *(len(b) for _, b in linears)], activation, init="uniform", rng=0)
    for (W_below, _), (W, _) in pairwise(linears):
        if W_below.shape[1] != W.shape[0]:
            raise NiceValueError(f"weights of shapes {W_below.T.shape} and {W.T.shape} do not follow each other")
    for linear, (W, b) in zip(mlp.layers, linears, strict=True):
        linear.W[:], linear.b[:] = W, b
    return AdditiveCoupling(part, mlp) if n_out == n_b else AffineCoupling(part, mlp, library.scale)


def _linears(group: Arrays, names: list[str]) -> Linears:
    """W and b of these layers, removed from `group`."""
    linears = []
    for name in names:
        W, b = _array(group, f"{name}.weight", 2).T, _array(group, f"{name}.bias", 1)
        if W.shape[1] != len(b):
            raise NiceValueError(f"{name} has weight {W.T.shape} and bias {b.shape}")
        linears.append((W, b))
    return linears


def _array(group: Arrays, name: str, ndim: int) -> Array:
    if name not in group:
        raise NiceValueError(f"{name} is missing, found {', '.join(sorted(group)) or 'nothing'}; {KNOWN}")
    return as_constants(group.pop(name), ndim, "from_state_dict", name).astype(np.float64)


def _whole(group: Arrays, name: str) -> Order:
    return np.array([as_int(i, "from_state_dict", name, 0) for i in np.atleast_1d(group.pop(name, []))], np.intp)


def _unknown(library: Library, names: Sequence[str]) -> NiceValueError:
    return NiceValueError(f"from_state_dict: unexpected {', '.join(names[:5])} in a flow of {library.name}; {KNOWN}")


# -- writing ----------------------------------------------------------------------------------------------------------


def write(flow: Flow, library: Library) -> dict[str, Array]:
    """The state of the same flow there, in new arrays of the flow's dtype."""
    refuse_foreign(flow, "to_state_dict", f"a form in {library.name}")
    if not isinstance(flow.prior, StandardNormal):
        raise NiceValueError(f'to_state_dict: {library.name} needs prior="normal", got {flow.prior!r}')
    state: dict[str, Any] = {}
    for i, layer in enumerate(without_context(flow.layers)):
        for name, array in _arrays_of(layer, library):
            state[f"{library.prefix}{i}.{name}"] = array.copy()
    if library is ZUKO:
        state |= {"base.loc": np.zeros(flow.dim, flow.dtype), "base.scale": np.ones(flow.dim, flow.dtype)}
    return state


def _arrays_of(layer: Bijector, library: Library) -> Iterator[tuple[str, Any]]:
    fixed = _fixed(layer) if library is NFLOWS else None
    if fixed is not None:
        yield from fixed
        return
    mlp = getattr(layer, "conditioner", None)
    known = isinstance(layer, AdditiveCoupling) or (
        isinstance(layer, AffineCoupling) and repr(layer.scale) == repr(library.scale)
    )
    if not isinstance(layer, COUPLINGS) or not known or type(mlp) is not MLP or len(mlp.layers) < 2:
        also = "" if library is ZUKO else ", permutations, Standardize, DiagonalScaling"
        raise NiceValueError(
            f"to_state_dict: {library.name} has additive couplings and affine ones with scale={library.scale!r}, with "
            f"MLPs of at least one hidden layer{also}; got {layer!r}"
        )
    part, weights, biases = layer.partition, [L.W.T for L in mlp.layers], [L.b for L in mlp.layers]
    kept = np.argsort(part.idx_a)  # they keep them in ascending order; the context is behind
    weights[0] = weights[0][:, np.concatenate([kept, np.arange(len(kept), len(kept) + part.context_dim)])]
    if isinstance(layer, AffineCoupling):
        back = np.argsort(library.order(len(part.idx_b)))
        weights[-1], biases[-1] = weights[-1][back], biases[-1][back]
    if library is ZUKO:
        yield "mask", np.isin(np.arange(part.dim), part.idx_a)
        names = [f"hyper.{2 * k}" for k in range(len(weights))]
    else:
        yield "identity_features", np.sort(part.idx_a).astype(np.int64)
        yield "transform_features", part.idx_b.astype(np.int64)
        inner = [f"transform_net._hidden_layers.{k}" for k in range(len(weights) - 2)]
        names = ["transform_net._input_layer", *inner, "transform_net._output_layer"]
    for name, W, b in zip(names, weights, biases, strict=True):
        yield f"{name}.weight", W
        yield f"{name}.bias", b


def _fixed(layer: Bijector) -> list[tuple[str, Any]] | None:
    """A layer without a network in nflows: a permutation, or a PointwiseAffineTransform."""
    if isinstance(layer, Permutation):
        return [("_permutation", layer.order.astype(np.int64))]
    if isinstance(layer, Standardize):
        return [("_shift", -layer.mean / layer.std), ("_scale", 1 / layer.std)]
    if isinstance(layer, DiagonalScaling):
        return [("_shift", np.zeros_like(layer.log_scale)), ("_scale", np.exp(layer.log_scale))]
    return None

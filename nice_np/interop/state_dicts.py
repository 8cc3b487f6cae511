"""The weights of NICE in the layouts of public PyTorch programs: a ``state_dict`` of named arrays.

    "blocks"   coupling.0.in_block.0.weight, coupling.0.mid_block.0.0.weight, ..., coupling.0.out_block.weight, ...,
               scaling.scale (1, D).  ReLU.  A network maps one half of the pixels to the other half, so its weights
               are (width, D/2), ..., (D/2, width).  Program: fmu2/NICE on GitHub, and courses built on it.
    "masked"   coupling_layers.0.m.0.weight, coupling_layers.0.m.2.weight, ..., scaling_layer.log_scale_vector (1, D).
               Leaky ReLU.  A network sees all D pixels, one half of them set to 0, and one half of its D outputs is
               discarded: (width, D), ..., (D, width).  Program: DakshIdnani/pytorch-nice on GitHub.

In both, the halves are the even and the odd pixels, swapped after each coupling.  PyTorch's Linear is y = x W^T + b:
every weight is the transpose of ours.  The files do not record which parity is kept first, nor the prior.

The layouts "zuko" and "nflows" are in `nice_np.interop.torch_flows`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from nice_np.bijectors import AdditiveCoupling, Chain, DiagonalScaling, Partition
from nice_np.bijectors.partition import Indices
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.files.recognised import refuse_foreign
from nice_np.flows.flow import Flow
from nice_np.flows.priors import Prior
from nice_np.interop.folding import folded, partitions_and_networks
from nice_np.interop.torch_flows import LIBRARIES, library_of, read, write
from nice_np.networks.activations import ACTIVATIONS, Activation
from nice_np.networks.mlp import MLP
from nice_np.parameters.part import name_of
from nice_np.validation import Array, as_choice, as_constants, as_dtype


class Layout(NamedTuple):
    """How a program names and shapes its arrays."""

    activation: str
    scaling: str  # name of the log-scales
    linears: Callable[[int, int], list[str]]  # (i, n) -> names of the n linear layers of coupling i
    full_width: bool  # a network's input and output have all D features


LAYOUTS = {
    "blocks": Layout(
        "relu",
        "scaling.scale",
        lambda i, n: [
            f"coupling.{i}.in_block.0",
            *(f"coupling.{i}.mid_block.{k}.0" for k in range(n - 2)),
            f"coupling.{i}.out_block",
        ],
        full_width=False,
    ),
    "masked": Layout(
        "leaky_relu",
        "scaling_layer.log_scale_vector",
        lambda i, n: [f"coupling_layers.{i}.m.{2 * k}" for k in range(n)],  # activations in between
        full_width=True,
    ),
}


def from_state_dict(
    state: Mapping[str, Any],
    *,
    prior: str | Prior | None = None,
    first_kept: str = "odd",
    activation: str | Activation = "relu",
    dtype: Any = np.float32,
) -> Flow:
    """A flow with the weights of a PyTorch NICE, or of the couplings of zuko or nflows.

    Parameters
    ----------
    state : mapping of str to array_like
        ``model.state_dict()``, or its arrays from a file, ``numpy.load("weights.npz")``.  The names show the layout.
    prior : {"logistic", "normal"} or Prior, optional
        The one that the model was trained with; by default "logistic" for "blocks" and "masked", "normal" for "zuko"
        and "nflows".
    first_kept : {"odd", "even"}
        The pixels, counted from 0, that the first coupling keeps.  "odd" is right for "masked", and for "blocks" with
        its usual mask_config=1; "even" for mask_config=0.
    activation : {"relu", "leaky_relu", "tanh", "softplus"} or Activation
        Of the networks in a state of zuko or nflows, which does not name it.
    dtype : {float32, float64}

    Returns
    -------
    Flow
        Additive couplings and a diagonal scaling, for data prepared as in that program.  For zuko and nflows additive
        and affine couplings, the latter with the library's own scale; nflows' ResidualNet becomes a wider ReLU network
        with the same values, and its PointwiseAffineTransform a `Standardize`.

    Raises
    ------
    NiceTypeError, NiceValueError
        If names or shapes match no layout, or an array has NaN or inf.

    Examples
    --------
    >>> from nice_np import nice
    >>> flow = nice(4, hidden=(6,), partition=Partition.odd_even(4).swapped(), rng=0)
    >>> state = to_state_dict(flow, "blocks")
    >>> state["coupling.0.in_block.0.weight"].shape
    (6, 2)
    >>> again = from_state_dict(state)
    >>> bool((again.log_prob(np.eye(4)) == flow.log_prob(np.eye(4))).all())
    True
    """
    if not isinstance(state, Mapping):
        raise NiceTypeError(f"from_state_dict: expected a mapping of names to arrays, got {type(state).__name__}")
    for name in state:
        if not isinstance(name, str):
            raise NiceTypeError(f"from_state_dict: every name must be a string, got {name!r}")
    kept = as_choice(first_kept, ("odd", "even"), "from_state_dict", "first_kept")
    dtype = as_dtype(dtype, "from_state_dict")
    left = {name.removeprefix("module."): array for name, array in state.items()}  # prefix of DataParallel
    if (library := library_of(left)) is not None:
        return read(left, library, "normal" if prior is None else prior, activation).astype(dtype)
    layout = _layout_of(left)
    log_scale = _taken(left, layout.scaling, 2)
    dim = log_scale.size
    if log_scale.shape[0] != 1 or dim < 2 or dim % 2:
        raise NiceValueError(f"from_state_dict: {layout.scaling} must be (1, D) with an even D, got {log_scale.shape}")
    part = Partition.odd_even(dim) if kept == "even" else Partition.odd_even(dim).swapped()
    couplings: list[AdditiveCoupling] = []
    while names := _linears_of(left, layout, len(couplings)):
        couplings.append(AdditiveCoupling(part, _network(left, names, layout, part)))
        part = part.swapped()
    if left:
        raise NiceValueError(f"from_state_dict: unexpected {', '.join(sorted(left))}; is this another model?")
    scaling = DiagonalScaling(dim)
    scaling.log_scale[:] = log_scale[0]
    return Flow("logistic" if prior is None else prior, Chain([*couplings, scaling])).astype(dtype)


def to_state_dict(flow: Flow, layout: str = "blocks") -> dict[str, Array]:
    """The weights of a flow in the layout of a PyTorch NICE, or of zuko or nflows.

    To load it: ``model.load_state_dict({name: torch.from_numpy(a) for name, a in state.items()})``; to write a file
    without PyTorch: ``numpy.savez("weights.npz", **state)``.

    Parameters
    ----------
    flow : Flow
        Additive couplings that keep even and odd pixels in turn, with MLPs of at least one hidden layer, and a
        DiagonalScaling.  A Standardize layer in front is folded into them, see `fold_standardize`.
    layout : {"blocks", "masked", "zuko", "nflows"}
        "blocks" needs ReLU, "masked" leaky ReLU and a first coupling that keeps 1, 3, 5, ...  "zuko" and "nflows" take
        additive couplings, and affine ones with ``scale=SoftclipScale()`` or ``scale=FlooredSigmoidScale()``, any
        partition, activation and context, and a normal prior; "nflows" permutations, `Standardize` and
        `DiagonalScaling` too.

    Returns
    -------
    dict of str to ndarray
        New arrays of the flow's dtype.  For "blocks", set mask_config to 1 if the first coupling keeps 1, 3, 5, ...
        (``partition=Partition.odd_even(dim).swapped()``), and to 0 if it keeps 0, 2, 4, ... (``"odd-even"``).

    Raises
    ------
    NiceTypeError, NiceValueError
        If the flow has another form; the message names the layer.
    """
    layout = as_choice(layout, (*LAYOUTS, *LIBRARIES), "to_state_dict", "layout")
    if layout in LIBRARIES:
        if not isinstance(flow, Flow):
            raise NiceTypeError(f"to_state_dict: expected a Flow, got {type(flow).__name__}")
        return write(flow, LIBRARIES[layout])
    chosen = LAYOUTS[layout]
    *first, scaling = folded(flow, "to_state_dict").layers
    for layer in (*first, scaling):
        refuse_foreign(layer, "to_state_dict", "names in a state_dict")
    couplings = partitions_and_networks(first, "to_state_dict")
    if not couplings or not isinstance(scaling, DiagonalScaling):
        raise NiceValueError(
            f"to_state_dict: expected additive couplings and a DiagonalScaling on top, got {scaling!r}"
        )
    state = {}
    expected = _first_partition(couplings[0][0], chosen)
    for i, (part, mlp) in enumerate(couplings):
        if not np.array_equal(part.idx_a, expected.idx_a):
            raise NiceValueError(f"to_state_dict: coupling {i} must keep {expected!r}, got {part!r}")
        state.update(_named_weights(part, mlp, i, chosen))
        expected = expected.swapped()
    state[chosen.scaling] = scaling.log_scale[None].copy()  # (1, D)
    return state


# -- reading ----------------------------------------------------------------------------------------------------------


def _layout_of(state: Mapping[str, Any]) -> Layout:
    for layout in LAYOUTS.values():
        if layout.scaling in state:
            return layout
    expected = " or ".join(layout.scaling for layout in LAYOUTS.values())
    found = ", ".join(list(map(str, state))[:5]) or "nothing"
    raise NiceValueError(
        f"from_state_dict: expected an array {expected}, found {found}; from a file that holds more than the weights "
        'hand over its part, such as checkpoint["model_state_dict"]'
    )


def _linears_of(state: Mapping[str, Any], layout: Layout, i: int) -> list[str]:
    """The names of coupling i's linear layers, as many as there are."""
    names: list[str] = []
    longer = layout.linears(i, 2)
    while all(f"{name}.weight" in state for name in longer):
        names, longer = longer, layout.linears(i, len(longer) + 1)
    return names


def _network(left: dict[str, Any], names: list[str], layout: Layout, part: Partition) -> MLP:
    """The MLP with the arrays of these names, which are removed from `left`."""
    weights = [_taken(left, f"{name}.weight", 2) for name in names]  # (n_out, n_in), ...
    biases = [_taken(left, f"{name}.bias", 1) for name in names]
    ends = (part.dim, part.dim) if layout.full_width else (len(part.idx_a), len(part.idx_b))
    sizes = [ends[0], *map(len, biases[:-1]), ends[1]]
    for name, W, b, (n_in, n_out) in zip(names, weights, biases, pairwise(sizes), strict=True):
        if W.shape != (n_out, n_in) or b.shape != (n_out,):
            raise NiceValueError(
                f"from_state_dict: {name} must have weight ({n_out}, {n_in}) and bias ({n_out},), got {W.shape} and "
                f"{b.shape}"
            )
    if layout.full_width:
        # m sees mask * x, so only these columns of its first weight matter; its output counts where the mask is 0.
        weights[0] = weights[0][:, part.idx_a]
        weights[-1], biases[-1] = weights[-1][part.idx_b], biases[-1][part.idx_b]
    mlp = MLP((len(part.idx_a), *sizes[1:-1], len(part.idx_b)), layout.activation, init="uniform", rng=0)
    for linear, W, b in zip(mlp.layers, weights, biases, strict=True):
        linear.W[:], linear.b[:] = W.T, b
    return mlp


def _taken(left: dict[str, Any], name: str, ndim: int) -> Array:
    """The finite array of this name, which is removed from `left`."""
    if name not in left:
        raise NiceValueError(f"from_state_dict: {name} is missing")
    return as_constants(left.pop(name), ndim, "from_state_dict", name)


# -- writing ----------------------------------------------------------------------------------------------------------


def _first_partition(part: Partition, layout: Layout) -> Partition:
    """The partition by parity that the first coupling must have, given that it has `part`."""
    dim, kept = part.dim, part.idx_a[0]
    if dim % 2:
        raise NiceValueError(f"to_state_dict: PyTorch's NICE needs an even number of features, the flow has {dim}")
    if layout.full_width and kept == 0:
        raise NiceValueError(
            "to_state_dict: the first coupling must keep 1, 3, 5, ... in this layout, but keeps 0; build the flow with "
            f"partition=Partition.odd_even({dim}).swapped()"
        )
    return Partition.odd_even(dim) if kept == 0 else Partition.odd_even(dim).swapped()


def _named_weights(part: Partition, mlp: MLP, i: int, layout: Layout) -> dict[str, Array]:
    """The arrays of coupling i by name, in PyTorch's shapes."""
    if name_of(mlp.activation, ACTIVATIONS) != layout.activation or len(mlp.layers) < 2:
        raise NiceValueError(
            f'to_state_dict: coupling {i} must have hidden layers with activation="{layout.activation}", got {mlp!r}'
        )
    weights, biases = [linear.W.T.copy() for linear in mlp.layers], [linear.b.copy() for linear in mlp.layers]
    if layout.full_width:
        weights[0] = _spread(weights[0].T, part.idx_a, part.dim).T.copy()
        weights[-1], biases[-1] = (_spread(array, part.idx_b, part.dim) for array in (weights[-1], biases[-1]))
    state = {}
    for name, W, b in zip(layout.linears(i, len(weights)), weights, biases, strict=True):
        state[f"{name}.weight"], state[f"{name}.bias"] = W, b
    return state


def _spread(rows: Array, places: Indices, dim: int) -> Array:
    """An array of `dim` rows: these at the given indices, zeros elsewhere."""
    spread = np.zeros((dim, *rows.shape[1:]), rows.dtype)
    spread[places] = rows
    return spread

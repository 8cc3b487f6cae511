"""Flows of the plane with knobs to turn in a lecture; a knob only writes to the flow's own parameters.

In the tiny flow each conditioner has a single hidden unit, so that all of it fits on a blackboard.  Coupling k keeps
one feature, u, and changes the other, v; a diagonal scaling comes last:

    h = tanh(w_k u + b_k)
    additive          v <- v + a_k h
    multiplicative    v <- v exp(r_k h)
    affine            v <- v exp(r_k h) + a_k h
    scaling           z_d = exp(s_d) x_d

For a trained flow there is a knob for each layer, from 0, the identity, to 1, the trained layer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nice_np.bijectors import (
    AdditiveCoupling,
    AffineCoupling,
    Bijector,
    Chain,
    Coupling,
    DiagonalScaling,
    MultiplicativeCoupling,
    Partition,
)
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.flows.flow import Flow
from nice_np.flows.priors import PRIORS
from nice_np.networks.mlp import MLP
from nice_np.validation import Array, Rng, as_choice, as_float, as_int, as_rng

LAWS: dict[str, type[Coupling]] = {
    "additive": AdditiveCoupling,
    "multiplicative": MultiplicativeCoupling,
    "affine": AffineCoupling,
}
THETAS = {"additive": "a", "multiplicative": "r", "affine": "ra"}  # the conditioner's outputs, in order
FORMULAS = {
    "additive": r"{v} \leftarrow {v} + a_{k} h",
    "multiplicative": r"{v} \leftarrow {v}\, e^{{r_{k} h}}",
    "affine": r"{v} \leftarrow {v}\, e^{{r_{k} h}} + a_{k} h",
}
MOST_COUPLINGS, MOST_LAYERS, ROWS = 3, 16, 4  # ROWS: knobs per group of a trained flow
RANGES = {"w": 3.0, "b": 3.0, "a": 3.0, "r": 1.5, "s": 1.5}  # a knob goes from minus to plus this


class Knob(NamedTuple):
    """One adjustable number.

    Each of the ``views``, parts of the flow's parameters, holds value * unit.
    """

    name: str
    symbol: str
    low: float
    high: float
    neutral: float  # with all knobs at neutral, the flow is the identity, apart from preprocessing
    views: tuple[Array, ...]
    units: tuple[Array, ...]


class Group(NamedTuple):
    """Knobs that are shown together; ``coupling`` is their layer, if they all belong to one."""

    title: str
    knobs: tuple[Knob, ...]
    coupling: Coupling | None = None


class Choice(NamedTuple):
    """The settings of a tiny flow."""

    law: str
    couplings: int
    prior: str


class Playground:
    """A flow of the plane, the groups of knobs that change its parameters, and the settings of a tiny flow.

    Examples
    --------
    >>> ground = tiny_flow("additive", couplings=1)
    >>> ground.turn("a1", 2.0)
    >>> ground.flow.encode([[100.0, 0.0]])  # h = tanh(100) = 1, x_2 + 2 h
    array([[100.,   2.]])
    """

    def __init__(self, flow: Flow, groups: list[Group], choice: Choice | None = None) -> None:
        self.flow, self.groups, self.choice = flow, tuple(groups), choice
        self.knobs = {knob.name: knob for group in groups for knob in group.knobs}
        self.positions: dict[str, float] = {}  # the value of each knob
        self.reset()

    def turn(self, name: str, value: float) -> None:
        """Set one knob; NiceValueError for an unknown name or a value out of its range."""
        name = as_choice(name, self.knobs, "play", "knob")
        knob = self.knobs[name]
        value = as_float(value, "play", name)
        if not knob.low <= value <= knob.high:
            raise NiceValueError(f"play: {name} goes from {knob.low:g} to {knob.high:g}, got {value:g}")
        for view, unit in zip(knob.views, knob.units, strict=True):
            view[...] = value * unit
        self.positions[name] = value

    def reset(self) -> None:
        """Set all knobs to neutral."""
        for knob in self.knobs.values():
            self.turn(knob.name, knob.neutral)

    def randomize(self, rng: Rng = None) -> None:
        """Set each knob of a coupling to a random value in the middle 60 % of its range."""
        rng = as_rng(rng, "play")
        for group in self.groups:
            for knob in group.knobs if group.coupling is not None else ():
                middle, reach = (knob.high + knob.low) / 2, 0.3 * (knob.high - knob.low)
                self.turn(knob.name, rng.uniform(middle - reach, middle + reach))

    def complete(self) -> None:
        """Set all knobs to their upper ends: those of a trained flow to the trained parameters."""
        for knob in self.knobs.values():
            self.turn(knob.name, knob.high)


def tiny_flow(law: str = "additive", couplings: int = 2, prior: str = "normal") -> Playground:
    """A flow with one hidden unit in each conditioner and a knob for every weight but the output biases, which are 0.

    Parameters
    ----------
    law : {"additive", "multiplicative", "affine"}
    couplings : int
        From 1 to 3.  The first keeps x_1, the second x_2, the third x_1.
    prior : {"normal", "logistic"}

    Returns
    -------
    Playground
        At the identity.
    """
    law = as_choice(law, LAWS, "tiny_flow", "law")
    prior = as_choice(prior, PRIORS, "tiny_flow", "prior")
    choice = Choice(law, as_int(couplings, "tiny_flow", "couplings", 1, MOST_COUPLINGS), prior)
    kind = LAWS[law]
    scale = {} if law == "additive" else {"scale": "exp"}  # log s = r h, unbounded, as in the formula
    parts = [Partition.odd_even(2), Partition.odd_even(2).swapped()]
    layers = [
        kind(parts[k % 2], MLP((1, 1, kind.thetas_per_feature), "tanh", init="he", output_scale=0, rng=0), **scale)
        for k in range(couplings)
    ]
    scaling = DiagonalScaling(2)
    flow = Flow(prior, Chain([*layers, scaling]))  # from here on all parameters are views of one vector
    groups = [_coupling_group(k, law, layer) for k, layer in enumerate(layers, start=1)]
    scales = tuple(_knob("s", d + 1, scaling.log_scale[d : d + 1]) for d in range(2))
    return Playground(flow, [*groups, Group("scaling: $z_d = e^{s_d} x_d$", scales)], choice)


def _coupling_group(k: int, law: str, layer: Coupling) -> Group:
    hidden, output = layer.conditioner.layers  # type: ignore[attr-defined]  # an MLP's
    knobs = [_knob("w", k, hidden.W[0], neutral=1.0), _knob("b", k, hidden.b)]
    knobs += [_knob(letter, k, output.W[0, j : j + 1]) for j, letter in enumerate(THETAS[law])]
    u, v = (f"x_{indices[0] + 1}" for indices in (layer.partition.idx_a, layer.partition.idx_b))
    formula = FORMULAS[law].format(v=v, k=k)
    return Group(rf"coupling {k}: ${formula}$" + f"\n$h = \\tanh(w_{k} {u} + b_{k})$", tuple(knobs), layer)


def _knob(letter: str, k: int, view: Array, neutral: float = 0.0) -> Knob:
    end = RANGES[letter]
    return Knob(f"{letter}{k}", f"${letter}_{k}$", -end, end, neutral, (view,), (np.ones(1),))


def trained_flow(flow: Flow) -> Playground:
    """A float64 copy of a trained flow of the plane, with a knob from 0 to 1 for each of its layers.

    The knob multiplies the weights and biases of a conditioner's last layer, or the log-scales of a scaling.  At 0 the
    layer is the identity, at 1 it is the trained one; layers without parameters stay unchanged.

    Raises
    ------
    NiceValueError
        If the flow is not of the plane, or a layer with parameters cannot be scaled to the identity: its scale is not 1
        where the conditioner's output is 0 (sigmoid), or its conditioner is not an MLP.
    NiceTypeError
        If it is not a flow.
    """
    if not isinstance(flow, Flow):
        raise NiceTypeError(f"play: expected a Flow, got {type(flow).__name__}")
    if flow.dim != 2 or flow.context_dim:
        given = f"dimension {flow.dim}" + (" with a context" if flow.context_dim else "")
        raise NiceValueError(f"play: expected a flow of dimension 2 without a context, got {given}")
    flow = flow.astype(np.float64)
    knobs = []
    for k, layer in enumerate(flow.layers, start=1):
        views = _switch(k, layer)
        if views:
            units = tuple(view.copy() for view in views)
            knobs.append(Knob(f"l{k}", rf"$\lambda_{{{k}}}$", 0.0, 1.0, 0.0, views, units))
    if not 1 <= len(knobs) <= MOST_LAYERS:
        raise NiceValueError(f"play: expected 1 to {MOST_LAYERS} layers with parameters, got {len(knobs)}")
    columns = [tuple(knobs[start : start + ROWS]) for start in range(0, len(knobs), ROWS)]
    title = "layers {} to {}\n0: identity, 1: as trained"
    groups = [Group(title.format(column[0].name[1:], column[-1].name[1:]), column) for column in columns]
    ground = Playground(flow, groups)
    ground.complete()
    return ground


def _switch(k: int, layer: Bijector) -> tuple[Array, ...]:
    """The parameters that are 0 if this layer is the identity; none for a layer without parameters."""
    if isinstance(layer, DiagonalScaling):
        return (layer.log_scale,)
    if isinstance(layer, Coupling) and isinstance(layer.conditioner, MLP):
        scale: Any = getattr(layer, "scale", None)
        if isinstance(layer, tuple(LAWS.values())) and (scale is None or abs(scale.forward(np.zeros(1))[0]) < 1e-12):
            last = layer.conditioner.layers[-1]
            return last.W, last.b
    if layer.n_parameters:
        raise NiceValueError(f"play: layer {k} cannot be scaled to the identity: {layer!r}")
    return ()

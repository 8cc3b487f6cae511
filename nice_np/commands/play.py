"""nice-np play: sliders for the parameters of a flow of the plane, in a window or, with --save, as a picture."""

from __future__ import annotations

import argparse
import shlex
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from nice_np.commands.options import add_force
from nice_np.commands.parsing import Arguments, OneOf, Parser, ending_in, path, whole
from nice_np.commands.shared import Result, refuse_if
from nice_np.flows.priors import PRIORS
from nice_np.playground.one_unit import LAWS, MOST_COUPLINGS, Playground, tiny_flow, trained_flow
from nice_np.runs.folder import load_flow, refuse_to_replace

DEFAULTS: dict[str, Any] = {"law": "additive", "couplings": 2, "prior": "normal"}
EPILOG = """the tiny flow: coupling k keeps one feature, u, and changes the other, v; scaling comes last
  h = tanh(w_k u + b_k)
  additive        v <- v + a_k h
  multiplicative  v <- v exp(r_k h)
  affine          v <- v exp(r_k h) + a_k h
  scaling         z_d = exp(s_d) x_d

For MODEL, a trained flow of the plane, there is a slider lK for each layer K with
parameters, from 0, the identity, to 1, the trained layer.
Drag in a picture to move the point whose numbers are shown at the top.

examples:
  nice-np play
  nice-np play --law affine --couplings 3 --seed 1
  nice-np play runs/two-moons
  nice-np play --couplings 1 --set a1=2 --set w1=1.5 --save shear.png
"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("model", type=path, nargs="?", metavar="MODEL", help="run folder or model.npz (default: a tiny flow)")
    for name, choices in (("law", LAWS), ("prior", PRIORS)):
        text = f"of the tiny flow: {', '.join(choices)} (default: {DEFAULTS[name]})"
        add(f"--{name}", type=OneOf(tuple(choices), name), metavar="NAME", help=text)
    add("--couplings", type=whole(1, MOST_COUPLINGS), metavar="K", help="of the tiny flow: 1, 2 (default) or 3")
    add("--seed", type=whole(0), metavar="S", help="start at random parameters (default: at the identity)")
    add("--set", type=setting, action="append", default=[], metavar="NAME=X", help="initial value of a slider: a1=2")
    picture = ending_in(".png", ".pdf", ".svg")
    add("--save", type=picture, metavar="FILE", help="save one picture instead of opening a window")
    add_force(parser)


def setting(text: str) -> tuple[str, float]:
    """An argument type: NAME=X."""
    name, equals, value = text.partition("=")
    with suppress(ValueError):
        if name and equals and isfinite(float(value)):
            return name, float(value)
    raise argparse.ArgumentTypeError(f"expected NAME=NUMBER such as a1=2, got {text!r}")


def run(arguments: Arguments) -> Result:
    """Open the window, or draw one picture."""
    out: Path | None = arguments.save
    refuse_to_replace(arguments.force, out)
    rng = np.random.default_rng(arguments.seed)  # for the start, then for the button "random"
    ground = _ground(arguments, rng)
    for name, value in arguments.set:
        ground.turn(name, value)
    # Imported here: Matplotlib is slow to import, and --help does not need it.
    from nice_np.playground import window as figure
    from nice_np.plotting import save

    if out is None:
        ground = figure.show(ground, rng)
        return _result(ground, None), [f"to open it again: nice-np play {_words(ground, arguments.model)}"]
    save(figure.PlayFigure(ground).figure, out)
    return _result(ground, out), [f"picture written to {out}"]


def _result(ground: Playground, out: Path | None) -> dict[str, Any]:
    choice = None if ground.choice is None else ground.choice._asdict()
    return {"out": None if out is None else str(out), "flow": choice, "positions": ground.positions}


def _words(ground: Playground, model: Path | None) -> str:
    """The arguments that open this flow."""
    choice = {} if ground.choice is None else ground.choice._asdict()
    start = [shlex.quote(str(model))] if model is not None else [f"--{name} {value}" for name, value in choice.items()]
    return " ".join([*start, *(f"--set {name}={value:.4g}" for name, value in ground.positions.items())])


def _ground(arguments: Arguments, rng: np.random.Generator) -> Playground:
    if arguments.model is not None:
        unfit = [f"--{name}" for name in (*DEFAULTS, "seed") if getattr(arguments, name) is not None]
        refuse_if(
            bool(unfit),
            f"only the tiny flow takes {' and '.join(unfit)}: leave that out, or {arguments.model}",
        )
        return trained_flow(load_flow(arguments.model)[0])
    given = {name: value for name in DEFAULTS if (value := getattr(arguments, name)) is not None}
    ground = tiny_flow(**(DEFAULTS | given))
    if arguments.seed is not None:
        ground.randomize(rng)
    return ground

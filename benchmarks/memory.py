"""Peak memory of a training step against depth: what a step needs beyond parameters, gradients and Adam's moments.

The activations that are kept for the backward pass grow with the number of couplings, unless they are computed anew.
The model has one hidden layer and a large batch, so that activations are larger than weights: 2,000 rows of each
layer against some 400 rows of each matrix.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace

from benchmarks import child
from benchmarks.child import ChildError
from benchmarks.contenders import ONE_OF_EACH
from benchmarks.model import Model
from benchmarks.options import Options
from benchmarks.result import Result, Row
from benchmarks.timing import Timing

DEPTHS, QUICK_DEPTHS = (4, 16, 64), (4,)
RECOMPUTE = "nice_np-recompute"
MOST_STEPS = 3  # one a process; memory hardly varies, and a deep model takes JAX a while to compile
MB = 1e-6


def measure(model: Model, options: Options) -> Result:
    """The peak of a step of each contender at each depth, each in a process of its own."""
    result = Result(
        f"Peak memory of a training step: D {model.dim}, couplings of 1 x {model.hidden[0]}, batch {model.batch}",
        unit="MB",
    )
    steps = min(options.repeats, MOST_STEPS)
    for name in with_recompute(options.among(ONE_OF_EACH)):
        for depth in QUICK_DEPTHS if options.quick else DEPTHS:
            result.rows.append(row(name, replace(model, couplings=depth), steps))
    result.notes += [
        "Resident memory at the peak of a step minus that just before it, when parameters, gradients and Adam's "
        "moments are already there; PyTorch and JAX make their gradients anew in each step.",
        "One hidden layer and a large batch: activations are several times as large as weights.",
    ]
    return result


def with_recompute(names: list[str]) -> Iterator[str]:
    """nice_np takes part twice."""
    for name in names:
        yield name
        if name == "nice_np":
            yield RECOMPUTE


def row(name: str, model: Model, steps: int) -> Row:
    """The peaks of a few processes, in MB."""
    title = f"{name}, {model.couplings} couplings"
    peaks: list[float] = []
    for _ in range(steps):
        try:
            answer = child.run("-m", "benchmarks.one_step", name, json.dumps(asdict(model)))
        except ChildError as error:
            return Row(title, note=str(error))
        if "reason" in answer:
            return Row(title, note=answer["reason"])
        peaks.append(answer["bytes"])
    return Row.of(title, Timing.of(peaks), f"{model.n_parameters * 4 * MB:.0f} MB of parameters", MB)

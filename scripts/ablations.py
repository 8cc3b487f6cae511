"""What each piece of Glow is worth: one model on MNIST, each piece left out or replaced once, all for the same time.

Every row is trained for the same seconds of processor time, with as many steps as they allow: a piece that costs time
has to earn it.  Bits/dim of the 10,000 validation digits; the test digits are not looked at.

    python scripts/ablations.py --seconds 60 > table.md
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

from nice_np import ActNorm, Chain, Cosine, Flow, LULinear, OnPart, fit, glow, variational_dequantization
from nice_np.bijectors import Bijector
from nice_np.datasets import Dataset, load
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.runs.scoring import score

BATCH = 25
MODEL: dict[str, Any] = {"channels": 32, "dense": 4, "hidden": (64,), "preprocess": ("equalize", "logit")}
TRAINING: dict[str, Any] = {"rate": 5e-3, "clip_norm": 50.0, "average": 300}
Row = tuple[str, dict[str, Any], dict[str, Any], Callable[[Flow], Flow]]


def without(kind: type[Bijector]) -> Callable[[Flow], Flow]:
    """The flow without its layers of one kind, at every level."""

    def left(flow: Flow) -> Flow:
        assert isinstance(flow.bijector, Chain)
        layers = [deepcopy(layer) for layer in flow.bijector.layers if not isinstance(inner(layer), kind)]
        return Flow("normal", Chain(layers))

    return left


def inner(layer: Bijector) -> Bijector:
    """The layer that acts on a part of the features."""
    return layer.bijector if isinstance(layer, OnPart) else layer


def whole(flow: Flow) -> Flow:
    return flow


def with_learned_noise(flow: Flow) -> Flow:
    """The flow behind noise that is learned within the pixels' bins."""
    assert isinstance(flow.bijector, Chain)
    return Flow("normal", Chain([variational_dequantization((28, 28), rng=0), *deepcopy(flow.bijector.layers)]))


ROWS: list[Row] = [
    ("all of it", {}, {}, whole),
    ("and learned noise", {}, {}, with_learned_noise),
    ("without the histogram: the logit alone", {"preprocess": ("logit",)}, {}, whole),
    ("without ActNorm", {}, {}, without(ActNorm)),
    ("without 1x1 convolutions", {}, {}, without(LULinear)),
    ("without dense steps", {"dense": 0}, {}, whole),
    ("one level, 12 steps: nothing factored out", {"levels": 1, "steps": 12}, {}, whole),
    ("additive couplings", {"law": "additive"}, {}, whole),
    ("spline couplings", {"law": "spline"}, {}, whole),
    ("logistic-mixture couplings", {"law": "mixture"}, {}, whole),
    ("gradients not clipped", {}, {"clip_norm": None}, whole),
    ("the last weights, not their average", {}, {"average": None}, whole),
]


def main() -> None:
    """Print the table in Markdown, each row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of processor time for each row (default: 60)")
    numbers = f"of the {len(ROWS)} rows, some by their numbers from 0 (default: all)"
    parser.add_argument("--rows", type=int, nargs="+", default=range(len(ROWS)), metavar="N", help=numbers)
    arguments = parser.parse_args()
    seconds = arguments.seconds
    digits = load("mnist")
    print(f"{seconds:g} s of processor time each, batch {BATCH}, Adam with a cosine from 0.005, seed 0.\n")
    print("| | parameters | steps | validation bits/dim |", "|---|---|---|---|", sep="\n", flush=True)
    for name, model, training, change in (ROWS[number] for number in arguments.rows):
        flow = change(glow((28, 28), rng=0, **{**MODEL, **model}))
        train(flow, digits, 40, **{**TRAINING, **training})  # compiles, and fits what is measured
        steps = round(seconds / seconds_per_step(flow, digits))
        flow = change(glow((28, 28), rng=0, **{**MODEL, **model}))
        train(flow, digits, steps, **{**TRAINING, **training})
        bits = score(flow, digits, "validation", NOISE_SEED)["bits_per_dim"]
        print(f"| {name} | {flow.n_parameters:,} | {steps:,} | {bits:.3f} |", flush=True)


def train(flow: Flow, digits: Dataset, steps: int, rate: float, **settings: Any) -> None:
    """So many steps, over the digits in a random order, again and again."""
    rows = np.resize(np.random.default_rng(0).permutation(len(digits.train)), steps * BATCH)
    fit(
        flow,
        digits.train[rows],
        epochs=1,
        batch_size=BATCH,
        learning_rate=Cosine(rate),
        progress=False,
        rng=0,
        **settings,
    )


def seconds_per_step(flow: Flow, digits: Dataset) -> float:
    """Of processor time, the median of five runs of 20 steps."""
    times = []
    for _ in range(5):
        start = time.process_time()
        train(flow, digits, 20, 1e-6)
        times.append((time.process_time() - start) / 20)
    return float(np.median(times))


if __name__ == "__main__":
    main()

"""What keeps an affine flow stable, and what helps it generalise: one table, one argument per row.

A RealNVP flow is trained on the package's ten thousand digits in logit space: with every scale function at a usual and
at a high learning rate, then with each stabiliser of `fit` and Adam alone, and with all of them.

    python scripts/stabilisers.py > table.md
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np

from nice_np import DivergenceError, Flow, fit, real_nvp
from nice_np.bijectors.scales import SCALES
from nice_np.datasets import Dataset, load
from nice_np.errors import NiceOverflowError
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.runs.scoring import as_density_input, score
from nice_np.training.optim import Adam
from nice_np.training.schedules import Cosine
from nice_np.validation import Array

USUAL, HIGH = 1e-3, 1e-2  # learning rates
COLUMNS = "| scale | learning rate | argument | validation | test | train | worst inverse | seconds |"


def main() -> None:
    """Print the table in Markdown, each row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10, help="epochs per run (default: 10)")
    epochs = parser.parse_args().epochs
    digits = load("mnist-small")
    print(f"Bits/dim; {epochs} epochs, batch 100, Adam with a cosine from the learning rate, seed 0.\n")
    print(COLUMNS, "|---|---|---|---|---|---|---|---|", sep="\n", flush=True)
    for scale in SCALES:
        for rate in (USUAL, HIGH):
            row(digits, epochs, scale, rate, "")
    all_three: dict[str, Any] = {"clip_norm": 100.0, "average": 200, "weight_decay": 0.3}
    for rate in (USUAL, HIGH):
        row(digits, epochs, "tanh", rate, "`clip_norm=100`", clip_norm=100.0)
        row(digits, epochs, "tanh", rate, "`average=200`", average=200)
        row(digits, epochs, "tanh", rate, "`Adam(weight_decay=0.3)`", weight_decay=0.3)
        row(digits, epochs, "tanh", rate, "all three", **all_three)
    # Adam's first step is as long as the learning rate, however small the gradient: only a slow start helps.
    row(digits, epochs, "exp", HIGH, "`clip_norm=100`", clip_norm=100.0)
    row(digits, epochs, "exp", HIGH, "`Cosine(warmup=100)`", warmup=100)
    row(digits, epochs, "exp", HIGH, "all three, warmup", **all_three, warmup=100)


def row(
    digits: Dataset,
    epochs: int,
    scale: str,
    rate: float,
    name: str,
    weight_decay: float = 0.0,
    warmup: int = 0,
    **settings: Any,
) -> None:
    """Train once and print one line."""
    preprocess = ("logit", "standardize")
    flow = real_nvp(784, couplings=6, hidden=(200, 200), scale=scale, preprocess=preprocess, init="he", rng=0)
    start, outcome = time.perf_counter(), ""
    try:
        history = fit(
            flow,
            digits.train,
            validation=digits.validation,
            epochs=epochs,
            batch_size=100,
            learning_rate=Cosine(rate, warmup),
            optimizer=Adam(weight_decay=weight_decay),
            progress=sys.stderr.isatty(),
            rng=0,
            **settings,
        )
        if history.setbacks:  # it would go on at half the rate
            outcome = f"diverged at {history.setbacks[0].split(':')[0]}"
    except DivergenceError as error:
        outcome = str(error).split(":")[0].removeprefix("training ")
    seconds = time.perf_counter() - start
    bits = (
        [outcome] * 3 if outcome else [f"{bits_per_dim(flow, digits, s):.3f}" for s in ("validation", "test", "train")]
    )
    inverse = "" if outcome else f"{worst_inverse(flow, digits):.0e}"
    print(f"| {scale} | {rate:g} | {name} | {' | '.join(bits)} | {inverse} | {seconds:.0f} |", flush=True)


def bits_per_dim(flow: Flow, digits: Dataset, split: str) -> float:
    """Of a whole split; infinite if a sample overflows."""
    try:
        return score(flow, digits, split, NOISE_SEED)["bits_per_dim"]
    except NiceOverflowError:
        return float("inf")


def worst_inverse(flow: Flow, digits: Dataset) -> float:
    """max |decode(encode(x)) - x| over the test digits, with pixels in [0, 1]."""
    x: Array = as_density_input(digits.test, NOISE_SEED, flow)
    return float(np.abs(flow.decode(flow.encode(x)) - x).max())


if __name__ == "__main__":
    main()

"""Does a flow help a variational autoencoder?  Three forms, three seeds, the same number of epochs: one table.

Each run is that of `nice-np train mnist --preset NAME --seed S`; its test digits are scored as `nice-np evaluate --k K`
does, with the same noise for all runs.  Settings were chosen on the validation column.  The last rows are the mean over
the seeds and the standard deviation.

    python scripts/autoencoders.py > table.md
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nice_np import fit
from nice_np.datasets import Dataset, load
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.runs.presets import MODELS, PRESETS
from nice_np.runs.scoring import score_bounds
from nice_np.vae import VAE

Row = tuple[float, ...]


def main() -> None:
    """Print the table in Markdown, each row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=list(MODELS[1:]), help=f"default: {' '.join(MODELS[1:])}")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--epochs", type=int, help="epochs per run (default: the preset's)")
    parser.add_argument("--k", type=int, default=100, help="samples of latents per test digit (default: 100)")
    parser.add_argument("--data-dir", type=Path, help="folder with the MNIST files")
    arguments = parser.parse_args()
    digits = load("mnist", data_dir=arguments.data_dir)
    print(f"| preset | seed | seconds | ELBO, validation | ELBO, test | bound of {arguments.k} draws, test |")
    print("|---|---|---|---|---|---|", flush=True)
    means = []
    for name in arguments.presets:
        rows = []
        for seed in range(arguments.seeds):
            rows.append(run(digits, name, seed, arguments))
            print(f"| {name} | {seed} | {cells(rows[-1])} |", flush=True)
        mean, spread = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1) if len(rows) > 1 else np.zeros(4)
        pairs = [f"{m:.2f} +- {s:.2f}" for m, s in zip(mean[1:], spread[1:], strict=True)]
        means.append(f"| {name} | mean | {mean[0]:.0f} | {' | '.join(pairs)} |")
    print(*means, sep="\n")


def run(digits: Dataset, name: str, seed: int, arguments: argparse.Namespace) -> Row:
    """Train and score: seconds, then nats on validation and test."""
    preset = PRESETS[name]
    model_rng, fit_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    model: Any = preset.build(digits, model_rng)
    if not isinstance(model, VAE):
        sys.exit(f"{name} is not a VAE")
    history = fit(
        model,
        digits.train,
        validation=digits.validation,
        epochs=arguments.epochs or preset.epochs,
        progress=False,
        rng=fit_rng,
        **preset.training(),
    )
    held_out = score_bounds(model, digits, "validation", NOISE_SEED)
    test = score_bounds(model, digits, "test", NOISE_SEED, arguments.k)
    return history.rows[-1]["seconds"], held_out["elbo"], test["elbo"], test.get("iwae", test["elbo"])


def cells(row: Row) -> str:
    """The numbers of a row."""
    seconds, *nats = row
    return " | ".join([f"{seconds:.0f}", *(f"{value:.2f}" for value in nats)])


if __name__ == "__main__":
    main()

"""Flows of the plane: how well the defaults do, and whether training ever diverges.

python scripts/toys.py scores MODEL ...   held-out nats on the nine toys; MODEL is nice, real_nvp, or zuko (needs zuko)
python scripts/toys.py grid MODEL ...     couplings x widths x rates x seeds, each for 100 steps of 100 points

One line per run, as it ends.  docs/experiments.md has the tables.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import Counter

import numpy as np

from nice_np import Flow, fit, nice, real_nvp
from nice_np.datasets.toy import TOYS
from nice_np.errors import DivergenceError
from nice_np.training.history import History

COUPLINGS, HIDDEN, EPOCHS, BATCH, RATE = 6, (64, 64), 25, 250, 1e-3  # of the scores: 1,000 steps
MODELS = {"nice": nice, "real_nvp": real_nvp}
BETTER, NO_BETTER, DIVERGED = "better than the first epoch", "no better than the first epoch", "diverged"


def points(toy: str, seed: int, n: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    """Points to train on, and those to score, which are the same for all seeds."""
    return TOYS[toy](n, 100 + seed), TOYS[toy](10_000, 999)


def score(model: str, toy: str, seed: int) -> float:
    """Held-out nats of a flow of 6 x (2 x 64) after 1,000 steps of `fit` with its defaults."""
    train, test = points(toy, seed)
    if model == "zuko":
        return score_of_zuko(train, test, seed)
    flow = MODELS[model](2, COUPLINGS, HIDDEN, rng=seed)
    fit(flow, train, epochs=EPOCHS, batch_size=BATCH, learning_rate=RATE, progress=False, rng=seed)
    return float(flow.log_prob(test).mean())


def score_of_zuko(train: np.ndarray, test: np.ndarray, seed: int) -> float:
    """The same size, batches, rate and number of steps in PyTorch."""
    import torch
    import zuko

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    flow = zuko.flows.NICE(2, transforms=COUPLINGS, hidden_features=HIDDEN)  # affine couplings in spite of its name
    adam = torch.optim.Adam(flow.parameters(), lr=RATE)
    x = torch.tensor(train, dtype=torch.float32)
    for _ in range(EPOCHS):
        for rows in np.array_split(rng.permutation(len(x)), -(-len(x) // BATCH)):
            loss = -flow().log_prob(x[rows]).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
    with torch.no_grad():
        return float(flow().log_prob(torch.tensor(test, dtype=torch.float32)).mean())


def scores(models: list[str], seeds: int) -> None:
    """One line for each model, seed and toy."""
    for seed, model, toy in itertools.product(range(seeds), models, TOYS):
        started = time.perf_counter()
        nats = score(model, toy, seed)
        print(f"{model:9s} {toy:16s} seed {seed} {nats:8.3f} nats {time.perf_counter() - started:6.1f} s", flush=True)


def grid(models: list[str], seeds: int) -> None:
    """Runs within the sizes and rates that one tries: how each ends, its setbacks, and how far its loss rose."""
    toys = list(TOYS)
    sizes = itertools.product((4, 8, 16, 24), (16, 64, 128, 256), (1e-4, 1e-3, 3e-3, 1e-2))
    runs = list(itertools.product(range(seeds), models, sizes))
    ends: Counter[str] = Counter()
    for number, (seed, model, (couplings, width, rate)) in enumerate(runs):
        toy = toys[number % len(toys)]
        flow = MODELS[model](2, couplings, (width, width), rng=seed)
        end, setbacks, worst = training(flow, points(toy, seed, 1000)[0], rate, seed)
        ends[end] += 1
        ends["with setbacks"] += setbacks > 0
        run = f"{model:9s} {couplings:2d} x {width:3d} rate {rate:.0e} seed {seed} {toy:16s}"
        print(f"{run} {worst:+9.2f} {setbacks} setbacks {end}", flush=True)
    counts = ", ".join(f"{ends[end]} {end}" for end in (BETTER, NO_BETTER, DIVERGED, "with setbacks"))
    print(f"{len(runs)} runs: {counts}")


def training(flow: Flow, x: np.ndarray, rate: float, seed: int) -> tuple[str, int, float]:
    """How 100 steps end, how often `fit` went back, and the largest mean loss of an epoch of ten minus the first."""
    losses: list[float] = []
    setbacks: list[str] = []

    def note(flow: Flow, history: History) -> None:
        losses.append(-history.rows[-1]["train_log_likelihood"])
        setbacks[:] = history.setbacks

    settings = {"epochs": 10, "batch_size": 100, "progress": False, "rng": seed, "callbacks": [note]}
    try:
        fit(flow, x, learning_rate=rate, **settings)
    except DivergenceError:
        return DIVERGED, len(setbacks), float("inf")
    return BETTER if losses[-1] < losses[0] else NO_BETTER, len(setbacks), max(losses) - losses[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["scores", "grid"])
    parser.add_argument("models", nargs="+", choices=[*MODELS, "zuko"])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    {"scores": scores, "grid": grid}[options.what](options.models, options.seeds)


if __name__ == "__main__":
    main()

"""Whether any preset loses its weights in the first minutes: runs by time limits, over presets and seeds, a line each.

    python scripts/first_minutes.py --limits 60 300 900 --seeds 20 --table results/first_minutes.csv

Runs that are in the table already are not repeated, so the script can be stopped and continued.  One run at a time, in
this process.  A row has the validation score at the best and at the last epoch, in nats, the largest fall of an epoch's
training score below the best one before, and the setbacks.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

from nice_np import DivergenceError, fit
from nice_np.datasets import load
from nice_np.errors import DatasetError
from nice_np.runs.presets import POINTS, PRESETS
from nice_np.runs.scoring import label_context
from nice_np.training.history import score_columns

COLUMNS = ("preset", "data", "limit", "seed", "steps", "epochs", "best", "last", "fall", "setbacks", "end")


def main() -> None:
    """Make the runs that the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=list(PRESETS), metavar="NAME")
    parser.add_argument("--limits", nargs="+", type=float, default=[60.0], metavar="SECONDS")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0 (default: 1)")
    parser.add_argument("--table", type=Path, default=Path("first_minutes.csv"))
    arguments = parser.parse_args()
    done = set()
    if arguments.table.exists():
        with arguments.table.open(encoding="utf-8", newline="") as file:
            done = {(row["preset"], float(row["limit"]), int(row["seed"])) for row in csv.DictReader(file)}
    else:
        arguments.table.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    for limit in arguments.limits:
        for seed in range(arguments.seeds):
            for name in arguments.presets:
                if (name, limit, seed) in done:
                    continue
                try:
                    row = one_run(name, limit, seed)
                except DatasetError as error:
                    print(f"{name}: no data: {error}"[:120], flush=True)
                    continue
                print(row, flush=True)
                with arguments.table.open("a", encoding="utf-8", newline="") as file:
                    csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)


def one_run(name: str, limit: float, seed: int) -> dict[str, Any]:
    """As ``nice-np train DATA --preset NAME --time-limit LIMIT --seed SEED``, without files and figures."""
    preset = PRESETS[name]
    data = "two-moons" if preset.made_for == POINTS else preset.made_for
    dataset = load(data, progress=False, seed=seed)
    model_rng, fit_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    model, seen = preset.build(dataset, model_rng), preset.training_set(dataset)
    try:
        history = fit(
            model,
            seen.train,
            label_context(model, seen, "train"),
            validation=dataset.validation,
            validation_context=label_context(model, dataset, "validation"),
            time_limit=limit,
            progress=False,
            rng=fit_rng,
            **preset.training(),
        )
    except DivergenceError as error:
        history = error.history
    train, held_out = score_columns(model.measure)
    scores, valid = np.array(history.column(train)), history.column(held_out)
    about = {"preset": name, "data": data, "limit": limit, "seed": seed}
    return {
        **about,
        "steps": history.rows[-1]["step"] if history.rows else 0,
        "epochs": len(history.rows),
        "best": f"{max(valid, default=np.nan):.2f}",
        "last": f"{valid[-1] if valid else np.nan:.2f}",
        "fall": f"{fall(scores):.2f}",
        "setbacks": "; ".join(history.setbacks),
        "end": history.stopped,
    }


def fall(scores: np.ndarray) -> float:
    """The largest fall of a series (n,) below its maximum so far."""
    return float((np.maximum.accumulate(scores) - scores).max()) if len(scores) else np.nan


if __name__ == "__main__":
    main()

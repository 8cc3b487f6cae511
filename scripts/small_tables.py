"""How well `NICEDensity` fits scikit-learn's small tables: mean log p(x) of held-out rows, and what bounded tails cost.

Each table is cut into five folds; a model is fitted to four of them and scored on the fifth.  "std" are the features
divided by the standard deviations of the training folds, as a user of a pipeline passes them.

    python scripts/small_tables.py > table.md
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold

from nice_np.sklearn import NICEDensity
from nice_np.validation import Array

TABLES = ("iris", "wine", "diabetes", "breast_cancer", "digits")
Make = Callable[[], Any]  # -> a new estimator with fit and score_samples

DENSITIES: dict[str, Make] = {
    "GaussianMixture(1)": partial(GaussianMixture, 1, random_state=0),
    "GaussianMixture(3)": partial(GaussianMixture, 3, random_state=0),
    "NICEDensity()": partial(NICEDensity, random_state=0),
}
affine = partial(NICEDensity, "real_nvp", random_state=0)
overfitted = partial(
    affine, epochs=100, batch_size=200, learning_rate=1e-3, weight_decay=0.0, average=None, preprocess=("standardize",)
)
TAILS: dict[str, Make] = {
    '"normal"': partial(affine, prior="normal"),
    '"logistic"': partial(affine, prior="logistic"),
    '"normal", overfitted': partial(overfitted, prior="normal"),
    '"logistic", overfitted': partial(overfitted, prior="logistic"),
}


def main() -> None:
    """Print both tables in Markdown, each row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, metavar="NAME", help="some of them")
    names = parser.parse_args().tables
    warnings.filterwarnings("ignore", message="feature .* never changes")  # three pixels of the digits
    print("Mean nats of a held-out row; CPU seconds of one fit of `NICEDensity()`.\n")
    print(f"| table | rows x features | {' | '.join(DENSITIES)} | seconds |\n|---|---|---|---|---|---|", flush=True)
    for name in names:
        for std in (False, True):
            x = load(name)
            cells, start = [], 0.0
            for make in DENSITIES.values():
                start = time.process_time()
                cells.append(f"{held_out(make, x, std).mean():.2f}")
            seconds = (time.process_time() - start) / 5
            shape = f"{x.shape[0]} x {x.shape[1]}"
            print(f"| {name}{' std' if std else ''} | {shape} | {' | '.join(cells)} | {seconds:.1f} |", flush=True)
    print('\nAffine couplings, `architecture="real_nvp"`, by prior: mean / worst row, raw features.\n')
    print(f"| table | {' | '.join(TAILS)} |\n|---|---|---|---|---|", flush=True)
    for name in names:
        scores = [held_out(make, load(name)) for make in TAILS.values()]
        print(f"| {name} | {' | '.join(f'{s.mean():.2f} / {s.min():,.0f}' for s in scores)} |", flush=True)


def load(name: str) -> Array:
    """The features of one of scikit-learn's data sets, (N, D)."""
    x: Array = getattr(datasets, f"load_{name}")().data
    return x


def held_out(make: Make, x: Array, std: bool = False) -> Array:
    """log p(x) of every row under a model of the four folds without it, (N,)."""
    scores = np.empty(len(x))
    for training, test in KFold(5, shuffle=True, random_state=0).split(x):
        scale = np.ones(x.shape[1])
        if std:
            scale = x[training].std(axis=0)
            scale[scale == 0] = 1
        scores[test] = make().fit(x[training] / scale).score_samples(x[test] / scale)
    return scores


if __name__ == "__main__":
    main()

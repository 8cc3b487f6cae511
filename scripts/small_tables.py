"""How well flows fit scikit-learn's small tables: mean log p(x) of held-out rows, and what bounded tails cost.

Each table is cut into five folds; a model is fitted to four of them and scored on the fifth.  "std" are the features
divided by the standard deviations of the training folds, as a user of a pipeline passes them.

    python scripts/small_tables.py > table.md
    python scripts/small_tables.py --families > table.md    every family beside a Gaussian, kernels and mixtures

Kernel width, number of Gaussians and their covariances are chosen inside the training folds, as is the number of steps
of the flows.
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
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity

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

SHUFFLED = KFold(3, shuffle=True, random_state=0)  # the rows of iris are sorted by species
FAMILIES: dict[str, Make] = {
    "Gaussian": partial(GaussianMixture, 1, reg_covar=1e-3, random_state=0),
    "kernels": partial(GridSearchCV, KernelDensity(), {"bandwidth": np.geomspace(0.1, 2, 12)}, cv=SHUFFLED),
    "Gaussians": partial(
        GridSearchCV,
        GaussianMixture(reg_covar=1e-3, random_state=0),
        {"n_components": (1, 2, 3, 5, 8, 12, 20), "covariance_type": ("full", "diag")},
        cv=SHUFFLED,
    ),
    "NICE": partial(NICEDensity, random_state=0),
    "RealNVP": partial(NICEDensity, "real_nvp", random_state=0),
    "MAF": partial(NICEDensity, "maf", random_state=0),
    "splines": partial(NICEDensity, "spline", random_state=0),
    "mixtures": partial(NICEDensity, "mixture", random_state=0),
}


def families(tables: tuple[str, ...]) -> None:
    """Print the table of all families, each row as soon as it is known."""
    print("Mean nats of a held-out row of standardised features.\n")
    print(f"| table | rows x features | {' | '.join(FAMILIES)} |\n|{'---|' * (len(FAMILIES) + 2)}", flush=True)
    for name in tables:
        x = load(name)
        if name == "digits":  # whole numbers
            x = x + np.random.default_rng(1).random(x.shape)
        cells = [f"{held_out(make, x, std=True).mean():.2f}" for make in FAMILIES.values()]
        print(f"| {name} | {x.shape[0]} x {x.shape[1]} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print both tables in Markdown, each row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, metavar="NAME", help="some of them")
    parser.add_argument("--families", action="store_true", help="all families, on standardised features")
    arguments = parser.parse_args()
    names = tuple(arguments.tables)
    warnings.filterwarnings("ignore", message="feature .* never changes")  # three pixels of the digits
    if arguments.families:
        families(names)
        return
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

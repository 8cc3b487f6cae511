"""Restoration of 100 test digits: PSNR and log-likelihood of every method on every task.

    python scripts/restoration.py runs/mnist-best runs/mnist-affine > table.md
    python scripts/restoration.py runs/mnist-best runs/mnist-affine --glow runs/mnist --only left > left.md

The runs come from `nice-np train mnist --preset mnist-best`, `--preset mnist-affine`, and without a preset. The
Gaussian has the mean and covariance of the training digits. The searches start at its estimate, the noisy ascent at
uniform noise, the chains at samples from the prior.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nice_np import (
    Blur,
    Downsample,
    Flow,
    GaussianImages,
    Identity,
    InverseTime,
    Mask,
    Operator,
    RandomProjection,
    dequantize,
    inpaint,
    load_model,
    named_mask,
    restore,
    sample_posterior,
)
from nice_np.datasets import load
from nice_np.restoration.scores import psnr
from nice_np.validation import Array

MASKS = ("top", "bottom", "even", "odd", "left", "right", "center-rows", "center-columns", "random75", "random90")
METHODS = ("simple", "Gaussian", "ascent", "image MAP", "latent MAP", "mode of z", "posterior mean", "one draw")
OF_GLOW = ("posterior mean, Glow", "one draw, Glow")
INSIDE = (1e-4, 1 - 1e-4)  # the logit of 0 or 1 is infinite
CHAIN_SIGMA = 0.15  # of the chains for exact pixels, which are pasted afterwards
ASCENT_RATE = InverseTime(2e-5, half=500)  # the largest that converges: nearly constant border pixels make it steep


class Problem(NamedTuple):
    """Measurements of the digits x (N, D), and a simple estimate of x."""

    name: str
    operator: Operator
    sigma: float
    y: Array
    simple: Array


class Models(NamedTuple):
    """NICE for the searches, RealNVP in logit space and perhaps Glow for the chains, and the baseline."""

    nice: Flow
    affine: Flow
    glow: Flow | None
    gaussian: GaussianImages


def main() -> None:
    """Print both tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nice", type=Path, help="run folder of the preset mnist-best")
    parser.add_argument("affine", type=Path, help="run folder of the preset mnist-affine")
    parser.add_argument("--glow", type=Path, help="run folder of a Glow, whose draws are two more columns")
    parser.add_argument("--data-dir", type=Path, help="folder with the MNIST files")
    parser.add_argument("-n", type=int, default=100, help="number of test digits (default: 100)")
    parser.add_argument("--chains", type=int, default=12, help="chains per digit (default: 12)")
    parser.add_argument("--only", nargs="+", help="tasks to run, by name (default: all)")
    arguments = parser.parse_args()
    digits = load("mnist", data_dir=arguments.data_dir)
    x = dequantize(digits.test[: arguments.n], rng=1, dtype=np.float64)
    models = Models(
        *(load_model(folder / "model.npz")[0] for folder in (arguments.nice, arguments.affine)),
        None if arguments.glow is None else load_model(arguments.glow / "model.npz")[0],
        GaussianImages.fit(dequantize(digits.train, rng=0, dtype=np.float64)),
    )
    tasks = [p for p in problems(x, models.gaussian.mean) if arguments.only is None or p.name in arguments.only]
    likelihoods = []
    columns = METHODS if models.glow is None else METHODS + OF_GLOW
    header = f"| PSNR in dB | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|"
    print(header, flush=True)
    for problem in tasks:
        found = methods(problem, x, models, arguments.chains)
        print(row(problem.name, found, columns, lambda image: psnr(image, x).mean(), "{:.2f}"), flush=True)
        likelihoods.append(
            row(problem.name, found, columns, lambda image: models.nice.log_prob(image).mean(), "{:,.0f}")
        )
    print("\nMean log-likelihood under NICE in nats", header.replace("PSNR in dB", "nats"), *likelihoods, sep="\n")


def problems(x: Array, mean: Array) -> list[Problem]:
    """The paper's ten masks, denoising, and three more operators with a little noise."""
    rng = np.random.default_rng(2)
    found = []
    for name in MASKS:
        mask = Mask(named_mask(name, 28, 28, rng))
        found.append(Problem(name, mask, 0.0, mask.forward(x), pasted(np.tile(mean, (len(x), 1)), mask, x)))
    for sigma in (0.05, 0.1, 0.2, 0.3):
        y = x + sigma * rng.standard_normal(x.shape)
        found.append(Problem(f"noise {sigma:g}", Identity(784), sigma, y, y))
    others: list[tuple[str, Operator, Callable[[Operator, Array], Array]]] = [
        ("super-resolution x2", Downsample((28, 28), 2), lambda A, y: 4 * A.adjoint(y)),
        ("blur of 1 pixel", Blur((28, 28), sigma=1.0), lambda A, y: y),
        ("25 % projections", RandomProjection(784, 196, rng), lambda A, y: np.tile(mean, (len(y), 1))),
    ]
    for name, operator, simple in others:
        y = operator.forward(x) + 0.05 * rng.standard_normal((len(x), operator.dim_out))
        found.append(Problem(f"{name}, noise 0.05", operator, 0.05, y, simple(operator, y)))
    return found


def methods(problem: Problem, x: Array, models: Models, chains: int) -> dict[str, Array]:
    """The images of every method, within [0, 1]; the observed pixels of a mask are exact."""
    operator, y = problem.operator, problem.y
    exact = isinstance(operator, Mask)
    gaussian = np.clip(models.gaussian.conditional_mean(y, operator, problem.sigma), *INSIDE)
    sigma = CHAIN_SIGMA if exact else problem.sigma
    search = {"optimizer": "adam", "steps": 200, "clip": (0, 1), "start": gaussian}
    found = {"simple": problem.simple, "Gaussian": gaussian}
    if isinstance(operator, Mask):
        settings = {"learning_rate": ASCENT_RATE, "steps": 1000, "rng": 3, "clip": (0, 1)}
        found["ascent"] = inpaint(models.nice, x, operator, optimizer="annealed", **settings).x
        found["image MAP"] = inpaint(models.nice, x, operator, **search).x
    else:
        found["image MAP"] = restore(models.nice, y, operator, sigma, space="image", **search).x
    found["latent MAP"] = restore(models.nice, y, operator, sigma, space="latent", **search).x
    found["mode of z"] = restore(models.affine, y, operator, sigma, space="proxy", **search).x
    found["posterior mean"], found["one draw"] = draws(models.affine, problem, sigma, chains)
    if models.glow is not None:
        found.update(zip(OF_GLOW, draws(models.glow, problem, sigma, chains), strict=True))
    found = {name: np.clip(images, 0, 1) for name, images in found.items()}
    return {name: pasted(images, operator, x) for name, images in found.items()} if exact else found


def draws(flow: Flow, problem: Problem, sigma: float, chains: int) -> tuple[Array, Array]:
    """The mean of the draws from the posterior, and the last image of the first chain."""
    began = time.perf_counter()
    settings = {"chains": chains, "clip": (0, 1), "rng": 4, "progress": True}
    drawn = sample_posterior(flow, problem.y, problem.operator, sigma, **settings)
    seconds = time.perf_counter() - began
    print(f"<!-- {problem.name}: {seconds:.0f} s, acceptance {drawn.acceptance.mean():.2f} -->", flush=True)
    return drawn.mean, drawn.samples[:, 0]


def pasted(images: Array, mask: Operator, x: Array) -> Array:
    """The images with the observed pixels of x."""
    if not isinstance(mask, Mask):
        return images
    images = images.astype(np.float64)
    images[:, mask.observed] = x[:, mask.observed]
    return images


def row(
    name: str, found: dict[str, Array], columns: tuple[str, ...], score: Callable[[Array], float], layout: str
) -> str:
    """A row of the table."""
    cells = [layout.format(score(found[method])) if method in found else "" for method in columns]
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

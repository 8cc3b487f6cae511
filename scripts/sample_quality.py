"""How good samples of digits are, in numbers: what a classifier makes of them, and how far they are from real ones.

python scripts/sample_quality.py runs/mnist-best runs/mnist-affine runs/mnist-glow > quality.md

The classifier is a network of ours, trained on the training digits and their shifts by a pixel.  For 2,000 samples of
each model and temperature, and for 2,000 real test digits:

readable     the share of samples of whose class the classifier is at least 90 % sure
confidence   the mean probability of the likeliest class
entropy      of the mean of all answers, in nats: log 10 = 2.30 if all ten digits come equally often
Fréchet      the squared distance of two Gaussians, |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)), one through the network's
             last hidden layer at the samples, one at all test digits (Heusel et al. 2017, with our features)
two-sample   the accuracy of a nearest neighbour among samples and as many other test digits at telling which is which,
             in the same features: 50 % where they cannot be told apart (Lopez-Paz & Oquab 2017)
neighbour    the median distance of a sample to its nearest training digit, in pixels of [0, 1]; much smaller than that
             of test digits would mean that training digits are copied

Temperature T draws latents T z with z from the prior; from a mixture, which `scripts/refit_prior.py` makes, latents
m_k + T (z - m_k), where m_k is the mean of the component that z is from.  A flow with labels is asked for all in turn.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from nice_np import Flow, GaussianMixture, datasets, one_hot
from nice_np.datasets import with_shifts
from nice_np.networks.mlp import MLP
from nice_np.parameters.flat import FlatParameters
from nice_np.training.optim import Adam
from nice_np.training.schedules import Cosine
from nice_np.validation import Array

N, TEMPERATURES = 2000, (0.6, 0.7, 0.8, 0.9, 1.0)
EPOCHS, BATCH, RATE = 10, 250, 1e-3


def probabilities(logits: Array) -> Array:
    """softmax(logits), (N, 10)."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class Classifier:
    """p(y | x) = softmax(m(x)): 784 -> 512 -> 256 -> 10, the 256 being the features."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.network = MLP((784, 512, 256, 10), init="he", dtype="float32", rng=rng)
        self.params = FlatParameters(self.network)
        self.rng = rng

    def train(self, x: Array, y: Array) -> None:
        optimizer, schedule, steps = Adam(weight_decay=0.01), Cosine(RATE, warmup=100), EPOCHS * (len(x) // BATCH)
        bar = tqdm(total=steps, desc="classifier", file=sys.stderr)
        for _ in range(EPOCHS):
            order = self.rng.permutation(len(x))
            for rows in order[: len(x) // BATCH * BATCH].reshape(-1, BATCH):
                logits, cache = self.network.forward(as_floats(x[rows]))
                # L = -1/N sum_n log p(y_n | x_n), so dL/dlogits = (p - one_hot(y)) / N
                dlogits = probabilities(logits)
                dlogits[np.arange(BATCH), y[rows]] -= 1
                self.network.backward(dlogits / np.float32(BATCH), cache)
                optimizer.step(self.params.values, self.params.grads, schedule(bar.n, bar.n / steps))
                bar.update()
        bar.close()

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """p(y | x), (N, 10), and the features, (N, 256), of uint8 pixels."""
        logits, cache = self.network.forward(as_floats(x))
        return probabilities(logits.astype(float)), cache.inputs[-1].astype(float)


def as_floats(pixels: Array) -> Array:
    return pixels.astype(np.float32) / np.float32(255)


def frechet(a: Array, b: Array) -> float:
    """The squared Fréchet distance of the Gaussians through the rows of a and b."""
    C, D = np.cov(a.T), np.cov(b.T)
    difference = a.mean(axis=0) - b.mean(axis=0)
    # C D has the eigenvalues of C^(1/2) D C^(1/2), which are not negative; those of the root are their roots.
    trace_of_root = np.sqrt(np.maximum(np.linalg.eigvals(C @ D).real, 0)).sum()
    return float(difference @ difference + np.trace(C) + np.trace(D) - 2 * trace_of_root)


def nearest(a: Array, b: Array) -> tuple[Array, Array]:
    """For each row of a the squared distance to the nearest row of b that is not itself, and where that is."""
    distance, index = np.empty(len(a)), np.empty(len(a), int)
    for i in range(0, len(a), 500):
        d = (a[i : i + 500] ** 2).sum(1)[:, None] + (b**2).sum(1) - 2 * a[i : i + 500] @ b.T
        if a is b:
            d[np.arange(len(d)), i + np.arange(len(d))] = np.inf
        index[i : i + 500], distance[i : i + 500] = d.argmin(axis=1), d.min(axis=1)
    return np.maximum(distance, 0), index


def told_apart(a: Array, b: Array) -> float:
    """The share of the rows of a and b, as many of each, whose nearest neighbour is of the same kind."""
    both, kind = np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])
    return float((kind[nearest(both, both)[1]] == kind).mean())


def row(name: str, x: Array, classifier: Classifier, real: Array, others: Array, train: Array) -> str:
    """A line of the table for the images x (N, 784), uint8."""
    p, features = classifier(x)
    mean = p.mean(axis=0)
    numbers = (
        f"{(p.max(axis=1) >= 0.9).mean():.1%}",
        f"{p.max(axis=1).mean():.3f}",
        f"{-(mean * np.log(mean)).sum():.2f}",
        f"{frechet(features, real):.1f}",
        f"{told_apart(features, others[: len(features)]):.1%}",
        f"{np.sqrt(np.median(nearest(as_floats(x), train)[0])):.2f}",
    )
    return f"| {name} | {' | '.join(numbers)} |"


def draw(flow: Flow, temperature: float) -> Array:
    """Pixels of N samples, uint8 (N, 784)."""
    if isinstance(flow.prior, GaussianMixture):
        scales = flow.prior.log_scales.copy()
        flow.prior.log_scales += np.log(temperature, dtype=flow.dtype)
        x = flow.sample(N, rng=0)
        flow.prior.log_scales[...] = scales
    else:
        labels = one_hot(np.arange(N) % flow.context_dim, flow.context_dim) if flow.context_dim else None
        x = flow.sample(N, rng=0, temperature=temperature, context=labels)
    return np.clip(np.floor(256 * x), 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="run folders of nice-np train mnist, or model files")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    digits = datasets.load("mnist")
    more = with_shifts(digits)
    classifier = Classifier(rng)
    classifier.train(more.train, more.labels("train"))
    for part in ("validation", "test"):
        right = classifier(getattr(digits, part))[0].argmax(axis=1) == digits.labels(part)
        print(f"classifier: {right.mean():.2%} of the {part} digits right")
    real, train = classifier(digits.test)[1], as_floats(digits.train)
    measured = (classifier, real, real[N : 2 * N], train)
    columns = ("2,000 images", "readable", "confidence", "entropy", "Fréchet", "two-sample", "neighbour")
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    print(row("test digits", digits.test[:N], *measured), flush=True)
    for run in arguments.runs:
        flow = Flow.load(run / "model.npz" if run.is_dir() else run)
        for temperature in TEMPERATURES:
            print(row(f"{run.stem}, temperature {temperature}", draw(flow, temperature), *measured), flush=True)


if __name__ == "__main__":
    main()

"""A trained flow of digits, trained on to tell the labels apart: a Gaussian for each label in latent space.

    python scripts/label_flow.py runs/mnist-glow runs/mnist-glow-labelled.npz

`labelled` gives a flow a head that sees the label, and the loss -log p(x | y) - w log p(y | x).  From random weights
the gradients of the two terms are in each other's way, so here the likelihood has been learned first, by the run.
Printed are nats and bits/dim of digits without their label, and the share of those whose label is the likeliest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from nice_np import Cosine, Flow, LabelledFlow, datasets, dequantize, fit, labelled, load_model, one_hot
from nice_np.flows.conditional import marginal_log_prob
from nice_np.flows.flow import to_bits_per_dim
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.validation import Array


def trained(flow: Flow, digits: Array, labels: Array, weight: float, epochs: int, seed: int) -> LabelledFlow:
    """The flow with a head, after some epochs; digits (N, D) are 8-bit pixels."""
    model = labelled(flow, classes=10, weight=weight)
    settings = {"learning_rate": Cosine(3e-3), "batch_size": 100, "clip_norm": 1e4, "average": 150}
    fit(model, digits, one_hot(labels, 10), epochs=epochs, rng=seed, **settings)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of nice-np train mnist, or of a preset of Glow")
    parser.add_argument("out", type=Path, help="where the new model is saved, .npz")
    parser.add_argument("--weight", type=float, default=1000.0, help="of log p(y | x), w (default: 1000)")
    parser.add_argument("--epochs", type=int, default=5, help="default: 5")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--splits", nargs="+", default=["validation"], help="to score (default: validation)")
    arguments = parser.parse_args()
    flow, known = load_model(arguments.run / "model.npz")
    digits = datasets.load(known["dataset"])
    model = trained(flow, digits.train, digits.labels("train"), arguments.weight, arguments.epochs, arguments.seed)
    model.save(arguments.out, {name: known[name] for name in ("dataset", "image_shape", "bin_width", "seed")})
    for split in arguments.splits:
        by_label = model.given_each_label(dequantize(digits.split(split), rng=NOISE_SEED, dtype=model.dtype))
        nats = float(marginal_log_prob(by_label).mean(dtype=float))
        right = np.mean(by_label.argmax(axis=1) == digits.labels(split))
        bits = to_bits_per_dim(nats, model.dim, 1 / 256)
        print(f"{split}: {nats:.2f} nats, {bits:.4f} bits/dim, {right:.2%} right", flush=True)


if __name__ == "__main__":
    main()

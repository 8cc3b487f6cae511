"""A trained flow of digits, trained on to tell the labels apart: a Gaussian for each label in latent space.

    python scripts/label_flow.py runs/mnist-glow runs/mnist-glow-labelled.npz

`labelled` gives a flow a head that sees the label, and the loss -log p(x | y) - w log p(y | x).  From random weights
the gradients of the two terms are in each other's way, so here the likelihood has been learned first, by the run.

So trained, the flow tells labels apart and draws pieces: within a label its latents are correlated, which a head with a
scale for each latent does not see.  So the Gaussians are fitted again, to the latents h of the training digits.  With
the covariances C_k of h given the label k and their mean C = U diag(lambda) U^T,

    S_k = R^T C_k R,  R = U diag(lambda)^(-1/2),      u = h R Q,  Q orthogonal,  Q^T S_k Q as diagonal as can be

(Flury 1984), and the head has the means and variances of u given k.  R and Q are two `PCAWhitening`s, so the model is
one of the library as before.  Printed are, before and after, nats and bits/dim of digits without their label, and the
share of those whose label is the likeliest.
"""

from __future__ import annotations

import argparse
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from nice_np import (
    Chain,
    Cosine,
    Flow,
    LabelledFlow,
    OnPart,
    Partition,
    PCAWhitening,
    datasets,
    dequantize,
    fit,
    labelled,
    load_model,
    one_hot,
    plotting,
)
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


def refitted(model: LabelledFlow, x: Array, labels: Array) -> LabelledFlow:
    """The same layers, and a head fitted to the latents of images x (N, D) in [0, 1]."""
    *trunk, head = deepcopy(model.layers)
    coupling: Any = head.bijector if isinstance(head, OnPart) else head  # of the deepest level, or of all latents
    coarse = head.partition.idx_a if isinstance(head, OnPart) else np.arange(model.dim)
    classes = range(model.context_dim)
    no_label = np.zeros((1000, len(classes)), model.dtype)
    parts = [x[k : k + 1000] for k in range(0, len(x), 1000)]
    latents = [Chain(trunk).forward(np.hstack([part, no_label[: len(part)]]))[0][:, coarse] for part in parts]
    h = np.concatenate(latents).astype(np.float64)  # (N, K)

    covariances = [np.cov(h[labels == k].T) for k in classes]
    variances, U = np.linalg.eigh(np.mean(covariances, axis=0))
    R = U / np.sqrt(variances)
    Q = common_axes([R.T @ C @ R for C in covariances])
    u = h @ R @ Q
    zeros, ones = np.zeros_like(variances), np.ones_like(variances)
    for mean, components, std in ((zeros, U, np.sqrt(variances)), (zeros, Q, ones)):
        whitening = PCAWhitening(*(a.astype(model.dtype) for a in (mean, components, std)))
        trunk.append(OnPart(whitening, Partition(model.dim + len(classes), coarse)))

    # z = u s_k + t_k is N(0, 1) given k; the rows of the table are (log s_k, t_k)
    [table] = coupling.conditioner.layers
    table.b[...] = 0
    for k in classes:
        mean, std = u[labels == k].mean(axis=0), u[labels == k].std(axis=0)
        table.W[k] = np.concatenate([-np.log(std), -mean / std])
    return LabelledFlow(deepcopy(model.prior), Chain([*trunk, head]), len(classes), model.weight)


def common_axes(covariances: list[Array], sweeps: int = 80) -> Array:
    """The orthogonal Q of the smallest sum_k sum_i log (Q^T S_k Q)_ii: the axes that all S_k have, as nearly as can be.

    With A_k = Q^T S_k Q and its diagonal d_k, a turn by the angle t in the plane of axes i and j changes the sum by

        2 t G_ij + t^2 H_ij,    G_ij = sum_k A_k,ij (1/d_kj - 1/d_ki),    H_ij = sum_k (d_ki/d_kj + d_kj/d_ki - 2)

    the second up to what is not on the diagonals.  A sweep turns all planes at once by Newton's -G_ij / H_ij, by less
    where H_ij is nearly 0, with Cayley's transform (1 + W)^-1 (1 - W) = exp(-2 W) + O(W^3), which is orthogonal.
    """
    Q = one = np.eye(len(covariances[0]))
    for _ in range(sweeps):
        A = np.array([Q.T @ S @ Q for S in covariances])  # (K, D, D)
        d = A.diagonal(axis1=1, axis2=2)  # (K, D)
        G = (A * (1 / d[:, None, :] - 1 / d[:, :, None])).sum(axis=0)
        ratio = d[:, :, None] / d[:, None, :]
        H = (ratio + 1 / ratio - 2).sum(axis=0)
        W = G / (2 * np.maximum(H, 0.1 * len(A)))
        Q = Q @ np.linalg.solve(one + W, one - W)
    return Q


def scored(model: LabelledFlow, digits: datasets.Dataset, split: str) -> str:
    """Its figures on a split, in words."""
    by_label = model.given_each_label(dequantize(digits.split(split), rng=NOISE_SEED, dtype=model.dtype))
    nats = float(marginal_log_prob(by_label).mean(dtype=float))
    right = np.mean(by_label.argmax(axis=1) == digits.labels(split))
    return f"{nats:.2f} nats, {to_bits_per_dim(nats, model.dim, 1 / 256):.4f} bits/dim, {right:.2%} right"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of nice-np train mnist, or of a preset of Glow")
    parser.add_argument("out", type=Path, help="where the new model is saved, .npz")
    parser.add_argument("--weight", type=float, default=1000.0, help="of log p(y | x), w (default: 1000)")
    parser.add_argument("--epochs", type=int, default=5, help="default: 5")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--splits", nargs="+", default=["validation"], help="to score (default: validation)")
    parser.add_argument("--picture", type=Path, help="ten digits of each label at temperature 0.6, a .png")
    arguments = parser.parse_args()
    flow, known = load_model(arguments.run / "model.npz")
    digits = datasets.load(known["dataset"])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)  # now, not after ten minutes of training
    labels = digits.labels("train")
    model = trained(flow, digits.train, labels, arguments.weight, arguments.epochs, arguments.seed)
    again = refitted(model, dequantize(digits.train, rng=arguments.seed, dtype=model.dtype), labels)
    again.save(arguments.out, {name: known[name] for name in ("dataset", "image_shape", "bin_width", "seed")})
    for split in arguments.splits:
        for name, one in (("trained", model), ("fitted again", again)):
            print(f"{split}, {name}: {scored(one, digits, split)}", flush=True)
    if arguments.picture is not None:
        x = again.sample(100, arguments.seed, 0.6, one_hot(np.repeat(np.arange(10), 10), 10))
        plotting.save(plotting.image_grid(x, digits.image_shape), arguments.picture)


if __name__ == "__main__":
    main()

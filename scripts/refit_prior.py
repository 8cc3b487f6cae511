"""The prior of a trained Glow of digits, fitted again: one Gaussian for each label instead of N(0, I).

    python scripts/refit_prior.py runs/mnist runs/mnist-refitted.npz

Training ends with latents that are nearly, but not quite, N(0, I).  In nats that is hardly seen; in samples it is: the
ten digits are ten clouds, and what N(0, I) draws between them is no digit.  The latents z of the deepest level decide
what a digit is, so theirs are looked at.  With the mean m_k and the covariance C_k of those with label k,

    C = (1/10) sum_k C_k = U diag(lambda) U^T,      u = z U diag(lambda)^(-1/2)

is a whitening within the labels, and the new prior is a mixture over k of Gaussians with the means and the diagonal
variances of u given k.  Whitening and mixture are layers and priors of the library, so the result is a flow as before:
its density is exact, and it needs no label to score or to draw.  Printed are nats and bits/dim before and after.
"""

from __future__ import annotations

import argparse
from copy import deepcopy
from pathlib import Path

import numpy as np

from nice_np import (
    Chain,
    Flow,
    GaussianMixture,
    OnPart,
    Partition,
    PCAWhitening,
    datasets,
    dequantize,
    load_model,
    plotting,
)
from nice_np.flows.flow import to_bits_per_dim
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.validation import Array


def refitted(flow: Flow, x: Array, labels: Array) -> Flow:
    """The same layers and a whitening, with a mixture as prior; x (N, D) are training images in [0, 1]."""
    z, deepest = flow.encode(x).astype(np.float64), flow.layers[-1]
    assert isinstance(deepest, OnPart), "the flow has one level only"
    coarse, classes = deepest.partition.idx_a, range(int(labels.max()) + 1)
    within = np.mean([np.cov(z[labels == k][:, coarse].T) for k in classes], axis=0)
    variances, U = np.linalg.eigh(within)
    whitening = PCAWhitening(*(a.astype(flow.dtype) for a in (np.zeros(len(U)), U, np.sqrt(variances))))
    z[:, coarse] = z[:, coarse] @ U / np.sqrt(variances)

    prior = GaussianMixture(flow.dim, components=len(classes), dtype=flow.dtype)
    prior.means[...] = prior.log_scales[...] = 0  # as they were for all finer latents
    for k in classes:
        u = z[labels == k][:, coarse]
        prior.means[k, coarse], prior.log_scales[k, coarse] = u.mean(axis=0), np.log(u.std(axis=0))
        prior.logits[k] = np.log(np.mean(labels == k))
    return Flow(prior, Chain([*deepcopy(flow.layers), OnPart(whitening, Partition(flow.dim, coarse))]))


def ten_of_each(flow: Flow, temperature: float) -> Array:
    """Digits label by label, (10 K, D): latents of its Gaussian, with `temperature` times the spread."""
    prior = flow.prior
    assert isinstance(prior, GaussianMixture)
    noise = np.random.default_rng(0).standard_normal((len(prior.means), 10, flow.dim))
    z = prior.means[:, None] + temperature * np.exp(prior.log_scales[:, None]) * noise
    return flow.decode(z.reshape(-1, flow.dim))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of nice-np train mnist, or of another preset of Glow")
    parser.add_argument("out", type=Path, help="where the new model is saved, .npz")
    parser.add_argument("--splits", nargs="+", default=["validation"], help="to score (default: validation)")
    parser.add_argument("--picture", type=Path, help="ten digits of each label at temperature 0.7, a .png")
    arguments = parser.parse_args()
    flow, known = load_model(arguments.run / "model.npz")
    digits = datasets.load(known["dataset"])
    new = refitted(flow, dequantize(digits.train, rng=0, dtype=flow.dtype), digits.labels("train"))
    for split in arguments.splits:
        x = dequantize(digits.split(split), rng=NOISE_SEED, dtype=flow.dtype)
        for name, model in (("before", flow), ("after", new)):
            nats = float(model.log_prob(x).mean(dtype=float))
            bits = to_bits_per_dim(nats, flow.dim, 1 / 256)
            print(f"{split}, {name}: {nats:.2f} nats, {bits:.4f} bits/dim", flush=True)
    if arguments.picture is not None:
        plotting.save(plotting.image_grid(ten_of_each(new, 0.7), digits.image_shape), arguments.picture)
    new.save(arguments.out, {name: known[name] for name in ("dataset", "image_shape", "bin_width", "seed")})


if __name__ == "__main__":
    main()

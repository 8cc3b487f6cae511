"""Write the weights of the flows in docs/_extra/explore:

    python scripts/explorables.py                 trained.js: three flows of the plane, half a minute each on one core
    python scripts/explorables.py RUN             digits.js: a run of `nice-np train mnist`, with what the page shows of
                                                  real digits: quantiles of their log-likelihood, and two examples

The flows of the plane have the architecture of coupling.js; of digits, any that `nice-np export --to web` takes.
"""

from __future__ import annotations

import argparse
import json
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import numpy as np

import nice_np as nn
from nice_np.commands.export import about
from nice_np.datasets import TOYS, load, toy_log_prob
from nice_np.flows.flow import to_bits_per_dim
from nice_np.interop import save_web
from nice_np.runs.folder import load_flow
from nice_np.validation import Array

FOLDER = Path(__file__).parents[1] / "docs" / "_extra" / "explore"
EVERY = 5  # so many test digits have one that is scored for the quantiles; their first half is easier than their second
EXAMPLES = {0: "left", 3: "upper"}  # a digit of the test set, and the half of it that is known
COUPLINGS, HIDDEN = 8, 32  # as in coupling.js
NAMES = {"two-moons": "two moons", "eight-gaussians": "eight Gaussians", "pinwheel": "pinwheel"}


def flow_of_the_page(rng: np.random.Generator) -> nn.Flow:
    """The flow that coupling.js computes: tanh units, log s = 2 tanh(r / 2), no preprocessing, no scaling."""
    return nn.real_nvp(2, COUPLINGS, HIDDEN, activation="tanh", scale="tanh", preprocess=(), dtype="float64", rng=rng)


def weights(flow: nn.Flow) -> Array:
    """All weights in the order of coupling.js: w, b, R, r, T, t of each coupling."""
    parts = []
    for layer in flow.layers:
        if isinstance(layer, nn.AffineCoupling):
            hidden, output = layer.conditioner.layers  # type: ignore[attr-defined]  # an MLP's
            parts += [hidden.W[0], hidden.b, output.W[:, 0], output.b[:1], output.W[:, 1], output.b[1:]]
    return np.concatenate(parts)


def trained(toy: str) -> dict[str, Any]:
    """Weights, held-out and true nats, and seconds of training."""
    flow = flow_of_the_page(np.random.default_rng(0))
    started = time.perf_counter()
    nn.fit(flow, TOYS[toy](50_000, 1), epochs=60, batch_size=256, learning_rate=nn.Cosine(4e-3), progress=False, rng=2)
    seconds = time.perf_counter() - started
    test = TOYS[toy](10_000, 3)
    return {
        "weights": [float(f"{weight:.5g}") for weight in weights(flow)],
        "nats": round(float(flow.log_prob(test).mean()), 3),
        "truth": round(float(toy_log_prob(toy, test).mean()), 3),
        "seconds": round(seconds),
    }


def of_the_plane() -> None:
    """Train the flows of layers.html."""
    flows = {name: trained(toy) for toy, name in NAMES.items()}
    head = "// Weights of trained flows, by scripts/explorables.py.\n"
    text = f"{head}const TRAINED = {json.dumps(flows, separators=(',', ':'))};\n"
    (FOLDER / "trained.js").write_text(text, encoding="utf-8")
    print({name: (flow["nats"], flow["truth"], flow["seconds"]) for name, flow in flows.items()})


def packed(levels: Array) -> str:
    """Gray levels as in picture.js: bytes in base64, where a 0 is followed by how many there are."""
    out, position = bytearray(), 0
    while position < len(levels):
        run = 1
        while run < 255 and not levels[position : position + run + 1].any() and position + run < len(levels):
            run += 1
        out += bytes([0, run]) if levels[position] == 0 else bytes([levels[position]])
        position += run if levels[position] == 0 else 1
    return urlsafe_b64encode(out).decode().rstrip("=")


def of_digits(run: Path) -> None:
    """Export a run for digits.html."""
    flow, metadata = load_flow(run)
    test = load("mnist")
    nats = flow.log_prob(nn.dequantize(test.test[::EVERY], np.random.default_rng(0), flow.dtype))
    labels = test.labels("test")
    assert labels is not None
    examples = [
        {"label": int(labels[n]), "known": half, "pixels": packed(test.test[n])} for n, half in EXAMPLES.items()
    ]
    quantiles = [round(float(q), 1) for q in np.quantile(nats, np.linspace(0, 1, 101))]
    bits = to_bits_per_dim(float(nats.mean()), flow.dim, 1 / 256)  # replaced by the run's own score of all digits
    known = {"test_bits_per_dim": round(bits, 3), **about(run, metadata)}
    save_web(flow, FOLDER / "digits.js", {**known, "quantiles": quantiles, "examples": examples})
    print(f"{(FOLDER / 'digits.js').stat().st_size:,} bytes; nats of test digits: {quantiles[::25]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="a run folder of digits")
    run = parser.parse_args().run
    of_the_plane() if run is None else of_digits(run)


if __name__ == "__main__":
    main()

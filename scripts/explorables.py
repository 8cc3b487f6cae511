"""Train the flows of docs/_extra/explore/layers.html and write their weights to trained.js beside it:

    python scripts/explorables.py

Three flows of the plane with the architecture of coupling.js, half a minute each on one core.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import nice_np as nn
from nice_np.datasets import TOYS, toy_log_prob
from nice_np.validation import Array

OUT = Path(__file__).parents[1] / "docs" / "_extra" / "explore" / "trained.js"
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


def main() -> None:
    flows = {name: trained(toy) for toy, name in NAMES.items()}
    head = "// Weights of trained flows, by scripts/explorables.py.\n"
    OUT.write_text(f"{head}const TRAINED = {json.dumps(flows, separators=(',', ':'))};\n", encoding="utf-8")
    print({name: (flow["nats"], flow["truth"], flow["seconds"]) for name, flow in flows.items()})


if __name__ == "__main__":
    main()

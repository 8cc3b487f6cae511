"""Seconds of training until a NICE of digits has a given likelihood, in nice_np and in PyTorch.

    python scripts/time_to_likelihood.py --epochs 2 3 4                       # mnist-nice, the likelihood of the paper
    python scripts/time_to_likelihood.py --preset digits-nice --epochs 10 20  # the NICE of the embedded digits
    python scripts/time_to_likelihood.py --epochs 3 --busy 2                  # beside two programs that use a core each

A schedule that ends later is better at its end and worse before, so each number of epochs is a run of its own, from the
first step to the last, and the time to a likelihood is that of the shortest run that ends above it.  All contenders
have the preset's model, first weights, batch size, cosine schedule, decoupled weight decay and running average of the
weights; PyTorch with its fused Adam, with and without torch.compile.  Every run is scored by nice_np's ``log_prob`` on
the same dequantised digits.  Seconds are those of the training loop, noise for the pixels included; what came before
the first step had been taken, the compilers' time, is a column of its own.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from benchmarks.busy import busy
from benchmarks.with_numpy import products_by_mkl
from nice_np import Flow, dequantize, fit
from nice_np.bijectors import Standardize
from nice_np.datasets import Dataset, load
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.runs.presets import PRESETS, Preset
from nice_np.validation import Array

CONTENDERS = ("nice_np", "nice_np, MKL", "PyTorch", "torch.compile")
NICE = ("mnist-nice", "mnist-best", "digits-nice")


class Run(NamedTuple):
    """A model after its training."""

    flow: Flow
    steps: int
    first: float  # seconds until the first step was done
    seconds: float  # from then on


def by_nice_np(preset: Preset, dataset: Dataset, epochs: int, seed: int) -> Run:
    """Train as `nice-np train` does, without validation."""
    flow, steps, begun = built(preset, dataset, seed), preset.training(), time.perf_counter()
    one_step = {**steps, "average": None}
    fit(flow, dataset.train[: steps["batch_size"]], epochs=1, progress=False, rng=seed, **one_step)  # compiles
    first, flow = time.perf_counter() - begun, built(preset, dataset, seed)
    begun = time.perf_counter()
    history = fit(flow, dataset.train, epochs=epochs, progress=False, rng=seed, **preset.training())
    return Run(flow, history.rows[-1]["step"], first, time.perf_counter() - begun)


def by_mkl(preset: Preset, dataset: Dataset, epochs: int, seed: int) -> Run:
    """The same with Intel's MKL for the matrix products."""
    with products_by_mkl():
        return by_nice_np(preset, dataset, epochs, seed)


def by_pytorch(preset: Preset, dataset: Dataset, epochs: int, seed: int, compiled: bool) -> Run:
    """The same in PyTorch."""
    import torch

    from benchmarks.model import Model
    from benchmarks.weights import Weights
    from benchmarks.with_torch import TorchModel

    flow, settings = built(preset, dataset, seed), preset.training()
    batch, average, rate = settings["batch_size"], settings["average"], settings["learning_rate"]
    standardize, *layers, _ = flow.layers
    assert isinstance(standardize, Standardize)
    seen = dequantize(dataset.train, rng=seed, dtype=np.float32)
    standardize.fit(lambda: [seen])
    hidden = tuple(layers[0].conditioner.sizes[1:-1])
    weights = Weights.of_flow(SimpleNamespace(layers=flow.layers[1:]))

    torch.manual_seed(seed)
    pixels = torch.from_numpy(np.ascontiguousarray(dataset.train))
    mean, std = torch.from_numpy(standardize.mean), torch.from_numpy(standardize.std)
    contender = TorchModel(Model(flow.dim, len(layers), hidden, batch), weights, fused=True, compiled=compiled)
    parameters = list(contender.net.parameters())
    contender.adam = torch.optim.AdamW(
        parameters, lr=settings["learning_rate"].rate, weight_decay=settings["optimizer"].weight_decay, fused=True
    )
    averages = [p.detach().clone() for p in parameters]

    def drawn(rows: Any) -> Any:
        x = pixels[rows].float()
        return (x.add_(torch.rand_like(x)).mul_(1 / 256) - mean).div_(std)

    begun = time.perf_counter()
    contender.loss(drawn(torch.arange(batch))).backward()  # compiles, and changes no weight
    first, begun = time.perf_counter() - begun, time.perf_counter()
    step, steps = 0, epochs * -(-len(pixels) // batch)
    for _ in range(epochs):
        for rows in torch.randperm(len(pixels)).split(batch):
            contender.adam.param_groups[0]["lr"] = rate(step, step / steps)
            contender.step(drawn(rows))
            step += 1
            with torch.no_grad():
                torch._foreach_lerp_(averages, parameters, max(1 / average, 1 / step))
    seconds = time.perf_counter() - begun
    with torch.no_grad():
        for p, mean_of_p in zip(parameters, averages, strict=True):
            p.copy_(mean_of_p)
    flow.params.values[...] = contender_values(contender)
    return Run(flow, step, first, seconds)


def contender_values(contender: Any) -> Array:
    """The weights of a PyTorch model in the order of nice_np's."""
    from benchmarks.weights import Weights

    pairs = [(linear.weight.detach().T.numpy(), linear.bias.detach().numpy()) for linear in contender._linears()]
    return Weights([pairs], contender.net.log_scale.detach().numpy()).flat()


def built(preset: Preset, dataset: Dataset, seed: int) -> Flow:
    """The preset's flow, with the same first weights at each call."""
    flow = preset.build(dataset, np.random.default_rng(seed))
    assert isinstance(flow, Flow)
    return flow


def main() -> None:
    """One line for each contender and number of epochs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=NICE, default="mnist-nice")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS, metavar="NAME")
    parser.add_argument("--epochs", nargs="+", type=int, default=[3], metavar="N")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="other programs beside (default: 0)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    preset = PRESETS[arguments.preset]
    dataset = load(preset.made_for, progress=False)
    train = {
        "nice_np": by_nice_np,
        "nice_np, MKL": by_mkl,
        "PyTorch": partial(by_pytorch, compiled=False),
        "torch.compile": partial(by_pytorch, compiled=True),
    }
    print("| contender | other programs | epochs | steps | first step, s | then, s | validation | test, nats |")
    print("|---|---|---|---|---|---|---|---|")
    for epochs in arguments.epochs:
        for name in arguments.contenders:  # in turns
            with busy(arguments.busy):
                run = train[name](preset, dataset, epochs, arguments.seed)
            nats = [
                run.flow.log_prob(dequantize(x, rng=NOISE_SEED, dtype=np.float32)).mean(dtype=float)
                for x in (dataset.validation, dataset.test)
            ]
            times = f"{run.first:.1f} | {run.seconds:.1f}"
            scores = " | ".join(f"{score:,.2f}" for score in nats)
            print(f"| {name} | {arguments.busy} | {epochs} | {run.steps:,} | {times} | {scores} |", flush=True)


if __name__ == "__main__":
    main()

"""All families on all toys: held-out nats beside the truth, parameters and seconds, as a table and a poster.

python scripts/compare.py                               everything, in at most half an hour on two cores
python scripts/compare.py --families maf nsf --toys rings grid
python scripts/compare.py --libraries                   flows of zuko and nflows of like size as well, in the same run
python scripts/compare.py --keep runs/compare           each result in a file; those that are there are not run again
python scripts/compare.py --validation --rate 4e-3      scores of the validation points, at another rate

Every flow sees the same batches: UPDATES updates of 256 points, drawn anew from 25,600, Adam with a rate that falls
along a cosine.  Flows whose updates cost more (a network evaluated many times) have fewer.  Seconds are CPU seconds of
training with one thread of BLAS; two flows are trained at a time.  A family's rate was chosen with the validation
points of two moons, rings and grid.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import nice_np as nn
from nice_np.datasets import TOYS, toy_log_prob

UPDATES, BATCH, N, RATE = 4000, 256, 25_600, 2e-3
VALIDATION, TEST = 998, 7001  # seeds of the held-out points
SIDE, WIDTH = 100, 4.5  # of a panel of the poster: points, and half of the plane shown
HIDDEN = (64, 64)


class Family(NamedTuple):
    """A flow of the plane, how many updates it is given, and its first rate."""

    make: Callable[[np.random.Generator], Any]
    updates: int = UPDATES
    rate: float = RATE


class Result(NamedTuple):
    family: str
    toy: str
    nats: float  # mean log-likelihood of 10,000 held-out points
    validation: float  # of 10,000 others
    parameters: int
    seconds: float
    density: np.ndarray  # (SIDE, SIDE), on the poster's grid


def monotone_networks(rng: np.random.Generator) -> nn.Flow:
    """Three autoregressive layers of UMNN, every second one in the reversed order."""
    layers = []
    for order in ("natural", "reversed", "natural"):
        thetas = 2 * nn.UMNNAutoregressive.thetas_per_feature
        layers.append(nn.UMNNAutoregressive(nn.MaskedMLP((2, *HIDDEN, thetas), order, dtype=np.float32, rng=rng)))
    return nn.Flow("normal", nn.Chain([nn.Standardize.unfitted(2, np.float32), *layers]))


FAMILIES: dict[str, Family] = {
    "NICE, additive": Family(lambda rng: nn.nice(2, 8, HIDDEN, rng=rng)),
    "RealNVP, affine": Family(lambda rng: nn.real_nvp(2, 8, HIDDEN, rng=rng)),
    "planar": Family(lambda rng: nn.planar_flow(2, 32, rng=rng)),
    "MAF": Family(lambda rng: nn.maf(2, 8, HIDDEN, rng=rng), rate=4e-3),
    "IAF": Family(lambda rng: nn.iaf(2, 8, HIDDEN, rng=rng), UPDATES // 2),
    "spline couplings": Family(lambda rng: nn.spline_flow(2, 6, HIDDEN, wiring="coupling", rng=rng), rate=1e-3),
    "spline autoregressive": Family(lambda rng: nn.spline_flow(2, 5, HIDDEN, rng=rng)),
    "mixture couplings": Family(lambda rng: nn.mixture_flow(2, 6, HIDDEN, wiring="coupling", rng=rng), rate=4e-3),
    "UMNN autoregressive": Family(monotone_networks, UPDATES // 2),
    "residual": Family(lambda rng: nn.residual_flow(2, rng=rng), UPDATES // 4),
    "continuous": Family(lambda rng: nn.continuous_flow(2, (64, 64, 64), rng=rng), UPDATES // 8),
    "flow matching": Family(lambda rng: nn.flow_matching(2, (128, 128, 128), rng=rng), 3 * UPDATES),
}


def run(family: str, toy: str, seed: int, scale: float, rate: float | None) -> Result:
    """Train one flow on one toy and score it."""
    with threadpool_limits(1):
        make, updates, chosen = FAMILIES[family]
        rng = np.random.default_rng(seed)
        flow = make(rng)
        epochs = max(1, round(scale * updates * BATCH / N))
        started = time.process_time()
        settings = {"batch_size": BATCH, "learning_rate": nn.Cosine(rate or chosen, warmup=100)}
        nn.fit(flow, TOYS[toy](N, 100 + seed), epochs=epochs, progress=False, rng=seed, **settings)
        seconds = time.process_time() - started
        nats, validation = _mean(flow.log_prob, toy, TEST), _mean(flow.log_prob, toy, VALIDATION)
        return Result(family, toy, nats, validation, flow.n_parameters, seconds, _picture(flow.log_prob))


def torch_flow(kind: str) -> tuple[Any, Callable[[Any], Any]]:
    """A module of PyTorch, and log p(x) of a tensor x under it."""
    if kind == "nflows NSF":
        from nflows.distributions import StandardNormal
        from nflows.flows import Flow
        from nflows.transforms import CompositeTransform, ReversePermutation
        from nflows.transforms.autoregressive import MaskedPiecewiseRationalQuadraticAutoregressiveTransform as Spline

        two_hidden: dict[str, Any] = {"hidden_features": HIDDEN[0], "num_blocks": 1, "use_residual_blocks": False}
        spline: dict[str, Any] = {"num_bins": 8, "tails": "linear", "tail_bound": 4.0}
        layers = [layer for _ in range(5) for layer in (ReversePermutation(2), Spline(2, **two_hidden, **spline))]
        module = Flow(CompositeTransform(layers), StandardNormal([2]))
        return module, module.log_prob
    import zuko

    flow = {
        "zuko NICE": lambda: zuko.flows.NICE(2, transforms=8, hidden_features=HIDDEN),
        "zuko MAF": lambda: zuko.flows.MAF(2, transforms=8, hidden_features=HIDDEN),
        "zuko NSF": lambda: zuko.flows.NSF(2, transforms=5, hidden_features=HIDDEN),
    }[kind]()
    return flow, lambda x: flow().log_prob(x)


def run_torch(kind: str, toy: str, seed: int, scale: float, rate: float | None) -> Result:
    """The same batches and rates in PyTorch."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    flow, log_prob_of = torch_flow(kind)
    rng = np.random.default_rng(seed)
    x = TOYS[toy](N, 100 + seed)
    mean, std = x.mean(axis=0), x.std(axis=0)
    standard = torch.tensor((x - mean) / std, dtype=torch.float32)
    steps = round(scale * UPDATES)
    adam = torch.optim.Adam(flow.parameters(), lr=rate or LIBRARIES[kind])
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    started = time.process_time()
    for _ in range(steps):
        loss = -log_prob_of(standard[rng.integers(N, size=BATCH)]).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        rates.step()
    seconds = time.process_time() - started

    def log_prob(points: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            z = torch.tensor((points - mean) / std, dtype=torch.float32)
            return log_prob_of(z).numpy().astype(float) - np.log(std).sum()

    count = sum(p.numel() for p in flow.parameters())
    nats, validation = _mean(log_prob, toy, TEST), _mean(log_prob, toy, VALIDATION)
    return Result(kind, toy, nats, validation, count, seconds, _picture(log_prob))


LIBRARIES = {"zuko NICE": 1e-3, "zuko MAF": 4e-3, "zuko NSF": 4e-3, "nflows NSF": 4e-3}  # and their first rates


def _mean(log_prob: Callable[[np.ndarray], np.ndarray], toy: str, seed: int) -> float:
    return float(np.mean(log_prob(TOYS[toy](10_000, seed))))


def _picture(log_prob: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    side = np.linspace(-WIDTH, WIDTH, SIDE)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    return np.exp(np.asarray(log_prob(points), dtype=float)).reshape(SIDE, SIDE)


def kept(folder: Path | None, family: str, toy: str, seed: int, scale: float, rate: float | None) -> Result:
    """The result in the folder, or a new one, which is kept there."""
    path = None if folder is None else folder / f"{family} {toy} {seed} {scale:g}{f' {rate:g}' if rate else ''}.npz"
    if path is None or not path.exists():
        result = (run_torch if family in LIBRARIES else run)(family, toy, seed, scale, rate)
        if path is None:
            return result
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **result._asdict())
    with np.load(path) as file:
        return Result(*(file[name] if name == "density" else file[name].item() for name in Result._fields))


def table(results: dict[tuple[str, str], list[Result]], families: Sequence[str], validation: bool) -> str:
    """Markdown: one row a family, one column a toy, the truth on top; of several seeds mean and largest deviation."""
    toys = list(dict.fromkeys(toy for _, toy in results))
    lines = [f"| nats | {' | '.join(toys)} | parameters | seconds a toy |", "|---" * (len(toys) + 3) + "|"]
    seed = VALIDATION if validation else TEST
    truth = [f"{toy_log_prob(toy, TOYS[toy](10_000, seed)).mean():.3f}" for toy in toys]
    lines.append(f"| the true density | {' | '.join(truth)} | | |")
    for family in families:
        cells = []
        for toy in toys:
            nats = np.array([r.validation if validation else r.nats for r in results[family, toy]])
            spread = f" ± {np.abs(nats - nats.mean()).max():.3f}" if len(nats) > 1 else ""
            cells.append(f"{nats.mean():.3f}{spread}")
        every = [result for toy in toys for result in results[family, toy]]
        seconds = np.mean([result.seconds for result in every])
        lines.append(f"| {family} | {' | '.join(cells)} | {every[0].parameters:,} | {seconds:.0f} |")
    return "\n".join(lines)


def poster(results: dict[tuple[str, str], list[Result]], families: Sequence[str], path: Path) -> None:
    """One row a family, one column a toy: the densities of the first seed, the true ones on top."""
    toys = list(dict.fromkeys(toy for _, toy in results))
    rows = ["the true density", *families]
    size = 1.15
    figure, axes = plt.subplots(
        len(rows),
        len(toys),
        figsize=(size * len(toys) + 1.2, size * len(rows) + 0.3),
        squeeze=False,
        layout="constrained",
    )
    for i, family in enumerate(rows):
        for j, toy in enumerate(toys):
            true = _picture(partial(toy_log_prob, toy))
            density = true if i == 0 else results[family, toy][0].density
            ax = axes[i, j]
            ax.imshow(np.minimum(density / true.max(), 1) ** 0.5, origin="lower", cmap="magma", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            if i == 0:
                ax.set_title(toy, fontsize=8)
            if j == 0:
                ax.set_ylabel(
                    family.replace(", ", "\n").replace(" ", "\n", 1), fontsize=8, rotation=0, ha="right", va="center"
                )
            if i > 0:
                ax.set_xlabel(f"{results[family, toy][0].nats:.2f}", fontsize=7, labelpad=1)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--families", nargs="+", choices=[*FAMILIES, *LIBRARIES], default=list(FAMILIES), metavar="FAMILY"
    )
    parser.add_argument("--toys", nargs="+", choices=list(TOYS), default=list(TOYS))
    parser.add_argument(
        "--libraries", action="store_true", help="zuko's and nflows' flows as well (needs them and torch)"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--rate", type=float, help="the first rate of all (default: what was chosen for each)")
    parser.add_argument("--validation", action="store_true", help="scores of the validation points, to choose by")
    parser.add_argument("--workers", type=int, default=2, help="flows trained at a time")
    parser.add_argument("--scale", type=float, default=1.0, help="this share of the updates, for a quick look")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="results that are there are not run again")
    parser.add_argument("--poster", type=Path, metavar="PNG", help="the densities as one picture")
    options = parser.parse_args()
    families = [*options.families, *(LIBRARIES if options.libraries else ())]
    jobs = [(family, toy, seed) for family in families for toy in options.toys for seed in options.seeds]
    results: dict[tuple[str, str], list[Result]] = {(family, toy): [] for family, toy, _ in jobs}
    started = time.perf_counter()
    with ProcessPoolExecutor(options.workers) as pool:
        waiting = [pool.submit(kept, options.keep, *job, options.scale, options.rate) for job in jobs]
        for _ in tqdm(as_completed(waiting), total=len(waiting), unit="flow"):
            pass
    for future in waiting:
        results[future.result().family, future.result().toy].append(future.result())
    print(table(results, families, options.validation))
    print(f"\n{(time.perf_counter() - started) / 60:.1f} minutes with {options.workers} flows at a time")
    if options.poster:
        poster(results, families, options.poster)


if __name__ == "__main__":
    main()

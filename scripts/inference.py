"""How well do flows infer?  Reverse KL on six densities, beside long runs of Hamiltonian Monte Carlo, as Markdown.

    python scripts/inference.py > results/inference.md

Three tables: the effective sample size of each flow with either gradient; means and deviations of two posteriors
against HMC; and what happens with two modes.  `--steps 100 --hmc 20` is a quick look.
"""

from __future__ import annotations

import argparse
import textwrap
import time
import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from nice_np import (
    MLP,
    AffineCoupling,
    Chain,
    Cosine,
    Flow,
    Partition,
    fit,
    fit_to_density,
    iaf,
    importance_sample,
    real_nvp,
)
from nice_np.families import SplineCoupling
from nice_np.inference import Banana, EightSchools, Funnel, LogisticRegression, Mixture, Target, WeightedSample
from nice_np.restoration.hmc import Chains

DRAWS = 20_000
TRAP_STEPS = 2000
FLOWS: dict[str, Callable[[int, int], Flow]] = {
    "real_nvp": lambda dim, seed: real_nvp(dim, couplings=6, hidden=(64, 64), preprocess=(), rng=seed),
    "iaf": lambda dim, seed: iaf(dim, layers=5, hidden=(64, 64), preprocess=(), rng=seed),
    "spline": lambda dim, seed: splines(dim, seed),
}


def main() -> None:
    """Print the page, each row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="steps of 200 latents per flow (default: 4000)")
    parser.add_argument("--hmc", type=int, default=3000, help="counted steps of each of 200 chains (default: 3000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flows", nargs="+", choices=list(FLOWS), default=list(FLOWS), help="default: all")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # a poor effective sample size is what the table shows
    settings = f"--steps {arguments.steps} --hmc {arguments.hmc} --seed {arguments.seed}"
    print("# Inference: a flow learns a density\n")
    print(f"`python scripts/inference.py {settings}`, one thread; see [docs/inference.md](../docs/inference.md).")
    best = effective_sample_sizes(arguments)
    against_hmc(best, arguments)
    two_modes(arguments.seed)


def targets() -> dict[str, tuple[Target, float | None]]:
    """The densities by name, each with its log Z where a formula gives it."""
    triangle = [[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]]
    return {
        "banana": (Banana(), 0.0),
        "funnel": (Funnel(), 0.0),
        "mixture": (Mixture(triangle, 0.5), 0.0),
        "eight schools": (EightSchools(), None),
        "eight schools, centred": (EightSchools(centred=True), None),
        "breast cancer": (breast_cancer(), None),
    }


def breast_cancer() -> LogisticRegression:
    """569 tumours, 30 standardised features and an intercept, weights ~ N(0, 1)."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return LogisticRegression(np.column_stack([np.ones(len(X)), X]), y)


def splines(dim: int, seed: int) -> Flow:
    """Four spline couplings, the identity beyond -5 and 5, and at the data two affine ones to reach further."""
    rng, part, layers = np.random.default_rng(seed), Partition.odd_even(dim), []
    for law in (AffineCoupling, AffineCoupling, *(SplineCoupling,) * 4):
        sizes = (len(part.idx_a), 64, 64, law.thetas_per_feature * len(part.idx_b))
        layers.append(law(part, MLP(sizes, rng=rng)))
        part = part.swapped()
    return Flow("normal", Chain(layers))


# -- effective sample sizes -------------------------------------------------------------------------------------------


def effective_sample_sizes(arguments: argparse.Namespace) -> dict[str, WeightedSample]:
    """The first table; the weighted draws of the flow with the largest effective sample size, by target."""
    print("\n## Effective sample size\n")
    say(
        f"{arguments.steps} steps of 200 latents, Adam, a rate that falls from 3e-3 to 0 along a cosine, seed "
        f"{arguments.seed}. ESS: of {DRAWS:,} draws from q, as a share of them. KL = log Z - ELBO, with the exact "
        "log Z = 0 of the first three targets, else the estimated one. CPU seconds of training. The path gradient of "
        "an IAF needs the density of given points, D passes, so it is left out for D > 10."
    )
    print("| target | D | flow | parameters | gradient | ESS | log evidence | KL(q, p) | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    best: dict[str, WeightedSample] = {}
    for name, (target, log_z) in targets().items():
        for kind, gradient in product(arguments.flows, ("full", "path")):
            if kind == "iaf" and gradient == "path" and target.dim > 10:
                continue
            flow, seconds = trained(kind, target, gradient == "path", arguments)
            found = importance_sample(flow, target, DRAWS, rng=arguments.seed)
            ess = found.effective_sample_size
            if name not in best or ess > best[name].effective_sample_size:
                best[name] = found
            evidence = f"{found.log_evidence:.3f} +- {found.log_evidence_error:.3f}"
            kl = (found.log_evidence if log_z is None else log_z) - found.elbo
            row = (kind, f"{flow.n_parameters:,}", gradient, f"{ess / DRAWS:.1%}", evidence, f"{kl:.4f}")
            print(f"| {name} | {target.dim} | {' | '.join(row)} | {seconds:.0f} |", flush=True)
    return best


def trained(kind: str, target: Target, path_gradient: bool, arguments: argparse.Namespace) -> tuple[Flow, float]:
    """A flow that has learned the target, and the CPU seconds it took."""
    flow, start = FLOWS[kind](target.dim, arguments.seed), time.process_time()
    fit_to_density(
        flow,
        target,
        steps=arguments.steps,
        learning_rate=Cosine(3e-3, warmup=100),
        path_gradient=path_gradient,
        progress=False,
        rng=arguments.seed,
    )
    return flow, time.process_time() - start


# -- Hamiltonian Monte Carlo ------------------------------------------------------------------------------------------


def against_hmc(best: dict[str, WeightedSample], arguments: argparse.Namespace) -> None:
    """The second table: means and deviations by weights, and by HMC."""
    print("\n## Against Hamiltonian Monte Carlo\n")
    say(
        f"200 chains of {arguments.hmc} steps of 20 leapfrogs after a warm-up, with the standard error of the mean "
        "from the spread of the chains; beside it the weighted draws of the flow with the largest ESS above."
    )
    schools, found = EightSchools(), best["eight schools"]
    draws, acceptance = hmc(schools, arguments)  # (steps, chains, D)
    say(f"Eight schools, not centred (acceptance {acceptance:.2f}, {draws[..., 0].size:,} draws):")
    theirs = schools.parameters(draws.reshape(-1, schools.dim)).reshape(draws.shape)
    ours = schools.parameters(found.x)
    print("| | mean, HMC | mean, flow | deviation, HMC | deviation, flow |\n|---|---|---|---|---|")
    for k, name in enumerate(schools.names):
        chains, mean, std = theirs[..., k], found.mean(ours[:, k]), found.std(ours[:, k])
        error = chains.mean(axis=0).std() / np.sqrt(chains.shape[1])
        print(f"| {name} | {chains.mean():.3f} +- {error:.3f} | {mean:.3f} | {chains.std():.3f} | {std:.3f} |")
    print()
    found = best["breast cancer"]
    draws, acceptance = hmc(breast_cancer(), arguments)
    mean, std = draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))  # (D,) each
    error = (draws.mean(axis=0).std(axis=0) / np.sqrt(draws.shape[1]) / std).max()
    say(
        f"Breast cancer, 31 weights (acceptance {acceptance:.2f}; standard errors of HMC's means at most {error:.4f} "
        "deviations). Means: the difference from HMC's, in deviations. Deviations: as a multiple of HMC's."
    )
    print("| draws of the flow | means, largest | means, rms | deviations |\n|---|---|---|---|")
    for name, its_mean, its_std in (
        ("as they are", found.x.mean(axis=0), found.x.std(axis=0)),
        ("weighted", found.mean(), found.std()),
    ):
        off, ratio = np.abs(its_mean - mean) / std, its_std / std
        rms = np.sqrt((off**2).mean())
        print(f"| {name} | {off.max():.3f} | {rms:.3f} | {ratio.min():.3f} to {ratio.max():.3f} |")


def hmc(target: Target, arguments: argparse.Namespace) -> tuple[Any, float]:
    """Draws (steps, chains, D), and the mean acceptance: the metric and the steps are tuned in a warm-up."""
    rng = np.random.default_rng(arguments.seed)
    chains = Chains(0.1 * rng.standard_normal((200, target.dim)), np.eye(target.dim), 0.1, rng)

    def potential(z: Any, rows: Any) -> tuple[Any, Any]:
        log_p, dlog_p = target(z[rows])
        return -log_p, -dlog_p

    for estimate in range(4):
        seen = []
        for _ in range(100):
            chains.adapt(chains.step(potential, 20), target=0.8)
            seen.append(chains.z)
        covariance = np.cov(np.concatenate(seen[50:]).T)
        chains.whitener = np.linalg.cholesky(covariance).T  # M = covariance^-1 = R R^T, so R^-1 = L^T
        if estimate == 0:
            chains.step_size[:] = 0.3  # in units of deviations from here on
    draws, acceptance = [], []
    for _ in range(arguments.hmc):
        acceptance.append(chains.step(potential, 20).mean())
        draws.append(chains.z)
    return np.array(draws), float(np.mean(acceptance))


# -- two modes --------------------------------------------------------------------------------------------------------


def two_modes(seed: int) -> None:
    """The third table: what reverse KL and maximum likelihood make of two Gaussians further and further apart."""
    print("\n## Two modes\n")
    say(
        f"p is an equal mixture of N((-d, 0), I) and N((d, 0), I), so log Z = 0. Reverse KL: {TRAP_STEPS} steps of a "
        f"real_nvp from the seeds {seed} to {seed + 2}. Maximum likelihood, which minimises KL(p, q): as many steps on "
        "20,000 exact draws from p. Right: the share of the flow's draws with x_1 > 0. Between: the share with "
        "abs(x_1) < d - 3, between the modes and more than three deviations from both (of p's own draws 0.13 %)."
    )
    print("| d | trained by | seed | ESS | log evidence | ELBO | mean log q of p's draws | right | between |")
    print("|---|---|---|---|---|---|---|---|---|")
    for d in (2.0, 3.0, 4.0, 6.0):
        target = Mixture([[-d, 0.0], [d, 0.0]])
        exact = target.sample(20_000, rng=seed + 100)
        for by, start in [*(("reverse KL", seed + k) for k in range(3)), ("maximum likelihood", seed)]:
            flow = real_nvp(2, couplings=6, hidden=(64, 64), preprocess=(), rng=start)
            rate: Any = Cosine(3e-3, warmup=100)
            if by == "reverse KL":
                fit_to_density(flow, target, steps=TRAP_STEPS, learning_rate=rate, progress=False, rng=start)
            else:
                fit(flow, exact, epochs=TRAP_STEPS // 100, learning_rate=rate, progress=False, rng=start)
            found = importance_sample(flow, target, DRAWS, rng=seed)
            x = found.x[:, 0]
            row = (
                f"{found.effective_sample_size / DRAWS:.1%}",
                f"{found.log_evidence:.3f} +- {found.log_evidence_error:.3f}",
                f"{found.elbo:.3f}",
                f"{flow.score(exact[:2000]):.2f}",
                f"{(x > 0).mean():.1%}",
                f"{(np.abs(x) < d - 3).mean():.2%}" if d > 3 else "",
            )
            print(f"| {d:g} | {by} | {start} | {' | '.join(row)} |", flush=True)


def say(text: str) -> None:
    """A paragraph."""
    print(textwrap.fill(text, 120) + "\n", flush=True)


if __name__ == "__main__":
    main()

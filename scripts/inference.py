"""How well do flows infer?  Reverse KL on six densities, beside long runs of Hamiltonian Monte Carlo, as Markdown.

    python scripts/inference.py > results/inference.md

Three tables: the effective sample size of each flow with either gradient; means and deviations of two posteriors
against HMC; and what happens with two modes.  `--steps 100 --hmc 20` is a quick look.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from nice_np import Cosine, Flow, fit, fit_to_density, importance_sample, real_nvp
from nice_np.inference import Banana, EightSchools, Funnel, LogisticRegression, Mixture, Target, WeightedSample
from nice_np.restoration.hmc import Chains

DRAWS = 20_000
TRAP_STEPS = 2000
FLOWS: dict[str, Callable[[int, int], Flow]] = {
    "real_nvp": lambda dim, seed: real_nvp(dim, couplings=6, hidden=(64, 64), preprocess=(), rng=seed),
}
RATES = {"real_nvp": 3e-3}


def main() -> None:
    """Print the page, each row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="steps of 200 latents per flow (default: 4000)")
    parser.add_argument("--hmc", type=int, default=3000, help="counted steps of each of 200 chains (default: 3000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # a poor effective sample size is what the table shows
    settings = f"--steps {arguments.steps} --hmc {arguments.hmc} --seed {arguments.seed}"
    print("# Inference: a flow learns a density\n")
    print(f"`python scripts/inference.py {settings}`, one thread; see [docs/inference.md](../docs/inference.md).\n")
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


# -- effective sample sizes -------------------------------------------------------------------------------------------


def effective_sample_sizes(arguments: argparse.Namespace) -> dict[str, WeightedSample]:
    """The first table; the weighted draws of the flow with the largest effective sample size, by target."""
    print(f"## Effective sample size\n\n{arguments.steps} steps of 200 latents, Adam, a rate that falls from 3e-3 to 0 "
          f"along a cosine, seed {arguments.seed}.\nESS: of {DRAWS:,} draws from q, how many draws from p they are worth. "
          "KL = log Z - ELBO,\nwith the exact log Z = 0 of the first three, else the estimated one. CPU seconds of "
          "training.\n")  # fmt: skip
    print("| target | D | flow | gradient | ESS | log evidence | KL(q, p) | seconds |\n|---|---|---|---|---|---|---|---|")
    best: dict[str, WeightedSample] = {}
    for name, (target, log_z) in targets().items():
        for kind in FLOWS:
            for path_gradient in (False, True):
                flow, seconds = trained(kind, target, path_gradient, arguments)
                found = importance_sample(flow, target, DRAWS, rng=arguments.seed)
                ess = found.effective_sample_size
                if name not in best or ess > best[name].effective_sample_size:
                    best[name] = found
                evidence = f"{found.log_evidence:.3f} +- {found.log_evidence_error:.3f}"
                kl = (found.log_evidence if log_z is None else log_z) - found.elbo
                gradient = "path" if path_gradient else "full"
                print(f"| {name} | {target.dim} | {kind} | {gradient} | {ess / DRAWS:.1%} | {evidence} | {kl:.4f} "
                      f"| {seconds:.0f} |", flush=True)  # fmt: skip
    return best


def trained(kind: str, target: Target, path_gradient: bool, arguments: argparse.Namespace) -> tuple[Flow, float]:
    """A flow that has learned the target, and the CPU seconds it took."""
    flow, start = FLOWS[kind](target.dim, arguments.seed), time.process_time()
    fit_to_density(
        flow,
        target,
        steps=arguments.steps,
        learning_rate=Cosine(RATES[kind], warmup=100),
        path_gradient=path_gradient,
        progress=False,
        rng=arguments.seed,
    )
    return flow, time.process_time() - start


# -- Hamiltonian Monte Carlo ------------------------------------------------------------------------------------------


def against_hmc(best: dict[str, WeightedSample], arguments: argparse.Namespace) -> None:
    """The second table: means and deviations by weights, and by HMC."""
    schools, cancer = EightSchools(), breast_cancer()
    print(f"\n## Against Hamiltonian Monte Carlo\n\n200 chains of {arguments.hmc} steps of 20 leapfrogs after a warm-up, "
          "with the standard error of the mean from the\nspread of the chains; beside it the weighted draws of the flow "
          "with the largest ESS above.\n")  # fmt: skip
    draws, acceptance = hmc(schools, arguments)  # (steps, chains, D)
    found = best["eight schools"]
    theirs = schools.parameters(draws.reshape(-1, schools.dim)).reshape(draws.shape)
    ours = schools.parameters(found.x)
    print(f"Eight schools, not centred (acceptance {acceptance:.2f}, {draws.shape[0] * draws.shape[1]:,} draws):\n")
    print("| | mean, HMC | mean, flow | deviation, HMC | deviation, flow |\n|---|---|---|---|---|")
    for name, hmc_values, mean, std in zip(
        schools.names, np.moveaxis(theirs, 2, 0), found.mean(ours), found.std(ours), strict=True
    ):
        error = hmc_values.mean(axis=0).std() / np.sqrt(hmc_values.shape[1])
        print(f"| {name} | {hmc_values.mean():.3f} +- {error:.3f} | {mean:.3f} | {hmc_values.std():.3f} | {std:.3f} |")
    draws, acceptance = hmc(cancer, arguments)
    found, mean, std = best["breast cancer"], draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))
    error = (draws.mean(axis=0).std(axis=0) / np.sqrt(draws.shape[1]) / std).max()
    off, ratio = (found.mean() - mean) / std, found.std() / std
    unweighted = (found.x.mean(axis=0) - mean) / std
    print(f"\nBreast cancer, 31 weights (acceptance {acceptance:.2f}; standard errors of HMC's means at most {error:.4f} "
          f"deviations):\n\n- Means differ by at most {np.abs(off).max():.3f} deviations, root mean square "
          f"{np.sqrt((off**2).mean()):.3f};\n  without weights {np.abs(unweighted).max():.3f} and "
          f"{np.sqrt((unweighted**2).mean()):.3f}.\n- Deviations are {ratio.min():.3f} to {ratio.max():.3f} times HMC's; "
          f"without weights\n  {(found.x.std(axis=0) / std).min():.3f} to {(found.x.std(axis=0) / std).max():.3f} times."
          )  # fmt: skip


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
    print(f"\n## Two modes\n\np is an equal mixture of N((-d, 0), I) and N((d, 0), I), so log Z = 0. Reverse KL: "
          f"{TRAP_STEPS} steps from seeds {seed} to {seed + 2}.\nMaximum likelihood, which minimises KL(p, q): as many "
          "steps on 20,000 exact draws from p. On the right: the share of draws with x_1 > 0;\nthe share between the "
          "modes, more than 3 from both means in x_1 (of p's own draws 0.1 %, and fewer where they overlap).\n"
          )  # fmt: skip
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
            print(f"| {d:g} | {by} | {start} | {found.effective_sample_size / DRAWS:.1%} "
                  f"| {found.log_evidence:.3f} +- {found.log_evidence_error:.3f} | {found.elbo:.3f} "
                  f"| {flow.score(exact[:2000]):.2f} | {(x > 0).mean():.1%} | {(np.abs(x) < d - 3).mean():.2%} |",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

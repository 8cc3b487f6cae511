"""How close can q(z | x) come to p(z | x)?  Two latents, one observation, and the exact posterior on a grid.

    z ~ N(0, I),    x = m(z) + 0.2 e,    e ~ N(0, 1)

with m(z) = z_2 + 2 |z_1| (a bend) or m(z) = |z_1| + |z_2| (a ring).  The decoder is fixed; only the posterior is
trained, a Gaussian and a Gaussian followed by NICE, by maximising the ELBO.  Since log p(x) is a constant here, that
minimises KL(q(z | x) || p(z | x)), which is then computed on the grid.

    python scripts/posterior_2d.py docs/images/posterior_2d.png
"""

from __future__ import annotations

import copy
import sys
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from nice_np import MLP, VAE, Adam, Cosine, nice
from nice_np.plotting import save
from nice_np.vae import Decoder, FixedGaussian, FlowPosterior, GaussianPosterior, PlainPrior
from nice_np.validation import Array

SIGMA = 0.2  # of the observation noise
PROBLEMS = {  # name -> (weights of |z_1|, |z_2| and z_2 in m(z), the observation x, m(z) in LaTeX)
    "bend": ((2.0, 0.0, 1.0), 1.0, r"$z_2 + 2\,|z_1|$"),
    "ring": ((1.0, 1.0, 0.0), 2.0, r"$|z_1| + |z_2|$"),
}
SIDE = np.linspace(-4, 4, 321)  # of the grid
CELL = (SIDE[1] - SIDE[0]) ** 2  # area
GRID = np.stack(np.meshgrid(SIDE, SIDE), axis=-1).reshape(-1, 2)  # (G, 2)


class Fit(NamedTuple):
    """A fitted q(z | x) on the grid."""

    q: Array  # (G,), a density
    kl: float  # KL(q || true posterior), nats
    mass: float  # of q on the grid: far from 1, the grid is too small


def decoder(problem: str) -> Decoder:
    """p(x | z): four hidden units represent m(z), since |a| = relu(a) + relu(-a) and a = relu(a) - relu(-a)."""
    one, two, linear = PROBLEMS[problem][0]
    network = MLP((2, 4, 1), init="he", rng=0)  # b = 0
    network.layers[0].W[:] = [[1, -1, 0, 0], [0, 0, 1, -1]]  # relu(z_1), relu(-z_1), relu(z_2), relu(-z_2)
    network.layers[1].W[:, 0] = [one, one, two + linear, two - linear]
    return Decoder(network, FixedGaussian([SIGMA]))


def true_posterior(problem: str) -> Array:
    """p(z | x) on the grid, (G,): p(z) p(x | z), normalised."""
    x = np.full((len(GRID), 1), PROBLEMS[problem][1])
    log_joint = PlainPrior().forward(GRID)[0] + decoder(problem).forward(GRID, x)[0]
    p: Array = np.exp(log_joint - log_joint.max())
    return p / (p.sum() * CELL)


def posterior(form: str, rng: np.random.Generator) -> GaussianPosterior:
    """q(z | x) before training."""
    encoder = MLP((1, 4), rng=rng)  # linear is enough: there is only one x
    if form == "plain":
        return GaussianPosterior(encoder)
    flow = nice(2, couplings=8, hidden=(32,), prior="normal", preprocess=(), dtype=np.float64, rng=rng)
    return FlowPosterior(encoder, copy.deepcopy(flow.bijector))  # the copy belongs to no flow


def fit_posterior(problem: str, form: str, steps: int = 4000, batch: int = 256, seed: int = 0) -> Fit:
    """Maximise the ELBO over the posterior's parameters and compare with the grid."""
    rng = np.random.default_rng(seed)
    model = VAE(posterior(form, rng), PlainPrior(), decoder(problem))
    trained = np.zeros(len(model.params), bool)
    for slot in model.params.slots:
        trained[slot.start : slot.stop] = slot.path.startswith("posterior.")
    x, adam, rate = np.full((batch, 1), PROBLEMS[problem][1]), Adam(), Cosine(1e-2)
    for step in range(steps):
        _, grads = model.loss_and_grad(x, model.draw_noise(batch, rng))
        grads *= trained  # the decoder stays fixed
        adam.step(model.params.values, grads, rate(step, step / steps))
    q = np.exp(model.posterior.log_prob(np.full((len(GRID), 1), x[0, 0]), GRID))  # (G,)
    return Fit(q, divergence(q, true_posterior(problem)), float(q.sum() * CELL))


def divergence(q: Array, p: Array) -> float:
    """KL(q || p) in nats of two densities on the grid."""
    support = q > 1e-300
    log_p = np.log(np.maximum(p[support], 1e-300))
    return float((q[support] * (np.log(q[support]) - log_p)).sum() * CELL)


def draw(fits: dict[str, dict[str, Fit]]) -> Figure:
    """One row per problem: the true posterior, the Gaussian, NICE."""
    figure = Figure(figsize=(9.6, 3.35 * len(fits)), layout="constrained")
    axes = figure.subplots(len(fits), 3, squeeze=False)
    for row, (problem, by_form) in zip(axes, fits.items(), strict=True):
        p, plain, flow = true_posterior(problem), by_form["plain"], by_form["nice"]
        titles = (
            rf"true posterior, $x$ = {PROBLEMS[problem][2]} + noise",
            f"Gaussian q: KL {plain.kl:.2f} nats",
            f"NICE q: KL {flow.kl:.2f} nats",
        )
        for ax, density, title in zip(row, (p, plain.q, flow.q), titles, strict=True):
            _panel(ax, density, title)
    return figure


def _panel(ax: Any, density: Array, title: str) -> None:
    image = density.reshape(len(SIDE), len(SIDE))
    extent = (SIDE[0], SIDE[-1], SIDE[0], SIDE[-1])
    ax.imshow(image, origin="lower", extent=extent, cmap="Blues", vmin=0)  # each panel has its own colour scale
    ax.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), xlabel="$z_1$", ylabel="$z_2$")
    ax.set_title(title, fontsize=10)


def main() -> None:
    """Fit, print the table, draw the figure."""
    fits = {problem: {form: fit_posterior(problem, form) for form in ("plain", "nice")} for problem in PROBLEMS}
    print("| posterior | KL(Gaussian q || true) | KL(NICE q || true) |", "|---|---|---|", sep="\n")
    for problem, by_form in fits.items():
        print(f"| {problem} | {by_form['plain'].kl:.3f} nats | {by_form['nice'].kl:.3f} nats |")
        for form, fit in by_form.items():
            if abs(fit.mass - 1) > 0.01:
                print(f"{problem}, {form}: the grid contains only {fit.mass:.3f} of q")
    if len(sys.argv) > 1:
        save(draw(fits), sys.argv[1], dpi=110)


if __name__ == "__main__":
    main()

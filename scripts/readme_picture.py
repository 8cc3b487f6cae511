"""The picture of the README: a flow learns two moons, and how it bends the plane to draw them.

python scripts/readme_picture.py docs/images/two_moons.png
"""

from __future__ import annotations

import copy
import sys

from matplotlib.figure import Figure

from nice_np import Chain, Cosine, Flow, fit, real_nvp
from nice_np.datasets import load
from nice_np.plotting import bent_grid, save
from nice_np.plotting.plane import density_on_grid

EXTENT = (-4, 4, -3, 3)
EPOCHS = (0, 1, 5, 60)  # at the end of which the density is drawn


def main(picture: str) -> None:
    """Train, keep copies on the way, and draw."""
    moons = load("two-moons", seed=0)
    flow = real_nvp(2, couplings=6, hidden=(64, 64), activation="tanh", rng=0)
    learned = [copy.deepcopy(flow)]

    def keep(model, history):
        if history.rows[-1]["epoch"] in EPOCHS:
            learned.append(copy.deepcopy(model))

    fit(flow, moons.train, epochs=EPOCHS[-1], learning_rate=Cosine(5e-3), progress=False, rng=0, callbacks=[keep])

    figure = Figure(figsize=(9, 4), layout="constrained")
    above, below = figure.subplots(2, 4)
    for ax, epoch, model in zip(above, EPOCHS, learned, strict=True):
        values = density_on_grid(model, EXTENT, 150, "readme_picture")
        ax.imshow(values, origin="lower", extent=EXTENT, cmap="viridis", aspect="equal")
        ax.set_title(f"density after {epoch} epoch{'' if epoch == 1 else 's'}", fontsize=9)
    standardize, *couplings = [copy.deepcopy(layer) for layer in flow.layers]
    pairs = [couplings[k : k + 2] for k in (0, 2, 4)]  # seen together, they move every feature
    steps = Flow("normal", Chain([Chain([standardize, *pairs[0]]), Chain(pairs[1]), Chain(pairs[2])]))
    bent_grid(steps, below, samples=moons.test[:300], extent=(-2, 2, -2, 2))
    titles = ["latent grid, encoded data", "two layers back", "four layers back", "all six: data space"]
    for ax, title in zip(below, titles, strict=True):
        ax.set_title(title, fontsize=9)
    below[0].get_legend().remove()
    for ax in (*above, *below):
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
    save(figure, picture)


if __name__ == "__main__":
    main(*sys.argv[1:])

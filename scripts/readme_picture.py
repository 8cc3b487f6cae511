"""The picture of the README: a flow learns two moons, and how it bends the plane to draw them; or what a run draws.

python scripts/readme_picture.py docs/images/two_moons.png
python scripts/readme_picture.py docs/images/digits.png --run runs/mnist    # digits: real ones, samples, cooler samples
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

from matplotlib.figure import Figure

from nice_np import Chain, Cosine, Flow, fit, load_model, real_nvp
from nice_np.datasets import load
from nice_np.plotting import bent_grid, sample_rows, save
from nice_np.plotting.plane import density_on_grid

EXTENT = (-4, 4, -3, 3)
EPOCHS = (0, 1, 5, 60)  # at the end of which the density is drawn
COOLER = 0.8  # latents times this: samples nearer to the middle of the prior, clearer and more alike


def digits(picture: str, run: Path) -> None:
    """Ten digits of the test set, and below them the first samples of a run's model, none of them chosen."""
    flow = load_model(run / "model.npz")[0]
    assert isinstance(flow, Flow)
    test = load("mnist-small", seed=0).test[:10]
    warm, cool = (flow.sample(20, temperature=t, rng=0).reshape(2, 10, -1) for t in (1.0, COOLER))
    rows = {"test digits": test, "samples": warm[0], " samples": warm[1]}
    save(sample_rows({**rows, f"temperature {COOLER}": cool[0], f" temperature {COOLER}": cool[1]}), picture)


def two_moons(picture: str) -> None:
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
    parser = argparse.ArgumentParser()
    parser.add_argument("picture")
    parser.add_argument("--run", type=Path, help="draw samples of this run folder's model of digits instead")
    arguments = parser.parse_args()
    if arguments.run:
        digits(arguments.picture, arguments.run)
    else:
        two_moons(arguments.picture)

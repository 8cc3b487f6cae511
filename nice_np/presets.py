"""Named settings: an architecture and how to train it, as the command line uses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from nice_np.checks import Rng, as_choice
from nice_np.datasets.base import Dataset
from nice_np.flow import Flow
from nice_np.models import nice, real_nvp
from nice_np.optim import Adam, Constant, Cosine, Optimizer, Schedule


@dataclass(frozen=True)
class Preset:
    """An architecture and a way to train it.

    Attributes
    ----------
    description : str
    model : callable
        ``model(dim, rng=...)`` builds the flow.
    optimizer : callable
        Makes a new optimiser.
    schedule : callable
        Makes a schedule from a learning rate.
    learning_rate : float
    batch_size, epochs : int
    average : int or None
        See `fit`.
    """

    description: str
    model: Callable[..., Flow]
    optimizer: Callable[[], Optimizer]
    schedule: Callable[[float], Schedule]
    learning_rate: float
    batch_size: int
    epochs: int
    average: int | None = None

    def build(self, dataset: Dataset, rng: Rng = None) -> Flow:
        """A new flow for the data set."""
        return self.model(dataset.dim, rng=rng)

    def training(self, learning_rate: float | None = None, batch_size: int | None = None) -> dict[str, Any]:
        """Keyword arguments for `fit`, epochs or time limit aside."""
        return {
            "optimizer": self.optimizer(),
            "learning_rate": self.schedule(self.learning_rate if learning_rate is None else learning_rate),
            "batch_size": self.batch_size if batch_size is None else batch_size,
            "average": self.average,
        }


PRESETS = {
    "digits": Preset(
        "NICE, 4 x (2 x 200), for 10,000 digits in a minute",
        partial(nice, hidden=(200, 200)),
        optimizer=partial(Adam, weight_decay=0.3),
        schedule=Cosine,
        learning_rate=2e-3,
        batch_size=100,
        epochs=40,
        average=200,
    ),
    "mnist": Preset(
        "NICE, 4 x (3 x 400), for all of MNIST in some minutes",
        partial(nice, hidden=(400, 400, 400)),
        optimizer=partial(Adam, weight_decay=0.2),
        schedule=Cosine,
        learning_rate=1.2e-3,
        batch_size=200,
        epochs=50,
        average=500,
    ),
    "mnist-paper": Preset(
        "NICE as in the paper: 4 x (5 x 1000), raw pixels, its Adam, 1,500 epochs (about a day)",
        partial(nice, preprocess=()),
        optimizer=partial(Adam, beta1=0.9, beta2=0.99, eps=1e-4),
        schedule=Constant,
        learning_rate=1e-3,
        batch_size=200,
        epochs=1500,
    ),
    "toy": Preset(
        "NICE, 8 x (2 x 64), for densities in the plane",
        partial(nice, couplings=8, hidden=(64, 64), prior="normal"),
        optimizer=Adam,
        schedule=Cosine,
        learning_rate=2e-3,
        batch_size=256,
        epochs=100,
    ),
    "toy-affine": Preset(
        "RealNVP, 8 x (2 x 64), for densities in the plane",
        partial(real_nvp, couplings=8, hidden=(64, 64)),
        optimizer=Adam,
        schedule=Cosine,
        learning_rate=2e-3,
        batch_size=256,
        epochs=100,
    ),
}


def get_preset(name: str | None, dataset: Dataset) -> tuple[str, Preset]:
    """The preset called `name`, or the default one for the data set, with its name."""
    if name is None:
        name = {"mnist-small": "digits", "mnist": "mnist"}.get(dataset.name, "toy-affine")
    return name, PRESETS[as_choice(name, PRESETS, "preset", "preset")]

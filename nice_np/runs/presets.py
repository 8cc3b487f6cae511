"""Named settings: an architecture and how to train it, as the command line uses them.

The presets of the NICE paper come twice: ``-paper`` as the paper describes the experiment, ``-code`` as its authors'
program does it.  They differ in architecture, preprocessing and optimiser, see docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nice_np.bijectors import PCAWhitening, ZCAWhitening
from nice_np.datasets.base import Dataset
from nice_np.datasets.shifted import with_shifts
from nice_np.errors import NiceValueError
from nice_np.flows.builders import nice, original_nice, real_nvp
from nice_np.flows.flow import Flow
from nice_np.flows.model import Model
from nice_np.training.optim import Adam, Optimizer, RMSPropMomentum
from nice_np.training.schedules import Constant, Cosine, ExponentialDecay, Schedule
from nice_np.vae import VAE, variational_autoencoder
from nice_np.validation import Rng, as_choice

PAPER = "paper, section 5.1"
CODE = "authors' code"
OWN = "nice_np"
POINTS = "the plane"


@dataclass(frozen=True)
class Preset:
    """An architecture and a way to train it.

    Attributes
    ----------
    description, source : str
        What it is, and where its settings come from.
    made_for : str
        The data set; another one works where the architecture allows it.
    parameters : int
        How many numbers are trained for that data set.  Written down here, since to build the largest takes gigabytes.
    model : callable
        ``model(dataset, context_dim, rng)`` builds the flow or VAE.
    optimizer : callable
        Makes a new optimiser.
    schedule : callable
        Makes a schedule from a learning rate.
    learning_rate : float
    batch_size, epochs : int
    average : int or None
    clip_norm : float or None
        See `fit`.
    labels : bool
        The flow is conditional: its context is the label, one-hot.
    shifts : bool
        Train also on images shifted by a pixel, see `with_shifts`.
    """

    description: str
    source: str
    made_for: str
    parameters: int
    model: Callable[[Dataset, int, Rng], Model]
    optimizer: Callable[[], Optimizer]
    schedule: Callable[[float], Schedule]
    learning_rate: float
    batch_size: int
    epochs: int
    average: int | None = None
    clip_norm: float | None = None
    labels: bool = False
    shifts: bool = False

    def build(self, dataset: Dataset, rng: Rng = None) -> Model:
        """A new flow or VAE for the data set.

        Raises
        ------
        NiceValueError
            If the architecture needs labels or images and the data set has none.
        """
        return self.model(dataset, n_classes(dataset) if self.labels else 0, rng)

    def training_set(self, dataset: Dataset) -> Dataset:
        """The data set with the training images that `fit` shall see."""
        return with_shifts(dataset) if self.shifts else dataset

    def training(self, learning_rate: float | None = None, batch_size: int | None = None) -> dict[str, Any]:
        """Keyword arguments for `fit`, epochs or time limit aside."""
        return {
            "optimizer": self.optimizer(),
            "learning_rate": self.schedule(self.learning_rate if learning_rate is None else learning_rate),
            "batch_size": self.batch_size if batch_size is None else batch_size,
            "average": self.average,
            "clip_norm": self.clip_norm,
        }


def n_classes(dataset: Dataset) -> int:
    """How many classes the labels tell apart: they are 0 .. n - 1.

    Raises
    ------
    NiceValueError
        If there are no labels, or some samples have none (-1).
    """
    labels = dataset.train_labels
    if labels is None or len(labels) == 0:
        raise NiceValueError(f"data set {dataset.name} has no labels, which this preset needs")
    if labels.min() < 0:
        raise NiceValueError(f"data set {dataset.name} has samples without a label, which this preset needs")
    return int(labels.max()) + 1


# -- models of a data set ---------------------------------------------------------------------------------------------


def _nice(dataset: Dataset, context_dim: int, rng: Rng, **settings: Any) -> Flow:
    return nice(dataset.dim, image_shape=dataset.image_shape, context_dim=context_dim, rng=rng, **settings)


def _real_nvp(dataset: Dataset, context_dim: int, rng: Rng, **settings: Any) -> Flow:
    return real_nvp(dataset.dim, image_shape=dataset.image_shape, context_dim=context_dim, rng=rng, **settings)


def _original(dataset: Dataset, context_dim: int, rng: Rng, **settings: Any) -> Flow:
    return original_nice(dataset.dim, rng=rng, **settings)


def _whitened(dataset: Dataset, context_dim: int, rng: Rng, relative: float, **settings: Any) -> Flow:
    """RealNVP of images behind a whitening that adds a part of the mean variance to every direction."""
    whitening = ZCAWhitening.unfitted(dataset.dim, relative=relative, dtype=np.float32)
    return _real_nvp(dataset, context_dim, rng, preprocess=(whitening,), **settings)


def _gaussian(dataset: Dataset, context_dim: int, rng: Rng, relative: float) -> Flow:
    """A full-covariance Gaussian is the flow that only whitens; nothing in it is trained."""
    return Flow("normal", PCAWhitening.unfitted(dataset.dim, relative=relative, dtype=np.float32))


def _autoencoder(dataset: Dataset, context_dim: int, rng: Rng, kind: str, decoder: str) -> VAE:
    """All forms have the same networks; the flow, where there is one, is small beside them."""
    if dataset.image_shape is None:
        raise NiceValueError(f"data set {dataset.name} is points, and the presets of VAEs are for images; train a flow")
    return variational_autoencoder(
        dataset.dim,
        latent=16,
        hidden=(300,),
        kind=kind,
        decoder=decoder,
        preprocess=("logit", "standardize") if decoder == "gaussian" else (),
        couplings=8,
        flow_hidden=(100,),
        context_dim=32 if kind == "nice-posterior" else 0,
        rng=rng,
    )


# -- the presets ------------------------------------------------------------------------------------------------------

# The paper does not say how its weights start: as in its authors' code, here.  With "he" a first step of Adam, which
# moves every weight by the learning rate, throws networks as wide as these far off.
_paper = partial(
    Preset,
    source=PAPER,
    optimizer=partial(Adam, beta1=0.9, beta2=0.99, eps=1e-4),  # "beta2 = 0.01" in the paper is 1 - beta2
    schedule=Constant,
    learning_rate=1e-3,
    batch_size=200,
    epochs=1500,
)
_code = partial(
    Preset,
    source=CODE,
    optimizer=RMSPropMomentum,
    schedule=partial(ExponentialDecay, factor=1.0005, minimum=1e-4),
    learning_rate=1e-3,
    batch_size=200,
    epochs=1500,
)
_own = partial(Preset, source=OWN, schedule=Cosine)
_vae = partial(
    _own,
    made_for="mnist",
    optimizer=Adam,
    learning_rate=3e-3,
    batch_size=200,
    epochs=30,
    average=500,
)

PRESETS = {
    "mnist-paper": _paper(
        description="NICE, 4 x (5 x 1000), raw pixels, logistic prior",
        made_for="mnist",
        parameters=19_158_352,
        model=partial(_nice, preprocess=(), init="uniform"),
    ),
    "mnist-code": _code(
        description="NICE, 4 x (5 x 1000), tile and reversals, logistic prior",
        made_for="mnist",
        parameters=19_158_352,
        model=partial(_original, depths=(5, 5, 5, 5), width=1000),
    ),
    "tfd-paper": _paper(
        description="NICE, 4 x (4 x 5000), whitened, Gaussian prior",
        made_for="tfd",
        parameters=346_166_912,
        model=partial(_nice, hidden=(5000,) * 4, prior="normal", preprocess=("zca",), init="uniform"),
    ),
    "tfd-code": _code(
        description="NICE, 8 couplings of 1 to 3 x 2000, tile and reversals, logistic prior",
        made_for="tfd",
        parameters=60_903_520,
        model=partial(_original, depths=(3, 3, 2, 2, 1, 1, 1, 1), width=2000),
        batch_size=128,
    ),
    "svhn-paper": _paper(
        description="NICE, 4 x (4 x 2000), whitened, logistic prior",
        made_for="svhn",
        parameters=72_617_216,
        model=partial(_nice, hidden=(2000,) * 4, preprocess=("zca",), init="uniform"),
    ),
    "svhn-code": _code(
        description="NICE, 4 x (3 x 2000), halves and reversals, Gaussian prior",
        made_for="svhn",
        parameters=56_609_216,
        model=partial(_original, depths=(3, 3, 3, 3), width=2000, prior="normal", tile=False),
    ),
    "cifar10-paper": _paper(
        description="NICE, 4 x (4 x 2000), in [-1, 1] and whitened, logistic prior",
        made_for="cifar10",
        parameters=72_617_216,
        model=partial(_nice, hidden=(2000,) * 4, preprocess=("rescale", "zca"), init="uniform"),
    ),
    "cifar10-code": _code(
        description="NICE, 8 couplings of 1 to 3 x 2400, halves and reversals, Gaussian prior",
        made_for="cifar10",
        parameters=93_591_360,
        model=partial(_original, depths=(1, 1, 3, 3, 2, 2, 1, 1), width=2400, prior="normal", tile=False),
        schedule=partial(ExponentialDecay, factor=1.0005, minimum=1e-5),
        learning_rate=2e-4,
    ),
    "digits": _own(
        description="NICE, 4 x (2 x 200), a minute",
        made_for="mnist-small",
        parameters=791_152,
        model=partial(_nice, hidden=(200, 200)),
        optimizer=partial(Adam, weight_decay=0.3),
        learning_rate=2e-3,
        batch_size=100,
        epochs=40,
        average=200,
    ),
    "mnist": _own(
        description="NICE, 10 x (1 x 200), a minute",
        made_for="mnist",
        parameters=1_574_704,
        model=partial(_nice, couplings=10, hidden=(200,)),
        optimizer=partial(Adam, weight_decay=0.1),
        learning_rate=3e-3,
        batch_size=100,
        epochs=7,
        average=500,
    ),
    "mnist-best": _own(
        description="NICE, 10 x (1 x 300), a quarter of an hour",
        made_for="mnist",
        parameters=2_359_704,
        model=partial(_nice, couplings=10, hidden=(300,)),
        optimizer=partial(Adam, weight_decay=0.15),
        learning_rate=3e-3,
        batch_size=200,
        epochs=90,
        average=500,
    ),
    "mnist-affine": _own(
        description="RealNVP, 6 x (2 x 400), logit pixels, Gaussian prior",
        made_for="mnist",
        parameters=3_791_904,
        model=partial(_real_nvp, hidden=(400, 400), preprocess=("logit", "standardize")),
        optimizer=partial(Adam, weight_decay=0.2),
        learning_rate=1e-3,
        batch_size=200,
        epochs=24,
        average=500,
    ),
    "mnist-labels": _own(
        description="NICE given the label, 10 x (1 x 300)",
        made_for="mnist",
        parameters=2_389_704,
        model=partial(_nice, couplings=10, hidden=(300,)),
        optimizer=partial(Adam, weight_decay=0.1),
        learning_rate=2e-3,
        batch_size=200,
        epochs=4,
        average=500,
        labels=True,
        shifts=True,
    ),
    "cifar10-best": _own(
        description="RealNVP, 6 convolutional couplings, whitened, Gaussian prior",
        made_for="cifar10",
        parameters=86_856,
        model=partial(
            _whitened, relative=3e-4, couplings=6, hidden=(32, 32), conditioner="conv", partition="checkerboard"
        ),
        optimizer=partial(Adam, weight_decay=0.1),
        learning_rate=1e-3,
        batch_size=50,
        epochs=20,
        average=200,
    ),
    "faces-best": _own(
        description="RealNVP, 6 convolutional couplings, Gaussian prior",
        made_for="faces",
        parameters=66_072,
        model=partial(_real_nvp, couplings=6, hidden=(32, 32), conditioner="conv", partition="checkerboard"),
        optimizer=partial(Adam, weight_decay=0.1),
        learning_rate=1e-3,
        batch_size=20,
        epochs=80,
        average=200,
    ),
    "cifar10-gaussian": _own(
        description="full-covariance Gaussian, the baseline",
        made_for="cifar10",
        parameters=0,
        model=partial(_gaussian, relative=3e-4),
        optimizer=Adam,
        learning_rate=1e-3,
        batch_size=200,
        epochs=1,
    ),
    "faces-gaussian": _own(
        description="full-covariance Gaussian, the baseline",
        made_for="faces",
        parameters=0,
        model=partial(_gaussian, relative=0.1),
        optimizer=Adam,
        learning_rate=1e-3,
        batch_size=200,
        epochs=1,
    ),
    "vae": _vae(
        description="VAE, Gaussian posterior and prior, binarised pixels",
        parameters=486_216,
        model=partial(_autoencoder, kind="plain", decoder="bernoulli"),
    ),
    "vae-nice-posterior": _vae(
        description="VAE, NICE behind the encoder, binarised pixels",
        parameters=535_128,
        model=partial(_autoencoder, kind="nice-posterior", decoder="bernoulli"),
    ),
    "vae-nice-prior": _vae(
        description="VAE, NICE as prior, binarised pixels",
        parameters=499_896,
        model=partial(_autoencoder, kind="nice-prior", decoder="bernoulli"),
    ),
    "vae-gaussian": _vae(
        description="VAE, Gaussian decoder of dequantised pixels behind a logit",
        parameters=487_000,
        model=partial(_autoencoder, kind="plain", decoder="gaussian"),
    ),
    "toy": _own(
        description="NICE, 8 x (2 x 64), Gaussian prior",
        made_for=POINTS,
        parameters=34_826,
        model=partial(_nice, couplings=8, hidden=(64, 64), prior="normal"),
        optimizer=Adam,
        learning_rate=2e-3,
        batch_size=256,
        epochs=100,
    ),
    "toy-affine": _own(
        description="RealNVP, 8 x (2 x 64), Gaussian prior",
        made_for=POINTS,
        parameters=35_344,
        model=partial(_real_nvp, couplings=8, hidden=(64, 64)),
        optimizer=Adam,
        learning_rate=2e-3,
        batch_size=256,
        epochs=100,
    ),
}
DEFAULTS = {  # of each data set of images, the preset that suits it
    "mnist-small": "digits",
    "mnist": "mnist",
    "cifar10": "cifar10-best",
    "svhn": "cifar10-best",
    "tfd": "faces-best",
    "faces": "faces-best",
}


MODELS = ("flow", "vae", "vae-nice-posterior", "vae-nice-prior")  # for a VAE, also the name of its preset


def get_preset(name: str | None, dataset: Dataset, model: str | None = None) -> tuple[str, Preset]:
    """The preset called `name`, or the default one for the data set and the kind of model, with its name."""
    if name is not None and model is not None:
        raise NiceValueError("a preset says what model it is of: give --preset or --model, not both")
    if name is None:
        name = DEFAULTS.get(dataset.name, "toy-affine") if model in (None, "flow") else model
    return name, PRESETS[as_choice(name, PRESETS, "preset", "preset")]

"""Named settings: an architecture and how to train it, for the command line.

The presets of the NICE paper come in pairs: ``-paper`` as the paper describes the experiment, ``-code`` as its authors'
program runs it.  They differ in architecture, preprocessing and optimiser, see docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nice_np.bijectors import Logit, PCAWhitening, ZCAWhitening
from nice_np.datasets.base import Dataset
from nice_np.datasets.flipped import with_flips
from nice_np.datasets.shifted import with_shifts
from nice_np.errors import NiceValueError
from nice_np.flows.autoregressive_flows import iaf, maf
from nice_np.flows.builders import nice, original_nice, real_nvp
from nice_np.flows.continuous import continuous_flow, flow_matching
from nice_np.flows.dequantization import variational_dequantization
from nice_np.flows.flow import Flow
from nice_np.flows.glow import glow
from nice_np.flows.integer import integer_flow
from nice_np.flows.labelled import labelled
from nice_np.flows.law_flows import mixture_flow, spline_flow
from nice_np.flows.model import Model
from nice_np.flows.planar import planar_flow
from nice_np.flows.residual import residual_flow
from nice_np.training.optim import Adam, Optimizer, RMSPropMomentum
from nice_np.training.schedules import Constant, Cosine, ExponentialDecay, Schedule
from nice_np.vae import VAE, variational_autoencoder
from nice_np.validation import Rng, as_choice, as_rng

PAPER = "paper, section 5.1"
CODE = "authors' code"
OWN = "nice_np"
POINTS = "the plane"


@dataclass(frozen=True)
class Preset:
    """An architecture and a way to train it; `average` and `clip_norm` are explained in `fit`."""

    description: str
    made_for: str  # a data set; others work if the architecture allows it
    parameters: int  # trained ones, for that data set; stored, since building the largest model takes gigabytes
    model: Callable[[Dataset, int, Rng], Model]  # (dataset, context_dim, rng) -> flow or VAE
    source: str  # of the settings
    optimizer: Callable[[], Optimizer]  # makes a new one
    schedule: Callable[[float], Schedule]  # of a learning rate
    learning_rate: float
    batch_size: int
    epochs: int
    average: int | None = None
    clip_norm: float | None = None
    labels: bool = False  # the flow is conditional: its context is the one-hot label
    shifts: bool = False  # train also on images shifted by a pixel, see `with_shifts`
    flips: bool = False  # train also on the images in a mirror, see `with_flips`

    def build(self, dataset: Dataset, rng: Rng = None) -> Model:
        """A new flow or VAE for the data set; NiceValueError if it needs labels or images and there are none."""
        return self.model(dataset, n_classes(dataset) if self.labels else 0, rng)

    def training_set(self, dataset: Dataset) -> Dataset:
        """The data set with the training images that `fit` will see."""
        seen = with_shifts(dataset) if self.shifts else dataset
        return with_flips(seen) if self.flips else seen

    def training(self, learning_rate: float | None = None, batch_size: int | None = None) -> dict[str, Any]:
        """Keyword arguments for `fit`, except epochs and time limit."""
        return {
            "optimizer": self.optimizer(),
            "learning_rate": self.schedule(self.learning_rate if learning_rate is None else learning_rate),
            "batch_size": self.batch_size if batch_size is None else batch_size,
            "average": self.average,
            "clip_norm": self.clip_norm,
        }


def n_classes(dataset: Dataset) -> int:
    """The number of classes n, with labels 0 .. n - 1; NiceValueError if some sample has no label (-1)."""
    labels = dataset.train_labels
    if labels is None or len(labels) == 0:
        raise NiceValueError(f"data set {dataset.name} has no labels, which this preset needs")
    if labels.min() < 0:
        raise NiceValueError(f"data set {dataset.name} has samples without a label, which this preset needs")
    return int(labels.max()) + 1


# -- models for a data set --------------------------------------------------------------------------------------------


def _nice(dataset: Dataset, context_dim: int, rng: Rng, **settings: Any) -> Flow:
    return nice(dataset.dim, image_shape=dataset.image_shape, context_dim=context_dim, rng=rng, **settings)


def _real_nvp(dataset: Dataset, context_dim: int, rng: Rng, **settings: Any) -> Flow:
    return real_nvp(dataset.dim, image_shape=dataset.image_shape, context_dim=context_dim, rng=rng, **settings)


def _shape_of(dataset: Dataset, models: str) -> tuple[int, ...]:
    if dataset.image_shape is None:
        raise NiceValueError(f"data set {dataset.name} has no images, which the presets of {models} need")
    return dataset.image_shape


def _glow(dataset: Dataset, context_dim: int, rng: Rng, **settings: Any) -> Flow:
    return glow(_shape_of(dataset, "Glow"), context_dim=context_dim, rng=rng, **settings)


def _labelled_glow(dataset: Dataset, context_dim: int, rng: Rng, weight: float, **settings: Any) -> Flow:
    return labelled(_glow(dataset, 0, rng, **settings), context_dim, weight)


def _whitened_glow(dataset: Dataset, context_dim: int, rng: Rng, relative: float, **settings: Any) -> Flow:
    """Glow behind a whitening as above."""
    whitening = ZCAWhitening.unfitted(dataset.dim, relative=relative, dtype=np.float32)
    return _glow(dataset, context_dim, rng, preprocess=(whitening,), **settings)


def _glow_with_learned_noise(dataset: Dataset, context_dim: int, rng: Rng, **settings: Any) -> Flow:
    """Glow behind an equalised histogram, and noise within the pixels' bins that is learned with it."""
    rng = as_rng(rng, "presets")
    noise = variational_dequantization(_shape_of(dataset, "Glow"), rng=rng)
    return _glow(dataset, context_dim, rng, preprocess=(noise, "equalize", "logit"), **settings)


def _glow_of_faces(dataset: Dataset, context_dim: int, rng: Rng, **settings: Any) -> Flow:
    """Few pixels of photographs are black or white, so a logit that stays within +-3 will do."""
    return _glow(dataset, context_dim, rng, preprocess=(Logit(dataset.dim, alpha=0.05),), start="whitening", **settings)


def _idf(dataset: Dataset, context_dim: int, rng: Rng, **settings: Any) -> Flow:
    return integer_flow(_shape_of(dataset, "integer flows"), rng=rng, **settings)


def _family(make: Callable[..., Flow], **settings: Any) -> Callable[[Dataset, int, Rng], Flow]:
    """A builder that asks for the number of features alone."""
    return lambda dataset, context_dim, rng: make(dataset.dim, rng=rng, **settings)


def _original(dataset: Dataset, context_dim: int, rng: Rng, **settings: Any) -> Flow:
    return original_nice(dataset.dim, rng=rng, **settings)


def _whitened(dataset: Dataset, context_dim: int, rng: Rng, relative: float, **settings: Any) -> Flow:
    """RealNVP of images behind a whitening that adds a fraction of the mean variance to every eigenvalue."""
    whitening = ZCAWhitening.unfitted(dataset.dim, relative=relative, dtype=np.float32)
    return _image_real_nvp(dataset, context_dim, rng, preprocess=(whitening,), **settings)


def _gaussian(dataset: Dataset, context_dim: int, rng: Rng, relative: float) -> Flow:
    """A full-covariance Gaussian is a flow that only whitens; it has no trained parameters."""
    return Flow("normal", PCAWhitening.unfitted(dataset.dim, relative=relative, dtype=np.float32))


def _autoencoder(dataset: Dataset, context_dim: int, rng: Rng, kind: str, decoder: str) -> VAE:
    """All kinds have the same encoder and decoder; the flow, if any, is small in comparison."""
    if dataset.image_shape is None:
        raise NiceValueError(f"data set {dataset.name} has no images, which the presets of VAEs need; train a flow")
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

# The paper does not give its initial weights, so they are those of its authors' code.  With "he" the first step of
# Adam, which moves every weight by the learning rate, throws such wide networks far off.
_paper_nice = partial(_nice, hidden=(1000,) * 5, init="uniform")
# Between images biases make no difference; with these the printed results can be had again bit for bit.
_image_nice = partial(_nice, init="he")
_image_real_nvp = partial(_real_nvp, init="he", scale="tanh")
_conv: dict[str, Any] = {"couplings": 6, "hidden": (32, 32), "conditioner": "conv", "partition": "checkerboard"}
_published = partial(Preset, learning_rate=1e-3, batch_size=200, epochs=1500)
_paper = partial(
    _published,
    source=PAPER,
    optimizer=partial(Adam, beta1=0.9, beta2=0.99, eps=1e-4),  # "beta2 = 0.01" in the paper is 1 - beta2
    schedule=Constant,
)
_code = partial(
    _published,
    source=CODE,
    optimizer=RMSPropMomentum,
    schedule=partial(ExponentialDecay, factor=1.0005, minimum=1e-4),
)
_own = partial(Preset, source=OWN, schedule=Cosine, optimizer=Adam)
# With the dense steps samples are whole digits; the equalised histogram is worth a tenth of a bit per pixel.
_whole: dict[str, Any] = {"dense": 4, "hidden": (64,), "preprocess": ("equalize", "logit")}
# One batch in a hundred has a gradient a million times as long as the others': Adam, whose v remembers it for a
# thousand steps, would stand still.  50 is shorter than nearly all, so that every step counts alike.
_glow_of_digits = partial(_own, learning_rate=5e-3, batch_size=25, clip_norm=50.0)
_gauss = partial(_own, learning_rate=1e-3, batch_size=200, epochs=1)
_vae = partial(_own, learning_rate=3e-3, batch_size=200, epochs=30, average=500)
_toy = partial(_own, learning_rate=2e-3, batch_size=256, epochs=100)


def _decay(rate: float) -> Callable[[], Optimizer]:
    return partial(Adam, weight_decay=rate)


# fmt: off
PRESETS = {  # each with its description, the data set it was made for, its number of parameters, and its model
    "mnist-paper": _paper(
        "NICE, 4 x (5 x 1000), raw pixels, logistic prior", "mnist", 19_158_352,
        partial(_paper_nice, preprocess=())),
    "mnist-code": _code(
        "NICE, 4 x (5 x 1000), tile and reversals, logistic prior", "mnist", 19_158_352,
        partial(_original, depths=(5, 5, 5, 5), width=1000)),
    "tfd-paper": _paper(
        "NICE, 4 x (4 x 5000), whitened, Gaussian prior", "tfd", 346_166_912,
        partial(_paper_nice, hidden=(5000,) * 4, prior="normal", preprocess=("zca",))),
    "tfd-code": _code(
        "NICE, 8 couplings of 1 to 3 x 2000, tile and reversals, logistic prior", "tfd", 60_903_520,
        partial(_original, depths=(3, 3, 2, 2, 1, 1, 1, 1), width=2000),
        batch_size=128),
    "svhn-paper": _paper(
        "NICE, 4 x (4 x 2000), whitened, logistic prior", "svhn", 72_617_216,
        partial(_paper_nice, hidden=(2000,) * 4, preprocess=("zca",))),
    "svhn-code": _code(
        "NICE, 4 x (3 x 2000), halves and reversals, Gaussian prior", "svhn", 56_609_216,
        partial(_original, depths=(3, 3, 3, 3), width=2000, prior="normal", tile=False)),
    "cifar10-paper": _paper(
        "NICE, 4 x (4 x 2000), in [-1, 1] and whitened, logistic prior", "cifar10", 72_617_216,
        partial(_paper_nice, hidden=(2000,) * 4, preprocess=("rescale", "zca"))),
    "cifar10-code": _code(
        "NICE, 8 couplings of 1 to 3 x 2400, halves and reversals, Gaussian prior", "cifar10", 93_591_360,
        partial(_original, depths=(1, 1, 3, 3, 2, 2, 1, 1), width=2400, prior="normal", tile=False),
        schedule=partial(ExponentialDecay, factor=1.0005, minimum=1e-5), learning_rate=2e-4),
    "digits": _glow_of_digits(
        "Glow, 2 levels x 4 steps, 24 channels, and 4 dense steps, a minute", "mnist-small", 173_756,
        partial(_glow, steps=4, channels=24, **_whole),
        epochs=8, average=300),
    "digits-nice": _own(
        "NICE, 4 x (2 x 200), a minute", "mnist-small", 791_152,
        partial(_image_nice, hidden=(200, 200)),
        optimizer=_decay(0.3), learning_rate=2e-3, batch_size=100, epochs=40, average=200),
    "mnist": _glow_of_digits(
        "Glow, 2 levels x 6 steps, 32 channels, and 4 dense steps, two minutes", "mnist", 197_604,
        partial(_glow, channels=32, **_whole),
        epochs=2, average=300),
    "mnist-nice": _own(
        "NICE, 10 x (1 x 200), a minute", "mnist", 1_574_704,
        partial(_image_nice, couplings=10, hidden=(200,)),
        optimizer=_decay(0.1), learning_rate=3e-3, batch_size=100, epochs=7, average=500),
    "mnist-best": _own(
        "NICE, 10 x (1 x 300), a quarter of an hour", "mnist", 2_359_704,
        partial(_image_nice, couplings=10, hidden=(300,)),
        optimizer=_decay(0.15), learning_rate=3e-3, batch_size=200, epochs=90, average=500),
    "mnist-affine": _own(
        "RealNVP, 6 x (2 x 400), logit pixels, Gaussian prior", "mnist", 3_791_904,
        partial(_image_real_nvp, hidden=(400, 400), preprocess=("logit", "standardize")),
        optimizer=_decay(0.2), learning_rate=1e-3, batch_size=200, epochs=24, average=500),
    "mnist-nice-logit": _own(
        "NICE, 10 x (1 x 300), histogram and logit, logistic prior, ten minutes", "mnist", 2_359_704,
        partial(_image_nice, couplings=10, hidden=(300,), preprocess=("equalize", "logit", "standardize")),
        optimizer=_decay(0.1), learning_rate=3e-3, batch_size=100, epochs=40, average=500),
    "mnist-glow": _glow_of_digits(
        "Glow, 2 levels x 6 steps, 48 channels, and 4 dense steps, ten minutes", "mnist", 228_900,
        partial(_glow, **_whole),
        epochs=7, average=1000),
    "mnist-glow-noise": _glow_of_digits(
        "Glow, 64 channels, and learned noise within the pixels, forty minutes", "mnist", 273_268,
        partial(_glow_with_learned_noise, channels=64, dense=4, hidden=(64,)),
        learning_rate=2.5e-3, epochs=18, average=1000),
    "mnist-glow-labels": _glow_of_digits(
        "Glow with a Gaussian for each label, trained to tell labels apart, too", "mnist", 237_524,
        partial(_labelled_glow, weight=1000.0, **_whole),
        epochs=7, average=500, labels=True),
    "mnist-idf": _own(
        "integer discrete flow, 2 levels, 32 channels: a lossless code", "mnist", 34_999, _idf,
        learning_rate=8e-3, batch_size=50, epochs=2, average=300, clip_norm=2e4),
    "mnist-labels": _own(
        "NICE given the label, 10 x (1 x 300)", "mnist", 2_389_704,
        partial(_image_nice, couplings=10, hidden=(300,)),
        optimizer=_decay(0.1), learning_rate=2e-3, batch_size=200, epochs=4, average=500, labels=True, shifts=True),
    "cifar10-glow": _own(
        "Glow, 3 levels x 4 steps, 48 channels, whitened", "cifar10", 262_908,
        partial(_whitened_glow, relative=1e-3, levels=3, steps=4, channels=48),
        learning_rate=3e-3, batch_size=25, epochs=8, average=200, clip_norm=50.0, flips=True),
    "faces-glow": _own(
        "Glow, 4 levels x 4 steps, 32 channels, and 4 dense steps, logit pixels", "faces", 332_052,
        partial(_glow_of_faces, levels=4, steps=4, channels=32, dense=4, hidden=(64,)),
        learning_rate=3e-3, batch_size=10, epochs=14, average=200, clip_norm=50.0, flips=True),
    "cifar10-best": _own(
        "RealNVP, 6 convolutional couplings, whitened, Gaussian prior", "cifar10", 86_856,
        partial(_whitened, relative=3e-4, **_conv),
        optimizer=_decay(0.1), learning_rate=1e-3, batch_size=50, epochs=20, average=200),
    "faces-best": _own(
        "RealNVP, 6 convolutional couplings, Gaussian prior", "faces", 66_072,
        partial(_image_real_nvp, **_conv),
        optimizer=_decay(0.1), learning_rate=1e-3, batch_size=20, epochs=80, average=200),
    "cifar10-gaussian": _gauss(
        "full-covariance Gaussian, the baseline", "cifar10", 0, partial(_gaussian, relative=3e-4)),
    "faces-gaussian": _gauss(
        "full-covariance Gaussian, the baseline", "faces", 0, partial(_gaussian, relative=0.1)),
    "vae": _vae(
        "VAE, Gaussian posterior and prior, binarised pixels", "mnist", 486_216,
        partial(_autoencoder, kind="plain", decoder="bernoulli")),
    "vae-nice-posterior": _vae(
        "VAE, NICE behind the encoder, binarised pixels", "mnist", 535_128,
        partial(_autoencoder, kind="nice-posterior", decoder="bernoulli")),
    "vae-nice-prior": _vae(
        "VAE, NICE as prior, binarised pixels", "mnist", 499_896,
        partial(_autoencoder, kind="nice-prior", decoder="bernoulli")),
    "vae-gaussian": _vae(
        "VAE, Gaussian decoder of dequantised pixels behind a logit", "mnist", 487_000,
        partial(_autoencoder, kind="plain", decoder="gaussian")),
    "toy": _toy(
        "NICE, 8 x (2 x 64), Gaussian prior", POINTS, 34_826,
        partial(_nice, couplings=8, hidden=(64, 64), prior="normal")),
    "toy-affine": _toy(
        "RealNVP, 8 x (2 x 64), Gaussian prior", POINTS, 35_344,
        partial(_real_nvp, couplings=8, hidden=(64, 64))),
    "maf": _toy("MAF, 8 x (2 x 64)", POINTS, 36_896, _family(maf, layers=8, hidden=(64, 64))),
    "iaf": _toy("IAF, 8 x (2 x 64)", POINTS, 36_896, _family(iaf, layers=8, hidden=(64, 64))),
    "spline": _toy("spline couplings, 6 x (2 x 64)", POINTS, 34_698, _family(
        spline_flow, layers=6, hidden=(64, 64), wiring="coupling")),
    "mixture": _toy("logistic-mixture couplings, 6 x (2 x 64)", POINTS, 35_868, _family(
        mixture_flow, layers=6, hidden=(64, 64), wiring="coupling")),
    "planar": _toy("32 planar layers", POINTS, 160, _family(planar_flow, layers=32)),
    "residual": _toy("16 residual layers", POINTS, 2_656, _family(residual_flow), epochs=10),
    "continuous": _toy("continuous flow, 3 x 64, 10 steps of RK4", POINTS, 8_706, _family(
        continuous_flow, hidden=(64, 64, 64)), epochs=10),
    "flow-matching": _toy("continuous flow, 3 x 128, by flow matching", POINTS, 33_794, _family(
        flow_matching, hidden=(128, 128, 128)), epochs=300),
}
# fmt: on
DEFAULTS = {  # the preset for each data set of images
    "mnist-small": "digits",
    "mnist": "mnist",
    "cifar10": "cifar10-glow",
    "svhn": "cifar10-best",
    "tfd": "faces-best",
    "faces": "faces-glow",
}
MODELS = ("flow", "vae", "vae-nice-posterior", "vae-nice-prior")  # for a VAE, also the name of its preset


def get_preset(name: str | None, dataset: Dataset, model: str | None = None) -> tuple[str, Preset]:
    """The preset called `name`, or the default for the data set and the kind of model, with its name."""
    if name is not None and model is not None:
        raise NiceValueError("a preset includes the kind of model: give --preset or --model, not both")
    if name is None:
        name = DEFAULTS.get(dataset.name, "toy-affine") if model in (None, "flow") else model
    name = as_choice(name, PRESETS, "preset", "preset")
    return name, PRESETS[name]

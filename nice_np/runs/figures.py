"""The figures of a finished run: which ones are drawn for which data, and in which files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from nice_np.bijectors import DiagonalScaling
from nice_np.bijectors.with_context import without_context
from nice_np.datasets.base import Dataset, Samples
from nice_np.errors import NiceOverflowError
from nice_np.flows.conditional import log_prob_without_label, sample_by_label
from nice_np.flows.flow import Flow
from nice_np.flows.integer import IntegerFlow
from nice_np.flows.model import Model
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.restoration import inpaint
from nice_np.restoration.arguments import space_for
from nice_np.restoration.operators import named_mask
from nice_np.runs.scoring import as_density_input, label_context
from nice_np.training.history import History
from nice_np.vae import VAE
from nice_np.validation import Array

SAMPLES = 100  # from a flow without labels
PER_LABEL = 10  # samples for each label
PAIRS = 5  # rows of an interpolation
STEPS = 6  # images between the two of a pair: few and large
SCORED = 500  # images of each kind in the histogram of likelihoods
LOOKED_UP = 4  # samples shown with their nearest neighbours
SMALL = 1000  # features; fewer of the larger images are completed, in fewer steps


def draw(model: Model, dataset: Dataset, history: History, folder: Path, seed: int) -> list[Path]:
    """Draw the figures that suit the data into the existing `folder`, replacing files in it; `seed` is for the samples.

    Returns the path of each figure, named as in `folder.FIGURES`.
    """
    from nice_np import plotting

    figures: dict[str, Any] = {"training_curve": plotting.training_curve(history)}
    if isinstance(model, VAE):
        figures.update(_of_autoencoder(model, dataset, seed))
    elif isinstance(model, Flow):
        figures.update(_of_plane(model, seed) if dataset.image_shape is None else _of_images(model, dataset, seed))
        if any(isinstance(layer, DiagonalScaling) for layer in without_context(model.layers)):
            figures["spectrum"] = plotting.spectrum(model)
    paths = {name: folder / f"{name}.png" for name in figures}
    for name, path in paths.items():
        plotting.save(figures[name], path)
    return list(paths.values())


def _of_plane(flow: Flow, seed: int) -> dict[str, Any]:
    from nice_np import plotting

    return {
        "density": plotting.density(flow, samples=flow.sample(500, rng=seed)),
        "bent_grid": plotting.bent_grid(flow)[0].figure,
    }


def _of_autoencoder(model: VAE, dataset: Dataset, seed: int) -> dict[str, Any]:
    from nice_np import plotting

    shape = dataset.image_shape
    means = model.decode(model.sample_latents(SAMPLES, seed))
    real = model.from_pixels(dataset.test[: min(2 * PAIRS, dataset.n_test)], NOISE_SEED)
    rebuilt = plotting.reconstructions(real, model.reconstruct(real), shape)
    rebuilt.set_title("test images and E[x | z] at the encoder's z", fontsize=10)
    return {
        "samples": plotting.image_grid(means, shape, title="E[x | z] for z drawn from the prior"),
        "reconstructions": rebuilt,
    }


def _of_images(flow: Flow, dataset: Dataset, seed: int) -> dict[str, Any]:
    from nice_np import plotting

    shape = dataset.image_shape
    samples = draw_samples(flow, SAMPLES, PER_LABEL, seed)
    count = min(2 * PAIRS, dataset.n_test // 2 * 2)
    real = as_density_input(dataset.test[:count], NOISE_SEED, flow)
    labels = label_context(flow, dataset, "test")
    context = None if labels is None else labels[:count]
    return {
        "samples": _sheet(flow, samples, shape),
        "reconstructions": plotting.reconstructions(real, flow.decode(flow.encode(real, context), context), shape),
        "interpolation": plotting.interpolation(flow, real, STEPS, shape, context=context),
        **_inpainting(flow, real, shape, context),
        "likelihoods": plotting.likelihood_histogram(likelihoods(flow, dataset)),
        "nearest_neighbours": _neighbours(samples, dataset),
    }


def _inpainting(flow: Flow, real: Array, shape: Any, context: Array | None) -> dict[str, Any]:
    """Images completed from their upper halves; empty if the flow overflows on the way, or has no gradient in x."""
    from nice_np import plotting

    if isinstance(flow, IntegerFlow):
        return {}

    count, steps = (10, 60) if flow.dim <= SMALL else (5, 30)
    x, context = real[:count], None if context is None else context[:count]
    observed = np.broadcast_to(named_mask("bottom", *shape[-2:]), shape)
    try:
        found = inpaint(flow, x, observed, space=space_for(flow), steps=steps, clip=(0, 1), context=context)
    except NiceOverflowError:
        return {}
    names, title = ("real", "seen", "completed"), "test images completed from their upper halves"
    drawing = plotting.restorations(x, x, found.x, shape, hidden=~observed, names=names, title=title)
    return {"inpainting": drawing}


def draw_samples(flow: Flow, n: int, per_label: int, seed: int) -> Array:
    """`n` samples, (n, D); for a flow with C labels `per_label` of each, labels alternating: (per_label C, D)."""
    if flow.context_dim == 0:
        return flow.sample(n, rng=seed)
    by_label = sample_by_label(flow, per_label, seed)  # C times (per_label, D)
    return np.stack(list(by_label.values()), axis=1).reshape(-1, flow.dim)


def _sheet(flow: Flow, samples: Array, shape: Any) -> Any:
    """The samples of `draw_samples` as a picture, one row per label if there are labels."""
    from nice_np import plotting

    classes = flow.context_dim
    if classes == 0:
        return plotting.image_grid(samples, shape, title="samples from the model")
    by_label = {k: samples[k::classes] for k in range(classes)}
    return plotting.label_grid(by_label, shape, title="samples from the model given the label")


def _neighbours(samples: Array, dataset: Dataset) -> Any:
    from nice_np import plotting

    medians = [np.median(plotting.nearest(x, dataset.train, 1)[1]) for x in (samples, dataset.test[: len(samples)])]
    title = (
        "samples (framed), their nearest training images, and the distance\n"
        "median distance to the nearest one: samples {:.3g}, test images {:.3g}".format(*medians)
    )
    k = min(5, dataset.n_train)
    return plotting.nearest_neighbours(samples[:LOOKED_UP], dataset.train, dataset.image_shape, k, title=title)


def likelihoods(flow: Flow, dataset: Dataset) -> dict[str, Array]:
    """log p(x) in nats of test images and of `strange_images`, {kind: (N,)}; kinds that overflow are left out."""
    scores: dict[str, Array] = {}
    for name, images in strange_images(dataset).items():
        with suppress(NiceOverflowError):  # an affine flow can overflow far from its data
            scores[name] = log_prob_without_label(flow, as_density_input(images, NOISE_SEED, flow))
    return scores


def strange_images(dataset: Dataset) -> dict[str, Samples]:
    """Test images, and variants that should be improbable: upside down, inverted, shuffled and blank; uint8, (N, D).

    The shuffle is one permutation of the pixels for all images.
    """
    test = dataset.test[:SCORED]  # (N, D)
    height, width = (dataset.image_shape or test.shape)[-2:]
    planes = test.reshape(len(test), -1, height, width)  # (N, C, H, W)
    return {
        "test images": test,
        "upside down": planes[:, :, ::-1].reshape(test.shape),
        "inverted": 255 - test,
        "pixels shuffled": test[:, np.random.default_rng(0).permutation(dataset.dim)],
        "blank": np.zeros_like(test),
    }

"""The figures of a run: which ones are drawn for which data, and the strange images."""

import numpy as np
import pytest

from nice_np import (
    Flow,
    NiceOverflowError,
    PCAWhitening,
    figures,
    inpaint,
    log_prob_by_label,
    nice,
    one_hot,
    plotting,
)
from nice_np.datasets import Dataset, load
from nice_np.flows.conditional import marginal_log_prob
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.runs import figures as figures_of_runs
from nice_np.runs.figures import draw, draw_samples, likelihoods, strange_images
from nice_np.runs.folder import FIGURES
from nice_np.runs.scoring import as_density_input
from nice_np.training.history import History

HISTORY = History(
    rows=[{"epoch": 1, "train_log_likelihood": 1.0, "validation_log_likelihood": 0.5}], best_epoch=1, stopped="epochs"
)


def images(rng, shape, count=20):
    pixels = rng.integers(0, 256, (count, int(np.prod(shape))), dtype=np.uint8)
    return Dataset("noise", pixels, pixels[:5], pixels[5:], image_shape=shape, bin_width=1 / 256)


def labelled(rng, shape, classes):
    """Images with labels, and a flow of them given the label."""
    noise = images(rng, shape)
    labels = rng.integers(0, classes, noise.n_train)
    dataset = Dataset(
        "noise", noise.train, noise.validation, noise.test, labels, labels[:5], labels[5:], shape, bin_width=1 / 256
    )
    flow = nice(noise.dim, hidden=(8,), context_dim=classes, dtype=np.float64, rng=rng)
    flow.params.values[:] = rng.normal(0, 0.3, len(flow.params))
    return dataset, flow


@pytest.fixture
def drawn(monkeypatch):
    """The arguments of each call of a plotting function, by name."""
    calls = {}

    def spy(name):
        draws = getattr(plotting, name)

        def call(*arguments, **settings):
            calls[name] = arguments, settings
            return draws(*arguments, **settings)

        monkeypatch.setattr(plotting, name, call)

    for name in ("label_grid", "image_grid", "reconstructions", "interpolation", "nearest_neighbours", "restorations"):
        spy(name)
    return calls


def test_figures_of_images(rng, tmp_path):
    dataset = images(rng, (4, 5))
    paths = draw(nice(20, hidden=(8,), rng=0), dataset, HISTORY, tmp_path, seed=0)
    assert {path.stem for path in paths} == set(FIGURES) - {"density", "bent_grid"}
    assert sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.parametrize("shape", [(4, 5), (3, 2, 4)])
def test_figures_of_images_with_labels(rng, tmp_path, drawn, shape):
    dataset, flow = labelled(rng, shape, classes=3)
    paths = draw(flow, dataset, HISTORY, tmp_path, seed=7)
    assert {path.stem for path in paths} == set(FIGURES) - {"density", "bent_grid"}

    assert "image_grid" not in drawn
    (by_label, _), _ = drawn["label_grid"]
    samples = draw_samples(flow, 100, 10, seed=7)
    assert samples.shape == (30, dataset.dim)
    for label in range(3):
        np.testing.assert_array_equal(by_label[label], samples[label::3])
    np.testing.assert_array_equal(drawn["nearest_neighbours"][0][0], samples[:4])  # of labels 0, 1, 2, 0

    (real, rebuilt, _), _ = drawn["reconstructions"]
    np.testing.assert_allclose(rebuilt, real, atol=1e-9)
    context = one_hot(dataset.test_labels[:10], 3)
    (_, ends, *_), settings = drawn["interpolation"]
    np.testing.assert_array_equal(ends, real)
    np.testing.assert_array_equal(settings["context"], context)


def test_alternating_samples_are_drawn_given_their_label(rng):
    dataset, flow = labelled(rng, (2, 3), classes=3)
    samples = draw_samples(flow, 100, 2, seed=0)  # labels 0 1 2 0 1 2
    z = np.random.default_rng(0)
    for label in range(3):
        latents = flow.prior.sample(2, dataset.dim, z)
        np.testing.assert_array_equal(samples[label::3], flow.decode(latents, np.eye(3)[label]))


def test_likelihoods_with_labels_are_those_without_the_label(rng):
    dataset, flow = labelled(rng, (2, 3), classes=3)
    x = as_density_input(dataset.test, NOISE_SEED, flow)
    expected = marginal_log_prob(log_prob_by_label(flow, x))
    np.testing.assert_array_equal(likelihoods(flow, dataset)["test images"], expected)


def test_figures_of_a_flow_without_parameters(rng, tmp_path):
    dataset = images(rng, (3, 2, 2), count=40)
    whitening = PCAWhitening.unfitted(dataset.dim, relative=0.1)
    whitening.fit(lambda: [dataset.train / 255])
    flow = Flow("normal", whitening)
    assert len(flow.params) == 0
    paths = draw(flow, dataset, HISTORY, tmp_path, seed=0)
    assert {path.stem for path in paths} == set(FIGURES) - {"density", "bent_grid", "spectrum"}


def test_figures_of_the_plane(tmp_path):
    paths = draw(nice(2, hidden=(8,), rng=0), load("rings"), HISTORY, tmp_path, seed=0)
    assert {path.stem for path in paths} == {"training_curve", "density", "bent_grid", "spectrum"}


def test_strange_images(rng):
    dataset = images(rng, (2, 3))
    kinds = strange_images(dataset)
    assert next(iter(kinds)) == "test images"
    np.testing.assert_array_equal(kinds["test images"], dataset.test)
    np.testing.assert_array_equal(kinds["upside down"], dataset.test[:, [3, 4, 5, 0, 1, 2]])
    np.testing.assert_array_equal(kinds["inverted"].astype(int), 255 - dataset.test.astype(int))
    assert not kinds["blank"].any()
    shuffled = kinds["pixels shuffled"]
    order = [int(np.flatnonzero((dataset.test == column[:, None]).all(axis=0))[0]) for column in shuffled.T]
    assert sorted(order) == list(range(6))  # the same permutation for all
    assert order != list(range(6))
    assert all(kind.shape == dataset.test.shape and kind.dtype == np.uint8 for kind in kinds.values())


def test_a_kind_that_overflows_is_left_out(rng, monkeypatch):
    dataset = images(rng, (2, 3))
    flow = nice(6, hidden=(8,), rng=0)
    log_prob = flow.log_prob

    def fragile(x):
        if x.max() < 1 / 255:
            raise NiceOverflowError("too far away")
        return log_prob(x)

    monkeypatch.setattr(flow, "log_prob", fragile)
    scores = likelihoods(flow, dataset)
    assert list(scores) == ["test images", "upside down", "inverted", "pixels shuffled"]
    assert all(values.shape == (15,) for values in scores.values())


def test_the_lower_half_is_completed(rng, tmp_path, drawn, monkeypatch):
    dataset, flow = labelled(rng, (3, 4, 2), classes=3)
    asked, answered = [], []

    def watched(*arguments, **settings):
        asked.append((arguments, settings))
        answered.append(inpaint(*arguments, **settings))
        return answered[-1]

    monkeypatch.setattr(figures_of_runs, "inpaint", watched)
    draw(flow, dataset, HISTORY, tmp_path, seed=7)
    (original, seen, completed, shape), settings = drawn["restorations"]
    x = as_density_input(dataset.test[:10], NOISE_SEED, flow)
    np.testing.assert_array_equal(original, x)
    np.testing.assert_array_equal(seen, x)
    assert shape == (3, 4, 2)
    upper = np.broadcast_to(np.arange(4)[:, None] < 2, shape)
    np.testing.assert_array_equal(settings["hidden"], ~upper)
    np.testing.assert_array_equal(completed[:, upper.ravel()], x[:, upper.ravel()])
    context = one_hot(dataset.test_labels[:10], 3)
    ((asked_flow, asked_x, asked_mask), asked_settings) = asked[0]
    assert asked_flow is flow
    np.testing.assert_array_equal(asked_x, x)
    np.testing.assert_array_equal(asked_mask, upper)
    np.testing.assert_array_equal(asked_settings.pop("context"), context)
    assert asked_settings == {"space": "latent", "steps": 60, "clip": (0, 1)}
    np.testing.assert_array_equal(completed, answered[0].x)


def test_fewer_large_images_are_completed(rng, drawn, monkeypatch):
    monkeypatch.setattr(figures, "SMALL", 19)
    figures._inpainting(nice(20, hidden=(8,), rng=0), rng.uniform(size=(10, 20)), (4, 5), None)
    assert [len(array) for array in drawn["restorations"][0][:3]] == [5, 5, 5]


def test_a_completion_that_overflows_is_left_out(rng, monkeypatch):
    def overflow(*arguments, **settings):
        raise NiceOverflowError("row 0 overflows float32 in layer 2")

    monkeypatch.setattr(figures, "inpaint", overflow)
    assert figures._inpainting(nice(20, hidden=(8,), rng=0), rng.uniform(size=(10, 20)), (4, 5), None) == {}


def test_images_in_colour_are_turned_within_each_plane(rng):
    dataset = images(rng, (3, 2, 1))
    np.testing.assert_array_equal(strange_images(dataset)["upside down"], dataset.test[:, [1, 0, 3, 2, 5, 4]])

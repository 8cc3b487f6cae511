"""The figures of a run: which for which data, and the strange images among them."""

import numpy as np

from nice_np import NiceOverflowError, nice
from nice_np.datasets import Dataset, load
from nice_np.figures import draw, likelihoods, strange_images
from nice_np.history import History
from nice_np.runs import FIGURES

HISTORY = History(
    rows=[{"epoch": 1, "train_log_likelihood": 1.0, "validation_log_likelihood": 0.5}], best_epoch=1, stopped="epochs"
)


def images(rng, shape, count=20):
    pixels = rng.integers(0, 256, (count, int(np.prod(shape))), dtype=np.uint8)
    return Dataset("noise", pixels, pixels[:5], pixels[5:], image_shape=shape, bin_width=1 / 256)


def test_figures_of_images(rng, tmp_path):
    dataset = images(rng, (4, 5))
    paths = draw(nice(20, hidden=(8,), rng=0), dataset, HISTORY, tmp_path, seed=0)
    assert {path.stem for path in paths} == set(FIGURES) - {"density", "bent_grid"}
    assert sorted(tmp_path.iterdir()) == sorted(paths)


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


def test_images_in_colour_are_turned_within_each_plane(rng):
    dataset = images(rng, (3, 2, 1))
    np.testing.assert_array_equal(strange_images(dataset)["upside down"], dataset.test[:, [1, 0, 3, 2, 5, 4]])

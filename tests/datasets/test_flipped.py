"""Training images as in a mirror."""

import numpy as np
import pytest

from nice_np import NiceTypeError, NiceValueError
from nice_np.datasets import Dataset, with_flips


def test_every_image_comes_twice_with_its_label(rng):
    images = rng.integers(0, 256, size=(4, 2, 3, 5)).astype(np.uint8)  # two planes of 3 x 5 pixels
    rows, labels = images.reshape(4, -1), np.array([3, 1, 2, 0])
    data = Dataset("images", rows, rows[:1], rows[:2], labels, labels[:1], labels[:2], (2, 3, 5), 1 / 256, "made up")
    more = with_flips(data)
    there, flipped = more.train.reshape(2, 4, 2, 3, 5)
    np.testing.assert_array_equal(there, images)
    for column in range(5):
        np.testing.assert_array_equal(flipped[..., column], images[..., 4 - column])
    np.testing.assert_array_equal(more.train_labels, np.tile(labels, 2))
    assert more.train.dtype == np.uint8
    for name in ("validation", "test", "validation_labels", "test_labels", "image_shape", "bin_width", "source"):
        assert np.array_equal(getattr(more, name), getattr(data, name))


def test_without_labels_or_images(rng):
    points = rng.normal(size=(5, 4))
    assert with_flips(Dataset("images", points, points, points, image_shape=(2, 2))).train_labels is None
    with pytest.raises(NiceValueError, match="data set points has no images"):
        with_flips(Dataset("points", points, points, points))
    with pytest.raises(NiceTypeError, match="must be a Dataset, got ndarray"):
        with_flips(points)

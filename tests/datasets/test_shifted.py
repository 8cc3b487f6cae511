"""Training images shifted by a pixel."""

import numpy as np
import pytest

from nice_np import NiceTypeError, NiceValueError
from nice_np.datasets import Dataset, with_shifts


def test_every_image_comes_five_times_with_its_label(rng):
    images = rng.integers(1, 256, size=(4, 2, 3, 5)).astype(np.uint8)  # two planes of 3 x 5 pixels
    rows, labels = images.reshape(4, -1), np.array([3, 1, 2, 0])
    data = Dataset("images", rows, rows[:1], rows[:2], labels, labels[:1], labels[:2], (2, 3, 5), 1 / 256, "made up")
    more = with_shifts(data)
    there, left, right, up, down = more.train.reshape(5, 4, 2, 3, 5)
    np.testing.assert_array_equal(there, images)
    for shifted, kept, of, gone in (
        (left, np.s_[..., :-1], np.s_[..., 1:], np.s_[..., -1]),
        (right, np.s_[..., 1:], np.s_[..., :-1], np.s_[..., 0]),
        (up, np.s_[..., :-1, :], np.s_[..., 1:, :], np.s_[..., -1, :]),
        (down, np.s_[..., 1:, :], np.s_[..., :-1, :], np.s_[..., 0, :]),
    ):
        np.testing.assert_array_equal(shifted[kept], images[of])
        assert (shifted[gone] == 0).all()
    np.testing.assert_array_equal(more.train_labels, np.tile(labels, 5))
    assert more.train.dtype == np.uint8
    for name in ("validation", "test", "validation_labels", "test_labels", "image_shape", "bin_width", "source"):
        assert np.array_equal(getattr(more, name), getattr(data, name))


def test_without_labels_or_images(rng):
    points = rng.normal(size=(5, 4))
    assert with_shifts(Dataset("images", points, points, points, image_shape=(2, 2))).train_labels is None
    with pytest.raises(NiceValueError, match="data set points has no images"):
        with_shifts(Dataset("points", points, points, points))
    with pytest.raises(NiceTypeError, match="must be a Dataset, got ndarray"):
        with_shifts(points)

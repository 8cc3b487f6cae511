"""Binarisation: a pixel is white as often as its grey level says."""

import numpy as np
import pytest

from nice_np import NiceTypeError, NiceValueError, binarize


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_white_as_often_as_grey(dtype, rng):
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    x = binarize(np.tile(levels, (20_000, 1)), rng, dtype)
    assert x.dtype == dtype
    assert set(np.unique(x)) == {0.0, 1.0}
    np.testing.assert_allclose(x.mean(axis=0), levels / 255, atol=0.02)
    assert (x[:, 0] == 0).all()  # black and white do not change
    assert (x[:, -1] == 1).all()


def test_a_seed_draws_the_same_images_and_a_generator_new_ones(rng):
    pixels = rng.integers(0, 256, (5, 40)).astype(np.uint8)
    np.testing.assert_array_equal(binarize(pixels, 3), binarize(pixels, 3))
    np.testing.assert_array_equal(binarize(pixels / 255, 3), binarize(pixels, 3))
    assert not np.array_equal(binarize(pixels, rng), binarize(pixels, rng))


@pytest.mark.parametrize(
    ("pixels", "error", "message"),
    [
        (np.array([[0.2, 1.5]]), NiceValueError, r"binarize: pixels\[0, 1\] = 1.5 is not in \[0, 1\]"),
        (np.array([np.nan]), NiceValueError, "nan is not in"),
        (np.array([3]), NiceTypeError, "must be uint8"),
        (["grey"], NiceTypeError, "expected real numbers"),
    ],
)
def test_bad_pixels(pixels, error, message):
    with pytest.raises(error, match=message):
        binarize(pixels, 0)

"""Dequantisation: the noise fills the bin, and nothing but uint8 is taken."""

import numpy as np
import pytest
from scipy import stats

from nice_np import NiceTypeError, NiceValueError, dequantize


def test_the_bin_is_filled(rng):
    x = dequantize(np.full((20_000, 1), 37, np.uint8), rng)
    assert stats.kstest(x[:, 0] * 256 - 37, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_level_stays_in_its_bin(dtype, rng):
    pixels = np.repeat(np.arange(256, dtype=np.uint8)[None], 200, axis=0)
    x = dequantize(pixels, rng, dtype)
    assert x.dtype == dtype
    assert x.min() >= 0
    assert x.max() <= 1
    # In float32 the largest u may round up to the next level's edge, never beyond.
    assert (x >= pixels / 256).all()
    assert (x <= (pixels + 1.0) / 256).all()


def test_the_noise_comes_from_the_generator():
    pixels = np.zeros((3, 4), np.uint8)
    np.testing.assert_array_equal(dequantize(pixels, 1), dequantize(pixels, 1))
    assert not np.array_equal(dequantize(pixels, 1), dequantize(pixels, 2))
    generator = np.random.default_rng(1)
    assert not np.array_equal(dequantize(pixels, generator), dequantize(pixels, generator))


@pytest.mark.parametrize("pixels", [np.zeros(3), np.zeros(3, np.int64), np.zeros(3, bool)])
def test_only_uint8(pixels):
    with pytest.raises(NiceTypeError, match="must be uint8"):
        dequantize(pixels, 0)


def test_bad_dtype():
    with pytest.raises(NiceValueError, match="float32 or float64"):
        dequantize(np.zeros(3, np.uint8), 0, np.int32)

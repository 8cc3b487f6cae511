"""Dequantisation: the noise fills the bin, for uint8 levels and for levels divided by 255."""

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
    # In float32 the largest u may round up to the edge of the next level, never beyond.
    assert (x >= pixels / 256).all()
    assert (x <= (pixels + 1.0) / 256).all()


def test_the_noise_comes_from_the_generator():
    pixels = np.zeros((3, 4), np.uint8)
    np.testing.assert_array_equal(dequantize(pixels, 1), dequantize(pixels, 1))
    assert not np.array_equal(dequantize(pixels, 1), dequantize(pixels, 2))
    generator = np.random.default_rng(1)
    assert not np.array_equal(dequantize(pixels, generator), dequantize(pixels, generator))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_levels_over_255(dtype, rng):
    pixels = np.repeat(np.arange(256, dtype=np.uint8)[None], 50, axis=0)
    divided = pixels.astype(dtype) / dtype(255)
    assert divided.dtype == dtype
    x, expected = dequantize(divided, 3, dtype), dequantize(pixels, 3, dtype)
    assert x.dtype == dtype
    np.testing.assert_allclose(x, expected, rtol=0, atol=np.finfo(dtype).eps)
    assert dequantize(np.full(1000, 0.5), rng).min() >= 127.5 / 256  # also between levels: (255 x + u) / 256


@pytest.mark.parametrize("value", [-1e-9, 1 + 1e-9, 255.0, np.nan])
def test_floats_outside_the_interval(value):
    pixels = np.full((2, 3), 0.5)
    pixels[1, 2] = value
    with pytest.raises(NiceValueError, match=r"pixels\[1, 2\] = \S+ is not in \[0, 1\]"):
        dequantize(pixels, 0)


@pytest.mark.parametrize("pixels", [np.zeros(3, np.int64), np.zeros(3, bool)])
def test_no_other_integers(pixels):
    with pytest.raises(NiceTypeError, match="must be uint8"):
        dequantize(pixels, 0)


def test_bad_dtype():
    with pytest.raises(NiceValueError, match="float32 or float64"):
        dequantize(np.zeros(3, np.uint8), 0, np.int32)

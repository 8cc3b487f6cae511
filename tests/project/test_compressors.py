"""scripts/compressors.py: sizes of real files, in bits a pixel."""

import zlib

import numpy as np
import pytest

from nice_np.datasets import load


@pytest.fixture
def compressors(script):
    return script("compressors")


def test_the_embedded_digits(compressors):
    digits = load("mnist-small", seed=0).test[:60].reshape(-1, 28, 28)
    found = compressors.bits_per_pixel(digits)
    assert found["zlib"] == (len(zlib.compress(digits.tobytes(), 9)), 8 * found["zlib"][0] / digits.size)
    bits = {name: value for name, (_, value) in found.items()}
    assert 1 < bits["bz2"] < bits["zlib"] < bits["PNG, a file a digit"] < 4
    assert bits["LZMA"] < bits["zlib"]


def test_noise_does_not_get_smaller(compressors, rng):
    noise = rng.integers(0, 256, (20, 28, 28)).astype(np.uint8)
    assert all(bits > 7.9 for _, bits in compressors.bits_per_pixel(noise).values())

"""PSNR in decibels, separately for each image."""

import numpy as np
import pytest

from nice_np import NiceOverflowError, NiceTypeError, NiceValueError, psnr


def test_psnr_of_known_errors():
    reference = np.zeros((4, 3))
    x = np.array([[0.1, 0.1, -0.1], [1.0, 1.0, 1.0], [0.0, 0.0, np.sqrt(3)], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(psnr(x, reference), [20, 0, 0, np.inf], atol=1e-12)
    np.testing.assert_allclose(psnr(255 * x, reference, data_range=255), [20, 0, 0, np.inf], atol=1e-12)


def test_psnr_agrees_with_its_definition(rng):
    x, r = rng.uniform(size=(5, 7)), rng.uniform(size=(5, 7))
    for k in range(5):
        mse = sum((x[k, d] - r[k, d]) ** 2 for d in range(7)) / 7
        assert psnr(x, r, 2.0)[k] == pytest.approx(10 * np.log10(2.0**2 / mse))
    np.testing.assert_allclose(psnr(x.astype(np.float32), r), psnr(x, r), rtol=1e-6)
    assert psnr(np.zeros((0, 7)), np.zeros((0, 7))).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((2, 3)), np.zeros((2, 4))), NiceValueError, "x has 3 features, expected 4"),
        ((np.zeros((1, 3)), np.zeros((2, 3))), NiceValueError, r"got \(1, 3\) and \(2, 3\)"),
        ((np.zeros((2, 0)), np.zeros((2, 0))), NiceValueError, r"got \(2, 0\)"),
        ((np.zeros(3), np.zeros((2, 3))), NiceValueError, r"use x\[None\]"),
        ((np.full((1, 2), np.nan), np.zeros((1, 2))), NiceValueError, "x contains NaN or inf"),
        ((np.zeros((1, 2)), np.zeros((1, 2)), 0), NiceValueError, "data_range must be finite, > 0"),
        (("ab", np.zeros((1, 2))), NiceTypeError, "expected real numbers"),
    ],
)
def test_psnr_refuses_what_does_not_fit(arguments, error, message):
    with pytest.raises(error, match=message):
        psnr(*arguments)


def test_errors_whose_squares_overflow_or_underflow():
    np.testing.assert_allclose(psnr([[1e200], [1e-200], [1e-320]], np.zeros((3, 1))), [-4000, 4000, 6400], rtol=1e-4)
    np.testing.assert_allclose(psnr([[1e-200]], [[0.0]], data_range=1e200), 8000)
    with pytest.raises(NiceOverflowError, match="x - reference overflows float64"):
        psnr([[1e308]], [[-1e308]])

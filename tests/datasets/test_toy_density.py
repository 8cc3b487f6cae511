"""The toys' true densities: they integrate to 1, and their moments are those of samples."""

import numpy as np
import pytest

from nice_np.datasets.toy import TOYS
from nice_np.datasets.toy_density import toy_log_prob
from nice_np.errors import NiceOverflowError, NiceValueError


@pytest.mark.parametrize("toy", TOYS)
def test_mass_and_moments(toy):
    side = 0.125 * (np.arange(72) - 35.5)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    mass = np.exp(toy_log_prob(toy, points)) * 0.125**2
    assert mass.sum() == pytest.approx(1, abs=1e-3)
    samples = TOYS[toy](100_000, 0)
    expected = samples.T @ samples / len(samples)
    np.testing.assert_allclose((points.T * mass) @ points, expected, atol=0.05)
    np.testing.assert_allclose(mass @ points, samples.mean(axis=0), atol=0.03)


def test_density_at_a_point():
    expected = np.log(1 / 25 / (2 * np.pi * 0.12**2))
    assert toy_log_prob("grid", [[0.0, -1.5]]) == pytest.approx(expected)
    assert toy_log_prob("grid", np.empty((0, 2))).shape == (0,)


@pytest.mark.parametrize("toy", ["two-moons", "rings", "grid"])
def test_far_out_it_is_finite_or_an_overflow(toy):
    assert np.isfinite(toy_log_prob(toy, [[1e150, 0.0]])).all()
    with pytest.raises(NiceOverflowError, match="row 1 of x"):
        toy_log_prob(toy, [[0.0, 0.0], [1e200, 1.0]])


def test_unknown_toys_are_refused():
    with pytest.raises(NiceValueError, match="two-moon"):
        toy_log_prob("two-moon", [[0.0, 0.0]])

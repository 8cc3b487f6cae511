"""The densities in the plane: each obeys its formula, which shows once the noise is switched off."""

import math

import numpy as np
import pytest

from nice_np.datasets import toy
from nice_np.datasets.toy import TOYS
from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError

EVERY = pytest.mark.parametrize("density", TOYS.values(), ids=TOYS)


def polar(points):
    return np.hypot(*points.T), np.arctan2(points[:, 1], points[:, 0])


@EVERY
def test_shape_and_dtype(density):
    for n in (0, 1, 7):
        points = density(n, 0)
        assert points.shape == (n, 2)
        assert points.dtype == np.float64


@EVERY
def test_a_thousand_points_unless_said_otherwise(density):
    assert density().shape == (1000, 2)
    np.testing.assert_array_equal(density(rng=3), density(1000, 3))


@EVERY
def test_same_seed_same_points(density):
    np.testing.assert_array_equal(density(50, 3), density(50, np.random.default_rng(3)))
    assert not np.array_equal(density(50, 3), density(50, 4))


@EVERY
def test_generator_moves_on_and_global_state_does_not(density):
    rng, before = np.random.default_rng(0), np.random.get_state()[1].copy()  # noqa: NPY002
    assert not np.array_equal(density(50, rng), density(50, rng))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@EVERY
def test_centred_and_within_bounds(density):
    points = density(40_000, 0)
    # The mean of n points with standard deviation <= 4 varies by 4 / sqrt(n) = 0.02; 5 times that is a bug.
    assert np.abs(points.mean(axis=0)).max() < 0.1
    assert np.mean(np.abs(points) <= 4) > 0.999
    assert np.abs(points).max() < 6
    assert points.std(axis=0).min() > 0.9  # large enough to fill the figure


@EVERY
def test_bad_arguments(density):
    for n, rng, error, name in (
        (-1, 0, NiceValueError, "n must be >= 0"),
        (2.5, 0, NiceTypeError, "n must be a whole number"),
        (True, 0, NiceTypeError, "n must be a whole number"),
        (3, -1, NiceValueError, "rng"),
        (3, "0", NiceTypeError, "rng"),
    ):
        with pytest.raises(error, match=name) as caught:
            density(n, rng)
        assert density.__name__ in str(caught.value)


@pytest.mark.parametrize("name", sorted(set(TOYS) - {"checkerboard", "pinwheel"}))
def test_bad_noise(name):
    for noise in (-0.1, float("nan"), float("inf")):
        with pytest.raises(NiceValueError, match="noise"):
            TOYS[name](3, 0, noise=noise)
    with pytest.raises(NiceTypeError, match="noise"):
        TOYS[name](3, 0, noise="much")


def test_bad_shapes():
    with pytest.raises(NiceValueError, match="radii"):
        toy.rings(3, 0, radii=())
    with pytest.raises(NiceValueError, match="radii"):
        toy.rings(3, 0, radii=(1.0, -1.0))
    with pytest.raises(NiceValueError, match="n_side"):
        toy.grid(3, 0, n_side=1)
    with pytest.raises(NiceValueError, match="n_arms"):
        toy.pinwheel(3, 0, n_arms=0)
    with pytest.raises(NiceValueError, match="tangential_noise"):
        toy.pinwheel(3, 0, tangential_noise=-1)


@pytest.mark.parametrize("radii", [5, None])
def test_radii_that_are_no_sequence(radii):
    with pytest.raises(NiceTypeError, match="rings: radii must be a sequence of numbers"):
        toy.rings(3, 0, radii=radii)


@pytest.mark.parametrize("name", sorted(set(TOYS) - {"checkerboard", "pinwheel"}))
def test_noise_that_overflows(name):
    with pytest.raises(NiceOverflowError, match="a point is not finite"):
        TOYS[name](100, 0, noise=1e308)


@pytest.mark.parametrize("options", [{"radial_noise": 3000}, {"twist": 1e308}, {"tangential_noise": 1e308}])
def test_a_pinwheel_that_overflows(options):
    with pytest.raises(NiceOverflowError, match="pinwheel: a point is not finite"):
        toy.pinwheel(100, 0, **options)


def test_noise_has_the_standard_deviation_that_it_says():
    # One of the eight Gaussians, k = 0, at (3, 0): 20,000 / 8 points give its standard deviation to about 2 %.
    points = toy.eight_gaussians(20_000, 0, noise=0.2)
    cluster = points[np.hypot(points[:, 0] - 3, points[:, 1]) < 1]
    np.testing.assert_allclose(cluster.std(axis=0), 0.2, rtol=0.08)


def test_two_moons():
    x, y = toy.two_moons(2000, 0, noise=0).T
    upper = np.hypot(x + 1, y + 0.5)
    lower = np.hypot(x - 1, y - 0.5)
    on_upper = np.isclose(upper, 2) & (y >= -0.5 - 1e-12)
    on_lower = np.isclose(lower, 2) & (y <= 0.5 + 1e-12)
    assert (on_upper | on_lower).all()
    assert 900 < on_upper.sum() < 1100


def test_two_circles_and_rings():
    radius, angle = polar(toy.two_circles(2000, 0, noise=0))
    assert set(radius.round(9)) == {1.5, 3.0}
    assert angle.min() < -3
    assert angle.max() > 3
    assert set(polar(toy.rings(2000, 0, noise=0))[0].round(9)) == {0.75, 1.5, 2.25, 3.0}
    assert set(polar(toy.rings(2000, 0, radii=[2], noise=0))[0].round(9)) == {2.0}


def test_checkerboard():
    points = toy.checkerboard(16_000, 0)
    fields = np.floor(points / 2).astype(int)
    assert (fields.sum(axis=1) % 2 == 0).all()
    _, counts = np.unique(fields, axis=0, return_counts=True)
    assert len(counts) == 8
    assert np.abs(counts - 2000).max() < 250  # 6 standard deviations


def test_eight_gaussians():
    radius, angle = polar(toy.eight_gaussians(2000, 0, noise=0))
    np.testing.assert_allclose(radius, 3)
    assert set((angle / (math.pi / 4)).round(9) % 8) == set(range(8))


def test_grid():
    points = toy.grid(2000, 0, noise=0)
    assert len(np.unique(points, axis=0)) == 25
    assert set(points.ravel()) == {-3.0, -1.5, 0.0, 1.5, 3.0}
    assert len(np.unique(toy.grid(2000, 0, noise=0, n_side=3), axis=0)) == 9


def test_pinwheel():
    points = toy.pinwheel(2000, 0, radial_noise=0.3, tangential_noise=0)
    radius, angle = polar(points)  # with b = 0 the radius is a itself (0.3 keeps a > 0)
    arm = (angle - 0.25 * np.exp(radius / 2)) / (2 * np.pi / 5)
    np.testing.assert_allclose(arm, arm.round(), atol=1e-9)
    assert set(arm.round().astype(int) % 5) == set(range(5))
    straight = toy.pinwheel(100, 0, n_arms=2, tangential_noise=0, twist=0)
    np.testing.assert_allclose(straight[:, 1], 0, atol=1e-12)
    # Straight arms along the axes: the upward one is centred at (0, 2), 0.2 wide and 0.3 long.
    points = toy.pinwheel(20_000, 0, n_arms=4, radial_noise=0.3, tangential_noise=0.2, twist=0)
    upward = points[points[:, 1] > np.abs(points[:, 0])]
    np.testing.assert_allclose(upward.mean(axis=0), [0, 2], atol=0.03)
    np.testing.assert_allclose(upward.std(axis=0), [0.2, 0.3], rtol=0.05)
    # Rotated, not sheared: a and b keep their lengths, E r^2 = 2^2 + 0.3^2 + 0.2^2, whatever the twist.
    radius, _ = polar(toy.pinwheel(20_000, 0, radial_noise=0.3, tangential_noise=0.2, twist=0.25))
    np.testing.assert_allclose(np.mean(radius**2), 4 + 0.09 + 0.04, rtol=0.02)
    twisted = toy.pinwheel(20_000, 0, n_arms=2, radial_noise=0, tangential_noise=0.2, twist=0.25)
    angle = 0.25 * math.e  # of the arm at a = 2, so that each point's distance from the arm is +-b ...
    across = -math.sin(angle) * twisted[:, 0] + math.cos(angle) * twisted[:, 1]
    along = math.cos(angle) * twisted[:, 0] + math.sin(angle) * twisted[:, 1]
    np.testing.assert_allclose(across.std(), 0.2, rtol=0.03)
    np.testing.assert_allclose(np.abs(along), 2, rtol=1e-9)  # ... and along it lies exactly at a


def test_two_spirals():
    points = toy.two_spirals(4000, 0, noise=0)
    t = 3 * np.hypot(*points.T)
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / 3
    first, second = np.isclose(points, spiral).all(axis=1), np.isclose(points, -spiral).all(axis=1)
    assert (first | second).all()
    assert 1800 < first.sum() < 2200
    # sqrt(u): half of the points lie within t < 3 pi / sqrt(2)
    np.testing.assert_allclose(np.mean(t < 3 * np.pi / math.sqrt(2)), 0.5, atol=0.04)


def test_swiss_roll():
    x, y = (4 * toy.swiss_roll(4000, 0, noise=0) + [2, 2 / (3 * np.pi)]).T
    t = np.hypot(x, y)
    np.testing.assert_allclose(x, t * np.cos(t), atol=1e-9)
    np.testing.assert_allclose(y, t * np.sin(t), atol=1e-9)
    assert 1.5 * np.pi <= t.min() < 1.5 * np.pi + 0.1
    assert 4.5 * np.pi - 0.1 < t.max() <= 4.5 * np.pi

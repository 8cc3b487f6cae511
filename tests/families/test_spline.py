"""Rational-quadratic splines: joints, tails, extreme bins, both precisions."""

import numpy as np
import pytest

from nice_np import MLP, NiceTypeError, NiceValueError, Partition, SplineCoupling
from nice_np.families.spline import Bin, curvature, inverse_spline, spline, spline_backward
from nice_np.families.spline_knots import knots_of
from nice_np.families.spline_law import SplineLaw

BINS, BOUND = 5, 2.0


class OnlyTheLaw(SplineLaw):
    def __init__(self, bins=BINS, bound=BOUND):
        self._set(bins, bound)


def theta_of(rng, n, size=2.0, features=1, bins=BINS, dtype=np.float64):
    return rng.normal(0, size, (n, features * (3 * bins - 1))).astype(dtype)


def a_bin(rng, n=1000):
    x0, y0 = rng.normal(size=(2, n))
    return Bin(x0, *np.exp(rng.normal(size=(1, n))), y0, *np.exp(rng.normal(size=(3, n))))


def test_a_bin_joins_its_corners_with_its_slopes(rng):
    bin = a_bin(rng)
    for x, y, slope in ((bin.x0, bin.y0, bin.d0), (bin.x0 + bin.w, bin.y0 + bin.h, bin.d1)):
        there, log_slope, _ = spline(x, bin)
        np.testing.assert_allclose(there, y, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(np.exp(log_slope), slope, rtol=1e-12)


def test_the_gradient_of_a_bin(rng):
    """dL/dx and the gradient of all six numbers, against central differences; the curvature, too."""
    bin = a_bin(rng)
    x = bin.x0 + bin.w * rng.uniform(0.01, 0.99, bin.w.shape)
    dy, dlog_slope = rng.normal(size=(2, len(x)))

    def loss(x, *numbers):
        y, log_slope, _ = spline(x, Bin(*numbers))
        return dy * y + dlog_slope * log_slope

    cache = spline(x, bin)[2]
    dx, dbin = spline_backward(dy, dlog_slope, cache)
    for k, (value, gradient) in enumerate(zip((x, *bin), (dx, *dbin), strict=True)):
        step = 1e-6 * np.abs(value)
        ends = [loss(*(v + sign * step if j == k else v for j, v in enumerate((x, *bin)))) for sign in (1, -1)]
        np.testing.assert_allclose(gradient, (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-5)
    step = 1e-6
    difference = (spline(x + step, bin)[1] - spline(x - step, bin)[1]) / (2 * step)
    np.testing.assert_allclose(curvature(cache), difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steep", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_inverse_loses_nothing_in_extreme_bins(dtype, steep):
    """All pairs of slopes between 0.001 and 1000, and bins up to 1000 times as high as wide."""
    t, d0, d1 = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 1, 21), *[np.logspace(-3, 3, 13)] * 2))
    one = np.ones_like(t)
    bin = Bin(*(part.astype(dtype) for part in (0 * t, one, 0 * t, steep * one, d0, d1)))
    x = t.astype(dtype)
    y, log_slope, _ = spline(x, bin)
    back = inverse_spline(y, bin)
    assert back.dtype == dtype
    eps = np.finfo(dtype).eps
    allowed = 20 * eps * (1 + np.abs(y) / np.exp(log_slope) + np.abs(x))  # what the rounding of y itself does
    assert (np.abs(back - x) <= allowed).all()
    assert (np.abs(spline(back, bin)[0] - y) <= 20 * eps * (steep + np.exp(log_slope))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_at_the_knots_at_the_bounds_and_far_outside(dtype, rng):
    """y, the slope and the inverse are continuous there; beyond the bounds nothing changes."""
    law, eps = OnlyTheLaw(), np.finfo(dtype).eps
    theta = theta_of(rng, 30, size=1.0, dtype=dtype)
    ends = knots_of(theta, BINS, BOUND).end  # (2, K, N, 1)
    for k in range(BINS):
        x, y = ends[:, k]
        for side in (x, np.nextafter(x, dtype(-9)), np.nextafter(x, dtype(9))):
            there, log_det, _ = law._couple(side, theta)
            np.testing.assert_allclose(there, y, rtol=0, atol=1e3 * eps)
            np.testing.assert_allclose(log_det, law._couple(x, theta)[1], rtol=0, atol=1e4 * eps)
            np.testing.assert_allclose(law._uncouple(law._couple(side, theta)[0], theta)[0], side, atol=1e3 * eps)
    for x in (-BOUND, BOUND, -1e30, 1e30, 1.0001 * BOUND):
        x = np.full((30, 1), x, dtype)
        for pass_, back in ((law._couple, law._couple_backward), (law._uncouple, law._uncouple_backward)):
            y, log_det, cache = pass_(x, theta)
            np.testing.assert_array_equal(y, x, strict=True)
            np.testing.assert_array_equal(log_det, np.zeros(30, dtype), strict=True)
            dx, dtheta = back(np.ones_like(x), np.ones(30, dtype), cache)
            np.testing.assert_array_equal(dx, np.ones_like(x), strict=True)
            np.testing.assert_array_equal(dtheta, np.zeros_like(theta), strict=True)


def test_it_increases_and_its_slope_is_continuous(rng):
    law, theta = OnlyTheLaw(), theta_of(rng, 1, size=1.0)
    x = np.linspace(-1.1 * BOUND, 1.1 * BOUND, 200_001)[:, None]
    y, log_det, _ = law._couple(x, np.repeat(theta, len(x), axis=0))
    assert (np.diff(y, axis=0) > 0).all()
    assert np.abs(np.diff(log_det)).max() < 0.01
    np.testing.assert_allclose(np.diff(y[:, 0]) / np.diff(x[:, 0]), np.exp(log_det[:-1]), rtol=0.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_theta_zero_is_the_identity(dtype, rng):
    law = OnlyTheLaw(8, 5.0)
    x = (4 * rng.normal(size=(100, 2))).astype(dtype)
    y, log_det, _ = law._couple(x, np.zeros((100, 46), dtype))
    np.testing.assert_allclose(y, x, atol=20 * np.finfo(dtype).eps)
    np.testing.assert_allclose(log_det, 0, atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("theta", [1e4, -1e4, 300.0])
def test_extreme_theta_stays_finite(theta, rng):
    law, dtype = OnlyTheLaw(), np.float32
    x = rng.uniform(-BOUND, BOUND, (50, 1)).astype(dtype)
    theta = (theta * rng.choice([-1, 1], (50, 3 * BINS - 1))).astype(dtype)
    y, log_det, cache = law._couple(x, theta)
    dx, dtheta = law._couple_backward(np.ones_like(x), np.ones(50, dtype), cache)
    back, minus, cache = law._uncouple(y, theta)
    for array in (y, log_det, dx, dtheta, back, minus, *law._uncouple_backward(dx, minus, cache)):
        assert np.isfinite(array).all()
        assert array.dtype == dtype


def test_one_bin(rng):
    """No inner knot, no free slope: the identity up to slopes, here exactly."""
    law = OnlyTheLaw(1)
    x = rng.normal(size=(20, 1))
    np.testing.assert_allclose(law._couple(x, rng.normal(size=(20, 2)))[0], x, atol=1e-14)


def test_what_is_refused():
    net = MLP((1, 4, 23))
    assert SplineCoupling(Partition.odd_even(2), net).bins == 8
    with pytest.raises(NiceValueError, match="SplineCoupling: bins must be from 1 to 500, got 0"):
        SplineCoupling(Partition.odd_even(2), net, bins=0)
    with pytest.raises(NiceValueError, match="SplineCoupling: bound must be finite, > 0; got 0"):
        SplineCoupling(Partition.odd_even(2), net, bound=0)
    with pytest.raises(NiceTypeError, match="bins must be a whole number"):
        SplineCoupling(Partition.odd_even(2), net, bins=2.5)
    with pytest.raises(NiceValueError, match="conditioner must map 1 to 11 features"):
        SplineCoupling(Partition.odd_even(2), net, bins=4)

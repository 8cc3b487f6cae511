"""The logistic-mixture law: both tails, extreme components, the search, both precisions."""

import numpy as np
import pytest

from nice_np import MLP, MixtureCoupling, NiceValueError, Partition
from nice_np.families.mixture import Mixture, log_sum_exp, logit_of_mixture, logit_of_mixture_backward, slope_of
from nice_np.families.mixture_law import MixtureLaw


class OnlyTheLaw(MixtureLaw):
    def __init__(self, components=4):
        self._set(components)


def theta_of(rng, n, features=1, components=4, size=1.5, dtype=np.float64):
    return rng.normal(0, size, (n, (3 * components + 2) * features)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_with_one_component_theta_zero_is_the_identity_far_into_both_tails(dtype):
    x = np.array([[-1e6, -1e3, -30, -1, 0, 1, 30, 1e3, 1e6]], dtype)
    y, log_det, _ = OnlyTheLaw(1)._couple(x, np.zeros((1, 5 * 9), dtype))
    np.testing.assert_allclose(y, x, rtol=20 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)
    assert np.abs(log_det) <= 10 * np.finfo(dtype).eps * np.abs(x).sum()
    assert y.dtype == log_det.dtype == dtype


@pytest.mark.parametrize("components", [2, 8, 30])
def test_with_theta_zero_components_differ_and_the_slope_is_near_one(components):
    law, x = OnlyTheLaw(components), np.linspace(-30, 30, 301)[:, None]
    _, log_det, cache = law._couple(x, np.zeros((301, law.thetas_per_feature)))
    assert -0.4 < log_det.min() < log_det.max() < 1e-9
    assert (np.diff(cache.mixture.u[:, 0, 0]) < -1e-3).all()


def test_the_formula_where_it_can_be_computed_directly(rng):
    K, N = 3, 40
    logits, mu, s = rng.normal(size=(3, K, N, 2))
    x = rng.normal(size=(N, 2))
    pi = np.exp(logits) / np.exp(logits).sum(axis=0)
    sigmoid = 1 / (1 + np.exp(-(x - mu) / np.exp(s)))
    F, f = (pi * sigmoid).sum(axis=0), (pi * sigmoid * (1 - sigmoid) / np.exp(s)).sum(axis=0)
    v, log_slope, _ = logit_of_mixture(x, Mixture(logits, mu, s))
    np.testing.assert_allclose(v, np.log(F / (1 - F)), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(np.exp(log_slope), f / (F * (1 - F)), rtol=1e-11)


def test_the_gradient_of_every_component(rng):
    K, N = 3, 25
    mixture, x = Mixture(*rng.normal(size=(3, K, N, 1))), rng.normal(size=(N, 1))
    dv, dlog_slope = rng.normal(size=(2, N, 1))

    def loss(x, *parts):
        v, log_slope, _ = logit_of_mixture(x, Mixture(*parts))
        return dv * v + dlog_slope * log_slope  # (N, 1)

    dx, dmixture = logit_of_mixture_backward(dv, dlog_slope, logit_of_mixture(x, mixture)[2])
    step = 1e-6
    np.testing.assert_allclose(
        dx, (loss(x + step, *mixture) - loss(x - step, *mixture)) / (2 * step), rtol=1e-6, atol=1e-7
    )
    for j, k in np.ndindex(3, K):
        ends = []
        for sign in (1, -1):
            parts = [part.copy() for part in mixture]
            parts[j][k] += sign * step
            ends.append(loss(x, *parts))
        np.testing.assert_allclose(dmixture[j][k], (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1.0, 5.0])
def test_far_points_come_back(size, dtype, rng):
    law, theta = OnlyTheLaw(), theta_of(rng, 60, size=size, dtype=dtype)
    x = (10.0 ** rng.uniform(-2, 3, (60, 1)) * rng.choice([-1, 1], (60, 1))).astype(dtype)
    y, log_det, cache = law._couple(x, theta)
    dx, dtheta = law._couple_backward(np.ones_like(x), np.ones(60, dtype), cache)
    back, minus, inverse_cache = law._uncouple(y, theta)
    dy, dtheta_back = law._uncouple_backward(np.ones_like(x), np.ones(60, dtype), inverse_cache)
    for array in (y, log_det, dx, dtheta, back, minus, dy, dtheta_back):
        assert array.dtype == dtype
        assert np.isfinite(array).all()
    slope = np.exp(log_det)[:, None]
    eps = np.finfo(dtype).eps
    assert (np.abs(back - x) <= 1e3 * eps * (1 + np.abs(x) + (1 + np.abs(y) + np.abs(theta).max()) / slope)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_beyond_all_components_come_back(dtype, rng):
    """There log f and log (1 - F) are about -|x| each; their difference would be a slope made of rounding errors."""
    law, theta = OnlyTheLaw(), theta_of(rng, 60, dtype=dtype)
    x = (10.0 ** rng.uniform(3, 30, (60, 1)) * rng.choice([-1, 1], (60, 1))).astype(dtype)
    back, _, _ = law._uncouple(law._couple(x, theta)[0], theta)
    np.testing.assert_allclose(back, x, rtol=50 * np.finfo(dtype).eps)


def test_the_slope_for_the_search_is_that_of_the_log_determinant(rng):
    mixture, x = Mixture(*rng.normal(size=(3, 4, 200, 1))), rng.normal(0, 5, (200, 1))
    _, log_slope, cache = logit_of_mixture(x, mixture)
    np.testing.assert_allclose(slope_of(cache), np.exp(log_slope), rtol=1e-12)


@pytest.mark.parametrize("size", [50.0, 1e4])
def test_extreme_theta_stays_finite(size, rng):
    """Between two narrow and distant components the slope may be 0: there is a density, but no way back."""
    law, theta = OnlyTheLaw(), theta_of(rng, 60, size=size, dtype=np.float32)
    y, log_det, cache = law._couple(rng.normal(0, 10, (60, 1)).astype(np.float32), theta)
    for array in (y, log_det, *law._couple_backward(np.ones_like(y), np.ones_like(log_det), cache)):
        assert np.isfinite(array).all()


def test_it_increases_everywhere(rng):
    theta = np.repeat(theta_of(rng, 1, size=2.0), 20_001, axis=0)
    x = np.linspace(-40, 40, 20_001)[:, None]
    y, log_det, _ = OnlyTheLaw()._couple(x, theta)
    assert (np.diff(y, axis=0) > 0).all()
    np.testing.assert_allclose(np.diff(y[:, 0]) / np.diff(x[:, 0]), np.exp((log_det[1:] + log_det[:-1]) / 2), rtol=1e-2)


def test_log_sum_exp_neither_overflows_nor_vanishes():
    terms = np.array([[1e4, -1e4], [1e4, -1e4 - 1]])[:, None]  # (K, N, B) = (2, 1, 2)
    total, shares = log_sum_exp(terms)
    np.testing.assert_allclose(total, [[1e4 + np.log(2), -1e4 + np.log1p(np.exp(-1))]], rtol=1e-15)
    np.testing.assert_allclose(shares.sum(axis=0), 1, rtol=1e-15)


def test_what_is_refused():
    with pytest.raises(NiceValueError, match="MixtureCoupling: components must be from 1 to 1000, got 0"):
        MixtureCoupling(Partition.odd_even(2), MLP((1, 26)), components=0)

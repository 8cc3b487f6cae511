"""The priors: exact values, extreme values, samplers, and that they are densities."""

import warnings

import numpy as np
import pytest
from registry import PRIORS
from scipy import stats

from nice_np import Flow, NiceTypeError, NiceValueError, StandardLogistic, StandardNormal
from nice_np.bijectors import DiagonalScaling
from nice_np.flows.priors import get_prior

REFERENCE = {"StandardNormal": stats.norm, "StandardLogistic": stats.logistic}
priors = pytest.mark.parametrize("name", REFERENCE)


@priors
def test_log_prob_is_scipys(name, rng):
    z = 5 * rng.normal(size=(100, 3))
    np.testing.assert_allclose(PRIORS[name](rng).log_prob(z), REFERENCE[name].logpdf(z).sum(axis=1), rtol=1e-13)


EXTREME = [0.0, 20.0, 100.0, 710.0, 1e3, 1e6, 5e-324, 1e-310]


@priors
@pytest.mark.parametrize("z", [*EXTREME, *(-z for z in EXTREME)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_values_are_exact_and_silent(name, z, dtype):
    z = dtype(z)
    exact = float(z)
    if name == "StandardNormal":
        expected, slope = -0.5 * exact**2 - 0.5 * np.log(2 * np.pi), -exact
    else:
        expected, slope = -abs(exact) - 2 * np.log1p(np.exp(-abs(exact))), -np.tanh(exact / 2)
    prior = PRIORS[name](None)
    with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise"):
        warnings.simplefilter("error")
        found, gradient = prior.log_prob(np.array([[z]])), prior.grad_log_prob(np.array([[z]]))
    assert found.dtype == gradient.dtype == dtype
    np.testing.assert_allclose(found, [expected], rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(gradient, [[slope]], rtol=4 * np.finfo(dtype).eps, atol=float(np.finfo(dtype).tiny))


@priors
def test_samples_have_the_distribution(name, rng):
    prior = PRIORS[name](rng)
    z = prior.sample(20_000, 2, rng)
    assert z.shape == (20_000, 2)
    for column in z.T:
        assert stats.kstest(column, REFERENCE[name].cdf).pvalue > 1e-3
    assert abs(z.std() / prior.std - 1) < 0.02
    assert abs(np.corrcoef(z.T)[0, 1]) < 0.03


class Broken(np.random.Generator):
    """A generator that returns what no generator should."""

    def __init__(self, value):
        super().__init__(np.random.PCG64(0))
        self.value = value

    def random(self, shape):
        return np.full(shape, self.value)

    standard_normal = random


@priors
@pytest.mark.parametrize("value", [0.0, 1.0, 1e-320, np.nextafter(1, 0), np.inf, -np.inf, np.nan])
def test_samples_are_finite_whatever_the_generator_returns(name, value):
    assert np.isfinite(PRIORS[name](None).sample(3, 2, Broken(value))).all()


def test_a_normal_draw_that_cannot_be_comes_back_at_the_bound():
    assert StandardNormal().sample(1, 1, Broken(np.inf)) == 40
    assert StandardNormal().sample(1, 1, Broken(-1e300)) == -40


def test_a_logistic_tail_is_silent_even_where_underflow_is_an_error():
    with np.errstate(all="raise"):
        assert StandardLogistic().log_prob([[1000.0]]) == -1000


@priors
def test_how_many_draws_of_how_many_features(name):
    sample = PRIORS[name](None).sample
    assert sample(0, 2).shape == (0, 2)
    assert sample(1, 1).shape == (1, 1)
    with pytest.raises(NiceValueError, match="n must be >= 0, got -1"):
        sample(-1, 2)
    for dim in (0, -1):
        with pytest.raises(NiceValueError, match=f"dim must be >= 1, got {dim}"):
            sample(1, dim)


@pytest.mark.parametrize("prior", ["normal", "logistic"])
def test_the_density_of_a_scaled_prior_integrates_to_one(prior):
    flow = Flow(prior, DiagonalScaling(2, log_scale=0.3))
    side, step = np.linspace(-30, 30, 301, retstep=True)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    assert abs(np.exp(flow.log_prob(points)).sum() * step**2 - 1) < 1e-8


@priors
def test_any_real_dtype(name, rng):
    prior = PRIORS[name](rng)
    z = rng.integers(0, 21, size=(4, 3))
    for variant in (z, z.astype(np.uint16), z.astype(np.float16), z.tolist(), z.astype(">f8")):
        np.testing.assert_allclose(prior.log_prob(variant), prior.log_prob(z.astype(float)), rtol=1e-12)
        np.testing.assert_allclose(prior.grad_log_prob(variant), prior.grad_log_prob(z.astype(float)), rtol=1e-12)
    for door in (prior.log_prob, prior.grad_log_prob):
        with pytest.raises(NiceValueError, match=r"expected z of shape \(N, D\), got \(3,\)"):
            door(np.zeros(3))


def test_names_and_own_priors():
    assert isinstance(get_prior("normal"), StandardNormal)
    assert isinstance(get_prior("logistic"), StandardLogistic)
    own = StandardNormal()
    assert get_prior(own) is own
    with pytest.raises(
        NiceValueError, match=r"unknown prior 'gauss' .did you mean 'normal'.*choose one of normal, logistic"
    ):
        get_prior("gauss")
    with pytest.raises(NiceTypeError, match="lacks log_prob, grad_log_prob, sample"):
        get_prior(3)


def test_one_can_write_a_prior():
    class Laplace:
        std = np.sqrt(2)

        def log_prob(self, z):
            return -(np.abs(z) + np.log(2)).sum(axis=1)

        def grad_log_prob(self, z):
            return -np.sign(z)

        def sample(self, n, dim, rng=None):
            return rng.laplace(size=(n, dim))

    flow = Flow(Laplace(), DiagonalScaling(2))
    np.testing.assert_allclose(flow.log_prob([[1.0, -2.0]]), [-3 - 2 * np.log(2)])
    assert flow.sample(4, rng=0).shape == (4, 2)
    assert flow.nll_and_grad([[1.0, -2.0]])[1].shape == (2,)


def test_a_logistic_draw_that_cannot_be_comes_back_at_one_of_two_symmetric_bounds():
    prior = StandardLogistic()
    low, high = prior.sample(1, 1, Broken(0.0)), prior.sample(1, 1, Broken(1.0))
    assert high == -low == pytest.approx(53 * np.log(2))
    assert prior.sample(1, 1, Broken(np.nan)) == low
    assert prior.sample(1, 1, Broken(2.0**-53)) == low  # the smallest number above 0 that a generator returns


def test_logistic_samples_are_the_quantiles_of_uniform_numbers():
    u = np.random.default_rng(0).random((1000, 3))
    np.testing.assert_array_equal(StandardLogistic().sample(1000, 3, rng=0), np.log(u / (1 - u)))  # to the bit

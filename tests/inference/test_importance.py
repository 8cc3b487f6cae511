"""Importance weights against formulas and known targets."""

import warnings

import numpy as np
import pytest

from nice_np import DiagonalScaling, Flow, real_nvp
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.inference import Funnel, Mixture, WeightedSample, importance_sample


def gaussian_flow(dim=2):
    return Flow("normal", DiagonalScaling(dim, dtype="float64"))  # N(0, I)


def test_weights_by_hand():
    found = WeightedSample(np.array([[0.0], [1.0], [3.0]]), np.log([1.0, 2.0, 1.0]) + 700)  # e^700 would overflow
    np.testing.assert_allclose(found.weights, [0.25, 0.5, 0.25])
    assert found.effective_sample_size == pytest.approx(1 / (0.0625 + 0.25 + 0.0625))
    assert found.log_evidence == pytest.approx(700 + np.log(4 / 3))
    assert found.elbo == pytest.approx(700 + np.log(2) / 3)
    assert found.mean()[0] == pytest.approx(1.25)
    assert found.mean([1.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert found.std()[0] == pytest.approx(np.sqrt(0.25 * 1.25**2 + 0.5 * 0.25**2 + 0.25 * 1.75**2))
    assert set(found.resample(50, rng=0)[:, 0]) == {0.0, 1.0, 3.0}
    assert "ESS 2.7 (88.9%)" in repr(found)


def test_equal_densities_have_equal_weights(rng):
    flow = real_nvp(3, couplings=3, hidden=(8,), preprocess=(), dtype="float64", rng=rng)
    flow.params.values[:] = 0.3 * rng.standard_normal(len(flow.params))
    found = importance_sample(flow, flow.log_prob_and_grad, 2500, rng=0)  # in more than one chunk
    assert found.x.shape == (2500, 3)
    assert found.effective_sample_size == pytest.approx(2500)
    assert abs(found.log_evidence) < 1e-10
    assert found.log_evidence_error < 1e-5
    np.testing.assert_array_equal(found.x, flow.sample(2500, rng=0))


def test_gaussian_to_gaussian(rng):
    """Between N(0, I) and N(m, I): E[r^2] = e^|m|^2, so ESS/n tends to e^-|m|^2, and the ELBO is -|m|^2 / 2."""
    found = importance_sample(gaussian_flow(), Mixture([[0.5, 0.0]]), 50_000, rng)
    assert found.effective_sample_size / 50_000 == pytest.approx(np.exp(-0.25), rel=0.02)
    assert found.elbo == pytest.approx(-0.125, abs=0.01)
    assert abs(found.log_evidence) < 4 * found.log_evidence_error < 0.02
    np.testing.assert_allclose(found.mean(), [0.5, 0.0], atol=0.03)
    np.testing.assert_allclose(found.std(), [1.0, 1.0], atol=0.03)


def test_the_constant_of_the_density_is_the_evidence(rng):
    target = Mixture([[0.5, 0.0]])

    def scaled(x):
        log_p, dlog_p = target(x)
        return log_p + 3, dlog_p

    found = [importance_sample(gaussian_flow(), density, 5000, rng=0) for density in (target, scaled)]
    assert found[1].log_evidence - found[0].log_evidence == pytest.approx(3)
    np.testing.assert_allclose(found[0].weights, found[1].weights)


def test_a_poor_effective_sample_size_is_said(rng):
    with pytest.warns(UserWarning, match="5000 draws are worth .* a few weights decide every estimate"):
        importance_sample(gaussian_flow(), Mixture([[4.0, 0.0]]), 5000, rng)
    with pytest.warns(UserWarning, match="90 draws are worth"):
        importance_sample(gaussian_flow(), Mixture([[1.5, 0.0]]), 90, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importance_sample(gaussian_flow(), Mixture([[0.1, 0.0]]), 5000, rng)
        importance_sample(gaussian_flow(), Mixture([[0.1, 0.0]]), 4, rng)


def test_a_missed_mode_is_not_seen():
    """All draws lie at one of two equal modes: nearly full ESS, and log Z too low by log 2."""
    found = importance_sample(gaussian_flow(), Mixture([[0.0, 0.0], [20.0, 0.0]]), 2000, rng=0)
    assert found.effective_sample_size > 1990
    assert found.log_evidence == pytest.approx(-np.log(2), abs=1e-3)


def test_wrong_arguments(rng):
    flow = gaussian_flow(3)
    for error, call in (
        (NiceValueError, lambda: importance_sample(flow, Funnel(3), 0)),
        (NiceTypeError, lambda: importance_sample(flow, Funnel(3), n=10, seed=1)),
        (NiceValueError, lambda: importance_sample(flow, Funnel(4), 10)),
        (NiceValueError, lambda: importance_sample(real_nvp(3, preprocess=(), context_dim=1), Funnel(3), 10)),
        (NiceValueError, lambda: WeightedSample(np.zeros((3, 1)), np.zeros(3)).mean([1.0, 2.0])),
    ):
        with pytest.raises(error):
            call()

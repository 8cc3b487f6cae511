"""Draws of missing pixels: the conditional density of a flow that is Gaussian behind its pixels' own layers."""

import numpy as np
import pytest

from nice_np import (
    Chain,
    Equalize,
    Flow,
    Logit,
    LULinear,
    Mask,
    NiceTypeError,
    NiceValueError,
    Standardize,
    real_nvp,
    sample_completions,
    sample_posterior,
)
from nice_np.restoration.completions import split

SEEN = np.array([True, False])
DARK = [0.98, 0.01, 0.01]  # the share of pixels in each third of [0, 1]
WHITE = 0.9


def pair(front):
    """Behind the front the two pixels are Gaussian, with variance 1.25 and correlation 0.8."""
    mixing = LULinear(2)
    mixing.start_at(np.linalg.inv(np.linalg.cholesky([[1.25, 1.0], [1.0, 1.25]])))
    return Flow("normal", Chain([*front, mixing]))


def through(front, x):
    for layer in front:
        x = layer.forward(x)[0]
    return x


@pytest.mark.parametrize(
    "front",
    [
        [],
        [Standardize(np.array([1.0, -1.0]), np.array([2.0, 0.5]))],
        [Logit(2), Standardize(np.array([0.5, -0.5]), np.array([2.0, 1.5]))],
        [Equalize(2, DARK), Logit(2)],
    ],
    ids=["none", "Standardize", "Logit", "Equalize"],
)
def test_hidden_pixels_have_the_conditional_density(front):
    flow, x = pair(front), np.array([[0.6, np.nan]])
    found = sample_completions(flow, x, SEEN, 0.005, chains=2000, steps=3, rng=0)
    u = through(front, np.array([[0.6, 0.5]]))[0, 0]
    draws = through(front, found.samples[0])[:, 1]
    assert abs(draws.mean() - 0.8 * u) < 0.06  # of a standard deviation 0.67: 4 standard errors
    assert abs(draws.std() - (1.25 * (1 - 0.8**2)) ** 0.5) < 0.05
    np.testing.assert_array_equal(found.samples[0, :, 0], 0.6)
    assert found.mean[0, 0] == 0.6
    assert abs(found.mean[0, 1] - found.samples[0, :, 1].mean()) < 0.1 * found.samples[0, :, 1].std()


def test_a_chain_that_begins_in_black_learns_that_a_pixel_is_white():
    """Where nearly all latents are black, the misfit of sample_posterior has no slope for chains that are."""
    front = [Equalize(2, DARK), Logit(2)]
    flow, x = pair(front), np.array([[WHITE, np.nan]])
    stuck = sample_posterior(flow, x[:, :1], Mask(SEEN), 0.05, chains=500, rng=0)
    u = through(front, np.array([[WHITE, 0.5]]))[0, 0]
    found = sample_completions(flow, x, SEEN, 0.005, chains=500, rng=0)
    right = np.quantile(through(front, found.samples[0])[:, 1], 0.5)
    assert abs(right - 0.8 * u) < 0.15
    assert (stuck.samples[0, :, 0] < 0.5).mean() > 0.8  # short of the white that was seen


def test_only_layers_of_single_pixels_are_taken_from_the_front(rng):
    flow = real_nvp(4, couplings=3, hidden=(5,), preprocess=("logit", "standardize"), context_dim=2, rng=rng)
    front, rest = split(flow)
    assert [type(layer).__name__ for layer in front] == ["Logit", "Standardize"]
    x, c = rng.uniform(0.1, 0.9, (5, 4)), rng.normal(size=(5, 2))
    np.testing.assert_allclose(rest.encode(through(front, x.astype(flow.dtype)), c), flow.encode(x, c), rtol=1e-5)
    assert split(Flow("normal", Chain([Logit(4)])))[0] == []  # one layer must be left
    x[:, 2:] = np.nan
    found = sample_completions(flow, x, [True, True, False, False], context=c, chains=3, warmup=2, steps=2, rng=0)
    assert found.samples.shape == (5, 3, 4)
    assert np.isfinite(found.samples).all()
    assert ((found.samples > -1e-5) & (found.samples < 1 + 1e-5)).all()


def test_wrong_arguments():
    flow = pair([Logit(2)])
    with pytest.raises(NiceValueError, match=r"not between"):
        sample_completions(flow, [[5.0, 0.0]], SEEN)
    with pytest.raises(NiceValueError, match="sigma"):
        sample_completions(flow, [[0.5, 0.0]], SEEN, sigma=0.0)
    with pytest.raises(NiceValueError, match="sample_completions: x"):
        sample_completions(flow, [[np.nan, 0.0]], SEEN)
    with pytest.raises(NiceTypeError, match="expected a Flow"):
        sample_completions("flow", [[0.5, 0.0]], SEEN)
    with pytest.raises(NiceValueError, match="context"):
        sample_completions(flow, [[0.5, 0.0]], SEEN, context=[[1.0]])

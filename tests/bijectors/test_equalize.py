"""Histogram equalisation: the formula, what `fit` measures, both ends, and what it refuses."""

import numpy as np
import pytest

from nice_np import Chain, Equalize, Flow, Logit, NiceValueError, dequantize, fit, glow
from nice_np.bijectors.equalize import EVEN, POWER


def test_straight_lines_between_the_knots(rng):
    layer = Equalize(2, [4.0, 2.0, 1.0, 1.0])  # shares 1/2, 1/4, 1/8, 1/8
    x = np.array([[0.0, 0.125], [0.25, 0.375], [0.75, 1.0]])
    z, log_det, _ = layer.forward(x)
    np.testing.assert_array_equal(z, [[0.0, 0.25], [0.5, 0.625], [0.875, 1.0]])
    np.testing.assert_allclose(log_det, [2 * np.log(2), 0.0, 2 * np.log(0.5)], atol=1e-15)
    np.testing.assert_array_equal(layer.inverse(z)[0], x)
    assert repr(layer) == "Equalize(dim=2, 4 bins)"


def test_outside_it_goes_on_as_at_the_end():
    layer = Equalize(1, [3.0, 1.0])
    x = np.array([[-5e-7], [1 + 5e-7]])
    z = layer.forward(x)[0]
    np.testing.assert_allclose(z, [[-7.5e-7], [1 + 2.5e-7]], rtol=1e-9)
    np.testing.assert_allclose(layer.inverse(z)[0], x, rtol=1e-9)
    with pytest.raises(NiceValueError, match=r"Equalize: x\[0, 0\] = 1.1 is not between -1e-06 and 1.000001"):
        layer.forward(np.array([[1.1]]))


def test_fit_measures_the_softened_histogram(rng):
    layer = Equalize.unfitted(3, bins=4)
    np.testing.assert_array_equal(layer.forward(np.full((1, 3), 0.3))[0], 0.3)
    x = np.array([[0.1, 0.1, 0.1], [0.1, 0.3, 0.9]])
    layer.fit(lambda: iter([x[:1], x[1:]]))
    shares = ((1 - EVEN) * np.array([4, 1, 0, 1]) / 6 + EVEN / 4) ** POWER
    np.testing.assert_allclose(layer.shares, shares / shares.sum(), rtol=1e-14)
    assert layer.fitted
    with pytest.raises(NiceValueError, match="fit: 0 samples"):
        Equalize.unfitted(3).fit(lambda: iter([]))


def test_the_histogram_itself_is_the_density_of_a_flow_without_trained_layers(rng):
    flow = Flow("logistic", Chain([Equalize(1, [0.7, 0.2, 0.1]), Logit(1, alpha=0.0)]))
    np.testing.assert_allclose(flow.log_prob(np.array([[0.1], [0.5], [0.9]])), np.log([2.1, 0.6, 0.3]), rtol=1e-12)


@pytest.mark.parametrize("shares", [[], [1.0, 0.0], [1.0, -1.0], [np.nan, 1.0], [[1.0]]])
def test_no_shares(shares):
    with pytest.raises(NiceValueError, match="Equalize"):
        Equalize(2, shares)


def test_fit_sets_it_below_a_logit_and_samples_can_be_judged(rng):
    pixels = rng.choice(np.array([0, 0, 0, 0, 255, 100], np.uint8), size=(60, 16))
    flow = glow((4, 4), levels=1, steps=1, channels=3, preprocess=("equalize", "logit"), rng=0)
    fit(flow, pixels, epochs=1, batch_size=20, progress=False, rng=0)
    shares = flow.bijector.layers[0].shares
    assert shares.dtype == np.float32
    assert sorted(np.argsort(shares)[-3:]) == [0, 100, 255]
    assert np.isfinite(flow.log_prob(flow.sample(100, rng=rng))).all()
    assert np.isfinite(flow.log_prob(dequantize(pixels, rng, np.float32))).all()

"""Monotone functions as integrals: exact enough, increasing, onto the line, and the identity at the start."""

import numpy as np
import pytest
from registry import autoregressive, coupling

from nice_np import MLP, Partition, UMNNAutoregressive, UMNNCoupling
from nice_np.families.umnn import BENDS, FLOOR, SHIFT, UNITS


def layer_and_theta(rng, size=1.0):
    layer = UMNNCoupling(Partition.odd_even(2), MLP((1, 2 + 3 * UNITS), rng=rng))
    return layer, rng.normal(0, size, (1, 2 + 3 * UNITS))


@pytest.mark.parametrize("x", [-6.0, -1.0, 0.0, 0.3, 4.0])
def test_the_value_is_the_integral(x, rng):
    layer, theta = layer_and_theta(rng, 0.5)
    beta, c, *rest = theta[0]
    w, b, v = np.split(np.array(rest), 3)
    t = np.linspace(0, x, 20_001)
    a = c + SHIFT + np.tanh((w + 1) * t[:, None] + b + BENDS[:, 0]) @ v
    g = np.logaddexp(0, a) + FLOOR
    step = x / 20_000
    simpson = step / 3 * (g[0] + g[-1] + 4 * g[1:-1:2].sum() + 2 * g[2:-1:2].sum())
    y, log_det, _ = layer._couple(np.array([[x]]), theta)
    np.testing.assert_allclose(y, [[beta + simpson]], rtol=1e-8)
    np.testing.assert_allclose(log_det, np.log(g[-1:]), rtol=1e-12)


def test_training_starts_at_the_identity(rng):
    layer, _ = layer_and_theta(rng)
    x = rng.normal(size=(50, 1))
    y, log_det, _ = layer._couple(x, np.zeros((50, 2 + 3 * UNITS)))
    np.testing.assert_allclose(y, x, rtol=1e-12)
    np.testing.assert_allclose(log_det, 0, atol=1e-12)


@pytest.mark.parametrize("size", [1.0, 5.0])
def test_every_y_has_an_x(size, rng):
    layer, theta = layer_and_theta(rng, size)
    y = np.array([[-1e4], [-3.0], [0.0], [2.0], [1e4]])
    theta = np.repeat(theta, 5, axis=0)
    x = layer._uncouple(y, theta)[0]
    assert (np.diff(x[:, 0]) > 0).all()
    np.testing.assert_allclose(layer._couple(x, theta)[0], y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("law", [UMNNCoupling, UMNNAutoregressive])
def test_round_trip_in_float32(law, rng):
    layer = coupling(law, Partition.odd_even(4), rng) if law is UMNNCoupling else autoregressive(law, rng, 4)
    layer.cast(np.float32)
    x = rng.normal(size=(30, 4)).astype(np.float32)
    z, log_det, _ = layer.forward(x)
    back, inverse_log_det, _ = layer.inverse(z)
    assert {a.dtype for a in (z, log_det, back, inverse_log_det)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(back, x, atol=2e-5)
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-4)

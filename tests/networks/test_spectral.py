"""Spectral normalisation: the largest singular value, its gradient, and networks that bring points together."""

import numpy as np
import pytest

from nice_np import MLP
from nice_np.networks.spectral import contraction, contraction_backward, largest_singular, normalised


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (4, 4), (3, 7), (7, 3), (40, 30)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_largest_singular_value_and_vectors(shape, dtype, rng):
    W = rng.normal(size=shape).astype(dtype)
    sigma, u, v = largest_singular(W)
    assert sigma == pytest.approx(np.linalg.svd(W.astype(np.float64), compute_uv=False)[0], rel=1e-13)
    np.testing.assert_allclose([u @ u, v @ v, u @ W @ v / sigma], 1, rtol=1e-12)


def test_values_that_are_close_or_equal():
    sigma, u, v = largest_singular(np.diag([3.0, 3.0, 1.0]))
    assert (sigma, u @ u, v @ v) == (pytest.approx(3), pytest.approx(1), pytest.approx(1))
    W = np.diag([2.0, 2.0 * (1 - 1e-6)])
    np.testing.assert_allclose(np.abs(largest_singular(W)[1]), [1, 0], atol=1e-12)


def test_nothing_is_stretched_by_zeros():
    assert largest_singular(np.zeros((3, 2)))[0] == 0
    network = MLP((2, 4, 2), "tanh", output_scale=0, rng=0)
    assert not normalised(network.layers[-1].W, 0.9).W_c.any()


def test_the_gradient_of_the_largest_singular_value(rng):
    W, eps = rng.normal(size=(4, 3)), 1e-6
    _, u, v = largest_singular(W)
    for place in np.ndindex(W.shape):
        step = np.zeros_like(W)
        step[place] = eps
        numeric = (largest_singular(W + step)[0] - largest_singular(W - step)[0]) / (2 * eps)
        assert np.outer(u, v)[place] == pytest.approx(numeric, abs=1e-8)


@pytest.mark.parametrize("activation", ["tanh", "softplus", "relu", "leaky_relu"])
def test_points_come_closer(activation, rng):
    network = MLP((3, 20, 10, 3), activation, output_scale=1.0, rng=rng)
    g = contraction(network, [normalised(layer.W, 0.9) for layer in network.layers])
    for layer in g.layers:
        assert np.linalg.norm(layer.W, 2) <= 0.9 * (1 + 1e-12)
    x, y = rng.normal(size=(2, 500, 3))
    shrunk = np.linalg.norm(g.forward(x)[0] - g.forward(y)[0], axis=1)
    assert (shrunk <= 0.9**3 * np.linalg.norm(x - y, axis=1)).all()


def test_small_weights_stay_and_their_gradient_passes(rng):
    network = MLP((2, 3, 2), "tanh", rng=rng)
    network.layers[0].W *= 0.1
    weights = [normalised(layer.W, 0.9) for layer in network.layers]
    g = contraction(network, weights)
    np.testing.assert_array_equal(g.layers[0].W, network.layers[0].W)
    for layer in g.layers:
        layer.dW[...], layer.db[...] = 2.0, 3.0
    contraction_backward(network, g, weights)
    assert (network.layers[0].dW == 2).all()
    assert (network.layers[0].db == 3).all()

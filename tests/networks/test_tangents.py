"""A network with tangents: values, directional derivatives, and the gradient of both."""

import numpy as np
import pytest
from registry import mlp

from nice_np import NiceTypeError, check_gradients
from nice_np.networks.activations import ACTIVATIONS, Smooth
from nice_np.networks.tangents import backward_with_tangents, forward_with_tangents, signs_of_rows

SMOOTH = [name for name, kind in ACTIVATIONS.items() if issubclass(kind, Smooth)]
smooth = pytest.mark.parametrize("activation", SMOOTH)
sizes = pytest.mark.parametrize("sizes", [(3, 2), (3, 5, 2), (3, 5, 4, 2)], ids=str)


class Both:
    """A row holds x and its K directions, and becomes y and J V: what `check_gradients` can check."""

    def __init__(self, network, K):
        self.network, self.K = network, K

    def forward(self, row):
        x, V = np.split(row, [self.network.sizes[0]], axis=1)
        y, JV, cache = forward_with_tangents(self.network, x, V.reshape(len(x), self.K, -1))
        return np.concatenate([y, JV.reshape(len(x), -1)], axis=1), cache

    def backward(self, dout, cache):
        dy, dJV = np.split(dout, [self.network.sizes[-1]], axis=1)
        dx, dV = backward_with_tangents(self.network, dy, dJV.reshape(len(dy), self.K, -1), cache)
        return np.concatenate([dx, dV.reshape(len(dx), -1)], axis=1)


@smooth
@sizes
@pytest.mark.parametrize("K", [1, 3])
def test_all_gradients(activation, sizes, K, rng):
    network = mlp(sizes, rng, activation)
    check_gradients(Both(network, K), rng.normal(size=(4, sizes[0] * (1 + K))), rng=rng).raise_if_failed()


@smooth
@sizes
def test_tangents_are_directional_derivatives(activation, sizes, rng):
    network = mlp(sizes, rng, activation)
    x, V = rng.normal(size=(4, 3)), rng.normal(size=(4, 2, 3))
    y, JV, _ = forward_with_tangents(network, x, V)
    np.testing.assert_array_equal(y, network.forward(x)[0])
    for k in range(2):
        ahead, behind = (network.forward(x + step * V[:, k])[0] for step in (1e-5, -1e-5))
        np.testing.assert_allclose(JV[:, k], (ahead - behind) / 2e-5, rtol=1e-7, atol=1e-9)


def test_the_gradient_of_y_alone_is_the_networks_own(rng):
    network = mlp((3, 5, 4, 2), rng, "tanh")
    x, V, dy = rng.normal(size=(6, 3)), rng.normal(size=(6, 2, 3)), rng.normal(size=(6, 2))
    dx = network.backward(dy, network.forward(x)[1])
    grads = [grad.copy() for _, _, grad in network.named_parameters()]
    _, JV, cache = forward_with_tangents(network, x, V)
    np.testing.assert_array_equal(backward_with_tangents(network, dy, np.zeros_like(JV), cache)[0], dx)
    for expected, (_, _, grad) in zip(grads, network.named_parameters(), strict=True):
        np.testing.assert_array_equal(grad, expected)


def test_the_parameters_can_be_left_alone(rng):
    network = mlp((3, 5, 2), rng, "softplus")
    y, JV, cache = forward_with_tangents(network, rng.normal(size=(6, 3)), rng.normal(size=(6, 2, 3)))
    expected = backward_with_tangents(network, y, JV, cache)
    for _, _, grad in network.named_parameters():
        grad.fill(7)
    for array, again in zip(expected, backward_with_tangents(network, y, JV, cache, parameters=False), strict=True):
        np.testing.assert_array_equal(again, array)
    assert all((grad == 7).all() for _, _, grad in network.named_parameters())


@smooth
def test_dtypes_and_a_batch_of_none(activation, rng):
    network = mlp((3, 5, 2), rng, activation)
    network.cast(np.float32)
    for n in (0, 4):
        x, V = rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(n, 2, 3)).astype(np.float32)
        y, JV, cache = forward_with_tangents(network, x, V)
        outputs = y, JV, *backward_with_tangents(network, y, JV, cache)
        assert [a.shape for a in outputs] == [(n, 2), (n, 2, 2), (n, 3), (n, 2, 3)]
        assert {a.dtype for a in outputs} == {np.dtype(np.float32)}


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - set(SMOOTH)))
def test_an_activation_without_curvature_is_refused(activation, rng):
    with pytest.raises(NiceTypeError, match=r"second derivative.*tanh"):
        forward_with_tangents(mlp((3, 5, 2), rng, activation), np.zeros((1, 3)), np.zeros((1, 1, 3)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signs_are_as_good_as_random(dtype, rng):
    network, x = mlp((2, 4, 3), rng), rng.normal(size=(20_000, 2)).astype(dtype)
    signs = signs_of_rows(network, x, 2)
    assert signs.dtype == dtype
    np.testing.assert_allclose(np.abs(signs), np.sqrt(0.5), rtol=1e-6)
    flat = signs.reshape(-1, 6).astype(float) * np.sqrt(2)
    assert np.abs(flat.mean(axis=0)).max() < 0.03
    np.testing.assert_allclose(flat.T @ flat / len(flat), np.eye(6), atol=0.03)
    np.testing.assert_array_equal(signs_of_rows(network, x[:5], 2), signs[:5])
    assert signs_of_rows(network, x[:0], 2).shape == (0, 2, 3)
    nearby, reseeded = signs_of_rows(network, x + dtype(0.1), 2), signs_of_rows(network, x, 2, seed=1)
    network.layers[0].W += 0.05
    for others in (nearby, reseeded, signs_of_rows(network, x, 2)):
        assert np.abs((signs * others).mean()) < 0.1

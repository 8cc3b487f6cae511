"""The conditioner: what it computes, how it starts, what it refuses."""

import numpy as np
import pytest
from registry import mlp

from nice_np import MLP, NiceTypeError, NiceValueError, kernels
from nice_np.networks import activations
from nice_np.networks.activations import ACTIVATIONS, get_activation


def test_forward_is_the_formula(rng):
    net = mlp((3, 5, 4, 2), rng, "tanh")
    x = rng.normal(size=(6, 3))
    h = x
    for layer in net.layers[:-1]:
        h = np.tanh(h @ layer.W + layer.b)
    expected = h @ net.layers[-1].W + net.layers[-1].b
    np.testing.assert_allclose(net.forward(x)[0], expected, rtol=1e-13)


def test_no_hidden_layer_is_a_linear_map(rng):
    net = mlp((3, 2), rng)
    x = rng.normal(size=(4, 3))
    np.testing.assert_allclose(net.forward(x)[0], x @ net.layers[0].W + net.layers[0].b, rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", lambda a: np.maximum(a, 0)),
        ("leaky_relu", lambda a: np.where(a > 0, a, 0.2 * a)),
        ("tanh", np.tanh),
        ("softplus", lambda a: np.logaddexp(0, a)),
    ],
)
def test_activations(name, function):
    activation = get_activation(name)
    a, b = np.array([-800.0, -30, -1, -1e-3, 1e-3, 1, 30, 800]), np.array([1.0, 1, 1, 0, 0, -1, -1, -1])
    with np.errstate(over="raise", invalid="raise"):
        h = activation.forward(np.tile(a - b, (2, 3, 1)), b)[1, 2]  # as for images (N, height, width, channels)
        da = activation.backward(np.full(8, 2.0), h)
    np.testing.assert_allclose(h, function(a), rtol=1e-14)
    numeric = (function(a + 1e-6) - function(a - 1e-6)) / 2e-6
    np.testing.assert_allclose(da, 2 * numeric, rtol=1e-6, atol=1e-8)


def test_softplus_does_not_overflow_in_float32():
    assert get_activation("softplus").forward(np.array([[200.0]], np.float32), np.zeros(1, np.float32)) == 200


@pytest.mark.parametrize("n_in", [1, 400])
def test_spread_keeps_the_second_moment(rng, n_in):
    net = MLP((n_in, 2000, 400, 400, 10), rng=0)
    _, cache = net.forward(rng.normal(size=(200, n_in)))
    for h in cache.inputs[1:]:
        assert np.mean(h**2) == pytest.approx(1, rel=0.2)


def test_he_keeps_the_second_moment(rng):
    net = MLP((400, 400, 400, 400, 10), init="he", rng=0)
    _, cache = net.forward(rng.normal(size=(200, 400)))
    for h in cache.inputs[1:]:
        assert np.mean(h**2) == pytest.approx(1, rel=0.2)
    assert net.layers[-1].W.std() == pytest.approx(0.01 * np.sqrt(2 / 400), rel=0.05)


def test_uniform_is_the_original_code():
    net = MLP((50, 60, 70), init="uniform", rng=0)
    for layer in net.layers:
        assert np.abs(layer.W).max() <= 0.01
        assert layer.W.std() == pytest.approx(0.01 / np.sqrt(3), rel=0.05)
        np.testing.assert_array_equal(layer.b, 0)


def test_spread_moves_the_bends_all_over_the_data():
    net = MLP((1, 1000, 100, 1), rng=0)
    first, second, last = net.layers
    bends = -first.b / first.W[0]  # a unit of one input bends where x w + b = 0
    assert np.abs(bends).max() <= 2
    assert bends.std() == pytest.approx(2 / np.sqrt(3), rel=0.05)
    assert second.b.std() == pytest.approx(np.sqrt(4 / 3 * 2 / 1000), rel=0.2)
    np.testing.assert_array_equal(last.b, 0)
    assert MLP((1, 8, 1), dtype=np.float32, rng=0).layers[0].b.dtype == np.float32


def test_he_and_uniform_start_with_zero_biases_and_draw_none():
    for init in ("he", "uniform"):
        rng = np.random.default_rng(0)
        net = MLP((3, 4, 2), init=init, rng=rng)
        assert not any(layer.b.any() for layer in net.layers)
        again = np.random.default_rng(0)
        drawn = [
            again.uniform(-0.01, 0.01, W.shape) if init == "uniform" else again.normal(0, np.sqrt(2 / len(W)), W.shape)
            for W in (layer.W for layer in net.layers)
        ]
        np.testing.assert_array_equal(net.layers[0].W, drawn[0])
        assert rng.random() == again.random()


def test_output_scale_zero_starts_at_zero(rng):
    np.testing.assert_array_equal(MLP((3, 4, 2), output_scale=0, rng=0).forward(rng.normal(size=(5, 3)))[0], 0)


def test_backward_adds_and_leaves_the_cache_alone(rng):
    net = mlp((3, 4, 2), rng)
    x, dy = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    _, cache = net.forward(x)
    kept = [h.copy() for h in cache.inputs]
    dy_before = dy.copy()
    net.backward(dy, cache)
    for before, after in zip(kept, cache.inputs, strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(dy, dy_before)


def test_a_linear_layer_writes_its_gradients():
    layer = MLP((1, 1), rng=0).layers[0]
    for _ in range(2):
        layer.backward(np.array([[2.0]]), np.array([[3.0]]))
        assert (layer.dW[0, 0], layer.db[0]) == (6, 2)
    layer.backward(np.array([[5.0]]), np.array([[7.0]]), parameters=False)
    assert (layer.dW[0, 0], layer.db[0]) == (6, 2)


def test_repr_and_count():
    assert MLP((3, 2), rng=0).output_scale == 0.01
    assert repr(MLP((392, 1000, 392), rng=0)) == "MLP(392-1000-392, relu)"
    net = MLP((3, 4, 2), rng=0)
    assert MLP.count_parameters(net.config()) == net.n_parameters == 26


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"sizes": (3,)}, NiceValueError, "at least two widths"),
        ({"sizes": 3}, NiceTypeError, "sequence of whole numbers"),
        ({"sizes": None}, NiceTypeError, "sequence of whole numbers"),
        ({"sizes": (3, 0)}, NiceValueError, "sizes must be >= 1"),
        ({"sizes": (3, 2.0)}, NiceTypeError, "whole number"),
        ({"sizes": (3, 2), "activation": "gelu"}, NiceValueError, "relu, leaky_relu, tanh, softplus"),
        ({"sizes": (3, 2), "init": "zeros"}, NiceValueError, "spread, he, uniform"),
        ({"sizes": (3, 2), "output_scale": np.inf}, NiceValueError, "output_scale"),
        ({"sizes": (3, 2), "dtype": int}, NiceValueError, "float32 or float64"),
        ({"sizes": (3, 2), "rng": 1.5}, NiceTypeError, "rng"),
    ],
)
def test_bad_arguments(arguments, error, says):
    with pytest.raises(error, match=says):
        MLP(**arguments)


def test_wrong_input():
    net = MLP((3, 2), rng=0)
    with pytest.raises(NiceValueError, match=r"MLP: expected x of shape \(N, 3\), got \(3,\); use x\[None\]"):
        net.forward(np.zeros(3))
    with pytest.raises(NiceValueError, match="MLP: x has 4 features, expected 3"):
        net.forward(np.zeros((2, 4)))


def test_all_activations_are_tested():
    assert activations.bias_relu.loop is kernels.bias_relu_loop
    assert activations.relu_backward.loop is kernels.relu_backward_loop
    assert set(ACTIVATIONS) == {"relu", "leaky_relu", "tanh", "softplus"}


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 6)])
def test_a_gradient_of_another_shape_is_refused(activation, hidden, rng):
    net = mlp((2, *hidden, 3), rng, activation)
    _, cache = net.forward(rng.normal(size=(2, 2)))
    for shape in ((4, 3), (1, 3), (2, 1), (2, 4), (3,), ()):
        for parameters in (True, False):
            with pytest.raises(NiceValueError, match=r"MLP: expected dy of shape \(2, 3\), got"):
                net.backward(np.ones(shape), cache, parameters)


def test_the_gradient_of_relu_takes_what_came_out_of_it_alone():
    relu = get_activation("relu")
    for shape in ((4, 3), (1, 3), (2, 1), (3,), ()):
        with pytest.raises(NiceValueError, match=r"relu: expected dh of shape \(2, 3\), got"):
            relu.backward(np.ones(shape), np.ones((2, 3)))

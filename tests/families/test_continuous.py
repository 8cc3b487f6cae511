"""Continuous flows: known solutions, the order of the solver, traces exact and estimated, two kinds of gradient."""

from itertools import product

import numpy as np
import pytest
from registry import mlp

from nice_np import (
    MLP,
    Chain,
    DriftError,
    Flow,
    Inverse,
    NiceTypeError,
    NiceValueError,
    Standardize,
    check_gradients,
    check_inverse,
    check_log_det,
    load,
)
from nice_np.families.adjoint import continuous_adjoint
from nice_np.families.continuous import METHODS, NeuralODE


def ode(rng, sizes=(3, 6, 2), **settings):
    return NeuralODE(mlp(sizes, rng, "tanh"), **settings)


def gradients(layer):
    return np.concatenate([grad.ravel() for _, _, grad in layer.named_parameters()])


def test_a_linear_field_has_the_matrix_exponential(rng):
    layer = NeuralODE(MLP((3, 2), output_scale=0.5, activation="tanh", rng=rng), steps=40)
    W = layer.network.layers[0].W
    W[:2] = (W[:2] + W[:2].T) / 2  # symmetric: exp(W) = Q exp(values) Q^T
    W[2], layer.network.layers[0].b[:] = 0.3, -0.2  # the force 0.3 t - 0.2
    values, Q = np.linalg.eigh(W[:2])
    x = rng.normal(size=(5, 2))
    # y' = k y + 0.3 t - 0.2 in each direction of Q, with S = Q^T (1, 1) of it
    a, b = 0.3 * Q.sum(axis=0), -0.2 * Q.sum(axis=0)
    growth = np.exp(values)
    y = (x @ Q) * growth + a * (growth - 1 - values) / values**2 + b * (growth - 1) / values
    z, log_det, _ = layer.forward(x)
    np.testing.assert_allclose(z, y @ Q.T, rtol=1e-7)
    np.testing.assert_allclose(log_det, np.trace(W[:2]), rtol=1e-12)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_twice_the_steps_have_the_error_of_the_order(method, order, rng):
    layer, x = ode(rng, method=method), rng.normal(size=(20, 2))
    layer.steps, layer.method = 200, "rk4"
    exact = np.column_stack(layer.forward(x)[:2])
    layer.method, errors = method, []
    for layer.steps in (8, 16, 32):
        z, log_det, _ = layer.forward(x)
        there_and_back = layer.inverse(z)[0] - x
        errors.append([np.linalg.norm(np.column_stack([z, log_det]) - exact), np.linalg.norm(there_and_back)])
    ratios = np.array(errors[:-1]) / errors[1:]
    assert (ratios > 0.75 * 2**order).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sizes", [(3, 5, 2), (5, 4, 3, 2)], ids=["plain", "deep, with context"])
def test_gradients_are_those_of_the_steps_taken(method, sizes, rng):
    layer = ode(rng, sizes, method=method, steps=2)  # far from the solution
    x = rng.normal(size=(2, layer.dim))
    check_gradients(layer, x, rng=rng).raise_if_failed()
    check_gradients(Chain([Inverse(layer)]), x, rng=rng).raise_if_failed()


def test_gradients_of_an_estimated_trace(rng):
    layer = ode(rng, (5, 4, 3), steps=2, probes=2)
    check_gradients(layer, rng.normal(size=(2, 4)), rng=rng).raise_if_failed()


def test_inverse_and_log_det_within_the_error_of_the_steps(rng):
    layer, x = ode(rng, steps=10), rng.normal(size=(4, 2))
    report = check_inverse(layer, x)
    assert not report.passed
    assert "take more steps" in str(report)
    for layer.steps in (10, 20):
        check_inverse(layer, x, rtol=1e-6).raise_if_failed()
        check_log_det(layer, x, atol=1e-6).raise_if_failed()


def test_the_mean_over_all_signs_is_the_trace(rng):
    layer, x = ode(rng, (4, 6, 3)), rng.normal(size=(5, 3))
    exact = layer.velocity(x, 0.3, layer.directions(x))[1]
    signs = [np.broadcast_to(row, (5, 1, 3)) for row in product([-1.0, 1.0], repeat=3)]
    estimates = [layer.velocity(x, 0.3, V)[1] for V in signs]
    np.testing.assert_allclose(np.mean(estimates, axis=0), exact, rtol=1e-10)
    assert np.std(estimates, axis=0).min() > 1e-3


def test_an_estimate_belongs_to_its_row_and_is_right_on_average(rng):
    layer, x = ode(rng, (4, 6, 3)), rng.normal(size=(3000, 3))
    exact = layer.forward(x)[1]
    layer.probes = 2
    estimate = layer.forward(x)[1]
    np.testing.assert_allclose(layer.forward(x[7:12])[1], estimate[7:12], rtol=1e-10)
    error = estimate - exact
    assert np.abs(error).max() > 0.1
    assert np.abs(error.mean()) < 4 * error.std() / np.sqrt(3000)
    layer.seed = 1
    assert np.abs(layer.forward(x)[1] - estimate).max() > 0.1


def test_both_adjoints_agree_as_the_steps_grow(rng):
    layer, x = ode(rng), rng.normal(size=(6, 2))
    dz, dlog_det, errors = rng.normal(size=(6, 2)), rng.normal(size=6), []
    for layer.steps in (5, 10, 20, 40):
        z, _, cache = layer.forward(x)
        dx = layer.backward(dz, dlog_det, cache)
        discrete = np.concatenate([dx.ravel(), gradients(layer)])
        dx = continuous_adjoint(layer, z, dz, dlog_det)
        errors.append(np.linalg.norm(np.concatenate([dx.ravel(), gradients(layer)]) - discrete))
    assert errors[-1] < 1e-7 * np.linalg.norm(discrete)
    assert (np.array(errors[:-1]) / errors[1:] > 10).all()  # 16 for errors of the order h^4


def test_a_flow_of_it_is_saved_and_trained_without_stored_stages(tmp_path, rng):
    flow = Flow("normal", Chain([Standardize(np.ones(2), np.full(2, 2.0)), ode(rng, steps=3)]))
    x = rng.normal(size=(7, 2))
    flow.save(tmp_path / "flow.npz")
    again = load(tmp_path / "flow.npz")
    np.testing.assert_array_equal(again.log_prob(x), flow.log_prob(x))
    assert repr(again) == repr(flow)
    check_gradients(flow, x).raise_if_failed()
    with pytest.raises(DriftError, match="NeuralODE"):  # three steps back do not end at the input
        flow.nll_and_grad(x, recompute=True)


def test_a_context_passes_unchanged_and_matters(rng):
    layer, x = ode(rng, (5, 6, 2), steps=5), rng.normal(size=(4, 4))
    z, _, _ = layer.forward(x)
    np.testing.assert_array_equal(z[:, 2:], x[:, 2:])
    assert np.abs(layer.forward(x + np.array([0, 0, 1, 0]))[0] - z)[:, :2].max() > 0.01


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("steps", -3, "steps must be from 1 to 100000, got -3"),
        ("steps", 0, "steps must be from 1 to 100000, got 0"),
        ("method", "rk5", "did you mean 'rk4'"),
        ("probes", 0, "probes must be from 1 to 100000, got 0"),
    ],
)
def test_what_is_changed_later_is_checked_in_the_next_pass(name, value, match, rng):
    """-3 steps would be none, the identity, and 0 probes a trace of 0."""
    layer, x = ode(rng), rng.normal(size=(4, 2))
    setattr(layer, name, value)
    for call in (layer.forward, layer.inverse):
        with pytest.raises(NiceValueError, match=match):
            call(x)


def test_what_it_refuses(rng):
    with pytest.raises(NiceTypeError, match="expected an MLP"):
        NeuralODE(np.tanh)
    with pytest.raises(NiceTypeError, match="second derivative"):
        NeuralODE(MLP((3, 4, 2)))
    with pytest.raises(NiceValueError, match="and the time"):
        ode(rng, (2, 4, 2))
    with pytest.raises(NiceValueError, match="probes must be >= 1"):
        ode(rng, probes=0)
    with pytest.raises(NiceValueError, match="steps must be from 1 to 100000, got 1000000000"):
        ode(rng, steps=10**9)
    with pytest.raises(NiceValueError, match="unknown method 'rk5'"):
        ode(rng, method="rk5")

"""Flow matching: the regression, its gradient, training and what the flow can do afterwards."""

import numpy as np
import pytest
from registry import shaken

from nice_np import (
    MLP,
    Chain,
    DiagonalGaussian,
    DiagonalScaling,
    NiceTypeError,
    NiceValueError,
    Standardize,
    check_gradients,
    fit,
    load,
    one_hot,
)
from nice_np.families.continuous import NeuralODE
from nice_np.flows.continuous import continuous_flow, flow_matching
from nice_np.flows.flow_matching import FlowMatching
from nice_np.training.history import History


def model(rng, sigma=0.1, context_dim=0):
    network = shaken(MLP((3 + context_dim, 6, 2), "tanh", rng=rng), rng)
    return FlowMatching("normal", NeuralODE(network), context_dim, sigma)


@pytest.mark.parametrize("context_dim", [0, 2])
def test_the_gradients_of_regression_and_likelihood(context_dim, rng):
    flow, x = model(rng, context_dim=context_dim), rng.normal(size=(6, 2))
    context = rng.normal(size=(6, 2)) if context_dim else None
    report = check_gradients(flow, x, context=context, rng=rng)
    report.raise_if_failed()
    assert {row.name.split(":")[0] for row in report.rows} == {"nll", "log_prob", "loss"}


def test_the_loss_is_the_formula(rng):
    flow, x, z = model(rng, sigma=0.1), rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    t = np.array([0.0, 1.0, 0.25, 0.5, 0.9])[:, None]
    s = (1 - t) * x + (t + 0.1 * (1 - t)) * z
    np.testing.assert_allclose(s[:2], [x[0] + 0.1 * z[0], z[1]])
    v = flow.ode.network.forward(np.concatenate([s, t], axis=1))[0]
    expected = -np.square(v - (0.9 * z - x)).sum(axis=1)
    np.testing.assert_allclose(flow.objective(x, np.concatenate([z, t], axis=1)), expected, rtol=1e-12)


def test_the_best_velocity_carries_the_data_to_the_prior(rng):
    """Data N(m, r^2): v* = E[u | s_t = s] is a straight line in s, and its flow the affine map (x - m) / r."""
    m, r = 2.0, 0.5

    def best(s, t):  # the mean of u = z - x given s = (1 - t) x + t z, both Gaussian
        return -m + (t - (1 - t) * r**2) / (((1 - t) * r) ** 2 + t**2) * (s - (1 - t) * m)

    x, z, grid = m + r * rng.normal(size=200_000), rng.normal(size=200_000), np.array([0.0, 2.0])
    for t in (0.0, 0.5, 1.0):
        line = np.polyfit((1 - t) * x + t * z, z - x, 1)  # the regression of u on s
        np.testing.assert_allclose(np.polyval(line, grid), best(grid, t), atol=0.05)
    s, h = m + 0.7 * r, 1 / 400
    for t in np.arange(0, 1, h):
        s += h * best(s + h / 2 * best(s, t), t + h / 2)
    np.testing.assert_allclose(s, 0.7, atol=1e-4)


def test_it_learns_a_gaussian_and_its_likelihood(rng):
    x = rng.normal([3.0, -1.0], [0.5, 2.0], (4000, 2))
    flow = flow_matching(2, hidden=32, rng=0)
    before = flow.score(x[:1000])
    history = fit(flow, x[1000:], validation=x[:1000], epochs=20, learning_rate=3e-3, progress=False, rng=0)
    assert history.measure == "flow_matching"
    assert history["validation_flow_matching"][-1] > history["validation_flow_matching"][0]
    assert history["validation_bits_per_dim"] == [None] * 20
    assert "minus the squared error" in repr(history)
    assert History.from_csv(history.to_csv()).rows == history.rows
    entropy = 0.5 * np.log(2 * np.pi * np.e) * 2 + np.log(0.5 * 2.0)
    assert before < -entropy - 0.5
    assert flow.score(x[:1000]) == pytest.approx(-entropy, abs=0.1)
    flow.ode.steps = 2
    drawn = flow.sample(4000, rng=0)
    np.testing.assert_allclose(drawn.mean(axis=0), [3, -1], atol=0.3)
    np.testing.assert_allclose(drawn.std(axis=0), [0.5, 2], rtol=0.15)


def test_training_is_the_same_by_two_threads_and_after_a_stop(tmp_path, rng):
    x, runs = rng.normal(size=(300, 2)), []
    for settings in ({}, {"threads": 2}, {"recompute": True}):
        flow = flow_matching(2, hidden=8, dtype=np.float64, rng=0)
        fit(flow, x, epochs=4, progress=False, rng=0, **settings)
        runs.append(flow.params.values)
    for other in runs[1:]:
        np.testing.assert_allclose(other, runs[0], rtol=1e-9)
    flow, path = flow_matching(2, hidden=8, dtype=np.float64, rng=0), tmp_path / "run.npz"
    fit(flow, x, epochs=2, progress=False, rng=0, checkpoint=path)
    fit(flow, x, epochs=4, progress=False, rng=0, checkpoint=path, resume=True)
    np.testing.assert_array_equal(flow.params.values, runs[0])


def test_labels(rng):
    labels = np.arange(600) % 2
    x, context = rng.normal(size=(600, 2)) * 0.3 + 4 * labels[:, None], one_hot(labels, 2)
    flow = flow_matching(2, hidden=32, context_dim=2, rng=0)
    fit(flow, x, context, epochs=60, learning_rate=5e-3, progress=False, rng=0)
    for k in (0, 1):
        drawn = flow.sample(500, rng=0, context=np.eye(2)[k])
        np.testing.assert_allclose(drawn.mean(axis=0), [4 * k, 4 * k], atol=0.4)


def test_it_is_saved_whole(tmp_path, rng):
    flow, x = model(rng), rng.normal(size=(4, 2))
    flow.save(tmp_path / "flow.npz")
    again = load(tmp_path / "flow.npz")
    assert isinstance(again, FlowMatching)
    assert repr(again) == repr(flow)
    assert repr(again).startswith("FlowMatching(dim=2")
    extra = flow.draw_extra(None, 4, rng)
    np.testing.assert_array_equal(again.objective(x, extra), flow.objective(x, extra))


def test_both_builders_make_one_model(rng):
    by_likelihood = continuous_flow(3, hidden=5, context_dim=2, probes=2, dtype=np.float64, rng=0)
    by_matching = flow_matching(3, hidden=5, context_dim=2, probes=2, dtype=np.float64, rng=0)
    for flow in (by_likelihood, by_matching):
        flow.params.values[:] = np.linspace(-1, 1, len(flow.params))
    x, context = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    fit(by_matching, x, context, epochs=1, learning_rate=1e-30, progress=False, rng=0)  # standardises
    fit(by_likelihood, x, context, epochs=1, learning_rate=1e-30, progress=False, rng=0)
    np.testing.assert_allclose(by_matching.log_prob(x, context), by_likelihood.log_prob(x, context))
    assert by_matching.ode.probes == by_likelihood.layers[-1].probes == 2
    assert continuous_flow(1, hidden=5, rng=0).sample(3, rng=0).shape == (3, 1)


def test_what_it_refuses(rng):
    network = MLP((3, 4, 2), "tanh", rng=rng)
    with pytest.raises(NiceTypeError, match="a NeuralODE, or a Chain"):
        FlowMatching("normal", Standardize(np.zeros(2), np.ones(2)))
    with pytest.raises(NiceTypeError, match="no other parameters"):
        FlowMatching("normal", Chain([DiagonalScaling(2), NeuralODE(network)]))
    with pytest.raises(NiceTypeError, match="nor in the prior"):
        FlowMatching(DiagonalGaussian(2), NeuralODE(MLP((3, 4, 2), "tanh", rng=rng)))
    flow, x = model(rng), rng.normal(size=(4, 2))
    with pytest.raises(NiceTypeError, match="extra"):
        flow.objective(x)
    with pytest.raises(NiceValueError, match="extra has 1 rows, expected 4"):
        flow.objective(x, np.zeros((1, 3)))
    with pytest.raises(NiceValueError, match="0 samples"):
        flow.loss_and_grad(x[:0], np.zeros((0, 3)))
    with pytest.raises(NiceValueError, match="sigma"):
        model(rng, sigma=1.0)

"""Batch normalisation: the original's gradient, and statistics that move between runs."""

import copy

import numpy as np
import pytest

from nice_np import BatchNorm, Chain, Flow, NiceValueError, check_gradients, fit, load, nice
from nice_np.families.batch_norm import BatchStatistics


@pytest.mark.parametrize("epsilon", [0.0, 1e-5, 0.7])
@pytest.mark.parametrize("n", [2, 9])
def test_the_gradient_through_mean_and_variance_of_a_batch(n, epsilon, rng):
    check_gradients(BatchStatistics(epsilon), rng.normal(3.0, 2.0, size=(n, 4))).raise_if_failed()


def test_the_gradient_neither_shifts_nor_stretches_a_batch(rng):
    x, dz = rng.normal(3.0, 2.0, size=(9, 4)), rng.normal(size=(9, 4))
    layer = BatchStatistics(0.0)
    dx = layer.backward(dz, np.zeros(9), layer.forward(x)[2])
    np.testing.assert_allclose([dx.sum(axis=0), (dx * x).sum(axis=0)], 0, atol=1e-12)


def test_why_it_is_no_bijector(rng):
    x, layer = rng.normal(size=(8, 2)), BatchStatistics()
    z = layer.forward(x)[0]
    assert np.abs(layer.forward(x[:4])[0] - z[:4]).max() > 0.01  # shards of a batch
    np.testing.assert_array_equal(layer.forward(x[:1])[0], 0)  # a row alone
    np.testing.assert_allclose(layer.forward(5 * x + 3)[0], z, rtol=1e-3)  # two batches, one image


def test_moving_statistics(rng):
    layer = BatchNorm.unfitted(1)
    means = [1.0, 4.0, -2.0, *rng.normal(size=12)]
    expected, var = 0.0, 1.0
    for k, mean in enumerate(means, start=1):
        layer.fit(lambda mean=mean, k=k: [np.array([[mean - k], [mean + k]])])
        rho = max(0.1, 1 / k)
        expected, var = expected + rho * (mean - expected), var + rho * (k**2 - var)
        np.testing.assert_allclose([layer.mean[0], layer.std[0] ** 2], [expected, var], rtol=1e-12)
    assert layer.fitted
    assert layer.measured == 15


def test_it_moves_only_at_the_start_of_a_fit(rng, tmp_path):
    x = rng.normal([5.0, -3.0], [2.0, 0.5], size=(200, 2))
    couplings = [nice(2, couplings=3, hidden=(4,), preprocess=(), dtype=np.float64, rng=k).bijector for k in (0, 1)]
    below, above = (copy.deepcopy(bijector) for bijector in couplings)
    layer = BatchNorm.unfitted(2)
    flow = Flow("normal", Chain([below, layer, above]))
    settings = {"epochs": 3, "batch_size": 50, "learning_rate": 0.01, "progress": False, "threads": 2, "rng": 0}
    fit(flow, x, **settings)
    first = layer.mean.copy()
    assert layer.measured == 1
    fit(flow, x, **settings)
    np.testing.assert_array_equal(layer.mean, first)
    layer.fitted = False
    arriving = below.forward(x)[0]
    fit(flow, x, **settings)
    assert layer.measured == 2
    np.testing.assert_allclose(layer.mean, (first + arriving.mean(axis=0)) / 2, rtol=1e-9)
    flow.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.log_prob(x), flow.log_prob(x))
    assert again.layers[1].measured == 2


def test_wrong_settings():
    for share in (0.0, 1.5):
        with pytest.raises(NiceValueError, match="share must be"):
            BatchNorm([0.0], [1.0], share=share)

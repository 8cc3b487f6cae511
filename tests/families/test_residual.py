"""Residual flows: contraction and inverse, the exact log-determinant and its estimate, flows of them."""

import copy

import numpy as np
import pytest

from nice_np import MLP, NiceTypeError, NiceValueError, Residual, check_gradients, fit, load, one_hot, residual_flow
from nice_np.families.power_series import PowerSeries


def network(sizes, rng, size=0.8):
    made = MLP(sizes, "tanh", rng=rng)
    for _, array, _ in made.named_parameters():
        array[...] = rng.normal(0, size, array.shape)
    return made


@pytest.mark.parametrize("c", [0.5, 0.97, 0.9999])
def test_the_fixed_point_is_the_inverse(c, rng):
    layer = Residual(network((3, 10, 3), rng, 3.0), c)
    x = rng.normal(size=(200, 3))
    z = layer.forward(x)[0]
    np.testing.assert_allclose(layer.inverse(z)[0], x, rtol=0, atol=1e-13 / (1 - c**2))


@pytest.mark.parametrize("sizes", [(3, 8, 6, 3), (5, 8, 3)], ids=["features", "context"])
def test_the_series_is_right_on_average(sizes, rng):
    net, x = network(sizes, rng), rng.normal(size=(50, sizes[0]))
    exact = Residual(net, 0.95).forward(x)[1]
    estimates = np.array([Residual(net, 0.95, PowerSeries(seed=seed)).forward(x)[1] for seed in range(400)])
    error = (estimates.mean(axis=0) - exact) / (estimates.std(axis=0) / np.sqrt(400))
    assert np.abs(error).max() < 4.5
    assert 0.8 < error.std() < 1.3
    assert np.abs(estimates.mean() - exact.mean()) < 0.01


def test_the_cut_of_the_series_is_right_on_average(rng):
    """With J = 0.7 I every v^T J^k v is 3 * 0.7^k: the only noise is where the sum is cut, row by row."""
    net = MLP((3, 3), "tanh")
    net.layers[0].W[...] = 0.7 * np.eye(3)
    estimates = Residual(net, 0.9, PowerSeries(terms=1, keep=0.7)).forward(rng.normal(size=(20_000, 3)))[1]
    error = estimates.mean() - 3 * np.log(1.7)
    assert abs(error) < 4 * estimates.std() / np.sqrt(20_000)
    assert estimates.std() < 1


def test_one_feature_and_many_terms_leave_no_noise(rng):
    """v^2 = 1 for a single feature: tr J^k = v J^k v."""
    net, x = network((1, 6, 1), rng), rng.normal(size=(20, 1))
    series = Residual(net, 0.7, PowerSeries(terms=60)).forward(x)[1]
    np.testing.assert_allclose(series, Residual(net, 0.7).forward(x)[1], atol=1e-12)


@pytest.mark.parametrize("sizes", [(3, 8, 6, 3), (4, 8, 2)], ids=["features", "context"])
def test_the_gradient_of_an_estimate_is_exact(sizes, rng):
    check_gradients(Residual(network(sizes, rng), 0.9, "series"), rng.normal(size=(5, sizes[0]))).raise_if_failed()


def test_an_estimate_belongs_to_the_row(rng):
    """The same in every batch and at every call, close in float32, another for another seed."""
    layer = Residual(network((3, 8, 3), rng), 0.9, "series")
    x = rng.normal(size=(30, 3))
    log_det = layer.forward(x)[1]
    np.testing.assert_array_equal(layer.forward(x)[1], log_det)
    np.testing.assert_allclose(layer.forward(x[7:9])[1], log_det[7:9], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(layer.inverse(layer.forward(x)[0])[1], -log_det, rtol=0, atol=1e-12)
    single = copy.deepcopy(layer)
    single.cast(np.float32)
    assert np.median(np.abs(single.forward(x.astype(np.float32))[1] - log_det)) < 1e-6
    assert np.abs(Residual(layer.network, 0.9, PowerSeries(seed=1)).forward(x)[1] - log_det).max() > 1e-3
    z, log_det, cache = layer.forward(x[:0])
    assert layer.backward(z, log_det, cache).shape == (0, 3)


def test_new_random_numbers_as_soon_as_the_weights_have_moved(rng):
    net, x = network((3, 8, 3), rng), rng.normal(size=(300, 3))

    def errors():
        return Residual(net, 0.9, "series").forward(x)[1] - Residual(net, 0.9).forward(x)[1]

    before = errors()
    net.layers[1].b[0] += 1e-7
    assert np.corrcoef(before, errors())[0, 1] > 0.999
    net.layers[1].b[0] += 0.2
    assert np.corrcoef(before, errors())[0, 1] < 0.5


@pytest.mark.parametrize("log_det", ["exact", "series"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_passes_through(log_det, bad, rng):
    """Then `fit` sees a loss that is not finite, and goes back."""
    layer, x = Residual(network((2, 4, 2), rng), 0.9, log_det), rng.normal(size=(3, 2))
    with np.errstate(all="ignore"):
        x[0, 0] = bad
        z, log_det, cache = layer.forward(x)
        layer.backward(z, log_det, cache)
        assert not np.isfinite(z[0]).all()
        assert np.isfinite(z[1:]).all()
        layer.network.layers[0].W[0, 0] = np.nan
        assert not np.isfinite(layer.forward(x[1:])[0]).all()


def test_the_context_passes(rng):
    layer = Residual(network((5, 8, 3), rng), 0.9)
    x = rng.normal(size=(10, 5))
    z = layer.forward(x)[0]
    np.testing.assert_array_equal(z[:, 3:], x[:, 3:])
    np.testing.assert_array_equal(layer.inverse(z)[0][:, 3:], x[:, 3:])


@pytest.mark.parametrize("log_det", ["exact", PowerSeries(terms=2, keep=0.3, seed=5)], ids=["exact", "series"])
@pytest.mark.parametrize("context_dim", [0, 2])
def test_a_flow_of_them_learns_and_is_saved(log_det, context_dim, rng, tmp_path):
    x = rng.normal(size=(400, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    labels = one_hot(rng.integers(0, 2, 400), 2)
    x[:, 1] += 0.5 * x[:, 0] ** 2 + 2 * labels[:, 0]
    context = labels if context_dim else None
    flow = residual_flow(2, layers=3, log_det=log_det, context_dim=context_dim, dtype=np.float64, rng=0)
    fit(flow, x, context, epochs=1, rng=0, progress=False)  # measures Standardize
    before = flow.log_prob(x, context).mean()
    fit(flow, x, context, epochs=10, learning_rate=0.01, rng=0, progress=False)
    assert flow.log_prob(x, context).mean() > before + 0.02
    flow.save(tmp_path / "flow.npz")
    again = load(tmp_path / "flow.npz")
    assert repr(again) == repr(flow)
    np.testing.assert_array_equal(again.log_prob(x, context), flow.log_prob(x, context))
    np.testing.assert_allclose(again.decode(again.encode(x, context), context), x, atol=1e-10)


def test_arguments_are_checked(rng):
    with pytest.raises(NiceTypeError, match="second derivative"):
        Residual(MLP((2, 4, 2), "relu"))
    with pytest.raises(NiceValueError, match="c must be finite, > 0 and < 1"):
        Residual(MLP((2, 4, 2), "tanh"), c=1.0)
    with pytest.raises(NiceValueError, match=r"must map D \(\+ context\) features to D"):
        Residual(MLP((2, 4, 3), "tanh"))
    with pytest.raises(NiceTypeError, match="network must be an MLP"):
        Residual(rng)
    with pytest.raises(NiceValueError, match=r"unknown log_det 'exat'.*did you mean 'exact'"):
        residual_flow(2, log_det="exat")

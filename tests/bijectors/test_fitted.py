"""Layers that measure their constants on data: in chunks, in float64, on what arrives at them."""

import numpy as np
import pytest

from nice_np import (
    Chain,
    DiagonalScaling,
    Flow,
    Inverse,
    Logit,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    PCAWhitening,
    Standardize,
    WithContext,
    dequantize,
    fit,
    nice,
)
from nice_np.bijectors.fitted import Fitted, mean_of
from nice_np.training.fit import start_from_data


def chunks_of(x, size=7):
    return lambda: (x[start : start + size] for start in range(0, len(x), size))


def test_the_protocol_is_two_names():
    class Wrapper:
        fitted = False

        def fit(self, chunks):
            pass

    assert isinstance(Standardize.unfitted(2), Fitted)
    assert isinstance(Wrapper(), Fitted)
    assert not isinstance(DiagonalScaling(2), Fitted)


def test_mean_of_chunks(rng):
    x = rng.normal(size=(50, 3)).astype(np.float32)
    mean, n_samples = mean_of(chunks_of(x))
    assert mean.dtype == np.float64
    assert n_samples == 50
    np.testing.assert_allclose(mean, x.mean(axis=0, dtype=np.float64), rtol=1e-12)
    with pytest.raises(NiceValueError, match="0 samples"):
        mean_of(chunks_of(x[:0]))


def test_standardize_measures_mean_and_std(rng):
    x = rng.normal([3.0, -1.0, 0.0], [0.1, 2.0, 1.0], size=(100, 3))
    layer = Standardize.unfitted(3)
    layer.fit(chunks_of(x))
    assert layer.fitted
    np.testing.assert_allclose(layer.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer.std, x.std(axis=0), rtol=1e-12)
    x = 1e8 + np.arange(5000.0).reshape(-1, 1)  # E x^2 - (E x)^2 would cancel
    layer = Standardize.unfitted(1)
    layer.fit(chunks_of(x, 1000))
    np.testing.assert_allclose(layer.std, x.std(axis=0), rtol=1e-10)


def test_a_feature_that_never_changes_gets_std_1_and_a_warning():
    """Against 1e-12 |mean|: what rounding alone makes of a constant."""
    centre = np.array([3.0, 1e8, -1e8, 1e8, 0.0, 0.0, 0.0])
    spread = np.array([0.0, 1e-6, 1e-6, 1.0, 1e-6, 5e-13, 1.5e-12])
    layer = Standardize.unfitted(7)
    with pytest.warns(UserWarning, match=r"feature 0 never changes in the training data \(3 in all\)"):
        layer.fit(chunks_of(np.stack([centre - spread, centre + spread])))
    np.testing.assert_allclose(layer.std, [1, 1, 1, 1, 1e-6, 5e-13, 1.5e-12], rtol=1e-12)


@pytest.mark.parametrize("kind", [Standardize, PCAWhitening])
@pytest.mark.parametrize(
    "x",
    [
        [[1e300, 1.0], [-1e300, 2.0]],  # one feature of two
        [[1e308, 0.0], [1e308, 1.0], [-1e308, 0.0], [-1e308, 1.0]],  # inf - inf between the chunks
    ],
)
def test_any_feature_that_overflows_is_reported(kind, x):
    layer = kind.unfitted(2)
    with pytest.raises(NiceOverflowError, match="of the data overflows; rescale them"):
        layer.fit(chunks_of(np.array(x), 2))
    assert layer.fitted is False


def test_a_std_that_overflows_is_reported():
    layer = Standardize.unfitted(1)
    with pytest.raises(NiceOverflowError, match="the standard deviation of the data overflows"):
        layer.fit(chunks_of(np.array([[1e300], [-1e300]])))
    assert not layer.fitted


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_layer_is_fitted_to_what_arrives_at_it(dtype, rng):
    pixels = rng.integers(0, 256, size=(2500, 3)).astype(np.uint8)  # three chunks
    below, first, second = Logit(3), Standardize.unfitted(3), Standardize.unfitted(3)
    scaling = DiagonalScaling(3, log_scale=1.5)
    flow = Flow("normal", Chain([below, first, scaling, second])).astype(dtype)
    start_from_data(flow, pixels)
    _, first, _, second = flow.layers
    z = below.forward(dequantize(pixels, 0))[0]
    tolerance = {"rtol": 0.01, "atol": 0.01}  # the noise differs
    np.testing.assert_allclose(first.mean, z.mean(axis=0), **tolerance)
    np.testing.assert_allclose(first.std, z.std(axis=0), **tolerance)
    np.testing.assert_allclose(second.mean, 0, atol=1e-5)  # not so if `first` had been fitted after it
    np.testing.assert_allclose(second.std, np.exp(1.5), rtol=1e-5)
    assert second.std.dtype == dtype


def test_unfitted_layers_are_the_identity_and_fit_sets_them(rng):
    x = rng.normal(5.0, 2.0, size=(60, 2))
    np.testing.assert_array_equal(Standardize.unfitted(2).forward(x)[0], x)
    flow = Flow("normal", Chain([DiagonalScaling(2, 1.0), Standardize.unfitted(2)]))
    fit(flow, x, epochs=1, progress=False, learning_rate=1e-12, rng=0)
    np.testing.assert_allclose(flow.encode(x).mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(flow.encode(x).std(axis=0), 1, atol=1e-9)


def test_the_same_pixels_give_the_same_constants(rng):
    pixels = rng.integers(0, 256, size=(30, 4)).astype(np.uint8)
    flows = [nice(4, hidden=(3,), rng=seed) for seed in (0, 1)]
    for flow in flows:
        start_from_data(flow, pixels)  # a resumed run finds the same numbers
    np.testing.assert_array_equal(flows[0].layers[0].mean, flows[1].layers[0].mean)
    np.testing.assert_array_equal(flows[0].layers[0].std, flows[1].layers[0].std)


def test_layers_of_chains_within_chains_are_fitted(rng):
    x = rng.normal(5.0, 2.0, size=(60, 2))
    inner = Standardize.unfitted(2)
    flow = Flow("normal", Chain([Chain([DiagonalScaling(2, 1.0), Chain([inner])]), DiagonalScaling(2)]))
    start_from_data(flow, x)
    assert inner.fitted
    np.testing.assert_allclose(flow.encode(x).mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(flow.encode(x).std(axis=0), 1, atol=1e-9)


@pytest.mark.parametrize("around", [Inverse, lambda layer: WithContext(Chain([layer]), 1)])
def test_an_unfitted_layer_that_no_data_reach_is_refused(around, rng):
    """It would stay the identity without a word."""
    bijector = around(Standardize.unfitted(2))
    context_dim = bijector.dim - 2
    flow = Flow("normal", Chain([bijector]), context_dim)
    context = {"context": np.ones(1)} if context_dim else {}
    with pytest.raises(NiceValueError, match=r"fit: bijector\.layers\.0.*Standardize\) is not fitted"):
        fit(flow, rng.normal(size=(9, 2)), epochs=1, progress=False, **context)


def test_a_layer_of_very_small_data_is_fitted(rng):
    """What never changes is told by rounding, which is relative, and not by the unit of the data."""
    x = 1e-13 * rng.normal(size=(100, 1))
    layer = Standardize.unfitted(1)
    layer.fit(chunks_of(x))
    np.testing.assert_allclose(layer.std, x.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-13, 1e8])
def test_a_constant_is_one_whatever_its_size(value):
    layer = Standardize.unfitted(1)
    with pytest.warns(UserWarning, match="feature 0 never changes"):
        layer.fit(chunks_of(np.full((100_003, 1), value), 1000))
    assert layer.std == 1


def test_a_spread_below_the_dtypes_normal_numbers_is_none():
    layer = Standardize.unfitted(1, np.float32)
    with pytest.warns(UserWarning, match="feature 0 never changes"):
        layer.fit(chunks_of(np.array([[0.0], [1e-45]], np.float32)))
    assert layer.std == 1


@pytest.mark.parametrize("wrong", ["False", None, 2, 1.0, np.zeros(1)])
def test_fitted_is_a_flag(wrong):
    with pytest.raises(NiceTypeError, match="Standardize: fitted must be True or False"):
        Standardize([0.0], [1.0], fitted=wrong)


def test_no_sample_lies_too_many_standard_deviations_out(rng):
    x = rng.normal([0.0, 5.0, -2.0], [1.0, 0.1, 3.0], size=(20_000, 3))
    x[:, 1] = 5.0
    x[77, 1] = 5.9  # the border pixel of one digit: std 0.0064, 141 of them from the mean
    x[:, 2] *= 1e-6
    layer = Standardize.unfitted(3)
    layer.fit(chunks_of(x, 3000))
    z, _, _ = layer.forward(x)
    assert np.abs(z[:, 1]).max() == pytest.approx(50)
    np.testing.assert_allclose(z[:, [0, 2]].std(axis=0), 1, rtol=1e-10)

"""nice and real_nvp build what the papers describe."""

import numpy as np
import pytest

from nice_np import (
    AdditiveCoupling,
    AffineCoupling,
    DiagonalScaling,
    NiceTypeError,
    NiceValueError,
    Partition,
    PCAWhitening,
    Standardize,
    StandardLogistic,
    StandardNormal,
    ZCAWhitening,
    check_gradients,
    dequantize,
    fit,
    nice,
    real_nvp,
)
from nice_np.datasets import load_digits
from nice_np.datasets.toy import TOYS
from nice_np.training.fit import start_from_data


def test_nice_is_the_papers_mnist_model():
    flow = nice(784, hidden=(1000,) * 5, preprocess=(), init="uniform", rng=0)
    *couplings, scaling = flow.bijector.layers
    assert len(couplings) == 4
    assert isinstance(flow.prior, StandardLogistic)
    assert isinstance(scaling, DiagonalScaling)
    np.testing.assert_array_equal(scaling.log_scale, 0)
    for k, layer in enumerate(couplings):
        assert isinstance(layer, AdditiveCoupling)
        assert layer.conditioner.sizes == (392, 1000, 1000, 1000, 1000, 1000, 392)
        assert layer.conditioner.activation.name == "relu"
        np.testing.assert_array_equal(layer.partition.idx_a, np.arange(k % 2, 784, 2))
    per_coupling = 392 * 1000 + 4 * 1000 * 1000 + 1000 * 392 + 5 * 1000 + 392
    assert len(flow.params) == 4 * per_coupling + 784


@pytest.mark.parametrize(("dim", "width"), [(2, 64), (64, 64), (100, 100), (256, 256), (784, 256)])
@pytest.mark.parametrize("build", [nice, real_nvp])
def test_the_default_widths_follow_the_number_of_features(build, dim, width):
    conditioner = build(dim, rng=0).bijector.layers[1].conditioner
    assert conditioner.sizes[1:-1] == (width, width)


def test_the_default_channels_do_not_follow_the_size_of_the_image():
    flow = nice(16, conditioner="conv", partition="checkerboard", image_shape=(4, 4), rng=0)
    assert flow.bijector.layers[1].conditioner.channels[1:-1] == (32, 32)


def test_flows_start_near_the_identity(rng):
    x = rng.normal(size=(20, 6))
    flow = nice(6, hidden=(50,), preprocess=(), dtype=np.float64, rng=0)
    assert 0 < np.abs(flow.encode(x) - x).max() < 0.2
    flow = nice(6, hidden=(50,), preprocess=(), init="uniform", dtype=np.float64, rng=0)
    assert 0 < np.abs(flow.encode(x) - x).max() < 0.2


def test_standardize_starts_the_scaling_at_the_width_of_the_prior():
    flow = nice(6, hidden=(5,), rng=0)
    assert isinstance(flow.bijector.layers[0], Standardize)
    assert not flow.bijector.layers[0].fitted
    np.testing.assert_allclose(flow.bijector.layers[-1].log_scale, np.log(np.pi / np.sqrt(3)), rtol=1e-6)


def test_real_nvp():
    flow = real_nvp(7, couplings=5, hidden=(4,), scale="sigmoid", rng=0)
    assert isinstance(flow.prior, StandardNormal)
    layers = flow.bijector.layers[1:]
    assert [type(layer) for layer in layers] == [AffineCoupling] * 5
    assert layers[0].scale.name == "sigmoid"
    assert [layer.conditioner.sizes for layer in layers[:2]] == [(4, 4, 6), (3, 4, 8)]


@pytest.mark.parametrize("build", [nice, real_nvp])
@pytest.mark.parametrize("couplings", [1, 2])
def test_too_few_couplings_warn(build, couplings):
    with pytest.warns(UserWarning, match="three are needed for every dimension to affect every other"):
        build(4, couplings=couplings, hidden=(3,))


@pytest.mark.parametrize("couplings", [1, 2, 3])
def test_why_three(couplings, rng):
    """With three additive couplings every output depends on every input; with fewer some do not."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flow = nice(4, couplings=couplings, hidden=(20,), activation="tanh", preprocess=(), dtype=np.float64, rng=0)
    flow.params.values[:] = rng.normal(0, 0.5, len(flow.params))
    x = rng.normal(size=(1, 4))
    jacobian = np.stack([(flow.encode(x + 1e-4 * e) - flow.encode(x - 1e-4 * e))[0] for e in np.eye(4)])
    assert (np.abs(jacobian) > 1e-9).all() == (couplings >= 3)


@pytest.mark.parametrize("partition", ["odd-even", "halves", "checkerboard", Partition(6, [0, 1, 5])])
@pytest.mark.parametrize("build", [nice, real_nvp])
def test_any_partition(build, partition, rng):
    flow = build(6, couplings=3, hidden=(5,), partition=partition, image_shape=(2, 3), dtype=np.float64, rng=0)
    x = rng.normal(size=(3, 6))
    check_gradients(flow, x).raise_if_failed()
    np.testing.assert_allclose(flow.decode(flow.encode(x)), x, atol=1e-12)


def test_same_seed_same_model():
    a, b, c = nice(5, hidden=(6,), rng=3), nice(5, hidden=(6,), rng=3), nice(5, hidden=(6,), rng=4)
    np.testing.assert_array_equal(a.params.values, b.params.values)
    assert not np.array_equal(a.params.values, c.params.values)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"dim": 1}, NiceValueError, "at least 2 features"),
        ({"dim": "4"}, NiceTypeError, "whole number"),
        ({"dim": 4, "couplings": 0}, NiceValueError, "couplings must be >= 1"),
        ({"dim": 4, "hidden": 5.5}, NiceTypeError, "sequence of whole numbers"),
        ({"dim": 4, "hidden": (0,)}, NiceValueError, "every entry of hidden must be >= 1"),
        ({"dim": 4, "partition": "checkerboard", "image_shape": (2, 2, 2)}, NiceValueError, "height, width"),
        ({"dim": 4, "partition": "checkerboard", "image_shape": "22"}, NiceTypeError, "sequence of whole numbers"),
        ({"dim": 4, "prior": StandardNormal}, NiceTypeError, r"write StandardNormal\(\)"),
        ({"dim": 4, "hidden": (1.5,)}, NiceTypeError, "whole number"),
        ({"dim": 4, "prior": "cauchy"}, NiceValueError, "choose one of normal, logistic"),
        ({"dim": 4, "activation": "gelu"}, NiceValueError, "choose one of relu, leaky_relu, tanh, softplus"),
        ({"dim": 4, "partition": "thirds"}, NiceValueError, "odd-even, halves, checkerboard"),
        ({"dim": 4, "partition": "checkerboard"}, NiceValueError, "needs image_shape"),
        ({"dim": 4, "partition": Partition.halves(5)}, NiceValueError, "has 5 features, expected 4"),
        ({"dim": 4, "init": "xavier"}, NiceValueError, "spread, he, uniform"),
        ({"dim": 4, "dtype": "float16"}, NiceValueError, "float32 or float64"),
        ({"dim": 4, "rng": "a"}, NiceTypeError, "rng must be a seed"),
    ],
)
@pytest.mark.parametrize("build", [nice, real_nvp])
def test_bad_arguments(build, arguments, error, says):
    with pytest.raises(error, match=says):
        build(**arguments)


def test_any_sequence_of_widths_will_do():
    expected = repr(nice(4, hidden=(5, 6), rng=0))
    for hidden in ([5, 6], np.array([5, 6]), (width for width in (5, 6))):
        assert repr(nice(4, hidden=hidden, rng=0)) == expected


@pytest.mark.parametrize(("couplings", "bound"), [(4, 2), (8, 2), (16, 1), (24, 2 / 3)])
def test_all_couplings_together_have_a_bounded_scale(couplings, bound):
    bounds = [layer.scale.bound for layer in real_nvp(2, couplings, (4,), rng=0).bijector.layers[1:]]
    assert bounds == pytest.approx([bound] * couplings)


@pytest.mark.parametrize("toy", TOYS)
def test_deep_wide_flows_at_a_high_rate_do_not_diverge(toy):
    x, losses = TOYS[toy](1000, 0), []
    flow = real_nvp(2, 16, (128, 128), rng=0)
    note = lambda flow, history: losses.append(-history.rows[-1]["train_log_likelihood"])  # noqa: E731
    fit(flow, x, epochs=3, batch_size=100, learning_rate=2e-3, callbacks=[note], progress=False, rng=0)
    assert max(losses) < losses[0] + 1


def test_unknown_scale():
    with pytest.raises(NiceValueError, match="exp, tanh, sigmoid, softplus"):
        real_nvp(4, scale="relu")


@pytest.mark.slow
@pytest.mark.parametrize("preprocess", [(), ("standardize",)], ids=str)
def test_round_trip_of_the_papers_model_in_float32(preprocess, rng):
    digits = load_digits()
    flow = nice(784, preprocess=preprocess, rng=0)
    start_from_data(flow, digits.train)
    flow.params.values[:] += rng.normal(0, 0.002, len(flow.params)).astype(np.float32)
    x = dequantize(digits.test[:1000], rng, np.float32)
    z = flow.encode(x)
    assert np.abs(flow.bijector.layers[-2].forward(x)[0] - x).max() > 0.05, "the couplings do nothing"
    assert np.abs(flow.decode(z) - x).max() <= 1e-4


@pytest.mark.slow
def test_directional_gradients_at_the_papers_size(rng):
    flow = nice(784, preprocess=(), dtype=np.float64, rng=0)
    flow.params.values[:] += rng.normal(0, 0.01, len(flow.params))
    check_gradients(flow, rng.random((2, 784)), max_coordinates=20, rng=0).raise_if_failed()


def test_a_label_is_as_loud_as_the_features_at_first(rng):
    flow = nice(200, hidden=(4000,), context_dim=5, rng=rng)
    conditioner = next(layer for layer in flow.layers if isinstance(layer, AdditiveCoupling)).conditioner
    of_features, of_context = np.split(conditioner.layers[0].W, [100])
    assert of_context.shape == (5, 4000)
    assert of_context.std() == pytest.approx(of_features.std() * 10, rel=0.03)  # sqrt(100)
    assert of_features.std() == pytest.approx(np.sqrt(2 / 105), rel=0.03)


@pytest.mark.parametrize("build", [nice, real_nvp])
def test_a_given_layer_is_copied_and_takes_the_flows_dtype(build, rng):
    """Constants in float64 would make everything above them float64, and a rebuilt input would look like a drift."""
    given = Standardize(np.ones(4), np.full(4, 2.0))
    flow = build(4, hidden=(8,), preprocess=(given,), rng=0)
    x = rng.normal(size=(5, 4))
    for answer in (flow.log_prob(x), flow.encode(x), flow.sample(3, rng=0), flow.nll_and_grad(x, recompute=True)[1]):
        assert answer.dtype == np.float32
    assert given.mean.dtype == np.float64
    flow.layers[0].set(np.zeros(4), np.ones(4))
    np.testing.assert_array_equal(given.std, 2)


@pytest.mark.parametrize("kind", [Standardize, ZCAWhitening, PCAWhitening])
def test_the_scaling_starts_at_the_width_of_the_prior_also_behind_a_given_layer(kind):
    flow = nice(6, hidden=(5,), preprocess=("logit", kind.unfitted(6)), rng=0)
    np.testing.assert_allclose(flow.layers[-1].log_scale, np.log(np.pi / np.sqrt(3)), rtol=1e-6)
    flow = nice(6, hidden=(5,), preprocess=(kind.unfitted(6), "rescale"), rng=0)
    np.testing.assert_array_equal(flow.layers[-1].log_scale, 0)


def test_the_name_of_a_conditioner_is_checked_before_its_widths():
    with pytest.raises(NiceTypeError, match="nice: conditioner must be"):
        nice(4, conditioner=np.ones(3))

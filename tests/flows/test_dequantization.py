"""Flows of images with learned noise: they start as without, learn it, and do all that other flows can do."""

import numpy as np
import pytest
from registry import shaken

from nice_np import (
    Flow,
    NiceTypeError,
    NiceValueError,
    Permutation,
    check_gradients,
    fit,
    glow,
    log_prob_of_pixels,
    one_hot,
    variational_dequantization,
)


def small(shape=(4, 4), noise=True, **settings):
    layer = variational_dequantization(shape, 2, 3, dtype="float64", rng=1)
    settings = {"levels": 1, "steps": 1, "channels": 3, "dtype": "float64", "rng": 0} | settings
    return glow(shape, preprocess=(layer, "logit") if noise else "logit", **settings)


def digits(rng, n=60, dim=16):
    """Pixels of which most are 0, as in digits."""
    return np.where(rng.random((n, dim)) < 0.7, 0, rng.integers(0, 256, (n, dim))).astype(np.uint8)


@pytest.mark.parametrize("shape", [(4, 4), (3, 2, 4)])
def test_it_starts_as_uniform_noise(shape, rng):
    x = rng.random((5, np.prod(shape)))
    plain, learned = small(shape, noise=False), small(shape)
    np.testing.assert_allclose(learned.log_prob(x), plain.log_prob(x), atol=1e-8)
    np.testing.assert_allclose(learned.sample(5, 0), plain.sample(5, 0), atol=1e-8)


def test_noise_depends_on_pixels_nearby_and_on_nothing_behind(rng):
    layer = shaken(variational_dequantization((8, 8), 1, 4, activation="tanh", dtype="float64", rng=0), rng)
    x = rng.uniform(0.1, 0.9, (1, 64))
    x[0, 0] = 0.5 / 256
    moved = x.copy()
    moved[0, 0] += 1 / 256  # the level in the corner, not its noise
    change = (np.abs(layer.forward(moved)[0] - layer.forward(x)[0]) > 1e-12).reshape(8, 8)
    np.testing.assert_array_equal(change[6:], False)  # two 3x3 convolutions of an image of half the size
    np.testing.assert_array_equal(change[1:6:2, :6], True)  # the lower half of each 2x2 block is moved


@pytest.mark.parametrize(
    "law", ["affine", "additive", *(pytest.param(law, marks=pytest.mark.slow) for law in ("spline", "mixture"))]
)
def test_gradients(law, rng):
    layer = shaken(variational_dequantization((2, 4), 2, 2, law=law, levels=2, dtype="float64", rng=0), rng, 0.3)
    x = (rng.integers(0, 2, (2, 8)) + rng.uniform(0.3, 0.7, (2, 8))) / 2
    check_gradients(layer, x, rng=rng, max_coordinates=10).raise_if_failed()


def test_learned_noise_is_worth_something(rng):
    pixels = digits(rng, 400)
    bits = []
    for noise in (False, True):
        flow = small(noise=noise, channels=8)
        fit(flow, pixels, epochs=15, batch_size=50, learning_rate=5e-3, progress=False, rng=0)
        bits.append(flow.bits_per_dim(pixels))
    assert bits[1] < bits[0] - 0.05
    one, many = (log_prob_of_pixels(flow, pixels, k, 0).mean() for k in (1, 20))
    assert many > one


def test_a_resumed_run_is_the_whole_run_and_a_file_keeps_the_flow(rng, tmp_path):
    pixels, settings = digits(rng), {"batch_size": 20, "progress": False, "rng": 0}
    whole, stopped, resumed = small(), small(), small()
    fit(whole, pixels, epochs=4, **settings)
    fit(stopped, pixels, epochs=2, checkpoint=tmp_path / "run.npz", **settings)
    fit(resumed, pixels, epochs=4, checkpoint=tmp_path / "run.npz", resume=True, **settings)
    np.testing.assert_array_equal(resumed.params.values, whole.params.values)
    whole.save(tmp_path / "glow.npz")
    again = Flow.load(tmp_path / "glow.npz")
    np.testing.assert_array_equal(again.bits_per_dim(pixels), whole.bits_per_dim(pixels))
    assert repr(again.layers[0]) == "VariationalDequantization(dim=16, levels=256, noise=4 layers)"


def test_labels_and_threads(rng):
    pixels, labels = digits(rng), one_hot(rng.integers(0, 2, 60), 2)
    one, two = small(context_dim=2), small(context_dim=2)
    fit(one, pixels, labels, epochs=2, batch_size=20, progress=False, rng=0)
    fit(two, pixels, labels, epochs=2, batch_size=20, progress=False, rng=0, threads=2)
    np.testing.assert_allclose(two.params.values, one.params.values, rtol=1e-6, atol=1e-9)
    assert log_prob_of_pixels(one, pixels, 2, 0, labels).shape == (60,)


def test_samples_round_down_to_the_pixels_of_the_flow_without_the_layer(rng):
    flow = shaken(small(), rng, 0.3)
    z = rng.normal(size=(50, 16))
    with_noise, y = flow.decode(z), z
    for layer in flow.layers[:0:-1]:
        y = layer.inverse(y)[0]
    np.testing.assert_array_equal(np.floor(256 * with_noise), np.floor(256 * y))
    assert np.abs(with_noise - y).max() > 1e-4


def test_wrong_settings(rng):
    with pytest.raises(NiceValueError, match="variational_dequantization: image_shape must be"):
        variational_dequantization((3, 4))
    with pytest.raises(NiceValueError, match="couplings must be >= 1"):
        variational_dequantization((4, 4), 0)
    with pytest.raises(NiceTypeError, match="expected a Flow"):
        log_prob_of_pixels(Permutation.reversal(4), np.zeros((1, 4), np.uint8))
    with pytest.raises(NiceValueError, match="draws must be >= 1"):
        log_prob_of_pixels(small(), np.zeros((1, 16), np.uint8), 0)
    with pytest.raises(NiceTypeError, match="uint8"):
        log_prob_of_pixels(small(), np.zeros((1, 16), int))

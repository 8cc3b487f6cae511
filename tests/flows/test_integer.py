"""Integer discrete flows: bijections of the grid, probabilities that sum to one, gradients exact without rounding."""

import numpy as np
import pytest
from registry import coupling, mlp, shaken

from nice_np import (
    AdditiveCoupling,
    DiscretisedLogistics,
    Flow,
    GivenTheFirst,
    IntegerFlow,
    NiceTypeError,
    NiceValueError,
    Partition,
    RoundedAdditiveCoupling,
    check_gradients,
    fit,
    integer_flow,
    load_model,
    nice,
    save_model,
)
from nice_np.families.discretised import log_mass, mixture_of

STEP = 1 / 256


def random_flow(rng, dtype=np.float64, **settings):
    return shaken(integer_flow((4, 8), channels=3, dtype=dtype, rng=rng, **settings), rng)


def pixels_like(rng, n=20, dim=32):
    return rng.integers(0, 256, (n, dim)).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_round_trip_is_exact(dtype, rng):
    flow = random_flow(rng, dtype)
    flow.params.values[...] *= 3  # shifts of many levels
    pixels = pixels_like(rng)
    x = flow.from_pixels(pixels, None)
    z = flow.encode(x)
    assert z.dtype == dtype
    np.testing.assert_array_equal(z * 256, np.rint(z * 256))
    assert np.abs(z - x).max() > 20 * STEP
    np.testing.assert_array_equal(flow.decode(z), x, strict=True)


def test_the_probabilities_of_all_integers_sum_to_one(rng):
    prior = shaken(DiscretisedLogistics(1, 3), rng, 1.0)
    z = np.arange(-20_000, 20_000)[:, None] * STEP
    assert np.exp(prior.log_prob(z)).sum() == pytest.approx(1, abs=1e-9)


def test_the_logarithm_keeps_tails_and_thin_bins():
    theta = np.zeros((1, 3, 1))  # one logistic around 0, of width e^-3.5
    width = np.exp(-3.5)
    z = np.array([[1e3 * width]])
    far = log_mass(z, mixture_of(theta), STEP)[0]
    expected = -(1e3 - STEP / width / 2) + np.log1p(-np.exp(-STEP / width))  # sigmoid(u) is e^u there
    np.testing.assert_allclose(far, [[expected]], rtol=1e-12)
    thin = log_mass(np.zeros((1, 1)), mixture_of(theta), 1e-12)[0]
    np.testing.assert_allclose(thin, [[np.log(1e-12 / (4 * width))]], rtol=1e-12)  # the density times the bin


def test_without_rounding_it_is_the_additive_coupling(rng):
    rounded = coupling(RoundedAdditiveCoupling, Partition.odd_even(4), rng)
    plain = AdditiveCoupling(rounded.partition, rounded.conditioner)
    x = rng.normal(size=(5, 4))
    rounded.conditioner.layers[-1].W[...] *= 64  # an output of one means 1/64
    rounded.conditioner.layers[-1].b[...] *= 64
    y = rounded.forward(x)[0]
    assert np.abs(y - x).max() > STEP
    rounded.without_rounding()
    smooth = rounded.forward(x)[0]
    assert 0 < np.abs(smooth - y).max() <= STEP / 2
    rounded.conditioner.layers[-1].W[...] /= 64
    rounded.conditioner.layers[-1].b[...] /= 64
    np.testing.assert_allclose(smooth, plain.forward(x)[0], rtol=1e-13)


def test_the_gradients_are_right_with_rounding_off(rng):
    flow = shaken(integer_flow((2, 4), levels=1, channels=2, dtype=np.float64, rng=rng), rng)
    report = check_gradients(flow, pixels_like(rng, 2, 8) * STEP, rng=rng)
    report.raise_if_failed()
    assert "rounding was off" in str(report)


def test_rounding_changes_the_gradient_by_little(rng):
    """The straight-through estimate is the exact gradient without rounding, at values half a level away at most."""
    flow = random_flow(rng)
    x = flow.from_pixels(pixels_like(rng), None)
    estimate = flow.nll_and_grad(x)[1].copy()
    for _, module in flow.modules():
        if hasattr(module, "without_rounding"):
            module.without_rounding()
    exact = flow.nll_and_grad(x)[1]
    assert 0 < np.linalg.norm(estimate - exact) < 0.2 * np.linalg.norm(exact)


@pytest.mark.slow
def test_training_finds_what_a_histogram_finds(rng):
    pixels = rng.choice(np.array([0, 0, 0, 255], np.uint8), (400, 16))  # 0.81 bits a pixel
    flow = integer_flow((4, 4), levels=1, channels=4, components=2, rng=0)
    history = fit(flow, pixels, epochs=30, batch_size=50, learning_rate=0.05, progress=False, rng=0)
    assert flow.bin_width == 1
    assert history.rows[-1]["train_log_likelihood"] < 0
    assert 0.75 < flow.bits_per_dim(pixels) < 1.1


def test_samples_lie_on_the_grid_and_have_the_right_probabilities(rng):
    prior = GivenTheFirst(DiscretisedLogistics(1, 1, 0.5), mlp((1, 4, 3), rng), dim=2, step=0.5)
    z = prior.sample(20_000, 2, rng)
    np.testing.assert_array_equal(z * 2, np.rint(z * 2))
    points, counts = np.unique(z, axis=0, return_counts=True)
    often = counts > 100
    np.testing.assert_allclose(np.log(counts[often] / len(z)), prior.log_prob(points[often]), atol=0.3)
    assert random_flow(rng).sample(3, rng=0).shape == (3, 32)


def test_a_file_holds_it(tmp_path, rng):
    flow = random_flow(rng, np.float32)
    save_model(tmp_path / "a.npz", flow)
    again, _ = load_model(tmp_path / "a.npz")
    assert isinstance(again, IntegerFlow)
    assert repr(again) == repr(flow)
    pixels = pixels_like(rng)
    assert again.bits_per_dim(pixels) == flow.bits_per_dim(pixels)


def test_what_is_refused(rng):
    flow = random_flow(rng)
    with pytest.raises(NiceValueError, match=r"row 1 has other numbers; give uint8"):
        flow.log_prob(np.concatenate([np.zeros((1, 32)), np.full((1, 32), 0.3)]))
    with pytest.raises(NiceValueError, match=r"power of two such as 1/256, got 0.1"):
        DiscretisedLogistics(2, step=0.1)
    with pytest.raises(NiceTypeError, match="expected an IntegerPrior"):
        IntegerFlow("normal", nice(4, rng=0).bijector)
    with pytest.raises(NiceValueError, match=r"both divisible by 2\^levels = 4, got \(6, 6\)"):
        integer_flow((6, 6))
    with pytest.raises(NiceValueError, match="m must map 1 features to 3 K parameters of each of the 2 others"):
        GivenTheFirst(DiscretisedLogistics(1), mlp((1, 3, 5), rng), dim=3)
    assert isinstance(flow, Flow)

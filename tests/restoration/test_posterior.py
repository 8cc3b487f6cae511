"""Posterior sampling: exact for a linear flow and any metric; refused arguments; the Gaussian baseline."""

import numpy as np
import pytest
from test_restoration import DIM, OPERATORS, SIGMA, labelled, linear_flow, moments, stack

from nice_np import (
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    DiagonalScaling,
    Flow,
    GaussianImages,
    Identity,
    LatentPosterior,
    Mask,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    Standardize,
    StandardLogistic,
    StandardNormal,
    real_nvp,
    sample_posterior,
)
from nice_np.restoration.hmc import Chains
from nice_np.restoration.posterior import information_in, information_in_measurements

K = 3000  # chains: the standard error of a mean is 1/sqrt(K) = 0.018 standard deviations


def exact_posterior(flow, operator, y):
    """Mean (N, D) and covariance (D, D) of x given y for a Gaussian x."""
    mean, C = moments(flow)
    A = operator.matrix()
    gain = C @ A.T @ np.linalg.inv(A @ C @ A.T + SIGMA**2 * np.eye(len(A)))
    return mean + (y - A @ mean) @ gain.T, C - gain @ A @ C


@pytest.mark.parametrize("leapfrogs", [1, 5])
@pytest.mark.parametrize("kind", ["mask", "projection", "blur"])
def test_samples_of_a_linear_flow_have_the_moments_of_the_exact_posterior(kind, leapfrogs, rng):
    flow, operator = linear_flow(rng), OPERATORS[kind](rng)
    y = operator.forward(flow.sample(1, rng)) + SIGMA * rng.normal(size=(1, operator.dim_out))
    mean, covariance = exact_posterior(flow, operator, y)
    settings = {"chains": K, "warmup": 40, "steps": 10, "leapfrogs": leapfrogs, "rng": 0}
    found = sample_posterior(flow, y, operator, SIGMA, **settings)
    std = np.sqrt(np.diag(covariance))
    draws = found.samples[0]  # (K, D)
    np.testing.assert_allclose((draws.mean(axis=0) - mean[0]) / std, 0, atol=0.1)
    error = (np.cov(draws.T) - covariance) / np.outer(std, std)
    np.testing.assert_allclose(error, 0, atol=0.12)
    np.testing.assert_allclose((found.mean - mean) / std, 0, atol=0.06)  # over chains and steps
    np.testing.assert_allclose(found.std[0] / std, 1, atol=0.05)
    assert (found.acceptance > 0.3).all()


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_the_metric_does_not_change_the_distribution(spread, rng):
    # The target is N(0, diag(s^2)); the metric does not match it.
    s = np.array([0.5, 1.0, 2.0])
    factor = np.tril(rng.normal(size=(3, 3))) + 2 * np.eye(3)
    chains = Chains(rng.normal(size=(K, 3)), np.linalg.inv(factor) * spread, 0.5, rng)

    def potential(z, rows):
        return ((z[rows] / s) ** 2).sum(axis=1) / 2, z[rows] / s**2

    for _ in range(40):
        chains.adapt(chains.step(potential, 5))
    for _ in range(60):
        chains.step(potential, 5)
    np.testing.assert_allclose(chains.z.std(axis=0) / s, 1, atol=0.07)
    np.testing.assert_allclose(chains.z.mean(axis=0) / s, 0, atol=0.09)


def test_leapfrogs_conserve_the_energy_to_second_order(rng):
    s = np.array([0.5, 1.0, 2.0])

    def potential(z, rows):
        return ((z[rows] / s) ** 2).sum(axis=1) / 2, z[rows] / s**2

    losses = []
    for step in (0.2, 0.1):
        chains = Chains(np.ones((2000, 3)), np.eye(3), step, np.random.default_rng(0))
        losses.append(1 - chains.step(potential, int(1 / step)).mean())
    # The energy error is O(e^2), so half the step divides the mean of 1 - acceptance by 4.
    assert 3 < losses[0] / losses[1] < 5


def test_information_in_a_prior(rng):
    assert information_in(StandardNormal(), rng) == pytest.approx(1, abs=0.05)
    assert information_in(StandardLogistic(), rng) == pytest.approx(1 / 3, abs=0.02)


def test_information_in_measurements_of_a_linear_flow(rng):
    flow, operator = linear_flow(rng), OPERATORS["projection"](rng)
    y, z = np.zeros((500, operator.dim_out)), rng.normal(size=(500, DIM))
    target = LatentPosterior(flow=flow, operator=operator, y=y, sigma=SIGMA)
    J = (flow.decode(np.eye(DIM)) - flow.decode(np.zeros((1, DIM)))).T  # column d is dg/dz_d
    exact = J.T @ operator.matrix().T @ operator.matrix() @ J / SIGMA**2
    found = information_in_measurements(target, z, rng)
    assert np.abs(found - exact).max() < 0.15 * np.abs(exact).max()


def test_information_in_measurements_of_a_flow_with_affine_couplings(rng):
    # Its log-determinant depends on z, and must not enter.
    steep = np.random.default_rng(2)  # d log_det/dz, squared, is above J^T J
    flow = real_nvp(4, 3, (6,), preprocess=(), dtype=np.float64, rng=steep)
    flow.params.values[:] = steep.standard_normal(len(flow.params)) / 2
    operator, z, h = Mask([True, False, True, True]), steep.standard_normal((1, 4)), 1e-6
    target = LatentPosterior(flow=flow, operator=operator, y=np.zeros((1, 3)), sigma=SIGMA)
    J = (flow.decode(z + h * np.eye(4)) - flow.decode(z - h * np.eye(4))).T / (2 * h)  # (D, D): dx_i/dz_j
    A = operator.matrix()
    expected = J.T @ A.T @ A @ J / SIGMA**2
    found = information_in_measurements(target, z.repeat(20_000, axis=0), rng)
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


def test_chains_that_overflow_stay_where_they_were(rng):
    # Far out an affine flow overflows: only those proposals are rejected.
    flow = stack(AffineCoupling, rng).astype(np.float32)
    target = LatentPosterior(flow=flow, operator=Identity(DIM), y=np.zeros((40, DIM)), sigma=1.0)
    z = np.full((40, DIM), 0.1, np.float32)
    chains = Chains(z, np.eye(DIM, dtype=np.float32), 0.1, rng)
    chains.step_size[::2] = 1e30
    probability = chains.step(lambda z, rows: target.rows(rows).value_and_grad(z[rows]), 3)
    np.testing.assert_array_equal(probability[::2], 0)
    np.testing.assert_array_equal(chains.z[::2], z[::2])
    assert (probability[1::2] > 0.5).all()


def test_start_clip_context_and_seed(rng):
    flow = labelled(real_nvp, "normal", rng)
    context = np.eye(2)[[0, 1, 0]]
    x = flow.sample(3, rng, context=context)
    settings = {"chains": 4, "warmup": 3, "steps": 2, "context": context, "start": x, "clip": (-1, 1)}
    one, two, other = (sample_posterior(flow, x, Identity(DIM), 0.5, rng=seed, **settings) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.samples, two.samples)
    assert not np.array_equal(one.samples, other.samples)
    assert one.samples.shape == (3, 4, DIM)
    assert one.mean.shape == one.std.shape == (3, DIM)
    assert one.acceptance.shape == (3, 4)
    assert np.abs(one.samples).max() <= 1
    assert np.abs(one.mean).max() <= 1
    each = np.repeat(x[:, None], 4, axis=1)  # one per chain
    np.testing.assert_array_equal(
        sample_posterior(flow, x, Identity(DIM), 0.5, rng=1, **{**settings, "start": each}).samples, one.samples
    )
    exact = sample_posterior(flow, x, Identity(DIM), 1e-6, rng=0, **{**settings, "clip": None, "warmup": 0})
    np.testing.assert_allclose(exact.samples, np.repeat(x[:, None], 4, axis=1), atol=1e-5)  # within sigma


def test_no_images_and_float32(rng):
    flow = stack(AffineCoupling, rng).astype(np.float32)
    assert sample_posterior(flow, np.empty((0, DIM)), Identity(DIM), 1.0, rng=0).samples.shape == (0, 8, DIM)
    found = sample_posterior(flow, np.zeros((2, DIM)), Identity(DIM), 1.0, warmup=2, steps=2, rng=0)
    assert found.samples.dtype == found.mean.dtype == np.float32


def test_progress(capsys, rng):
    sample_posterior(stack(AffineCoupling, rng), np.zeros((1, DIM)), Identity(DIM), 1.0, warmup=2, steps=2, rng=0)
    assert capsys.readouterr() == ("", "")
    sample_posterior(
        stack(AffineCoupling, rng), np.zeros((1, DIM)), Identity(DIM), 1.0, warmup=2, steps=2, rng=0, progress=True
    )
    assert "step 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"sigma": 0}, NiceValueError, "sigma must be finite, > 0"),
        ({"chains": 0}, NiceValueError, "chains must be >= 1"),
        ({"steps": 0}, NiceValueError, "steps must be >= 1"),
        ({"warmup": -1}, NiceValueError, "warmup must be >= 0"),
        ({"leapfrogs": 1.5}, NiceTypeError, "leapfrogs must be a whole number"),
        ({"operator": np.eye(DIM)}, NiceTypeError, "operator must be an Operator"),
        ({"y": np.full((2, DIM), np.nan)}, NiceValueError, "y contains NaN"),
        ({"start": np.zeros((1, DIM))}, NiceValueError, "start has 1 rows, expected 2, one for each image"),
        ({"start": np.zeros((2, 3, DIM))}, NiceValueError, r"expected start of shape \(N, 6\)"),
        ({"clip": 1}, NiceTypeError, "clip must be"),
        ({"context": np.zeros((2, 1))}, NiceValueError, "takes no context"),
        ({"rng": "seed"}, NiceTypeError, "rng must be a seed"),
    ],
)
def test_bad_arguments(changes, error, says, rng):
    arguments = {"flow": stack(AdditiveCoupling, rng), "y": np.zeros((2, DIM)), "operator": Identity(DIM), "sigma": 1.0}
    with pytest.raises(error, match=says):
        sample_posterior(**{**arguments, **changes})


@pytest.mark.parametrize("sigma", [1e-200, 1e-170])
def test_a_sigma_that_is_too_small_is_an_overflow_error(sigma):
    with pytest.raises(NiceOverflowError, match="overflows float64; check sigma"):
        sample_posterior(Flow("normal", DiagonalScaling(2)), np.ones((1, 2)), Identity(2), sigma, rng=0)


def test_with_a_huge_sigma_only_the_prior_counts():
    flow = Flow("normal", DiagonalScaling(2))
    found = sample_posterior(flow, np.ones((1, 2)), Identity(2), 1e200, chains=200, warmup=5, steps=5, rng=0)
    np.testing.assert_allclose(found.mean, 0, atol=0.2)


def test_the_std_of_images_far_from_zero(rng):
    # Prior N(1000, 0.01^2) and a measurement with almost no information: the spread is that of the prior.
    flow = Flow("normal", Chain([Standardize([1000.0], [0.01]), DiagonalScaling(1)])).astype(np.float32)
    found = sample_posterior(flow, [[1000.0]], Identity(1), 100.0, chains=400, rng=0)
    assert found.std.dtype == np.float32
    np.testing.assert_allclose(found.std, 0.01, rtol=0.1)


def test_the_rows_of_start_are_counted_per_image(rng):
    flow = stack(AdditiveCoupling, rng)
    for start in (np.zeros((2, DIM)), np.zeros((2, 8, DIM))):
        with pytest.raises(NiceValueError, match="start has 2 rows, expected 3, one for each image"):
            sample_posterior(flow, np.zeros((3, DIM)), Identity(DIM), 1.0, start=start)


# -- the baseline -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OPERATORS)
def test_the_gaussian_baseline_is_the_exact_conditional_mean(kind, rng):
    flow, operator = linear_flow(rng), OPERATORS[kind](rng)
    y = operator.forward(flow.sample(4, rng))
    model = GaussianImages(*moments(flow))
    np.testing.assert_allclose(
        model.conditional_mean(y, operator, SIGMA), exact_posterior(flow, operator, y)[0], rtol=1e-9, atol=1e-10
    )


def test_the_gaussian_baseline_keeps_exact_pixels_and_learns_from_samples(rng):
    flow, mask = linear_flow(rng), Mask([True, False, True, True, False, False])
    model = GaussianImages.fit(flow.sample(50_000, rng))
    mean, C = moments(flow)
    np.testing.assert_allclose(model.mean, mean, atol=0.1)
    np.testing.assert_allclose(model.covariance, C, atol=0.05 * np.abs(C).max())
    x = flow.sample(3, rng)
    np.testing.assert_allclose(mask.forward(model.conditional_mean(mask.forward(x), mask)), mask.forward(x))


@pytest.mark.parametrize("kind", ["mask", "projection"])
def test_draws_of_the_gaussian_baseline(kind, rng):
    flow, operator = linear_flow(rng), OPERATORS[kind](rng)
    y = operator.forward(flow.sample(2, rng))
    mean, covariance = exact_posterior(flow, operator, y)
    draws = GaussianImages(*moments(flow)).conditional_draws(y, operator, SIGMA, 20_000, rng)
    assert draws.shape == (2, 20_000, DIM)
    for n in range(2):
        np.testing.assert_allclose(draws[n].mean(axis=0), mean[n], atol=0.05)
        np.testing.assert_allclose(np.cov(draws[n].T), covariance, atol=0.05 * covariance.max())


def test_the_gaussian_baseline_refuses(rng):
    model = GaussianImages(np.zeros(DIM), np.zeros((DIM, DIM)))
    with pytest.raises(NiceValueError, match="singular; give a sigma"):
        model.conditional_mean(np.zeros((1, DIM)), Identity(DIM))
    with pytest.raises(NiceValueError, match="expects 5 features, the images have 6"):
        model.conditional_mean(np.zeros((1, 5)), Identity(5))
    with pytest.raises(NiceTypeError, match="must be an Operator"):
        model.conditional_mean(np.zeros((1, DIM)), np.eye(DIM))
    with pytest.raises(NiceValueError, match="at least two samples"):
        GaussianImages.fit(np.zeros((1, DIM)))
    with pytest.raises(NiceValueError, match="symmetric"):
        GaussianImages(np.zeros(DIM), np.triu(np.ones((DIM, DIM))))
    with pytest.raises(NiceValueError, match="sigma must be finite"):
        GaussianImages(np.zeros(DIM), np.eye(DIM)).conditional_mean(np.zeros((1, DIM)), Identity(DIM), 1e200)


@pytest.mark.parametrize("seen", [20, 40, 50])
def test_the_gaussian_baseline_detects_too_few_samples(seen, rng):
    """The covariance of 20 samples has rank 19: no more pixels than that can be exact."""
    x = rng.normal(size=(20, 50)) * np.geomspace(0.01, 100, 50)
    model, mask = GaussianImages.fit(x), Mask(np.arange(50) < seen)
    y = rng.normal(size=(2, seen)) * np.geomspace(0.01, 100, 50)[:seen]
    with pytest.raises(NiceValueError, match="singular; give a sigma > 0"):
        model.conditional_mean(y, mask)
    few = Mask(np.arange(50) < 15)
    np.testing.assert_allclose(few.forward(model.conditional_mean(y[:, :15], few)), y[:, :15], rtol=1e-6)
    assert np.isfinite(model.conditional_mean(y, mask, sigma=0.1)).all()


def test_a_covariance_has_no_negative_eigenvalue(rng):
    for matrix in ([[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.0], [0.0, -1e-3]], -np.eye(2), [[0.0, 1.0], [1.0, 0.0]]):
        with pytest.raises(NiceValueError, match="negative eigenvalue"):
            GaussianImages([0.0, 0.0], matrix)
    x = rng.normal(size=(5, 60))
    for dtype in (np.float32, np.float64):  # of rank 4, except for rounding
        GaussianImages(np.zeros(60), np.cov(x.T).astype(dtype))


@pytest.mark.parametrize("bound", [0.1, 0.2, 0.9])
def test_images_that_are_all_alike_have_no_spread(bound):
    """The mean of squares minus the square of the mean is then -1e-17, by rounding."""
    flow = Flow("normal", DiagonalScaling(2))
    settings = {"chains": 3, "warmup": 5, "steps": 3, "clip": (-1, bound), "rng": 0}
    found = sample_posterior(flow, [[50.0, 50.0]], Identity(2), sigma=0.5, **settings)
    assert (found.samples == bound).all()
    assert (found.std == 0).all()

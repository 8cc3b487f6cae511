"""Learned and other priors: scipy's densities, samples, and every place that a flow's prior goes to."""

import copy

import numpy as np
import pytest
from registry import PRIORS, shaken
from scipy import integrate, stats
from scipy.special import softmax

from nice_np import (
    Chain,
    DiagonalGaussian,
    DiagonalScaling,
    Flow,
    GaussianMixture,
    Inverse,
    LearnedStudentT,
    LogisticMixture,
    Logit,
    Mask,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    Prior,
    StudentT,
    Uniform,
    check_gradients,
    fit,
    inpaint,
    load,
    nice,
    real_nvp,
    sample_posterior,
    variational_autoencoder,
)
from nice_np.flows.priors import get_prior
from nice_np.sklearn import NICEDensity
from nice_np.vae.latents import FlowPrior, PlainPrior

INTEGER = ["DiscretisedLogistics", "GivenTheFirst", "DeeperLevel"]  # see test_integer.py
OTHER = [name for name in PRIORS if not name.startswith("Standard") and name not in INTEGER]
LEARNED = ["LearnedStudentT", "DiagonalGaussian", "GaussianMixture", "LogisticMixture"]
others, learned_ones = pytest.mark.parametrize("name", OTHER), pytest.mark.parametrize("name", LEARNED)


def scipys(prior, z):
    """log p(z) by scipy.stats: (N, D) -> (N,)."""
    if isinstance(prior, Uniform):
        return stats.uniform(prior.low, prior.width).logpdf(z).sum(axis=1)
    if isinstance(prior, StudentT):
        return stats.t(prior.nu).logpdf(z).sum(axis=1)
    if isinstance(prior, DiagonalGaussian):
        return stats.multivariate_normal(prior.mean, np.diag(np.exp(2 * prior.log_std))).logpdf(z)
    w, s = softmax(prior.logits, axis=0), np.exp(prior.log_scales)
    if isinstance(prior, GaussianMixture):
        components = [stats.multivariate_normal(m, np.diag(v)).pdf(z) for m, v in zip(prior.means, s**2, strict=True)]
        return np.log(w[:, 0] @ np.array(components))
    return np.log((w * stats.logistic(prior.means, s).pdf(z[:, None])).sum(axis=1)).sum(axis=1)


@others
def test_log_prob_is_scipys(name, rng):
    prior, z = PRIORS[name](rng), 3 * rng.normal(size=(100, 3))
    np.testing.assert_allclose(prior.log_prob(z), scipys(prior, z), rtol=1e-12, atol=1e-12)


@others
def test_samples_have_the_moments_of_the_density(name, rng):
    prior = PRIORS[name](rng)
    z = prior.sample(200_000, 3, rng)
    assert z.shape == (200_000, 3)
    assert z.dtype == np.float64
    assert np.isfinite(z).all()
    assert np.sqrt(z.var(axis=0).mean()) == pytest.approx(prior.std, rel=0.1 if "Student" in name else 0.01)
    # -E log p is the entropy; by Gibbs' inequality a sampler of any other density q has E_q[log q - log p] > 0, which
    # shows as a histogram that differs: each coordinate's share below its median under p must be one half
    if name in ("GaussianMixture", "LogisticMixture"):
        w, s = softmax(prior.logits, axis=0), np.exp(prior.log_scales)
        kind = stats.norm if name == "GaussianMixture" else stats.logistic
        for d in range(3):
            weights = w[:, min(d, w.shape[1] - 1)]

            def cdf(x, d=d, weights=weights):
                return weights @ kind.cdf((x - prior.means[:, d : d + 1]) / s[:, d : d + 1])

            assert stats.kstest(z[:5000, d], cdf).pvalue > 1e-3
        mean = (w * prior.means).sum(axis=0)
        np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.03)
    if name == "DiagonalGaussian":
        np.testing.assert_allclose(z.mean(axis=0), prior.mean, atol=0.02)
    assert prior.sample(0, 3, rng).shape == (0, 3)


def test_a_gaussian_mixtures_coordinates_come_from_one_component(rng):
    prior = GaussianMixture(2, 2)
    prior.means[...], prior.log_scales[...] = [[5, 5], [-5, -5]], -2
    z = prior.sample(1000, 2, rng)
    assert (z[:, 0] * z[:, 1] > 0).all()
    other = LogisticMixture(2, 2)
    other.means[...], other.log_scales[...] = [[5, 5], [-5, -5]], -2
    assert 0.4 < (np.prod(other.sample(1000, 2, rng), axis=1) > 0).mean() < 0.6


@pytest.mark.parametrize("make", [lambda: GaussianMixture(2, 3, rng=0), lambda: LogisticMixture(2, 3, rng=0)])
def test_densities_integrate_to_one(make):
    prior = make()
    total, _ = integrate.dblquad(lambda y, x: np.exp(prior.log_prob([[x, y]])[0]), -40, 40, -40, 40, epsabs=1e-5)
    assert abs(total - 1) < 1e-4


@learned_ones
def test_every_gradient_with_other_weights_of_the_rows(name, rng):
    """backward is the gradient of sum_n g_n log p(z_n), for parameters and z."""
    prior, z, g = PRIORS[name](rng), rng.normal(size=(7, 3)), rng.normal(size=7)
    dz = prior.backward(g, z)
    np.testing.assert_allclose(dz, g[:, None] * prior.grad_log_prob(z), rtol=1e-12, atol=1e-14)
    for _, array, gradient in prior.named_parameters():
        for place in np.ndindex(array.shape):
            kept, ends = array[place], []
            for step in (1e-6, -1e-6):
                array[place] = kept + step
                ends.append(g @ prior.log_prob(z))
            array[place] = kept
            assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8)


@others
def test_float32_stays_float32_and_close(name, rng):
    prior, z = PRIORS[name](rng), rng.normal(size=(9, 3))
    log_p, dz = prior.log_prob(z), prior.backward(np.ones(9), z)
    prior.cast(np.float32)
    single = z.astype(np.float32)
    results = prior.log_prob(single), prior.backward(np.ones(9, np.float32), single)
    for found, expected in zip(results, (log_p, dz), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_far_out_nothing_overflows():
    z = np.array([[1e30], [-1e30]], np.float32)
    for prior in (StudentT(3.0), LearnedStudentT(1, 3.0, np.float32), LogisticMixture(1, 2, np.float32, rng=0)):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            assert np.isfinite(prior.log_prob(z)).all()
            assert np.isfinite(prior.grad_log_prob(z)).all()


def test_the_support_of_a_uniform_prior_is_closed_and_what_lies_outside_is_named(rng):
    prior = Uniform(0.0, 1.0)
    np.testing.assert_array_equal(prior.log_prob([[0.0, 1.0], [0.5, 1.5]]), [0.0, -np.inf])
    flow = Flow(prior, Chain([DiagonalScaling(2), Inverse(Logit(2, alpha=0.0))]))
    x = np.array([[0.3, -40.0], [800.0, 0.0]])  # sigmoid(800) is 1
    np.testing.assert_allclose(flow.log_prob(x), stats.logistic.logpdf(x).sum(axis=1))
    check_gradients(flow, rng.normal(size=(4, 2))).raise_if_failed()
    with pytest.raises(NiceOverflowError, match=r"row 1, .* in Uniform"):
        Flow(Uniform(), DiagonalScaling(2)).log_prob([[0.5, 0.5], [2.0, 0.5]])
    for low, high in ((1.0, 1.0), (1.0, 0.0), (-1e308, 1e308)):
        with pytest.raises(NiceValueError, match="low must be smaller than high"):
            Uniform(low, high)


def test_a_students_width():
    assert StudentT(4.0).std == pytest.approx(np.sqrt(2))
    assert StudentT(2.0).std == np.inf
    with pytest.raises(NiceValueError, match=r"prior\.std must be finite"):
        nice(2, prior=StudentT(1.0))
    assert nice(2, prior=StudentT(1.0), preprocess=()).prior.nu == 1.0


def test_the_prior_has_as_many_features_as_the_flow(rng):
    with pytest.raises(NiceValueError, match=r"Flow: GaussianMixture\(dim=3, .*3 features, expected 2"):
        Flow(GaussianMixture(3), DiagonalScaling(2))
    with pytest.raises(NiceValueError, match="z has 2 features, expected 3"):
        GaussianMixture(3).log_prob(np.zeros((1, 2)))
    for name in LEARNED:
        with pytest.raises(NiceValueError, match="3 features, expected 2"):
            PRIORS[name](rng).sample(4, 2)
    with pytest.raises(NiceTypeError, match=r"write GaussianMixture\(\)"):
        get_prior(GaussianMixture)


# -- with a flow ------------------------------------------------------------------------------------------------------


def flow_with(name, rng, context_dim=0, dtype=np.float64):
    flow = real_nvp(3, 3, (6,), prior=PRIORS[name](rng), context_dim=context_dim, dtype=dtype, rng=0)
    return shaken(flow, rng, 0.3)


@learned_ones
@pytest.mark.parametrize("context_dim", [0, 2])
def test_all_gradients_of_a_flow(name, context_dim, rng):
    flow, x = flow_with(name, rng, context_dim), rng.normal(size=(8, 3))
    context = rng.normal(size=(8, 2)) if context_dim else None
    report = check_gradients(flow, x, context=context)
    report.raise_if_failed()
    assert any(row.name.startswith("nll: prior.") for row in report.rows)
    nll, grads = flow.nll_and_grad(x, context)
    kept = grads.copy()
    again, rebuilt = flow.nll_and_grad(x, context, recompute=True)
    assert again == pytest.approx(nll, rel=1e-12)
    np.testing.assert_allclose(rebuilt, kept, rtol=1e-8, atol=1e-10)
    flow.grad_log_prob(x, context)  # an input gradient leaves those of the parameters alone
    np.testing.assert_array_equal(flow.params.grads, rebuilt)


@learned_ones
@pytest.mark.parametrize("settings", [{}, {"threads": 2}, {"recompute": True}, {"compiled": False}], ids=str)
def test_fit_trains_the_prior(name, settings, rng):
    x = rng.normal([4.0, 0.0, -2.0], 1.5, size=(120, 3))
    flow = nice(3, hidden=(5,), prior=PRIORS[name](rng), preprocess=(), rng=0)
    before = {path: array.copy() for path, array, _ in flow.prior.named_parameters()}
    fit(flow, x, epochs=30, batch_size=40, learning_rate=0.02, progress=False, rng=0, **settings)
    assert flow.dtype == np.float32
    for path, array, _ in flow.prior.named_parameters():
        assert np.abs(array - before[path]).max() > 0.01, path


@learned_ones
def test_files_checkpoints_copies_and_dtypes(name, rng, tmp_path):
    x = rng.normal(size=(60, 3))
    flow = flow_with(name, rng)
    flow.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(load(tmp_path / "model.npz").log_prob(x), flow.log_prob(x))
    np.testing.assert_array_equal(flow.copy().log_prob(x), flow.log_prob(x))
    np.testing.assert_allclose(flow.astype(np.float32).log_prob(x), flow.log_prob(x), rtol=1e-3, atol=1e-3)
    whole, stopped, resumed = flow.copy(), flow.copy(), flow.copy()
    settings = {"batch_size": 20, "progress": False, "rng": 0}
    fit(whole, x, epochs=4, **settings)
    fit(stopped, x, epochs=2, checkpoint=tmp_path / "run.npz", **settings)
    fit(resumed, x, epochs=4, checkpoint=tmp_path / "run.npz", resume=True, **settings)
    np.testing.assert_array_equal(resumed.params.values, whole.params.values)
    assert repr(flow).splitlines()[-1].split()[-1] == f"{flow.prior.n_parameters:,}"
    assert flow.sample(5, rng=0).shape == (5, 3)


def test_a_learned_prior_of_ones_own(rng):
    class Laplace(Prior):
        param_names = ("log_width",)

        def __init__(self):
            self.log_width, self.dlog_width = np.full(1, 0.3), np.zeros(1)

        def log_prob(self, z):
            return -(np.abs(z) / np.exp(self.log_width) + self.log_width + np.log(2)).sum(axis=1)

        def grad_log_prob(self, z):
            return -np.sign(z) / np.exp(self.log_width)

        def sample(self, n, dim, rng=None):
            return rng.laplace(scale=np.exp(self.log_width), size=(n, dim))

    with pytest.raises(NiceTypeError, match=r"Laplace\(\) has parameters, but no backward\(dlog_p, z\)"):
        Flow(Laplace(), DiagonalScaling(2))

    class Learned(Laplace):
        def backward(self, dlog_p, z):
            self.dlog_width += (dlog_p[:, None] * (np.abs(z) / np.exp(self.log_width) - 1)).sum()  # adds
            return super().backward(dlog_p, z)

    flow = Flow(Learned(), DiagonalScaling(2))
    x = rng.normal(size=(9, 2))
    flow.nll_and_grad(x)
    check_gradients(flow, x).raise_if_failed()  # which calls it twice
    check_gradients(flow.prior, x).raise_if_failed()


def test_a_learned_prior_belongs_to_one_flow_and_takes_the_dtype_of_its_layers(rng):
    prior = GaussianMixture(2, 3, rng=0)
    flow = nice(2, hidden=(4,), prior=prior, rng=0)
    assert flow.prior is prior
    assert flow.dtype == prior.means.dtype == np.float32
    with pytest.raises(NiceValueError, match=r"prior \(GaussianMixture\) already belongs to a model"):
        nice(2, hidden=(4,), prior=prior, rng=0)


@learned_ones
def test_restoration(name, rng):
    flow = flow_with(name, rng)
    x, mask = flow.sample(2, rng=0), Mask([True, True, False])
    for space in ("image", "latent"):
        found = inpaint(flow, x, mask, space=space, steps=5, rng=0, progress=False)
        assert np.isfinite(found.x).all()
    posterior = sample_posterior(flow, x[:, :2], mask, sigma=0.5, chains=2, warmup=5, steps=5, rng=0, progress=False)
    assert np.isfinite(posterior.mean).all()


def test_a_scikit_learn_estimator(rng):
    x = rng.normal(size=(80, 2))
    density = NICEDensity(couplings=3, hidden=(4,), prior=GaussianMixture(2, 3, rng=0), epochs=2, random_state=0).fit(x)
    assert density.flow_.prior.n_parameters == 3 + 12
    assert np.isfinite(density.score(x))


@learned_ones
@pytest.mark.parametrize(
    "kind", [PlainPrior, lambda prior: FlowPrior(prior, shaken(DiagonalScaling(3), np.random.default_rng(0)))]
)
def test_an_autoencoder(name, kind, rng):
    vae = variational_autoencoder(5, 3, (6,), decoder="gaussian", dtype=np.float64, rng=0)
    parts = copy.deepcopy(vae.config()) | {"prior": kind(PRIORS[name](rng))}
    vae = type(vae)(**parts)
    shaken(vae, rng, 0.3)
    check_gradients(vae, rng.normal(size=(4, 5))).raise_if_failed()
    assert vae.sample(3, rng=0).shape == (3, 5)
    single = variational_autoencoder(5, 3, (6,), decoder="gaussian", rng=0)
    single = type(vae)(**copy.deepcopy(single.config()) | {"prior": PlainPrior(PRIORS[name](rng))})
    assert single.dtype == np.float32
    with pytest.raises(NiceValueError, match=r"VAE: .* features, expected 3"):
        type(vae)(**parts | {"prior": PlainPrior(GaussianMixture(2))})


def test_a_mixture_finds_clusters(rng):
    centres = np.array([[4.0, 0.0], [-4.0, 1.0], [0.0, -4.0]])
    k = rng.choice(3, 2000, p=[0.5, 0.3, 0.2])
    x = centres[k] + 0.5 * rng.normal(size=(2000, 2))
    prior = GaussianMixture(2, 3)
    prior.means[...] = centres + rng.normal(size=(3, 2))
    flow = Flow(prior, Chain([DiagonalScaling(2), Inverse(DiagonalScaling(2))]))
    fit(flow, x, epochs=40, batch_size=100, learning_rate=0.02, progress=False, rng=0)
    truth = np.log(
        sum(
            p * stats.multivariate_normal(c, 0.25 * np.eye(2)).pdf(x)
            for p, c in zip([0.5, 0.3, 0.2], centres, strict=True)
        )
    )
    assert flow.score(x) > truth.mean() - 0.02

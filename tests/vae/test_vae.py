"""The variational autoencoder: the bound, its gradients, and where it is exact."""

import copy
import pickle
import sys

import numpy as np
import pytest
from registry import coupling, shaken
from scipy import stats
from scipy.special import logsumexp

from nice_np import (
    MLP,
    VAE,
    Adam,
    AffineCoupling,
    Chain,
    DiagonalScaling,
    Flow,
    Logit,
    NiceError,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    Partition,
    Permutation,
    Prior,
    StandardNormal,
    check_gradients,
    fit,
    iaf,
    variational_autoencoder,
)
from nice_np.networks.masked import MaskedLinear
from nice_np.vae import (
    Bernoulli,
    Decoder,
    FixedGaussian,
    FlowPosterior,
    FlowPrior,
    Gaussian,
    GaussianPosterior,
    PlainPrior,
)

D, L = 5, 3
FORMS = {
    "plain": {"kind": "plain"},
    "posterior": {"kind": "nice-posterior"},
    "posterior-context": {"kind": "nice-posterior", "context_dim": 2},
    "prior": {"kind": "nice-prior"},
    "iaf-posterior": {"kind": "iaf-posterior", "context_dim": 2},
    "maf-prior": {"kind": "maf-prior"},
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
decoders = pytest.mark.parametrize("decoder", ["bernoulli", "gaussian"])


def build(rng, **settings):
    settings = {"latent": L, "hidden": (6,), "couplings": 3, "flow_hidden": (4,), "dtype": np.float64} | settings
    return shaken(variational_autoencoder(D, activation="tanh", rng=0, **settings), rng)


def affine_chain(rng, dim=L, context_dim=0):
    """Two affine couplings: their log-determinant depends on the point."""
    part = Partition.odd_even(dim).with_context(context_dim)
    return Chain([coupling(AffineCoupling, p, rng, activation="tanh") for p in (part, part.swapped())])


def everything(rng):
    """Affine flows with a context in the posterior, and in the prior."""
    posterior = FlowPosterior(shaken(MLP((D, 2 * L + 2), rng=rng), rng), affine_chain(rng, context_dim=2), 2)
    decoder = Decoder(shaken(MLP((L, 4, D), "tanh", rng=rng), rng), Gaussian(D))
    decoder.likelihood.u[:] = rng.normal(0, 2, D)
    return VAE(posterior, FlowPrior("logistic", affine_chain(rng)), decoder)


def check_every_gradient(model, x, eps, h=1e-5):
    grads = model.loss_and_grad(x, eps)[1].copy()
    values = model.params.values
    numeric = np.empty_like(grads)
    for i, value in enumerate(values.copy()):
        values[i] = value + h
        ahead = model.elbo(x, eps)
        values[i] = value - h
        numeric[i] = -(ahead - model.elbo(x, eps)).mean() / (2 * h)
        values[i] = value
    np.testing.assert_array_less(np.abs(grads - numeric), 1e-7 + 1e-5 * np.abs(numeric))
    assert (np.abs(numeric) > 1e-6)[connected(model)].mean() > 0.9  # the comparison is not vacuous


def connected(model):
    """Which parameters have an effect: not the weights that a masked network leaves out, whose gradient is zero."""
    modules, found = dict(model.modules()), np.ones(len(model.params), bool)
    for slot in model.params.slots:
        module = modules[slot.path.rpartition(".")[0]]
        if isinstance(module, MaskedLinear) and slot.path.endswith("W"):
            found[slot.start : slot.stop] = module.M.ravel() > 0
    return found


def test_a_posterior_of_inverse_layers(rng):
    """IAF the other way round: one pass for the density of given z, L passes for a draw."""
    flow = iaf(L, layers=2, hidden=(6,), preprocess=(), context_dim=2, activation="tanh", dtype="float64", rng=0)
    encoder, decoder = MLP((D, 2 * L + 2), rng=rng), MLP((L, 4, D), "tanh", rng=rng)
    posterior = FlowPosterior(encoder, copy.deepcopy(flow.bijector), 2)
    check_every_gradient(shaken(VAE(posterior, PlainPrior(), Decoder(decoder, Bernoulli())), rng), *draw(rng))


def draw(rng, n=4):
    """Zeros and ones, which every decoder accepts, and noise."""
    return rng.integers(0, 2, (n, D)).astype(float), rng.normal(size=(n, L))


# -- gradients --------------------------------------------------------------------------------------------------------


@forms
@decoders
def test_every_gradient(form, decoder, rng):
    check_every_gradient(build(rng, decoder=decoder, **form), *draw(rng))


def test_every_gradient_with_affine_flows_in_both_places(rng):
    check_every_gradient(everything(rng), *draw(rng))


def test_every_gradient_with_a_fixed_sigma(rng):
    network = shaken(MLP((L, 4, D), "tanh", rng=rng), rng)
    decoder = Decoder(network, FixedGaussian(np.exp(np.linspace(-1, 0.5, D))))
    model = VAE(GaussianPosterior(shaken(MLP((D, 2 * L), rng=rng), rng)), PlainPrior(), decoder)
    assert not any(".u" in slot.path for slot in model.params.slots)
    check_every_gradient(model, *draw(rng))


def test_the_gradient_is_fresh_each_time_and_the_loss_is_the_mean(rng):
    model, (x, eps) = everything(rng), draw(rng)
    loss, grads = model.loss_and_grad(x, eps)
    assert grads is model.params.grads
    first = grads.copy()
    np.testing.assert_array_equal(model.loss_and_grad(x, eps)[1], first)
    assert loss == pytest.approx(-model.elbo(x, eps).mean(), rel=1e-13)
    np.testing.assert_allclose(model.loss_and_grad(np.tile(x, (2, 1)), np.tile(eps, (2, 1)))[1], first, rtol=1e-9)


# -- the bound --------------------------------------------------------------------------------------------------------


@decoders
def test_elbo_is_the_direct_computation(decoder, rng):
    model, (x, eps) = build(rng, decoder=decoder), draw(rng)
    mu, sigma = model.encode(x)
    z = mu + sigma * eps
    theta = model.decoder.network.forward(z)[0]
    if decoder == "bernoulli":
        log_likelihood = stats.bernoulli(1 / (1 + np.exp(-theta))).logpmf(x).sum(axis=1)
    else:
        log_likelihood = stats.norm(theta, np.exp(model.decoder.likelihood.log_sigma)).logpdf(x).sum(axis=1)
    log_prior = stats.norm().logpdf(z).sum(axis=1)
    log_posterior = stats.norm(mu, sigma).logpdf(z).sum(axis=1)
    np.testing.assert_allclose(model.elbo(x, eps), log_likelihood + log_prior - log_posterior, rtol=1e-11)


def test_the_reparameterisation_is_an_affine_coupling(rng):
    # (x, eps) -> (x, z): log q(z | x) = log p(eps) - log|det dz/deps|, with the coupling's log_det.
    model, (x, eps) = build(rng, decoder="gaussian"), draw(rng)

    class Swapped(MLP):
        """The encoder's output in the order of an AffineCoupling: (log s, t)."""

        def forward(self, x):
            mu, sigma = model.encode(x)
            return np.concatenate([np.log(sigma), mu], axis=1), None

    layer = AffineCoupling(Partition(D + L, np.arange(D)), Swapped((D, 2 * L)), scale="exp")
    both, log_det, _ = layer.forward(np.concatenate([x, eps], axis=1))
    z = both[:, D:]
    log_q = stats.norm().logpdf(eps).sum(axis=1) - log_det
    np.testing.assert_allclose(log_q, stats.norm(*model.encode(x)).logpdf(z).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(model.posterior.forward(x, eps)[1], log_q, rtol=1e-12)
    elbo = model.decoder.forward(z, x)[0] + StandardNormal().log_prob(z) - StandardNormal().log_prob(eps) + log_det
    np.testing.assert_allclose(model.elbo(x, eps), elbo, rtol=1e-12)


@decoders
def test_the_elbo_is_the_log_likelihood_of_a_flow(decoder, rng):
    # A VAE is a NICE model of (x, eps): one affine coupling that keeps x, (x, eps) -> (x, z), under the prior
    # p(x, z) = p(z) p(x | z).  Its log p(x, eps) = log p(x, z) + log|det dz/deps| contains the ELBO:
    # ELBO = log p(x, eps) - log N(eps; 0, I).
    model, (x, eps) = build(rng, decoder=decoder), draw(rng)

    class Encoder(MLP):
        def forward(self, x):
            mu, sigma = model.encode(x)
            return np.concatenate([np.log(sigma), mu], axis=1), None

    class Joint(Prior):
        def log_prob(self, xz):
            x, z = np.split(xz, [D], axis=1)
            return stats.norm().logpdf(z).sum(axis=1) + model.decoder.forward(z, x)[0]

        def grad_log_prob(self, xz):
            raise NotImplementedError

        def sample(self, n, dim, rng=None):
            raise NotImplementedError

    flow = Flow(Joint(), AffineCoupling(Partition(D + L, np.arange(D)), Encoder((D, 2 * L)), scale="exp"))
    noise = stats.norm().logpdf(eps).sum(axis=1)
    expected = flow.log_prob(np.concatenate([x, eps], axis=1)) - noise
    np.testing.assert_allclose(model.elbo(x, eps), expected, rtol=1e-12)
    np.testing.assert_allclose(model.loss_and_grad(x, eps)[0], -expected.mean(), rtol=1e-12)


def test_the_flow_posterior_is_a_density(rng):
    # q(z | x) at the sampled z, from the flow's inverse and the Gaussian.
    model, (x, eps) = everything(rng), draw(rng)
    z, log_q, _ = model.posterior.forward(x, eps)
    context = model.posterior.network.forward(x)[0][:, 2 * L :]
    z_0, log_det, _ = model.posterior.bijector.inverse(np.concatenate([z, context], axis=1))
    gaussian = stats.norm(*model.encode(x)).logpdf(z_0[:, :L]).sum(axis=1)
    np.testing.assert_allclose(log_q, gaussian + log_det, rtol=1e-9)
    np.testing.assert_allclose(model.posterior.log_prob(x, z), log_q, rtol=1e-9)


def test_the_density_of_the_posterior_at_any_z(rng):
    model, (x, z) = build(rng), draw(rng)
    np.testing.assert_allclose(
        model.posterior.log_prob(x, z), stats.norm(*model.encode(x)).logpdf(z).sum(axis=1), rtol=1e-11
    )


def test_sigma_stays_within_its_bounds(rng):
    law = Gaussian(3)
    law.u[:] = [-1e6, 0, 1e6]
    np.testing.assert_allclose(law.log_sigma, [-5, 0, 5])
    law.backward(np.ones(2), np.zeros((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(law.du[[0, 2]], 0)  # saturated


def test_bounds_come_from_the_same_draws(rng):
    model, x = everything(rng), draw(rng)[0]
    bounds, generator = model.bounds(x, 9, 2), np.random.default_rng(2)
    log_w = [model.elbo(x, model.draw_noise(len(x), generator)) for _ in range(9)]
    np.testing.assert_allclose(bounds.elbo, np.mean(log_w, axis=0), rtol=1e-12)
    np.testing.assert_allclose(bounds.iwae, logsumexp(log_w, axis=0) - np.log(9), rtol=1e-12)
    assert (bounds.iwae >= bounds.elbo).all()


def test_iwae_with_one_sample_is_the_elbo_and_grows_with_k(rng):
    model, x = everything(rng), draw(rng)[0]
    np.testing.assert_array_equal(model.iwae(x, 1, 3), model.elbo(x, model.draw_noise(len(x), 3)))
    generator = np.random.default_rng(4)
    log_w = [model.elbo(x, model.draw_noise(len(x), generator)) for _ in range(7)]
    np.testing.assert_allclose(model.iwae(x, 7, 4), logsumexp(log_w, axis=0) - np.log(7), rtol=1e-12)
    bounds = [np.mean([model.iwae(x, k, rng).mean() for _ in range(2000 // k)]) for k in (1, 5, 50)]
    assert bounds[0] + 0.1 < bounds[1] < bounds[2]


def test_chunks_give_the_same_bound(rng, monkeypatch):
    model, (x, eps) = build(rng, decoder="gaussian"), draw(rng, 10)
    whole = model.elbo(x, eps), model.iwae(x, 3, 0)
    monkeypatch.setattr(sys.modules["nice_np.flows.model"], "CHUNK", 4)
    np.testing.assert_allclose(model.elbo(x, eps), whole[0], rtol=1e-12)
    np.testing.assert_allclose(model.iwae(x, 3, 0), whole[1], rtol=1e-12)
    x[9] = 1e200
    with pytest.raises(NiceOverflowError, match="row 9 overflows"):
        model.elbo(x, eps)


def linear_gaussian(rng, flow=None):
    """x = W z + b + sigma e with z ~ N(0, I) and W's columns orthogonal: p(z | x) is Gaussian and factorises."""
    columns, _ = np.linalg.qr(rng.normal(size=(D, L)))
    W, b, sigma = (columns * [0.5, 1.0, 2.0]).T, rng.normal(size=D), 0.6  # (L, D), (D,)
    network = MLP((L, D), rng=0)
    network.layers[0].W[:], network.layers[0].b[:] = W, b
    precision = 1 + np.diag(W @ W.T) / sigma**2  # p(z | x) = N(W (x - b) / (sigma^2 precision), 1 / precision)
    encoder = MLP((D, 2 * L), rng=0)
    encoder.layers[0].W[:, :L] = W.T / (sigma**2 * precision)
    encoder.layers[0].W[:, L:] = 0
    encoder.layers[0].b[:L] = -b @ encoder.layers[0].W[:, :L]
    encoder.layers[0].b[L:] = 5 * np.arctanh(-0.5 * np.log(precision) / 5)  # log sigma = 5 tanh(r / 5)
    posterior = GaussianPosterior(encoder) if flow is None else FlowPosterior(encoder, flow)
    model = VAE(posterior, PlainPrior(), Decoder(network, FixedGaussian(np.full(D, sigma))))
    return model, stats.multivariate_normal(b, W.T @ W + sigma**2 * np.eye(D))


def test_elbo_is_exact_for_a_linear_gaussian_model(rng):
    model, marginal = linear_gaussian(rng)
    x, eps = rng.normal(size=(6, D)), rng.normal(size=(6, L))
    np.testing.assert_allclose(model.elbo(x, eps), marginal.logpdf(x), rtol=1e-11)  # whatever the noise
    np.testing.assert_allclose(model.iwae(x, 5, rng), marginal.logpdf(x), rtol=1e-11)
    model.params.values[:] += 0.1 * rng.normal(
        size=len(model.params)
    )  # with any other posterior the ELBO is below log p(x)
    W, b = model.decoder.network.layers[0].W, model.decoder.network.layers[0].b
    sigma = np.exp(model.decoder.likelihood.log_sigma[0])
    other = stats.multivariate_normal(b, W.T @ W + sigma**2 * np.eye(D)).logpdf(x)
    elbo = np.mean([model.elbo(x, rng.normal(size=(6, L))) for _ in range(500)], axis=0)
    assert (elbo < other).all()


@decoders
def test_identity_flows_give_the_plain_form(decoder, rng):
    plain, (x, eps) = build(rng, decoder=decoder), draw(rng)
    encoder, head = copy.deepcopy(plain.posterior.network), copy.deepcopy(plain.decoder)
    posterior = VAE(FlowPosterior(encoder, DiagonalScaling(L)), PlainPrior(), head)
    encoder, head = copy.deepcopy(plain.posterior.network), copy.deepcopy(plain.decoder)
    prior = VAE(GaussianPosterior(encoder), FlowPrior("normal", DiagonalScaling(L)), head)
    for other in (posterior, prior):
        np.testing.assert_allclose(other.elbo(x, eps), plain.elbo(x, eps), rtol=1e-13)
        grads = {slot.path: other.params.view(slot, other.loss_and_grad(x, eps)[1]) for slot in other.params.slots}
        plain.loss_and_grad(x, eps)
        for slot in plain.params.slots:
            np.testing.assert_allclose(grads[slot.path], plain.params.view(slot, plain.params.grads), atol=1e-13)


# -- between data and latents, training -------------------------------------------------------------------------------


@forms
@decoders
def test_float32_and_shapes(form, decoder, rng):
    model, (x, eps) = build(rng, decoder=decoder, dtype=np.float32, **form), draw(rng)
    assert model.loss_and_grad(x, eps)[1].dtype == np.float32
    mu, sigma = model.encode(x)
    results = [mu, sigma, model.elbo(x, eps), model.iwae(x, 3, 0), model.reconstruct(x), model.decode(eps)]
    results += [model.sample(4, 0), model.sample_latents(4, 0), model.draw_noise(4, 0)]
    shapes = [(4, L), (4, L), (4,), (4,), (4, D), (4, D), (4, D), (4, L), (4, L)]
    assert [(a.shape, a.dtype) for a in results] == [(shape, np.dtype(np.float32)) for shape in shapes]
    exact = build(np.random.default_rng(20141030), decoder=decoder, **form)
    np.testing.assert_allclose(model.elbo(x, eps), exact.elbo(x, eps), rtol=1e-5, atol=1e-5)
    assert model.elbo(x[:0], eps[:0]).shape == (0,)
    assert model.sample(0).shape == (0, D)


def test_samples_have_the_moments_of_the_model(rng):
    model, marginal = linear_gaussian(rng)
    x = model.sample(40_000, rng)
    np.testing.assert_allclose(x.mean(axis=0), marginal.mean, atol=0.04)
    W = model.decoder.network.layers[0].W
    np.testing.assert_allclose(np.cov(x.T), W.T @ W + 0.6**2 * np.eye(D), atol=0.08)
    logits = rng.normal(size=(1, D))
    ones = Bernoulli().sample(np.tile(logits, (40_000, 1)), rng)
    np.testing.assert_allclose(ones.mean(axis=0), 1 / (1 + np.exp(-logits[0])), atol=0.015)


def test_a_flow_prior_samples_by_its_inverse(rng):
    prior = FlowPrior("normal", DiagonalScaling(L, log_scale=1.0))
    np.testing.assert_allclose(prior.sample(20_000, L, rng).std(axis=0), np.exp(-1), rtol=0.03)


def test_reconstruction_is_the_mean_without_noise(rng):
    model, x = build(rng), draw(rng)[0]
    np.testing.assert_array_equal(model.reconstruct(x), model.decode(model.encode(x)[0]))


@forms
@decoders
def test_adam_lowers_the_loss(form, decoder, rng):
    model = variational_autoencoder(D, latent=2, hidden=(16,), flow_hidden=(8,), decoder=decoder, rng=0, **form)
    x = (rng.random((200, 1)) < 0.5) * np.ones((1, D))  # all on or all off: one bit of information
    adam, losses = Adam(), []
    for _ in range(150):
        loss, grads = model.loss_and_grad(x, model.draw_noise(len(x), rng))
        adam.step(model.params.values, grads, 0.02)
        losses.append(loss)
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 1


def test_extreme_logits_do_not_overflow():
    x, logits = np.array([[1.0, 0.0, 1.0]]), np.array([[1e4, -1e4, -1e4]])
    assert Bernoulli().log_prob(x, logits) == pytest.approx(-1e4)
    np.testing.assert_array_equal(Bernoulli().backward(np.ones(1), x, logits), [[0, 0, 1]])


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, VAE.copy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_independent(way, rng):
    model, (x, eps) = everything(rng), draw(rng)
    before, twin = model.elbo(x, eps), way(model)
    np.testing.assert_array_equal(twin.elbo(x, eps), before)
    twin.params.values[:] = 0
    np.testing.assert_array_equal(model.elbo(x, eps), before)
    assert VAE(**copy.deepcopy(model.config())).elbo(x, eps) == pytest.approx(before)


# -- bad input --------------------------------------------------------------------------------------------------------

X, EPS = np.ones((4, D)), np.zeros((4, L))


def parts(decoder):
    """The arguments of a VAE, as modules that belong to no model."""
    return copy.deepcopy(build(np.random.default_rng(0), decoder=decoder).config())


NAN = X.copy()
NAN[2, 1] = np.nan
BAD = {
    "features": (lambda m: m.elbo(X[:, :3], EPS), NiceValueError, "x has 3 features, expected 5"),
    "axes": (lambda m: m.elbo(X[0], EPS), NiceValueError, r"use x\[None\]"),
    "nan": (lambda m: m.elbo(NAN, EPS), NiceValueError, "row 2, column 1"),
    "reconstruct": (lambda m: m.reconstruct(NAN), NiceValueError, "reconstruct: .*row 2, column 1"),
    "strings": (lambda m: m.encode([["a"] * D]), NiceTypeError, "real numbers"),
    "not binary": (lambda m: m.loss_and_grad(X + 1, EPS), NiceValueError, "2.0 is neither 0 nor 1"),
    "eps features": (lambda m: m.elbo(X, X), NiceValueError, "eps has 5 features, expected 3"),
    "eps rows": (lambda m: m.elbo(X, EPS[:1]), NiceValueError, "eps has 1 rows, expected 4"),
    "eps nan": (lambda m: m.elbo(X, EPS + np.inf), NiceValueError, "eps contains NaN"),
    "empty": (lambda m: m.loss_and_grad(X[:0], EPS[:0]), NiceValueError, "at least one"),
    "k": (lambda m: m.iwae(X, 0), NiceValueError, "k must be >= 1"),
    "n": (lambda m: m.sample(-1), NiceValueError, "VAE.sample_latents: n must be >= 0"),
    "noise n": (lambda m: m.draw_noise(-1), NiceValueError, "VAE.draw_noise: n must be >= 0"),
    "rng": (lambda m: m.sample(1, "x"), NiceError, "rng"),
    "z": (lambda m: m.decode(X), NiceValueError, "z has 5 features"),
    "kind": (lambda m: variational_autoencoder(D, kind="nicer"), NiceValueError, "unknown kind 'nicer'"),
    "decoder": (lambda m: variational_autoencoder(D, decoder="poisson"), NiceValueError, "unknown decoder 'poisson'"),
    "dim": (lambda m: variational_autoencoder(0), NiceValueError, "dim must be >= 1"),
    "no latent": (lambda m: variational_autoencoder(D, latent=0), NiceValueError, "latent must be >= 1"),
    "build rng": (lambda m: variational_autoencoder(D, rng="x"), NiceError, "variational_autoencoder: .*rng"),
    "latent": (lambda m: variational_autoencoder(D, latent=1, kind="nice-prior"), NiceValueError, "at least 2"),
    "context": (lambda m: variational_autoencoder(D, context_dim=2), NiceValueError, "context_dim is for"),
    "hidden": (lambda m: variational_autoencoder(D, hidden=5.5), NiceTypeError, "hidden must be a sequence"),
    "dtype": (lambda m: variational_autoencoder(D, dtype=int), NiceValueError, "float32 or float64"),
    "no noise": (lambda m: m.loss_and_grad(X), NiceTypeError, "eps has dtype object"),
    "fit context": (lambda m: fit(m, X, X, epochs=1), NiceValueError, "a VAE takes no context"),
    "fit recompute": (lambda m: fit(m, X, epochs=1, recompute=True), NiceValueError, "recompute rebuilds"),
    "fit greys": (lambda m: fit(m, X / 2, epochs=1), NiceValueError, "fit: x.0, 0. = 0.5 is neither 0 nor 1"),
    "check greys": (lambda m: check_gradients(m, X / 2), NiceValueError, "neither 0 nor 1"),
    "preprocess": (lambda m: VAE(**parts("gaussian"), preprocess=1), NiceTypeError, "must be a Bijector"),
    "preprocess trains": (
        lambda m: VAE(**parts("gaussian"), preprocess=DiagonalScaling(D)), NiceValueError, "have no parameters"
    ),
    "preprocess dim": (lambda m: VAE(**parts("gaussian"), preprocess=Logit(3)), NiceValueError, "map 5 features"),
    "preprocess binary": (
        lambda m: VAE(**parts("bernoulli"), preprocess=Logit(D)), NiceValueError, "leave out preprocess"
    ),
    "sigma": (lambda m: FixedGaussian([1.0, 0.0]), NiceValueError, "sigma must be > 0, got 0"),
    "load": (lambda m: VAE.load(1.5), NiceTypeError, "path must be"),
    "posterior": (lambda m: VAE(MLP((D, 4)), PlainPrior(), m.decoder), NiceTypeError, "posterior must be"),
    "prior": (lambda m: VAE(m.posterior, StandardNormal(), m.decoder), NiceTypeError, "prior must be"),
    "sizes": (
        lambda m: VAE(m.posterior, PlainPrior(), Decoder(MLP((2, D)), Bernoulli())), NiceValueError, "must map 3"
    ),
    "prior sizes": (
        lambda m: VAE(m.posterior, FlowPrior("normal", DiagonalScaling(4)), m.decoder), NiceValueError, "4 features"
    ),
    "packed": (lambda m: VAE(m.posterior, m.prior, m.decoder), NiceValueError, "already belongs"),
    "no moments": (lambda m: FlowPosterior(MLP((D, 2)), DiagonalScaling(2), 2), NiceValueError, r"2 L \+ 2"),
    "odd": (lambda m: GaussianPosterior(MLP((D, 3))), NiceValueError, r"2 L \+ 0"),
    "network": (lambda m: GaussianPosterior(lambda x: x), NiceTypeError, "must be an MLP"),
    "bijector": (lambda m: FlowPosterior(MLP((D, 4)), MLP((2, 2))), NiceTypeError, "expected a Bijector"),
    "bijector dim": (lambda m: FlowPosterior(MLP((D, 5)), DiagonalScaling(2), 1), NiceValueError, "L \\+ C = 3"),
    "bounded": (lambda m: FlowPrior("normal", Logit(3)), NiceValueError, "latents are unbounded"),
    "changed context": (
        lambda m: FlowPosterior(MLP((D, 5), rng=0), Permutation.reversal(3), 1).forward(X, EPS[:, :2] + 1),
        NiceValueError,
        "changed the context",
    ),
    "decoder network": (lambda m: Decoder(None, Bernoulli()), NiceTypeError, "must be an MLP"),
    "likelihood": (lambda m: Decoder(MLP((2, D)), "bernoulli"), NiceTypeError, "must be a Likelihood"),
    "log_sigma": (lambda m: Decoder(MLP((2, D)), Gaussian(1)), NiceValueError, "1 features, expected 5"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input(call, error, message, rng):
    with pytest.raises(error, match=message):
        call(build(rng))


def test_overflow_names_the_row(rng):
    model = build(rng, decoder="gaussian", dtype=np.float32)
    x, eps = draw(rng)
    x[2] = 1e30
    for method in (model.elbo, model.loss_and_grad):
        with pytest.raises(NiceOverflowError, match="row 2 overflows float32"):
            method(x, eps)


def test_a_gradient_that_overflows_where_the_bound_does_not(rng):
    model = build(rng, decoder="gaussian", dtype=np.float32)
    x, eps = draw(rng)
    x[2, 0] = 2e19  # its square does not overflow; its product with the gradient and the weights does
    model.posterior.network.layers[0].W[0] = 0  # the latents do not depend on it
    model.decoder.network.layers[-1].W[:] = 3000
    assert np.isfinite(model.elbo(x, eps)).all()
    with pytest.raises(NiceOverflowError, match="a gradient overflows float32"):
        model.loss_and_grad(x, eps)


def test_infinities_that_cancel_are_an_overflow_without_a_warning(rng):
    model = build(rng, decoder="gaussian", dtype=np.float32)
    x, eps = draw(rng)
    eps[1] = 1e20  # log p(z) and log q(z | x) are both -inf
    for method in (model.elbo, model.loss_and_grad):
        with pytest.raises(NiceOverflowError, match="row 1 overflows float32"):
            method(x, eps)


def test_a_nan_in_the_context_does_not_count_as_a_change(rng):
    posterior = FlowPosterior(MLP((D, 2 * L + 2), rng=rng), affine_chain(rng, context_dim=2), 2)
    posterior.network.layers[-1].b[-1] = np.nan
    assert np.isnan(posterior.forward(X, EPS)[0]).any()


def test_the_gaussian_decoder_starts_at_sigma_1_writes_its_gradients_and_samples_around_the_mean(rng):
    law, (x, _), theta = Gaussian(D), draw(rng), rng.normal(size=(4, D))
    np.testing.assert_array_equal(law.log_sigma, 0)
    law.backward(np.ones(4), x, theta)
    once = law.du.copy()
    assert once.all()
    law.backward(np.ones(4), x, theta)
    np.testing.assert_array_equal(law.du, once)
    law.u[:] = np.linspace(-1, 1, D)
    noise = np.random.default_rng(5).standard_normal((4, D))
    np.testing.assert_allclose(law.sample(theta, np.random.default_rng(5)), theta + np.exp(law.log_sigma) * noise)
    for dim in (0, -1):
        with pytest.raises(NiceValueError, match="Gaussian: dim must be >= 1"):
            Gaussian(dim)
    assert Gaussian(1).dim == 1


def test_a_fixed_sigma_is_stored_in_the_file_and_is_not_a_parameter():
    law = FixedGaussian([0.5, 2.0])
    np.testing.assert_array_equal(FixedGaussian(**law.config()).sigma, [0.5, 2.0])
    assert FixedGaussian.count_parameters(law.config()) == law.n_parameters == 0
    assert Gaussian.count_parameters(Gaussian(3).config()) == Gaussian(3).n_parameters == 3


def test_a_fixed_sigma_has_the_dtype_of_its_model():
    encoder, network = (MLP(sizes, dtype=np.float32, rng=0) for sizes in ((D, 2 * L), (L, D)))
    decoder = Decoder(network, FixedGaussian(np.full(D, 0.5)))
    model = VAE(GaussianPosterior(encoder), PlainPrior(), decoder)
    x, eps = np.zeros((3, D)), np.zeros((3, L))
    assert model.elbo(x, eps).dtype == model.sample(2, rng=0).dtype == np.float32
    assert model.astype(np.float64).elbo(x, eps).dtype == np.float64


@decoders
def test_pixels(decoder, rng):
    model, pixels = build(rng, decoder=decoder), rng.integers(0, 256, (20, D)).astype(np.uint8)
    x = model.from_pixels(pixels, rng)
    assert x.dtype == model.dtype
    if decoder == "bernoulli":
        assert model.pixel_width == 1.0
        assert set(np.unique(x)) == {0, 1}
    else:
        assert model.pixel_width == 1 / 256
        np.testing.assert_array_equal(np.floor(256 * x), pixels)


def test_samples_outside_of_the_preprocessings_interval(rng):
    model = build(rng, decoder="gaussian", preprocess=("logit",))
    with pytest.raises(NiceValueError, match=r"x\[0, 0\] = 2.0 is not between"):
        model.check_samples(np.full((1, D), 2.0), "fit")
    model.check_samples(np.full((1, D), 0.5), "fit")


def test_types_of_results_and_smallest_sizes(rng):
    model, (x, eps) = build(rng, decoder="gaussian", dtype=np.float32), draw(rng)
    assert type(model.loss_and_grad(x, eps)[0]) is float
    assert {bound.dtype for bound in model.bounds(x, 2, 0)} == {np.dtype(np.float32)}
    assert model.draw_noise(0).shape == (0, L)
    assert model.reconstruct(x.tolist()).dtype == np.float32
    assert variational_autoencoder(1, latent=1, rng=0).latent == 1


def test_preprocessing_is_a_change_of_coordinates(rng):
    inner, outer = VAE(**parts("gaussian")), VAE(**parts("gaussian"), preprocess=Logit(D))
    x, (_, eps) = rng.uniform(0.1, 0.9, (4, D)), draw(rng)
    y, log_det, _ = Logit(D).forward(x)
    np.testing.assert_allclose(outer.elbo(x, eps), inner.elbo(y, eps) + log_det, rtol=1e-12)
    np.testing.assert_allclose(outer.encode(x), inner.encode(y), rtol=1e-12)
    np.testing.assert_allclose(outer.decode(eps), Logit(D).inverse(inner.decode(eps))[0], rtol=1e-12)
    np.testing.assert_allclose(outer.reconstruct(x), Logit(D).inverse(inner.reconstruct(y))[0], rtol=1e-12)
    np.testing.assert_allclose(outer.loss_and_grad(x, eps)[1], inner.loss_and_grad(y, eps)[1], rtol=1e-9, atol=1e-12)


def test_the_terms_of_the_bound_by_name(rng):
    model, (x, eps) = everything(rng), draw(rng)
    terms = model._terms(x, eps)
    z, log_q, _ = model.posterior.forward(x, eps)
    np.testing.assert_array_equal(terms.log_posterior, log_q)
    np.testing.assert_array_equal(terms.log_prior, model.prior.forward(z)[0])
    np.testing.assert_array_equal(terms.log_likelihood, model.decoder.forward(z, x)[0])


def test_the_decoders_layers_are_the_encoders_in_reverse_and_outputs_start_small():
    model = variational_autoencoder(D, latent=2, hidden=(7, 6), kind="nice-prior", couplings=3, flow_hidden=(9,), rng=0)
    assert model.posterior.network.sizes == (D, 7, 6, 4)
    assert model.decoder.network.sizes == (2, 6, 7, D)
    for network in (model.posterior.network, model.decoder.network):
        assert network.output_scale == 0.1
    conditioners = [layer.conditioner for layer in model.prior.bijector.layers if hasattr(layer, "conditioner")]
    assert [conditioner.activation.name for conditioner in conditioners] == 3 * ["relu"]
    tanh = variational_autoencoder(D, kind="nice-prior", activation="tanh", rng=0).prior.bijector.layers[0]
    assert tanh.conditioner.activation.name == "tanh"


def test_the_default_sizes():
    model = variational_autoencoder(D, kind="nice-posterior", rng=0)
    assert (model.latent, model.posterior.context_dim, model.dtype) == (2, 0, np.float32)
    assert model.posterior.network.sizes == (D, 200, 4)
    conditioners = [layer.conditioner for layer in model.posterior.bijector.layers if hasattr(layer, "conditioner")]
    assert [conditioner.sizes for conditioner in conditioners] == 4 * [(1, 50, 1)]
    assert FlowPosterior(MLP((D, 4)), DiagonalScaling(2)).context_dim == 0
    assert Gaussian(2).u.dtype == np.float64


def test_the_flow_of_the_latents_is_drawn_from_the_same_generator():
    first, second = (variational_autoencoder(D, kind="nice-posterior", rng=0).params.values for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_flow_prior_keeps_the_dtype_of_its_parameters(rng):
    flow = DiagonalScaling(2, dtype=np.float32)
    assert FlowPrior("normal", flow).sample(3, 2, rng).dtype == np.float32
    assert FlowPrior("normal", Permutation.reversal(2)).sample(3, 2, rng).dtype == np.float64


def test_reprs_name_every_layer():
    flow = DiagonalScaling(2)
    assert repr(FlowPrior("normal", flow)) == "FlowPrior(StandardNormal()) and a flow:\n    DiagonalScaling(dim=2)"
    chain = Chain([flow, Permutation.reversal(2)])
    assert repr(FlowPrior("normal", chain)).splitlines()[1:] == [f"    {layer!r}" for layer in chain.layers]

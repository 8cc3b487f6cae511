"""Flow: likelihood, sampling, gradients, units, chunks, and what it says to bad input."""

import pickle
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from registry import coupling, shaken
from scipy import stats

from nice_np import (
    MLP,
    AffineCoupling,
    Chain,
    DiagonalScaling,
    Flow,
    Identity,
    Inverse,
    LatentObjective,
    LatentPosterior,
    Logit,
    MultiplicativeCoupling,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    Partition,
    Permutation,
    Standardize,
    StandardNormal,
    check_gradients,
    fit,
    load,
    nice,
    real_nvp,
    sample_posterior,
    to_bits_per_dim,
    variational_autoencoder,
)
from nice_np.flows import model as model_module
from nice_np.vae import FlowPrior, PlainPrior


@pytest.fixture(params=["nice", "real_nvp"])
def model(request, rng):
    build = {"nice": nice, "real_nvp": real_nvp}[request.param]
    return shaken(build(5, couplings=3, hidden=(6, 5), dtype=np.float64, rng=0), rng)


def test_log_prob_is_prior_plus_log_det(model, rng):
    x = rng.normal(size=(7, 5))
    z, log_det, _ = model.bijector.forward(x)
    np.testing.assert_allclose(model.log_prob(x), model.prior.log_prob(z) + log_det, rtol=1e-13)
    np.testing.assert_array_equal(model.encode(x), z)
    np.testing.assert_allclose(model.decode(z), x, rtol=1e-10, atol=1e-10)


def test_a_scaled_gaussian_is_the_closed_form(rng):
    std, mean = np.array([0.5, 2.0, 3.0]), np.array([1.0, -1.0, 0.0])
    gaussian = Flow("normal", Standardize(mean, std))
    x = rng.normal(size=(20, 3))
    expected = stats.multivariate_normal(mean, np.diag(std**2)).logpdf(x)
    np.testing.assert_allclose(gaussian.log_prob(x), expected, rtol=1e-12)


@pytest.mark.parametrize("prior", ["normal", "logistic"])
@pytest.mark.parametrize("law", [None, "nice", AffineCoupling, MultiplicativeCoupling])
def test_densities_integrate_to_one(prior, law, rng):
    if law is None:
        model = Flow(prior, shaken(DiagonalScaling(2), rng))
    elif law == "nice":
        model = shaken(nice(2, couplings=3, hidden=(8,), prior=prior, dtype=np.float64, rng=0), rng)
    else:
        parts = Partition.odd_even(2), Partition.odd_even(2).swapped(), Partition.odd_even(2)
        model = Flow(prior, Chain([coupling(law, part, rng, activation="tanh") for part in parts]))
    edges = np.linspace(-60, 60, 801)
    step = edges[1] - edges[0]
    points = np.stack(np.meshgrid(edges, edges), axis=-1).reshape(-1, 2)
    total = np.exp(model.log_prob(points)).sum() * step**2
    assert abs(total - 1) < 1e-4


def test_nll_and_grad_is_the_gradient_of_the_mean(model, rng):
    x = rng.normal(size=(6, 5))
    nll, grads = model.nll_and_grad(x)
    assert nll == pytest.approx(-model.log_prob(x).mean(), rel=1e-13)
    assert grads is model.params.grads
    first = grads.copy()
    np.testing.assert_array_equal(model.nll_and_grad(x)[1], first)  # fresh each time, not accumulated
    check_gradients(model, x, rng=rng).raise_if_failed()


def test_the_mean_does_not_depend_on_the_batch(model, rng):
    x = rng.normal(size=(6, 5))
    nll, grads = model.nll_and_grad(x)
    grads = grads.copy()
    twice_nll, twice = model.nll_and_grad(np.concatenate([x, x]))
    assert twice_nll == pytest.approx(nll, rel=1e-12)
    np.testing.assert_allclose(twice, grads, rtol=1e-9, atol=1e-12)


def test_grad_log_prob_leaves_parameter_gradients_alone(model, rng):
    x = rng.normal(size=(3, 5))
    model.params.grads[:] = 7
    model.grad_log_prob(x)
    np.testing.assert_array_equal(model.params.grads, 7)


def test_scipy_can_train_a_flow(rng):
    from scipy.optimize import minimize

    model = shaken(nice(2, couplings=3, hidden=(8,), prior="normal", dtype=np.float64, rng=0), rng, 0.1)
    x = rng.normal([1.0, -1.0], [0.5, 2.0], size=(300, 2))

    def loss(values):
        model.params.values[:] = values
        nll, grads = model.nll_and_grad(x)
        return nll, grads.copy()

    start = model.params.values.copy()
    result = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60})
    gaussian = -stats.norm([1.0, -1.0], [0.5, 2.0]).logpdf(x).sum(axis=1).mean()
    assert result.fun < gaussian + 0.02


def test_chunks_give_the_same_answer(model, rng, monkeypatch):
    x = rng.normal(size=(50, 5))
    whole = model.log_prob(x), model.encode(x), model.decode(x), model.grad_log_prob(x)
    monkeypatch.setattr(model_module, "CHUNK", 7)
    parts = model.log_prob(x), model.encode(x), model.decode(x), model.grad_log_prob(x)
    for a, b in zip(whole, parts, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_rows_are_independent(model, rng):
    x = rng.normal(size=(11, 5))
    order = rng.permutation(11)
    np.testing.assert_allclose(model.log_prob(x)[order], model.log_prob(x[order]), rtol=1e-12)
    np.testing.assert_allclose(model.log_prob(x[3:4]), model.log_prob(x)[3:4], rtol=1e-12)


def test_samples(model):
    a, b = model.sample(6, rng=1), model.sample(6, rng=1)
    np.testing.assert_array_equal(a, b)
    assert a.shape == (6, 5)
    assert not np.array_equal(a, model.sample(6, rng=2))
    np.testing.assert_allclose(
        model.encode(model.sample(6, rng=1, temperature=0.5)), 0.5 * model.encode(a), rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(model.sample(2, rng=1, temperature=0), model.decode(np.zeros((2, 5))), rtol=1e-12)
    assert model.sample(0, rng=0).shape == (0, 5)


def test_sampled_moments_are_the_models():
    model = Flow("normal", Standardize([1.0, -2.0], [0.5, 3.0]))
    x = model.sample(40_000, rng=0)
    np.testing.assert_allclose(x.mean(axis=0), [1, -2], atol=0.05)
    np.testing.assert_allclose(x.std(axis=0), [0.5, 3], rtol=0.02)


def test_bits_per_dim():
    class Uniform:
        """The uniform density on [0, 1]^D as a prior."""

        std = 12**-0.5

        def log_prob(self, z):
            return np.where(((z >= 0) & (z <= 1)).all(axis=1), 0.0, -1e9)

        def grad_log_prob(self, z):
            return np.zeros_like(z)

        def sample(self, n, dim, rng=None):
            return np.random.default_rng(rng).random((n, dim))

    uniform = Flow(Uniform(), Standardize(np.zeros(784), np.ones(784)))
    x = uniform.sample(3, rng=0)
    assert abs(uniform.bits_per_dim(x) - 8) < 1e-12
    rescaled = Flow(Uniform(), Standardize(np.full(784, -1.0), np.full(784, 2.0)))  # the same pixels in [-1, 1]
    assert abs(rescaled.bits_per_dim(2 * x - 1, bin_width=2 / 256) - 8) < 1e-12
    assert to_bits_per_dim(1980.50, 784, 1 / 256) == pytest.approx(4.3555, abs=1e-4)
    with pytest.raises(NiceValueError, match="0 samples"):
        uniform.bits_per_dim(np.empty((0, 784)))


@pytest.mark.parametrize("depth", [1, 2, 4, 16, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_round_trip_of_additive_flows_at_any_depth(depth, dtype, scale, rng):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer than three couplings
        model = nice(9, couplings=depth, hidden=(16, 16), preprocess=(), dtype=dtype, rng=0)
    shaken(model, rng, 0.2)
    x = (scale * rng.normal(size=(20, 9))).astype(dtype)
    before_scaling = x
    for layer in model.bijector.layers[:-1]:
        before_scaling = layer.forward(before_scaling)[0]
    back = model.decode(model.encode(x))
    assert np.abs(before_scaling - x).max() > 1e-2 * scale
    assert back.dtype == dtype
    # One rounding error per layer, of the size of the largest number on the way.
    largest = max(np.abs(x).max(), np.abs(before_scaling).max())
    assert np.abs(back - x).max() <= 100 * np.finfo(dtype).eps * largest


def test_float32_gradient_is_close_to_the_truth(rng):
    single = shaken(nice(20, couplings=4, hidden=(30, 30), rng=0), rng, 0.15)
    double = single.astype(np.float64)
    assert single.dtype == np.float32
    assert double.dtype == np.float64
    x = rng.normal(size=(50, 20)).astype(np.float32)
    _, g32 = single.nll_and_grad(x)
    _, g64 = double.nll_and_grad(x)
    assert g32.dtype == np.float32
    assert np.linalg.norm(g32 - g64) <= 1e-5 * np.linalg.norm(g64)
    for door in (single.log_prob, single.encode, single.decode, single.grad_log_prob):
        assert door(x).dtype == np.float32
    assert single.sample(2, rng=0).dtype == np.float32


# -- bad input ------------------------------------------------------------------------------------------------------

DOORS = ["encode", "decode", "log_prob", "bits_per_dim", "nll_and_grad", "grad_log_prob"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (np.zeros(5), NiceValueError, r"expected \w of shape \(N, 5\), got \(5,\); use \w\[None\]"),
        (np.zeros((2, 3, 5)), NiceValueError, r"got \(2, 3, 5\)"),
        (1.0, NiceValueError, r"got \(\)"),
        (np.zeros((2, 10)), NiceValueError, "has 10 features, expected 5"),
        (np.zeros((2, 0)), NiceValueError, "has 0 features, expected 5"),
        ([[0.0] * 5, [0.0] * 4 + [np.nan]], NiceValueError, "NaN or inf, first in row 1, column 4"),
        ([[0.0] * 5, [np.inf] + [0.0] * 4], NiceValueError, "NaN or inf, first in row 1, column 0"),
        (np.zeros((2, 5), complex), NiceValueError, "complex"),
        (np.full((2, 5), None), NiceTypeError, "object"),
        (np.full((2, 5), "a"), NiceTypeError, "<U1"),
        ("hello", NiceTypeError, "dtype"),
        (None, NiceTypeError, "object"),
        (np.zeros((2, 5), "M8[s]"), NiceTypeError, "datetime"),
        (np.zeros(2, dtype=[("a", float)] * 1), NiceTypeError, "dtype"),
        (np.ma.masked_array(np.zeros((2, 5)), mask=np.eye(2, 5)), NiceValueError, "masked"),
        ([[1.0, 2.0], [3.0]], NiceValueError, "rectangular"),
    ],
)
def test_bad_input(door, x, error, says, model):
    with pytest.raises(error, match=says):
        getattr(model, door)(x)


@pytest.mark.parametrize("door", DOORS)
def test_inputs_and_parameters_are_left_alone(door, model, rng):
    x = rng.normal(size=(3, 5))
    x_before, values_before = x.copy(), model.params.values.copy()
    getattr(model, door)(x)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(model.params.values, values_before)
    x.flags.writeable = False
    getattr(model, door)(x)


def test_no_samples(model):
    empty = np.empty((0, 5))
    assert model.encode(empty).shape == model.decode(empty).shape == model.grad_log_prob(empty).shape == (0, 5)
    assert model.log_prob(empty).shape == (0,)
    with pytest.raises(NiceValueError, match="0 samples"):
        model.nll_and_grad(empty)


def test_any_real_dtype_and_layout(model, rng, tmp_path):
    x = rng.integers(0, 2, size=(6, 5))
    expected = model.log_prob(x.astype(float))
    np.save(tmp_path / "x.npy", x.astype(float))
    variants = [x, x.tolist(), *(x.astype(dtype) for dtype in (bool, np.uint16, np.float16, ">f8", ">f4"))]
    variants += [np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], np.load(tmp_path / "x.npy", mmap_mode="r")]
    for variant in variants:
        np.testing.assert_allclose(model.log_prob(variant), expected, rtol=1e-12)


def test_an_answer_of_another_shape_is_refused():
    class Column(StandardNormal):
        def log_prob(self, z):
            return super().log_prob(z)[:, None]

    model = Flow(Column(), DiagonalScaling(2))
    for door in (model.log_prob, model.nll_and_grad, model.grad_log_prob):
        with pytest.raises(NiceValueError, match=r"Column must give one number per row, \(3,\), got \(3, 1\)"):
            door(np.zeros((3, 2)))


class Sloppy(StandardNormal):
    """An own prior whose answers have the shapes that one forgets."""

    def __init__(self, shape):
        self.shape = shape  # from (N, D) to what comes back

    def grad_log_prob(self, z):
        return np.ones(self.shape(*z.shape))

    def sample(self, n, dim, rng=None):
        return np.ones(self.shape(n, dim))


@pytest.mark.parametrize("shape", [lambda n, d: (n, 1), lambda n, d: (d,), lambda n, d: (n,), lambda n, d: ()])
def test_a_priors_answers_of_another_shape_are_refused(shape, rng):
    model = Flow(Sloppy(shape), coupling(AffineCoupling, Partition.odd_even(4), rng))
    x = rng.normal(size=(3, 4))
    for door in (model.nll_and_grad, model.grad_log_prob, model.log_prob_and_grad):
        with pytest.raises(NiceValueError, match=r"Sloppy.grad_log_prob: expected an answer of shape \(3, 4\), got"):
            door(x)
    with pytest.raises(NiceValueError, match=r"Sloppy.sample: expected an answer of shape \(3, 4\), got"):
        model.sample(3, rng=0)
    assert model.log_prob(x).shape == (3,)


def test_a_priors_gradient_is_checked_elsewhere_too(rng):
    model = Flow(Sloppy(lambda n, d: (n, 1)), DiagonalScaling(4))
    problem = {"flow": model, "y": np.zeros((2, 4)), "operator": Identity(4), "sigma": 1.0}
    for objective in (LatentObjective(**problem), LatentPosterior(**problem)):
        with pytest.raises(NiceValueError, match=r"Sloppy.grad_log_prob: expected an answer of shape \(2, 4\)"):
            objective.value_and_grad(np.zeros((2, 4)))
    with pytest.raises(NiceValueError, match=r"Sloppy.sample: expected an answer of shape \(6, 4\)"):
        sample_posterior(**problem, chains=3, warmup=1, steps=1, rng=0)
    for prior in (PlainPrior(model.prior), FlowPrior(model.prior, DiagonalScaling(4))):
        cache = prior.forward(np.zeros((2, 4)))[1]
        with pytest.raises(NiceValueError, match=r"Sloppy.grad_log_prob: expected an answer of shape \(2, 4\)"):
            prior.backward(np.ones(2), cache)
        with pytest.raises(NiceValueError, match=r"Sloppy.sample: expected an answer of shape \(2, 4\)"):
            prior.sample(2, 4, rng)


def test_a_pullback_takes_gradients_of_the_shapes_it_gave(model, rng):
    _, _, pullback = model.decode_with_pullback(rng.normal(size=(4, 5)))
    for shape in ((5, 5), (3, 5), (4, 6), (4, 1), (5,)):
        with pytest.raises(NiceValueError, match=r"pullback: expected dx of shape \(4, 5\), got"):
            pullback(np.ones(shape), np.ones(4))
    for shape in ((5,), (1,), (4, 1), ()):
        with pytest.raises(NiceValueError, match=r"pullback: expected dlog_det of shape \(4,\), got"):
            pullback(np.ones((4, 5)), np.ones(shape))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_half_a_gradient_is_not_taken_for_one(error, rng):
    class Failing(DiagonalScaling):
        def backward(self, *given):
            raise error("of the user's own layer")

    model = Flow("normal", Chain([Failing(3), DiagonalScaling(3)]))
    with pytest.raises(error, match="own layer"):
        model.nll_and_grad(rng.normal(size=(4, 3)))
    assert np.isnan(model.params.grads).all()


def test_a_number_outside_is_named_with_its_row_also_behind_permutations(rng, monkeypatch):
    monkeypatch.setattr(model_module, "CHUNK", 8)
    model = Flow("logistic", Chain([Permutation.reversal(2), Logit(2), DiagonalScaling(2)]))
    x = rng.uniform(0.1, 0.9, size=(20, 2))
    x[19, 1] = 2.0
    with pytest.raises(NiceValueError, match=r"x\[19, 1\] = 2.0 is not between"):
        model.log_prob(x)
    with pytest.raises(NiceValueError, match=r"x\[19, 1\] = 2.0 is not between"):
        fit(model, x, epochs=1, batch_size=5, progress=False, rng=0)


def test_overflow_names_the_row_of_the_whole_input(monkeypatch):
    monkeypatch.setattr(model_module, "CHUNK", 7)
    x = np.zeros((30, 2))
    x[25] = 1e200
    with pytest.raises(NiceOverflowError, match="row 25"):
        Flow("normal", DiagonalScaling(2)).log_prob(x)


def test_a_parameter_too_large_for_float32():
    model = Flow("normal", DiagonalScaling(2))
    model.params.values[0] = 1e39
    with pytest.raises(NiceOverflowError, match="too large for float32"):
        model.astype(np.float32)


def test_a_constant_too_large_for_float32():
    model = Flow("normal", Standardize([0.0, 1e300], [1.0, 1.0]))
    with pytest.raises(NiceOverflowError, match=r"cast: mean of Standardize is too large for float32"):
        model.astype(np.float32)


def test_large_gradients_do_not_matter_to_another_dtype():
    model = Flow("normal", DiagonalScaling(2))
    model.params.grads[0] = 1e300
    assert not model.astype(np.float32).params.grads.any()


def test_numbers_that_a_logarithm_cannot_take_are_an_overflow_without_a_warning():
    class Flat(DiagonalScaling):
        def forward(self, x):
            z, log_det, cache = super().forward(x)
            return z, log_det + np.log(np.zeros(len(x))), cache

    model = Flow("normal", Flat(2))
    for call in (model.log_prob, model.grad_log_prob, model.nll_and_grad):
        with pytest.raises(NiceOverflowError, match=r"in layer 0 \(Flat\)"):
            call(np.zeros((1, 2)))


def test_a_bijector_with_layers_of_its_own(rng):
    class Stack(Chain):
        pass

    class Own(DiagonalScaling):
        def __init__(self, dim):
            super().__init__(dim)
            self.layers = ()

    model = Flow("normal", Own(2))
    assert len(model.layers) == 1
    assert "Own(dim=2)" in repr(model)
    assert len(Flow("normal", Stack([DiagonalScaling(2), DiagonalScaling(2)])).layers) == 2


def test_overflow_names_the_layer(rng):
    model = shaken(nice(4, couplings=3, hidden=(4,), prior="normal", rng=0), rng)
    with pytest.raises(NiceOverflowError, match=r"x\[1, 2\] = 1e\+300 does not fit into float32"):
        model.log_prob([[0.0] * 4, [0, 0, 1e300, 0]])
    with pytest.raises(NiceOverflowError, match=r"log-density of row 0, .* overflows float32 in StandardNormal"):
        model.log_prob(np.full((1, 4), 1e25))
    model.bijector.layers[-1].log_scale = np.full(4, 200.0)
    with pytest.raises(NiceOverflowError, match=r"row 0 overflows float32 in layer 4 \(DiagonalScaling\)"):
        model.encode(np.ones((2, 4)))
    model.bijector.layers[-1].log_scale = np.full(4, -200.0)
    with pytest.raises(NiceOverflowError, match=r"layer 4 \(DiagonalScaling\)"):
        model.sample(2, rng=0)


def test_an_infinite_gradient_is_an_error_even_where_the_density_is_finite():
    steep = Flow("normal", Standardize([0.0, 0.0], [1e-200, 1e-200]))
    x = np.full((1, 2), 1e-150)  # z = 1e50, log p = -1e100, d log p/dx = -1e250
    assert np.isfinite(steep.grad_log_prob(x)).all()
    x = np.full((1, 2), 1e-80)  # z = 1e120, log p = -1e240, d log p/dx = -1e320
    assert np.isfinite(steep.log_prob(x)).all()
    with pytest.raises(NiceOverflowError, match=r"gradient,? overflows float64"):
        steep.grad_log_prob(x)


@pytest.mark.parametrize("door", ["grad_log_prob", "log_prob_and_grad"])
def test_a_gradient_that_overflows_in_the_layers_is_not_blamed_on_the_prior(door, monkeypatch):
    monkeypatch.setattr(model_module, "CHUNK", 4)
    model = Flow("normal", DiagonalScaling(2, log_scale=80, dtype=np.float32))  # z = e^80 x, d log p/dx = -e^160 x
    x = np.zeros((9, 2), np.float32)
    x[[6, 7]] = [[1e-25, 0], [2e-25, 0]]
    assert np.isfinite(model.log_prob(x)).all()
    with pytest.raises(NiceOverflowError, match="row 6, or its gradient, overflows float32 on its way back"):
        getattr(model, door)(x)
    with pytest.raises(NiceOverflowError, match="row 6, or its gradient, overflows float32 in StandardNormal"):
        getattr(model, door)(1e10 * x)


def test_a_mean_is_right_where_the_sum_would_overflow():
    wide = Flow("logistic", Standardize([0.0, 0.0], [1.0, 1.0]))
    x = np.full((4, 2), 4e307)  # log p = -8e307 each, -3.2e308 together
    assert wide.nll_and_grad(x)[0] == pytest.approx(8e307, rel=1e-12)
    assert wide.bits_per_dim(x) == pytest.approx(4e307 / np.log(2), rel=1e-12)


def test_an_infinite_gradient_of_a_parameter_is_an_error_too():
    coupling = AffineCoupling(Partition.odd_even(2), MLP((1, 2), output_scale=0.0, rng=0))
    flow = Flow("logistic", coupling)
    x = np.full((1, 2), 1e160)  # theta = 0, z = x, log p = -2e160;  dL/dW = x_a dL/dtheta = x_a x_b = 1e320
    assert np.isfinite(flow.log_prob(x)).all()
    with pytest.raises(NiceOverflowError, match="a gradient overflows float64"):
        flow.nll_and_grad(x)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda m: m.sample(-1), NiceValueError),
        (lambda m: m.sample(2.5), NiceTypeError),
        (lambda m: m.sample(True), NiceTypeError),
        (lambda m: m.sample(1, rng="seed"), NiceTypeError),
        (lambda m: m.sample(1, rng=-1), NiceValueError),
        (lambda m: m.sample(1, temperature=-1), NiceValueError),
        (lambda m: m.sample(1, temperature=np.nan), NiceValueError),
        (lambda m: m.astype("int32"), NiceValueError),
        (lambda m: m.astype("nonsense"), NiceTypeError),
        (lambda m: m.bits_per_dim(np.zeros((1, 5)), bin_width=0), NiceValueError),
        (lambda m: Flow("normal", "bijector"), NiceTypeError),
        (lambda m: Flow("normal", DiagonalScaling), NiceTypeError),
        (lambda m: Flow(StandardNormal, DiagonalScaling(2)), NiceTypeError),
        (lambda m: Inverse(5), NiceTypeError),
        (lambda m: Chain(5), NiceTypeError),
        (lambda m: Chain([DiagonalScaling]), NiceTypeError),
        (lambda m: to_bits_per_dim(np.nan, 2, 1), NiceValueError),
        (lambda m: to_bits_per_dim(1.0, 0, 1), NiceValueError),
        (lambda m: to_bits_per_dim("a", 2, 1), NiceTypeError),
    ],
)
def test_bad_arguments(call, error, model):
    with pytest.raises(error):
        call(model)


def test_threads_get_the_serial_answer(model, rng):
    batches = rng.normal(size=(8, 40, 5))
    expected = [model.log_prob(x) for x in batches]
    found = [None] * 8

    def work(i):
        for _ in range(20):
            found[i] = model.log_prob(batches[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_pickle_round_trip(model, rng):
    x = rng.normal(size=(3, 5))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).log_prob(x), model.log_prob(x))


def test_global_state_is_untouched(model, rng):
    before = np.random.get_state()[1].copy(), np.geterr()  # noqa: NPY002
    model.sample(3, rng=0)
    model.nll_and_grad(rng.normal(size=(3, 5)))
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert np.geterr() == before[1]


def test_repr_counts_parameters(model):
    text = repr(model)
    assert f"{len(model.params):,} parameters" in text
    assert "Standardize(dim=5)" in text


def test_score_is_the_mean_log_likelihood(rng):
    flow, x = real_nvp(2, hidden=(3,), context_dim=1, rng=0), rng.normal(size=(5, 2))
    context = rng.normal(size=(5, 1))
    assert flow.score(x, context) == pytest.approx(flow.log_prob(x, context).mean(dtype=float), rel=1e-12)
    with pytest.raises(NiceValueError, match=r"Flow.score: 0 samples"):
        flow.score(np.zeros((0, 2)), np.zeros((0, 1)))
    vae, noise = variational_autoencoder(4, hidden=3, rng=0), np.zeros((3, 2))
    assert vae.score(np.eye(3, 4), noise) == pytest.approx(vae.elbo(np.eye(3, 4), noise).mean(dtype=float), rel=1e-12)


def test_load_reads_flows_and_autoencoders(tmp_path):
    for model in (nice(2, hidden=3, rng=0), variational_autoencoder(4, hidden=3, rng=0)):
        model.save(tmp_path / "m.npz")
        again = load(tmp_path / "m.npz")
        assert type(again) is type(model)
        np.testing.assert_array_equal(again.params.values, model.params.values)


@pytest.mark.parametrize("call", ["sample", "sample with context", "encode", "decode"])
def test_a_large_result_is_written_in_place(call):
    """A third more than the result at most, with 40,000 rows in chunks of 1000."""
    n, labels = 40_000, call == "sample with context"
    flow = nice(64, couplings=3, hidden=(8,), context_dim=2 * labels, rng=0)
    x, context = np.ones((n, 64), flow.dtype), np.ones((n, 2), flow.dtype) if labels else None
    make = (lambda: flow.sample(n, rng=0, context=context)) if "sample" in call else lambda: getattr(flow, call)(x)
    expected = make()  # and compiles
    tracemalloc.start()
    try:
        found = make()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.tobytes() == expected.tobytes()
    assert peak < 1.3 * found.nbytes


def test_samples_do_not_depend_on_how_many_are_drawn_behind_them():
    flow = nice(3, couplings=3, hidden=(4,), rng=0)
    flow.params.values[:] = np.random.default_rng(0).normal(size=len(flow.params)) / 3
    many = flow.sample(2500, rng=0)
    z = np.concatenate([flow.prior.sample(k, 3, rng) for rng in [np.random.default_rng(0)] for k in (1000, 1000, 500)])
    assert many.tobytes() == flow.decode(z.astype(flow.dtype)).tobytes()


@pytest.mark.parametrize("kind", [list, tuple, lambda a: a.astype(">f8"), np.asfortranarray])
def test_a_pullback_takes_any_form_of_a_gradient(kind):
    flow = nice(3, couplings=3, hidden=(4,), rng=0)
    _, log_det, pullback = flow.decode_with_pullback(np.ones((5, 3)))
    dx = np.random.default_rng(0).normal(size=(5, 3))
    assert np.allclose(pullback(kind(dx), kind(log_det)), pullback(dx, log_det))
    with pytest.raises(NiceTypeError, match="dx has dtype object"):
        pullback(np.full((5, 3), None), log_det)


def test_data_of_another_kind_are_refused():
    with pytest.raises(NiceTypeError, match=r"Flow.from_data: x has dtype"):
        Flow("normal", DiagonalScaling(2)).from_data("data", 0)

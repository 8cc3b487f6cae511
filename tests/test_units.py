"""One unit: whatever stands in front, the likelihood is that of the [0, 1] data, in nats or bits per dimension."""

import copy
import pickle

import numpy as np
import pytest
from scipy import stats

from nice_np import (
    Chain,
    DiagonalScaling,
    Flow,
    Logit,
    NiceTypeError,
    NiceValueError,
    PCAWhitening,
    Permutation,
    Prior,
    Rescale,
    Standardize,
    ZCAWhitening,
    dequantize,
    fit,
    nice,
    to_bits_per_dim,
)
from nice_np.datasets import Dataset
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.runs.scoring import score
from nice_np.training.fit import start_from_data

D = 6


class Uniform(Prior):
    """The uniform density on [low, high]."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    def log_prob(self, z):
        inside = ((z >= self.low) & (z <= self.high)).all(axis=1)
        return np.where(inside, -z.shape[1] * np.log(self.high - self.low), -np.inf)

    def grad_log_prob(self, z):
        return np.zeros_like(z)

    def sample(self, n, dim, rng):
        return rng.uniform(self.low, self.high, (n, dim))


UNIFORM_FLOWS = {
    "nothing": lambda: Flow(Uniform(0.0, 1.0), Permutation.reversal(D)),
    "rescale": lambda: Flow(Uniform(-1.0, 1.0), Rescale(D)),
    "rescale twice": lambda: Flow(Uniform(0.0, 255.0), Chain([Rescale(D), Rescale(D, 127.5, 255.0)])),
    "standardize": lambda: Flow(Uniform(-3.0, 1.0), Standardize(np.full(D, 0.75), np.full(D, 0.25))),
    "logit": lambda: Flow("logistic", Logit(D, alpha=0.0)),  # the logit of a uniform variable is logistic
    "logit and order": lambda: Flow("logistic", Chain([Logit(D, alpha=0.0), Permutation.reversal(D)])),
}


@pytest.mark.parametrize("make", UNIFORM_FLOWS.values(), ids=UNIFORM_FLOWS.keys())
def test_a_uniform_density_is_8_bits(make, rng):
    x = dequantize(rng.integers(0, 256, size=(50, D)).astype(np.uint8), rng)
    flow = make()
    np.testing.assert_allclose(flow.log_prob(x), 0, rtol=0, atol=1e-12)
    assert flow.bits_per_dim(x) == pytest.approx(8, rel=0, abs=1e-12)


def test_a_margin_costs_its_width(rng):
    """With alpha the uniform density reaches from -m to 1 + m: it is log(1 + 2m) lower in every dimension."""
    for alpha in (1e-6, 0.05):
        log_prob = Flow("logistic", Logit(D, alpha)).log_prob(rng.random((10, D)))
        np.testing.assert_allclose(log_prob, D * np.log(1 - 2 * alpha), rtol=1e-7)


@pytest.mark.parametrize("kind", [Standardize, ZCAWhitening, PCAWhitening])
def test_a_fitted_gaussian_is_the_closed_form(kind, rng):
    pixels = (rng.normal(size=(1500, D)) @ rng.normal(size=(D, D)) * 10 + 128).clip(0, 255).astype(np.uint8)
    flow = Flow("normal", kind.unfitted(D))
    start_from_data(flow, pixels)
    noise = np.random.default_rng(0)  # as start_from_data draws it, chunk by chunk
    x = np.concatenate([dequantize(part, noise) for part in (pixels[:1000], pixels[1000:])])
    test = dequantize(pixels[:200], 1)
    covariance = np.cov(x, rowvar=False, bias=True)
    covariance = np.diag(np.diag(covariance)) if kind is Standardize else covariance + np.eye(D) / 256**2 / 12
    exact = stats.multivariate_normal(x.mean(axis=0), covariance).logpdf(test)
    np.testing.assert_allclose(flow.log_prob(test), exact, rtol=0, atol=1e-6)
    bits = (-exact.mean() / D + np.log(256)) / np.log(2)
    assert flow.bits_per_dim(test) == pytest.approx(bits, rel=0, abs=1e-6)


def test_one_bits_per_dim_for_a_flow_and_its_data(rng, tmp_path):
    pixels = rng.integers(100, 156, size=(60, D), dtype=np.uint8)
    x = dequantize(pixels, rng)
    for data, width in ((x, 1.0), (pixels, 1 / 256)):
        flow = nice(D, couplings=3, hidden=(4,), dtype=np.float64, rng=0)
        assert flow.bin_width is None
        assert flow.bits_per_dim(x) == pytest.approx(flow.bits_per_dim(x, bin_width=1 / 256))  # nothing better is known
        history = fit(flow, data, validation=x, epochs=1, progress=False, rng=0)
        flow.save(tmp_path / "flow.npz", {})
        for same in (flow, Flow.load(tmp_path / "flow.npz"), flow.copy(), pickle.loads(pickle.dumps(flow))):
            assert same.bin_width == width
            assert same.bits_per_dim(x) == history.column("validation_bits_per_dim")[-1]
        assert flow.astype(np.float32).bin_width == width
        found = score(flow, Dataset("noise", x, x, x), "test", seed=0)
        assert (found["bits_per_dim"], found["bin_width"]) == (flow.bits_per_dim(x), width)
        assert flow.bits_per_dim(pixels) == flow.bits_per_dim(dequantize(pixels, NOISE_SEED), bin_width=1 / 256)
        assert flow.score(pixels) == flow.score(dequantize(pixels, NOISE_SEED))
        found = score(flow, Dataset("noise", pixels, pixels, pixels), "test", seed=NOISE_SEED)
        assert found["bits_per_dim"] == flow.bits_per_dim(pixels)


def test_the_bin_width_of_float_images_is_given_once(rng, tmp_path):
    x, path = dequantize(rng.integers(100, 156, size=(60, D), dtype=np.uint8), rng), tmp_path / "run.npz"
    flow = nice(D, couplings=3, hidden=(4,), dtype=np.float64, rng=0)
    flow.bin_width = 1 / 256
    settings = {"validation": x, "progress": False, "rng": 0, "checkpoint": path}
    assert fit(flow, x, epochs=1, **settings).column("validation_bits_per_dim")[-1] == flow.bits_per_dim(x)
    resumed = nice(D, couplings=3, hidden=(4,), dtype=np.float64, rng=0)  # the checkpoint knows it
    assert fit(resumed, x, epochs=2, resume=True, **settings).column("validation_bits_per_dim")[-1] == (
        resumed.bits_per_dim(x)
    )
    assert resumed.bin_width == 1 / 256
    for wrong, error in ((0, NiceValueError), (np.nan, NiceValueError), ("1/256", NiceTypeError)):
        with pytest.raises(error, match="Flow: bin_width must be"):
            flow.bin_width = wrong


def test_the_cross_entropy_of_a_gaussian_with_its_own_sample(rng):
    """E -log p = (log det 2 pi C + D) / 2 for p fitted to the sample itself: by any of the whitenings, in any unit."""
    x = rng.random((400, D)) @ rng.normal(size=(D, D))
    exact = 0.5 * (np.linalg.slogdet(2 * np.pi * np.cov(x, rowvar=False, bias=True))[1] + D)
    for kind in (ZCAWhitening, PCAWhitening):
        for below in ([], [Rescale(D)], [Rescale(D, 3.0, 1000.0)], [Permutation.reversal(D)]):
            flow = Flow("normal", Chain([*below, kind.unfitted(D, epsilon=0.0)]))
            start_from_data(flow, x)
            assert -flow.log_prob(x).mean() == pytest.approx(exact, rel=0, abs=1e-6)


def test_rescaling_changes_no_likelihood(rng):
    x = rng.random((100, D))
    plain = Flow("logistic", DiagonalScaling(D, 0.7))
    # The same density of x, written for data in [-1, 1]: there it would have D log 2 nats less.
    undo = [Rescale(D, 0.5, 1.0), DiagonalScaling(D, 0.7)]
    rescaled = Flow("logistic", Chain([Rescale(D), *copy.deepcopy(undo)]))
    np.testing.assert_allclose(rescaled.log_prob(x), plain.log_prob(x), rtol=1e-12)
    assert rescaled.bits_per_dim(x) == pytest.approx(plain.bits_per_dim(x), rel=1e-12)
    outside = Flow("logistic", Chain(undo))  # the rescaling done by hand: nats of another unit, bins twice as wide
    assert outside.log_prob(2 * x - 1) == pytest.approx(plain.log_prob(x) - D * np.log(2), rel=1e-12)
    assert outside.bits_per_dim(2 * x - 1, bin_width=2 / 256) == pytest.approx(plain.bits_per_dim(x), rel=1e-12)


@pytest.mark.parametrize("kind", [ZCAWhitening, PCAWhitening, Logit])
def test_log_dets_are_the_jacobians(kind, rng):
    layer = Logit(4, 0.01) if kind is Logit else kind.unfitted(4)
    if kind is not Logit:
        data = rng.random((50, 4)) @ rng.normal(size=(4, 4))
        layer.fit(lambda: iter([data]))
    for x in rng.uniform(0.1, 0.9, size=(5, 4)):
        h = 1e-5
        columns = [(layer.forward((x + h * e)[None])[0] - layer.forward((x - h * e)[None])[0])[0] for e in np.eye(4)]
        expected = np.linalg.slogdet(np.stack(columns, axis=1) / (2 * h))[1]
        np.testing.assert_allclose(layer.forward(x[None])[1], expected, rtol=0, atol=1e-7)


def test_the_papers_numbers():
    assert to_bits_per_dim(1980.50, 784, 1 / 256) == pytest.approx(4.356, abs=5e-4)
    in_unit_interval = 5371.78 + 3072 * np.log(2)  # the paper's CIFAR-10 data lie in [-1, 1]
    assert to_bits_per_dim(5371.78, 3072, 2 / 256) == pytest.approx(4.48, abs=5e-3)
    assert to_bits_per_dim(in_unit_interval, 3072, 1 / 256) == pytest.approx(4.48, abs=5e-3)

"""Backpropagation without stored activations: the stored path's answers, flat memory, and a guard against drift."""

import copy
import tracemalloc

import numpy as np
import pytest
from registry import BIJECTORS, coupling, draw, shaken

from nice_np import (
    MLP,
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    DiagonalScaling,
    DriftError,
    Flow,
    Inverse,
    NiceError,
    NiceOverflowError,
    Partition,
    Standardize,
    StandardNormal,
    nice,
    real_nvp,
)
from nice_np.bijectors.rebuilding import Mark, Rebuilding


def distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def assert_same(flow, x, context=None, tolerance=1e-10):
    """Both ways of one flow agree."""
    nll, stored = flow.nll_and_grad(x, context)
    stored = stored.copy()
    rebuilt_nll, rebuilt = flow.nll_and_grad(x, context, recompute=True)
    assert rebuilt_nll == pytest.approx(nll, rel=1e-14)  # log-dets of chains in chains are added in another order
    assert rebuilt is flow.params.grads
    assert np.abs(stored).max() > 0
    assert distance(rebuilt, stored) <= tolerance


TRAINED = [name for name, make in BIJECTORS.items() if make(np.random.default_rng(0)).n_parameters > 0]
trained_layers = pytest.mark.parametrize("name", TRAINED)


@pytest.mark.parametrize("make", BIJECTORS.values(), ids=BIJECTORS.keys())
def test_rebuild_gives_the_input_and_the_cache_of_forward(make, rng):
    layer = make(rng)
    x = draw(layer, rng, (6, layer.dim))
    z, _, cache = layer.forward(x)
    rebuilt, rebuilt_cache = layer.rebuild(z)
    rtol, atol = (1e-10, 1e-12) if layer.exact else (1e-7, 1e-7)  # of a numerical solution
    np.testing.assert_allclose(rebuilt, x, rtol=rtol, atol=atol)
    dz, dlog_det = rng.normal(size=x.shape), rng.normal(size=6)
    expected = layer.backward(dz, dlog_det, cache)
    np.testing.assert_allclose(layer.backward(dz, dlog_det, rebuilt_cache), expected, rtol=max(rtol, 1e-9))


@trained_layers
def test_a_flow_of_any_layer(name, rng):
    layer = BIJECTORS[name](rng)
    x = draw(layer, rng, (6, layer.dim))
    assert_same(Flow("logistic", layer), x)  # a Gaussian does not feel a rotation


@trained_layers
def test_a_flow_of_any_layer_in_float32(name, rng):
    layer = BIJECTORS[name](rng)
    x = draw(layer, rng, (6, layer.dim))
    layer.cast(np.float32)
    flow = Flow("logistic", layer)
    assert_same(flow, x, tolerance=1e-5)
    assert flow.params.grads.dtype == np.float32


@pytest.mark.parametrize("build", [nice, real_nvp])
@pytest.mark.parametrize("n", [1, 7])
def test_the_papers_flows(build, n, rng):
    flow = shaken(build(5, couplings=4, hidden=(6, 5), dtype=np.float64, rng=0), rng)
    assert_same(flow, rng.normal(size=(n, 5)))


@pytest.mark.parametrize("build", [nice, real_nvp])
def test_a_context(build, rng):
    flow = shaken(build(5, couplings=4, hidden=(6,), context_dim=2, dtype=np.float64, rng=0), rng)
    assert_same(flow, rng.normal(size=(7, 5)), rng.normal(size=(7, 2)))
    assert_same(flow, rng.normal(size=(7, 5)), [1.0, 0.0])


def test_preprocessing(rng):
    flow = shaken(real_nvp(4, 3, hidden=(6,), preprocess=("logit", "zca"), dtype=np.float64, rng=0), rng)
    assert_same(flow, rng.uniform(0.01, 0.99, size=(7, 4)))


def test_chains_within_chains(rng):
    odd_even = Partition.odd_even(5)
    affine = [coupling(AffineCoupling, odd_even, rng) for _ in range(2)]
    inner = Chain([affine[0], coupling(AdditiveCoupling, odd_even.swapped(), rng), affine[1]])
    layers = [coupling(AffineCoupling, odd_even.swapped(), rng), Chain([inner]), shaken(DiagonalScaling(5), rng)]
    assert_same(Flow("logistic", Chain(layers)), rng.normal(size=(7, 5)))
    assert_same(Flow("logistic", Inverse(BIJECTORS["Chain"](rng))), rng.normal(size=(7, 5)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sixty_four_additive_couplings(dtype, rng):
    flow = shaken(nice(40, couplings=64, hidden=(30,), activation="tanh", dtype=dtype, rng=0), rng, 0.1)
    x = rng.normal(size=(50, 40))
    assert np.abs(flow.encode(x) - x).max() > 0.5
    assert_same(flow, x, tolerance=1e-3 if dtype == np.float32 else 1e-10)


def test_one_more_evaluation_of_each_conditioner(rng, monkeypatch):
    flow = real_nvp(4, couplings=3, hidden=(6,), rng=0)
    conditioner = flow.layers[2].conditioner
    calls, forward = [], type(conditioner).forward
    monkeypatch.setattr(type(conditioner), "forward", lambda self, x: calls.append(len(x)) or forward(self, x))
    flow.nll_and_grad(rng.normal(size=(5, 4)))
    assert len(calls) == 3
    flow.nll_and_grad(rng.normal(size=(5, 4)), recompute=True)
    assert len(calls) == 3 + 6


# -- memory -----------------------------------------------------------------------------------------------------------


def peak(depth, recompute, nested=False):
    """Bytes beyond parameters at the peak of one gradient of a batch."""
    flow = nice(64, couplings=depth, hidden=(96,), rng=0)
    if nested:
        flow = Flow("normal", Chain([copy.deepcopy(flow.bijector)]))
    x = np.random.default_rng(0).normal(size=(600, 64)).astype(np.float32)
    flow.nll_and_grad(x, recompute=recompute)  # compiles the kernels
    tracemalloc.start()
    try:
        flow.nll_and_grad(x, recompute=recompute)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("nested", [False, True])
def test_memory_does_not_grow_with_depth(nested):
    shallow = peak(4, recompute=True, nested=nested)
    assert peak(16, recompute=True, nested=nested) <= 1.2 * shallow
    assert peak(16, recompute=False, nested=nested) > 2 * shallow, "the measurement does not see activations"


# -- drift ------------------------------------------------------------------------------------------------------------


def deep(dtype=np.float32, couplings=32):
    """A RealNVP with random weights, whose inverses enlarge rounding without end."""
    return shaken(real_nvp(20, couplings, hidden=(30,), dtype=dtype, rng=0), np.random.default_rng(1), 0.2)


def test_a_deep_affine_flow_is_refused_and_stays_usable(rng):
    flow, x = deep(), rng.normal(size=(50, 20))
    says = (
        r"input of layer \d+ \(AffineCoupling\), .* off by \d.* in row \d+ \(float32 allows 3.5e-04\).*recompute=False"
    )
    expected = flow.nll_and_grad(x)[1].copy()
    with pytest.raises(DriftError, match=says) as caught:
        flow.nll_and_grad(x, recompute=True)
    assert isinstance(caught.value, NiceError)
    assert isinstance(caught.value, ArithmeticError)
    assert np.isnan(flow.params.grads).all(), "half a gradient stands there"
    np.testing.assert_array_equal(flow.nll_and_grad(x)[1], expected)


def test_what_is_not_refused_is_right(rng):
    """Whatever the depth: either an error, or the gradient of the stored path."""
    passed = []
    for dtype, tolerance in ((np.float32, 1e-3), (np.float64, 1e-6)):
        for couplings in (3, 4, 5, 6, 8, 12, 16, 24):
            flow, x = deep(dtype, couplings), rng.normal(size=(50, 20))
            stored = flow.nll_and_grad(x)[1].copy()
            try:
                rebuilt = flow.nll_and_grad(x, recompute=True)[1]
            except DriftError:
                passed.append(False)
            else:
                passed.append(True)
                assert distance(rebuilt, stored) <= tolerance
    assert passed[:3] == [True] * 3
    assert not all(passed[:8])


@pytest.mark.parametrize("scale", ["tanh", "exp", "sigmoid", "softplus"])
def test_a_flow_as_it_is_made_is_not_refused(scale, rng):
    assert_same(real_nvp(20, couplings=32, hidden=(30,), scale=scale, rng=0), rng.normal(size=(50, 20)), tolerance=1e-4)


class Forgetful(DiagonalScaling):
    """A layer whose inverse is wrong."""

    def inverse(self, z):
        x, log_det, cache = super().inverse(z)
        return 1.01 * x, log_det, cache


def test_the_guard_names_the_layer(rng):
    def chain(*kinds):
        return Flow("normal", Chain([kind(3) for kind in kinds]))

    x = rng.normal(size=(9, 3))
    for flow, name in (
        (chain(DiagonalScaling, Forgetful, DiagonalScaling), "layer 1 "),
        (Flow("normal", Forgetful(3)), "layer 0 "),
        (Flow("normal", Chain([DiagonalScaling(3), Chain([DiagonalScaling(3), Forgetful(3)])])), "layer 1.1 "),
    ):
        with pytest.raises(DriftError, match=rf"the input of {name}\(Forgetful\)"):
            flow.nll_and_grad(x, recompute=True)


def test_an_error_of_another_kind_leaves_no_half_gradient(rng):
    class Refusing(DiagonalScaling):
        def rebuild(self, z):
            raise NiceOverflowError("refused")

    flow = Flow("normal", Chain([Refusing(3), DiagonalScaling(3)]))
    with pytest.raises(NiceOverflowError, match="refused"):
        flow.nll_and_grad(rng.normal(size=(4, 3)), recompute=True)
    assert np.isnan(flow.params.grads).all()


def test_overflow_is_what_it_is_without_recompute():
    steep = Flow("normal", Standardize([0.0, 0.0], [1e-200, 1e-200]))
    # theta = 0: the gradient of a weight is x_a x_b
    coupling = Flow("logistic", AffineCoupling(Partition.odd_even(2), MLP((1, 2), output_scale=0.0, rng=0)))
    for flow, x, says in ((coupling, 1e160, "gradient overflows float64"), (steep, 1.0, "log-density of row 0")):
        for recompute in (False, True):
            with pytest.raises(NiceOverflowError, match=says):
                flow.nll_and_grad(np.full((1, 2), x), recompute=recompute)
    large = Flow("normal", DiagonalScaling(2, log_scale=200.0, dtype=np.float32))
    with pytest.raises(NiceOverflowError, match=r"overflows float32 in layer 0 \(DiagonalScaling\)"):
        large.nll_and_grad(np.ones((2, 2)), recompute=True)


def test_an_answer_of_another_shape_is_refused():
    class Column(StandardNormal):
        def log_prob(self, z):
            return super().log_prob(z)[:, None]

    with pytest.raises(NiceError, match=r"Column must give one number per row, \(3,\), got \(3, 1\)"):
        Flow(Column(), DiagonalScaling(2)).nll_and_grad(np.zeros((3, 2)), recompute=True)


@pytest.fixture
def weights():
    return np.array([1.0, -1.5, 1.2, -1.9])


@pytest.fixture
def x(rng):
    return rng.normal(size=(30, 4)).astype(np.float32)


def test_half_of_the_digits_may_be_lost(x, weights):
    mark = Mark(x, weights)
    mark.refuse_drift(x, "layer 0")
    mark.refuse_drift(x * np.float32(1 + 1e-5), "layer 0")
    with pytest.raises(DriftError):
        mark.refuse_drift(x * np.float32(1 + 1e-2), "layer 0")
    x = x.astype(np.float64)
    exact = Mark(x, weights)
    exact.refuse_drift(x * (1 + 1e-10), "layer 0")
    with pytest.raises(DriftError):
        exact.refuse_drift(x * (1 + 1e-6), "layer 0")


def test_drift_is_an_estimate_of_the_relative_error(rng):
    x = rng.normal(size=(2000, 50))
    mark = Mark(x, rng.uniform(1, 2, 50) * rng.choice([-1, 1], 50))
    drift = mark.drift(x + 1e-4 * rng.normal(size=x.shape))
    assert np.sqrt((drift**2).mean()) == pytest.approx(1e-4 / np.abs(x).mean(), rel=0.1)


def test_a_small_feature_counts_beside_a_large_one(x, weights):
    x *= np.array([1, 1e4, 1e4, 1e4], np.float32)
    rebuilt = x.copy()
    rebuilt[:, 0] *= 1.3
    with pytest.raises(DriftError):
        Mark(x, weights).refuse_drift(rebuilt, "layer 0")


def test_a_large_row_or_context_does_not_hide_the_others(x, weights):
    x[7] *= 1e10
    wide = np.concatenate([x, np.full((30, 2), 1e10, np.float32)], axis=1)
    mark = Mark(wide, weights)
    mark.refuse_drift(wide, "layer 0")
    wide[20, :4] *= 1.1
    with pytest.raises(DriftError, match="in row 20 "):
        mark.refuse_drift(wide, "layer 0")


def test_a_row_that_is_zero_by_chance_is_not_refused(x, weights):
    x[3] = 0
    mark = Mark(x, weights)
    x[3] = 1e-6
    mark.refuse_drift(x, "layer 0")
    zeros = np.zeros_like(x)
    Mark(zeros, weights).refuse_drift(zeros, "layer 0")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value, x, weights):
    mark = Mark(x, weights)
    x[11, 2] = value
    with np.errstate(invalid="ignore"), pytest.raises(DriftError, match="in row 11 "):
        mark.refuse_drift(x, "layer 0")


def test_numbers_near_the_end_of_the_dtype(x, weights):
    x *= np.float32(1e37)
    mark = Mark(x, weights)
    mark.refuse_drift(x, "layer 0")
    with pytest.raises(DriftError):
        mark.refuse_drift(x * np.float32(1.1), "layer 0")


def test_every_feature_is_measured_in_units_of_its_mean_size(x, weights):
    x *= np.array([1, 1e5, 0, 10], np.float32)  # the first and the third are small against the mean of all
    mark, size = Mark(x, weights), np.abs(x).mean(axis=0)
    unit = np.maximum(size, 1e-3 * size.mean())
    assert mark.per_unit.dtype == mark.weights.dtype == x.dtype
    np.testing.assert_allclose(mark.per_unit, 1 / unit, rtol=1e-5)
    np.testing.assert_allclose(mark.weights, weights / unit, rtol=1e-5)


def test_drift_has_no_sign(x, weights):
    x = x.astype(np.float64)
    mark, error = Mark(x, weights), np.full_like(x, 0.01)
    np.testing.assert_allclose(mark.drift(x - error), mark.drift(x + error), rtol=0.1)


def test_weights_have_both_signs_and_different_sizes():
    """Of one sign or one size, errors that cancel in a sum would pass."""
    weights = Rebuilding(DiagonalScaling(100), 100).weights
    assert 1 <= np.abs(weights).min() < 1.1
    assert 1.9 < np.abs(weights).max() <= 2
    assert 30 < (weights < 0).sum() < 70


def test_the_gradient_of_the_input(rng):
    layer = coupling(AffineCoupling, Partition.odd_even(5), rng)
    rebuilding, x = Rebuilding(Chain([layer, DiagonalScaling(5)]), 5), rng.normal(size=(3, 5))
    dz, dlog_det = rng.normal(size=(3, 5)), rng.normal(size=3)
    expected = layer.backward(dz, dlog_det, layer.forward(x)[2])
    dx = rebuilding.backward(dz, dlog_det, rebuilding.forward(x)[2])
    np.testing.assert_allclose(dx, expected, rtol=1e-12)

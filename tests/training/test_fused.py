"""Couplings together give the numbers of the layers one by one; `fit` runs them so only where that is safe."""

import numpy as np
import pytest
from registry import shaken

from nice_np import (
    MLP,
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    DiagonalScaling,
    FlatParameters,
    Flow,
    NiceOverflowError,
    NiceValueError,
    Partition,
    Standardize,
    fit,
    nice,
    real_nvp,
    spline_flow,
)
from nice_np.bijectors import TanhScale
from nice_np.networks.activations import LeakyReLU
from nice_np.training.fused import couplings as module
from nice_np.training.fused.couplings import Fused, FusedCouplings, fused
from nice_np.training.fused.halves import InHalves
from nice_np.training.fused.loops import couple

needs_numba = pytest.mark.skipif(not couple.is_compiled, reason="Numba is missing or off: nothing is fused")


def run(law, rng, dim=5, context_dim=0, hidden=(6, 4), partitions=None, n=3, own=False):
    """A run of couplings with random parameters, packed: (couplings, params, starts)."""
    layers = []
    for k in range(n):
        part = Partition(dim, np.arange(k % 2, dim, 2), context_dim)
        if partitions == "scattered":
            part = Partition(dim, rng.permutation(dim)[: dim // 2], context_dim)
        law_k = law or (AdditiveCoupling, AffineCoupling)[k % 2]
        sizes = (len(part.idx_a) + context_dim, *hidden, law_k.thetas_per_feature * len(part.idx_b))
        # With `own` each coupling has a slope and a bound of its own.
        activation = LeakyReLU(0.1 * (k + 1)) if own else "relu"
        layers.append(law_k(part, shaken(MLP(sizes, activation, rng=rng), rng)))
        if own and law_k is AffineCoupling:
            layers[-1].scale = TanhScale(0.5 + k)
    return layers


def packed(layers, dtype):
    chain = Chain(layers)
    chain.cast(dtype)
    params = FlatParameters(chain)
    starts = {id(W): slot.start for (_, W, _), slot in zip(chain.named_parameters(), params.slots, strict=True)}
    return chain, params, FusedCouplings(layers, params, starts)


CASES = {
    "additive": {"law": AdditiveCoupling},
    "affine": {"law": AffineCoupling},
    "both": {"law": None},
    "context": {"law": None, "context_dim": 2},
    "scattered": {"law": None, "dim": 7, "partitions": "scattered"},
    "linear": {"law": None, "hidden": ()},
    "slopes and bounds": {"law": None, "own": True},
    "one": {"law": AffineCoupling, "n": 1, "dim": 2},
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_passes_are_those_of_the_layers(case, dtype, rng):
    chain, params, fast = packed(run(rng=rng, **case), dtype)
    tolerance = {"rtol": 0, "atol": 500 * np.finfo(dtype).eps}
    x, dz = rng.normal(size=(2, 9, chain.dim)).astype(dtype)
    dlog_det = rng.normal(size=9).astype(dtype)
    z, log_det, cache = chain.forward(x)
    z_fast, log_det_fast, cache_fast = fast.forward(x)
    np.testing.assert_allclose(z_fast, z, **tolerance)
    np.testing.assert_allclose(log_det_fast, log_det, **tolerance)
    assert (z_fast.dtype, log_det_fast.dtype) == (dtype, dtype)
    dx = chain.backward(dz, dlog_det, cache)
    grads = params.grads.copy()
    params.grads[:] = 7.0
    dx_fast = fast.backward(dz, dlog_det, cache_fast)
    np.testing.assert_allclose(dx_fast, dx, **tolerance)
    np.testing.assert_allclose(params.grads, grads, rtol=0, atol=500 * np.finfo(dtype).eps * np.abs(grads).max())
    assert np.abs(dx - dz).max() > 0.1


def test_gradients_are_written_and_can_be_skipped(rng):
    chain, params, fast = packed(run(None, rng), np.float64)
    x, dz = rng.normal(size=(2, 4, chain.dim))
    before = x.copy(), dz.copy()
    cache = fast.forward(x)[2]
    dx = fast.backward(dz, np.ones(4), cache)
    once = params.grads.copy()
    assert (once != 0).any()
    alone = fast.backward(2 * dz, 2 * np.ones(4), cache, parameters=False)
    np.testing.assert_allclose(alone, 2 * dx, rtol=1e-13)
    np.testing.assert_array_equal(params.grads, once)
    fast.backward(dz, np.ones(4), cache)
    np.testing.assert_array_equal(params.grads, once)
    np.testing.assert_array_equal((x, dz), before)


def test_views_of_a_transposed_array_are_fine(rng):
    chain, _, fast = packed(run(None, rng), np.float64)
    x = rng.normal(size=(chain.dim, 4)).T
    np.testing.assert_allclose(fast.forward(x)[0], chain.forward(x)[0], atol=1e-13)


def test_the_numbers_have_the_parameters_dtype(rng):
    _, params, fast = packed(run(None, rng), np.float32)
    x, dz = rng.normal(size=(2, 4, 5))  # float64, as from a prior that does not return float32
    z, log_det, cache = fast.forward(x)
    dx = fast.backward(dz, np.broadcast_to(1.0, 4), cache)
    assert {array.dtype for array in (z, log_det, dx, params.grads)} == {np.dtype(np.float32)}


def mixed(rng, dtype=np.float64):
    """A flow with layers of all kinds between and around the couplings."""
    layers = run(None, rng)
    shift = Standardize(rng.normal(size=5), np.exp(rng.normal(size=5)))
    flow = Flow("logistic", Chain([shift, *layers[:2], shaken(DiagonalScaling(5), rng), layers[2]]))
    return flow.astype(dtype)


@needs_numba
def test_a_flows_gradient(rng):
    flow = mixed(rng)
    x = rng.normal(size=(20, 5))
    nll, grads = flow.nll_and_grad(x)
    grads = grads.copy()
    fast = fused(flow, 20)
    assert isinstance(fast, Fused)
    assert [type(layer).__name__ for layer in fast.twin.layers] == [
        "Standardize", "FusedCouplings", "DiagonalScaling", "FusedCouplings"
    ]  # fmt: skip
    nll_fast, grads_fast = fast(x, None)
    assert abs(nll - nll_fast) < 1e-12
    assert grads_fast is flow.params.grads
    np.testing.assert_allclose(grads_fast, grads, rtol=0, atol=1e-12)
    flow.params.values[:] *= 1.1  # the twin sees it
    assert abs(flow.nll_and_grad(x)[0] - fast(x, None)[0]) < 1e-12


@needs_numba
def test_an_overflow_names_the_layer(rng):
    flow = mixed(rng)
    flow.layers[2].conditioner.layers[0].W[:] = 1e200
    flow.layers[2].conditioner.layers[1].W[:] = 1e200
    with pytest.raises(NiceOverflowError, match=r"row \d+ overflows float64 in layer 2 \(AffineCoupling\)"):
        fused(flow, 3)(rng.normal(size=(3, 5)), None)


class OwnCoupling(AdditiveCoupling):
    """A subclass may compute anything."""


NOT_COMPILED = {  # couplings that the kernels do not know; they still take turns on the same two sets
    "another scale": lambda rng: real_nvp(4, hidden=(3,), scale="softplus", rng=rng),
    "another activation": lambda rng: nice(4, hidden=(3,), activation="tanh", rng=rng),
    "another law": lambda rng: spline_flow(4, wiring="coupling", hidden=(3,), rng=rng),
    "convolutions": lambda rng: nice(
        16, image_shape=(4, 4), partition="checkerboard", conditioner="conv", hidden=(3,), rng=rng
    ),
    "large matrices": lambda rng: nice(784, hidden=(1000,), rng=rng),
    "sets without order": lambda rng: Flow("normal", in_turns(Partition(784, rng.permutation(784)[:300]), rng)),
}


def in_turns(part, rng):
    """Three couplings, of which the last two keep the same set."""
    parts = (part, part.swapped(), part.swapped())
    sizes = [(len(p.idx_a), 1000, 2 * len(p.idx_b)) for p in parts]
    return Chain([AffineCoupling(p, MLP(size, rng=rng)) for p, size in zip(parts, sizes, strict=True)])


@needs_numba
@pytest.mark.parametrize("make", NOT_COMPILED.values(), ids=NOT_COMPILED.keys())
def test_what_the_kernels_do_not_know_is_split_and_merged_once(make, rng):
    flow = shaken(make(rng), rng)
    fast = fused(flow, 200)
    assert not fast.compiled
    assert [type(layer) for layer in fast.twin.layers if layer not in flow.layers] == [InHalves]
    x = rng.random((200, flow.dim)).astype(flow.dtype)
    nll, grads = flow.nll_and_grad(x)
    grads = grads.copy()
    assert fast(x, None)[0] == nll  # the same operations: not one bit differs
    np.testing.assert_array_equal(flow.params.grads, grads)


NEVER_TOGETHER = {
    "a subclass": lambda rng: Flow("normal", Chain([OwnCoupling(p, MLP((2, 3, 2), rng=rng)) for p in PARTS])),
    "no coupling": lambda rng: Flow("normal", DiagonalScaling(4)),
    "one coupling": lambda rng: Flow("normal", AdditiveCoupling(PARTS[0], MLP((2, 3, 2), "tanh", rng=rng))),
    "a context": lambda rng: nice(4, hidden=(3,), activation="tanh", context_dim=2, rng=rng),
    "other sets": lambda rng: Flow(
        "normal", Chain([AdditiveCoupling(Partition(4, a), MLP((2, 3, 2), "tanh", rng=rng)) for a in ([0, 1], [0, 2])])
    ),
}
PARTS = (Partition.odd_even(4), Partition.odd_even(4).swapped())


@pytest.mark.parametrize("make", NEVER_TOGETHER.values(), ids=NEVER_TOGETHER.keys())
def test_what_stays_one_by_one(make, rng):
    assert fused(make(rng), 200) is None


def test_without_numba_the_layers_run_one_by_one(rng, monkeypatch):
    monkeypatch.setattr(couple, "_chosen", couple.twin)
    for hidden in (4, 4000):
        assert fused(nice(2, hidden=(hidden,), rng=rng), 1000) is None


@needs_numba
@pytest.mark.parametrize("make", [nice, real_nvp])
def test_training_is_the_same_up_to_rounding(make, monkeypatch):
    x = np.random.default_rng(0).normal([3.0, -1.0, 0.0], [0.1, 2.0, 1.0], (300, 3))
    results = []
    for small, together in ((module.SMALL, True), (0, True), (0, False)):
        monkeypatch.setattr(module, "SMALL", small)
        flow = make(3, hidden=(8, 8), dtype="float64", rng=0)
        assert fused(flow, 50).compiled is (small > 0)
        fit(flow, x, epochs=3, batch_size=50, progress=False, rng=0, compiled=together)
        results.append(flow.params.values)
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(results[1], results[2])


@needs_numba
def test_gradients_of_another_shape_are_refused(rng):
    """The loops would write beyond the end of the array."""
    _, _, together = packed(run(None, rng), np.float64)
    x = rng.normal(size=(4, 5))
    cache = together.forward(x)[2]
    for shape in ((4, 1), (4, 6), (3, 5), (5, 5), (5,)):
        with pytest.raises(NiceValueError, match=r"expected dz of shape \(4, 5\), got"):
            together.backward(np.ones(shape), np.ones(4), cache)
    for shape in ((1,), (4, 1), ()):
        with pytest.raises(NiceValueError, match=r"expected dlog_det of shape \(4,\), got"):
            together.backward(x, np.ones(shape), cache)

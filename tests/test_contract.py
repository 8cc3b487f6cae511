"""The contract of every registered component: shapes, inverse, log-determinant, all gradients."""

import copy
import inspect
import sys

import numpy as np
import pytest
from registry import BIJECTORS, CONDITIONERS, PRIORS, draw

import nice_np
from nice_np import Bijector, Module, Prior, check_gradients
from nice_np.bijectors.scales import SCALES, Scale
from nice_np.networks.activations import ACTIVATIONS
from nice_np.parameters import run_backward

bijectors = pytest.mark.parametrize("make", BIJECTORS.values(), ids=BIJECTORS.keys())
directions = pytest.mark.parametrize("passes", [("forward", "backward"), ("inverse", "inverse_backward")], ids=str)


def jacobian(function, x, eps=1e-5):
    """(D, D) matrix of d function(x)_i / dx_j for one point x (D,), by central differences."""
    columns = [(function(x + eps * e)[0] - function(x - eps * e)[0]) / (2 * eps) for e in np.eye(x.shape[1])]
    return np.stack(columns, axis=1)


@bijectors
@directions
def test_shapes_and_purity(make, passes, rng):
    layer = make(rng)
    there, back = (getattr(layer, name) for name in passes)
    x = draw(layer, rng, (4, layer.dim), passes[0])
    before = x.copy(), {path: array.copy() for path, array, _ in layer.named_parameters()}
    z, log_det, cache = there(x)
    assert z.shape == x.shape
    assert log_det.shape == (4,)
    dx = back(np.ones_like(z), np.ones(4), cache)
    assert dx.shape == x.shape
    np.testing.assert_array_equal(x, before[0])
    for path, array, _ in layer.named_parameters():
        np.testing.assert_array_equal(array, before[1][path])


@bijectors
def test_round_trip_both_ways(make, rng):
    layer = make(rng)
    x = draw(layer, rng, (50, layer.dim))
    z, log_det, _ = layer.forward(x)
    back, inverse_log_det, _ = layer.inverse(z)
    assert np.abs(z - x).max() > 0.1, "the map is the identity: the test would prove nothing"
    rtol, atol = (100 * np.finfo(float).eps, 1e-12) if layer.exact else (1e-7, 1e-7)  # of a numerical solution
    tolerance = rtol * max(np.abs(x).max(), np.abs(z).max())
    assert np.abs(back - x).max() <= tolerance
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=0, atol=atol)
    again, _, _ = layer.forward(layer.inverse(x)[0])
    tolerance = rtol * max(np.abs(x).max(), np.abs(layer.inverse(x)[0]).max())
    assert np.abs(again - x).max() <= tolerance


@bijectors
def test_log_det_is_the_jacobians(make, rng):
    layer = make(rng)
    for name, pass_ in (("forward", layer.forward), ("inverse", layer.inverse)):
        for x in draw(layer, rng, (5, 1, layer.dim), name):
            sign, expected = np.linalg.slogdet(jacobian(lambda x, f=pass_: f(x)[0], x))
            assert sign != 0
            np.testing.assert_allclose(pass_(x)[1], expected, rtol=0, atol=1e-7)


@bijectors
@pytest.mark.parametrize("n", [1, 3])
def test_gradients(make, n, rng):
    layer = make(rng)
    check_gradients(layer, draw(layer, rng, (n, layer.dim)), rng=rng).raise_if_failed()


@bijectors
@directions
def test_backward_writes_gradients(make, passes, rng):
    """After a pass the gradients are those of that pass, whatever they were; they can be left alone, too."""
    layer = make(rng)
    there, back = (getattr(layer, name) for name in passes)
    x = draw(layer, rng, (3, layer.dim), passes[0])
    _, _, cache = there(x)
    dz, dlog_det = rng.normal(size=x.shape), rng.normal(size=3)

    def grads():
        return [grad.copy() for _, _, grad in layer.named_parameters()]

    first_dx, first = back(dz, dlog_det, cache), grads()
    for _, _, grad in layer.named_parameters():
        grad.fill(np.nan)
    second_dx, second = back(dz, dlog_det, cache), grads()
    np.testing.assert_array_equal(first_dx, second_dx)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    alone = run_backward(back, dz + 1, dlog_det + 1, cache, parameters=False)
    for a, b in zip(first, grads(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(alone, back(dz + 1, dlog_det + 1, cache))


@bijectors
@directions
def test_a_second_batch_in_between_changes_nothing(make, passes, rng):
    layer = make(rng)
    there, back = (getattr(layer, name) for name in passes)
    x, other = draw(layer, rng, (2, 3, layer.dim))
    dz, dlog_det = rng.normal(size=x.shape), rng.normal(size=3)
    _, _, cache = there(x)
    expected = back(dz, dlog_det, cache)
    _, _, cache = there(x)
    layer.forward(other)
    layer.inverse(other)
    np.testing.assert_array_equal(back(dz, dlog_det, cache), expected)


@bijectors
@directions
def test_float32_stays_float32_and_close(make, passes, rng):
    layer = make(rng)
    single = copy.deepcopy(layer)
    single.cast(np.dtype(np.float32))
    x = draw(layer, rng, (6, layer.dim), passes[0])
    dz, dlog_det = rng.normal(size=x.shape), rng.normal(size=6)
    results = []
    for module, dtype in ((layer, np.float64), (single, np.float32)):
        there, back = (getattr(module, name) for name in passes)
        z, log_det, cache = there(x.astype(dtype))
        dx = back(dz.astype(dtype), dlog_det.astype(dtype), cache)
        grads = [grad.ravel() for _, _, grad in module.named_parameters()]
        assert {a.dtype for a in (z, log_det, dx, *grads)} == {np.dtype(dtype)}
        results.append(np.concatenate([z.ravel(), log_det, dx.ravel(), *grads]))
    exact, rounded = results
    assert np.linalg.norm(rounded - exact) <= 1e-5 * np.linalg.norm(exact)


@bijectors
@directions
def test_batch_of_none_and_permuted_rows(make, passes, rng):
    layer = make(rng)
    there, back = (getattr(layer, name) for name in passes)
    z, log_det, cache = there(np.empty((0, layer.dim)))
    assert z.shape == (0, layer.dim)
    assert log_det.shape == (0,)
    assert back(z, log_det, cache).shape == (0, layer.dim)
    x = draw(layer, rng, (9, layer.dim), passes[0])
    order = rng.permutation(9)
    z, log_det, _ = there(x)
    permuted_z, permuted_log_det, _ = there(x[order])
    np.testing.assert_allclose(permuted_z, z[order], rtol=1e-12)
    np.testing.assert_allclose(permuted_log_det, log_det[order], rtol=1e-12, atol=1e-14)


@bijectors
def test_layouts_and_dtypes_give_the_same_answer(make, rng):
    layer = make(rng)
    low, high = layer.interval
    x = rng.choice([level for level in range(5) if low < level < high], size=(4, layer.dim))
    expected = layer.forward(x.astype(np.float64))[0]
    read_only = x.astype(np.float64)
    read_only.flags.writeable = False
    wide = np.zeros((4, 2 * layer.dim))
    wide[:, ::2] = x
    as_fortran = np.asfortranarray(x.astype(float))
    for variant in (x, x.astype(np.uint16), as_fortran, x.astype(">f8"), read_only, wide[:, ::2]):
        np.testing.assert_allclose(layer.forward(variant)[0], expected, rtol=1e-12, atol=1e-14)


@bijectors
def test_wrong_shapes_are_refused(make, rng):
    layer = make(rng)
    for door in (layer.forward, layer.inverse):
        with pytest.raises(nice_np.NiceValueError, match=r"expected \w+ of shape \(N, \d+\), got \(\d+,\)"):
            door(np.zeros(layer.dim))
        with pytest.raises(nice_np.NiceValueError, match=r"features, expected"):
            door(np.zeros((2, layer.dim + 1)))


@pytest.mark.parametrize("make", CONDITIONERS.values(), ids=CONDITIONERS.keys())
@pytest.mark.parametrize("n", [1, 4])
def test_conditioner_gradients(make, n, rng):
    conditioner = make(rng)
    check_gradients(conditioner, rng.normal(size=(n, conditioner.sizes[0])), rng=rng).raise_if_failed()


@pytest.mark.parametrize("make", PRIORS.values(), ids=PRIORS.keys())
def test_prior_gradient(make, rng):
    check_gradients(make(rng), 3 * rng.normal(size=(20, 3)), rng=rng).raise_if_failed()


def test_every_component_is_registered(rng):
    """A new bijector, conditioner or prior without a line in the registry fails here."""

    def concrete(base):
        for cls in base.__subclasses__():
            # Not those of the docstrings' examples, which live until they are collected.
            written = getattr(sys.modules.get(cls.__module__), cls.__name__, None) is cls
            if written and cls.__module__.startswith("nice_np") and not inspect.isabstract(cls):
                yield cls.__name__
            yield from concrete(cls)

    made = [make(rng) for table in (BIJECTORS, CONDITIONERS, PRIORS) for make in table.values()]
    registered = {type(module).__name__ for module in made}
    registered |= {"Equalize", "VariationalDequantization"}  # with a Logit behind them
    registered |= {"FusedCouplings", "InHalves"}  # Chains for one training run: see test_fused
    for base in (Bijector, Prior):
        assert set(concrete(base)) <= registered
    conditioners = {cls for cls in concrete(Module) if hasattr(getattr(nice_np, cls, None), "backward")}
    assert conditioners <= registered
    scales = {type(module.scale) for module in made if hasattr(module, "scale")}
    assert {kind.__name__ for kind in scales} == set(concrete(Scale)) - {"LogSigma"}
    assert scales >= set(SCALES.values())
    used = {type(module.conditioner.activation) for module in made if hasattr(module, "conditioner")}
    assert used | {type(module.activation) for module in made if hasattr(module, "activation")} == set(
        ACTIVATIONS.values()
    )

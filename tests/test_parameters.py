"""FlatParameters: one vector, views in the layers, safe against rebinding, copies and pickles."""

import copy
import pickle
from contextlib import suppress

import numpy as np
import pytest
from registry import BIJECTORS, draw

from nice_np import MLP, Chain, DiagonalScaling, FlatParameters, Flow, Module, NiceTypeError, NiceValueError, nice


@pytest.fixture
def mlp():
    return MLP((3, 4, 2), rng=0)


def test_values_are_kept_and_become_views(mlp):
    before = {path: array.copy() for path, array, _ in mlp.named_parameters()}
    params = FlatParameters(mlp)
    assert [slot.path for slot in params.slots] == ["layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b"]
    assert len(params) == params.values.size == params.grads.size == mlp.n_parameters == 3 * 4 + 4 + 4 * 2 + 2
    for path, array, grad in mlp.named_parameters():
        np.testing.assert_array_equal(array, before[path])
        assert np.shares_memory(array, params.values)
        assert np.shares_memory(grad, params.grads)


def test_order_of_the_vector_is_that_of_the_table(mlp):
    params = FlatParameters(mlp)
    params.values[:] = np.arange(len(params))
    for slot in params.slots:
        np.testing.assert_array_equal(params.view(slot).ravel(), np.arange(slot.start, slot.stop))
    np.testing.assert_array_equal(mlp.layers[0].b, [12, 13, 14, 15])


def test_assignment_copies_into_the_vector(mlp):
    params = FlatParameters(mlp)
    new = np.full((3, 4), 7.0)
    mlp.layers[0].W = new
    np.testing.assert_array_equal(params.values[:12], 7)
    assert np.shares_memory(mlp.layers[0].W, params.values)
    new[:] = 0
    np.testing.assert_array_equal(params.values[:12], 7)
    mlp.layers[0].dW += 2.0
    np.testing.assert_array_equal(params.grads[:12], 2)
    mlp.layers[0].dW = np.ones((3, 4))
    np.testing.assert_array_equal(params.grads[:12], 1)


def test_assignment_of_a_wrong_shape_is_refused(mlp):
    params = FlatParameters(mlp)
    before = params.values.copy()
    with pytest.raises(NiceValueError, match=r"Linear.W: expected shape \(3, 4\), got \(4, 3\)"):
        mlp.layers[0].W = np.zeros((4, 3))
    with pytest.raises(NiceValueError, match=r"Linear.b: expected shape \(4,\), got \(\)"):
        mlp.layers[0].b = 0.0
    np.testing.assert_array_equal(params.values, before)


def test_the_vector_itself_cannot_be_replaced(mlp):
    params = FlatParameters(mlp)
    with pytest.raises(AttributeError):
        params.values = np.zeros(len(params))


def test_a_packed_module_cannot_get_new_children():
    flow = Flow("normal", Chain([DiagonalScaling(2)]))
    with pytest.raises(NiceValueError, match="would not be trained"):
        flow.bijector = DiagonalScaling(2)
    with pytest.raises(NiceValueError, match="would not be trained"):
        flow.bijector.layers = (*flow.bijector.layers, DiagonalScaling(2))


def test_a_module_belongs_to_one_vector():
    layer = DiagonalScaling(2)
    flow = Flow("normal", layer)
    with pytest.raises(NiceValueError, match=r"already belongs to a model; copy.deepcopy"):
        Flow("logistic", layer)
    other = Flow("logistic", copy.deepcopy(layer))
    other.params.values[:] = 1
    np.testing.assert_array_equal(flow.params.values, 0)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda f: pickle.loads(pickle.dumps(f)), Flow.copy])
def test_copies_of_a_flow_are_independent_and_packed(duplicate, rng):
    flow = nice(5, hidden=(4,), rng=0)
    flow.params.values[:] = rng.normal(size=len(flow.params))
    x = rng.normal(size=(3, 5))
    other = duplicate(flow)
    np.testing.assert_array_equal(other.params.values, flow.params.values)
    np.testing.assert_array_equal(other.log_prob(x), flow.log_prob(x))
    for path, array, grad in other.named_parameters():
        assert np.shares_memory(array, other.params.values), path
        assert np.shares_memory(grad, other.params.grads), path
        assert not np.shares_memory(array, flow.params.values), path
    before = flow.log_prob(x)
    other.params.values[:] = 0
    np.testing.assert_array_equal(flow.log_prob(x), before)
    assert not np.array_equal(other.log_prob(x), before)


def test_a_copied_layer_is_free(mlp):
    params = FlatParameters(mlp)
    free = copy.deepcopy(mlp)
    assert not free.is_bound
    free.layers[0].W = np.zeros((9, 9))
    np.testing.assert_array_equal(mlp.layers[0].W, params.view(params.slots[0]))
    assert len(FlatParameters(copy.deepcopy(mlp))) == len(params)


def test_the_vector_alone_cannot_be_copied(mlp):
    params = FlatParameters(mlp)
    for action in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(NiceTypeError, match="copy or pickle the model itself"):
            action(params)


def test_a_layer_used_twice_is_counted_once_and_trained_as_one(rng):
    layer = DiagonalScaling(3)
    flow = Flow("normal", Chain([layer, layer]))
    assert len(flow.params) == 3
    x = rng.normal(size=(4, 3))
    flow.params.values[:] = [0.1, -0.2, 0.3]
    _, grads = flow.nll_and_grad(x)
    single = Flow("normal", DiagonalScaling(3))
    single.params.values[:] = 2 * flow.params.values
    np.testing.assert_allclose(grads, 2 * single.nll_and_grad(x)[1], rtol=1e-12)


class Declared(Module):
    param_names = ("W",)

    def __init__(self, **arrays):
        for name, array in arrays.items():
            setattr(self, name, array)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"W": np.zeros(3)}, "param_names has 'W', but no dW"),
        ({"dW": np.zeros(3)}, "param_names has 'W', but no W"),
        ({"W": np.zeros(3), "dW": np.zeros(1)}, "float arrays of one shape"),
        ({"W": np.zeros(3, int), "dW": np.zeros(3)}, "float arrays of one shape"),
        ({"W": [1.0], "dW": np.zeros(1)}, "float arrays of one shape"),
    ],
)
def test_bad_declarations(arrays, says):
    with pytest.raises(NiceValueError, match=says):
        FlatParameters(Declared(**arrays))


def test_only_modules_are_packed():
    with pytest.raises(NiceTypeError, match="expected a Module, got 5"):
        FlatParameters(5)


def test_cast(mlp):
    mlp.cast(np.float32)
    assert {array.dtype for _, array, _ in mlp.named_parameters()} == {np.dtype(np.float32)}
    with pytest.raises(NiceValueError, match="float32 or float64"):
        mlp.cast(int)
    with pytest.raises(NiceValueError, match=r"use model.astype"):
        Flow("normal", DiagonalScaling(2)).cast(np.float32)


def test_mixed_dtypes_are_refused():
    with pytest.raises(NiceValueError, match="float32, float64"):
        Flow("normal", Chain([DiagonalScaling(2, dtype=np.float32), DiagonalScaling(2)]))


@pytest.mark.parametrize("name", BIJECTORS)
def test_every_bijector_survives_packing(name, rng):
    layer = BIJECTORS[name](rng)
    x = draw(layer, rng, (3, layer.dim))
    expected = layer.forward(x)[0]
    flow = Flow("normal", layer)
    np.testing.assert_array_equal(flow.encode(x), expected)


def test_reprs_say_what_is_inside(mlp):
    assert "layers.1.W" in repr(FlatParameters(mlp))
    assert repr(mlp) == "MLP(3-4-2, relu)"
    assert repr(mlp.layers[0]) == "Linear(3, 4)"


def test_gradients_from_zero_are_what_they_are_after_zero_grad(rng):
    layer = MLP((3, 4, 2), rng=rng)
    params = FlatParameters(layer)
    x, dy = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    _, cache = layer.forward(x)
    params.zero_grad()
    layer.backward(dy, cache)
    once = params.grads.copy()
    params.grads[:] = 7.0  # of an earlier batch
    with params.gradients_from_zero():
        layer.backward(dy, cache)
    np.testing.assert_allclose(params.grads, once, rtol=1e-15)
    with params.gradients_from_zero():
        layer.backward(dy, cache)
        layer.backward(dy, cache)  # the same layer again: added
    np.testing.assert_allclose(params.grads, 2 * once, rtol=1e-14)
    layer.backward(dy, cache)  # and after the block
    np.testing.assert_allclose(params.grads, 3 * once, rtol=1e-14)


@pytest.mark.parametrize("fails", [False, True])
def test_a_layer_that_no_gradient_reaches_has_none(fails, rng):
    layer = MLP((3, 4, 2), rng=rng)
    params = FlatParameters(layer)
    params.grads[:] = 7.0
    with suppress(ZeroDivisionError), params.gradients_from_zero():
        if fails:
            raise ZeroDivisionError
    np.testing.assert_array_equal(params.grads, np.nan if fails else 0)  # half a gradient shall not be taken for one
    assert not any(module.stale for _, module in layer.modules())


@pytest.mark.parametrize("clear", ["module", "vector"])
def test_zero_grad_ends_staleness(clear, rng):
    layer = MLP((3, 2), rng=rng)
    params = FlatParameters(layer)
    layer.layers[0].stale = True
    (layer if clear == "module" else params).zero_grad()
    assert not layer.layers[0].stale
    np.testing.assert_array_equal(params.grads, 0)

"""FlatParameters: one vector, views in the layers, safe against rebinding, copies and pickles."""

import copy
import pickle
from contextlib import suppress

import numpy as np
import pytest
from registry import BIJECTORS, draw

from nice_np import (
    MLP,
    AdditiveCoupling,
    Bijector,
    Chain,
    DiagonalScaling,
    FlatParameters,
    Flow,
    Inverse,
    Module,
    NiceTypeError,
    NiceValueError,
    Partition,
    Permutation,
    Standardize,
    WithContext,
    check_gradients,
    fit,
    nice,
)
from nice_np.networks.mlp import Linear


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


@pytest.mark.parametrize("where", ["layers", "conditioners", "within"])
def test_a_module_that_stands_twice_in_a_model_is_refused(where, rng):
    layer = DiagonalScaling(4)
    if where == "layers":
        layers, name, places = [layer, Permutation.reversal(4), layer], "DiagonalScaling", ("layers.0", "layers.2")
    elif where == "within":
        layers, name, places = [layer, Inverse(layer)], "DiagonalScaling", ("layers.0", "layers.1.bijector")
    else:
        net, part = MLP((2, 3, 2), rng=rng), Partition.odd_even(4)
        layers = [AdditiveCoupling(part, net), AdditiveCoupling(part.swapped(), net)]
        name, places = "Linear", ("layers.0.conditioner.layers.0", "layers.1.conditioner.layers.0")
    first, second = (f"bijector.{place}" for place in places)
    with pytest.raises(NiceValueError, match=rf"{first} and {second} are one {name}; a module stands in a model once"):
        Flow("normal", Chain(layers))


def test_a_module_without_parameters_may_stand_twice(rng):
    reversal = Permutation.reversal(3)
    flow = Flow("normal", Chain([reversal, DiagonalScaling(3), reversal]))
    x = rng.normal(size=(4, 3))
    np.testing.assert_array_equal(flow.encode(x), x)


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


def test_after_an_error_the_gradient_is_nan_and_never_a_part(rng):
    layer = MLP((3, 4, 2), rng=rng)
    params = FlatParameters(layer)
    x, dy = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    with suppress(ZeroDivisionError), params.backward_pass():
        layer.backward(dy, layer.forward(x)[1])
        raise ZeroDivisionError
    np.testing.assert_array_equal(params.grads, np.nan)
    with params.backward_pass():
        layer.backward(dy, layer.forward(x)[1])
    assert np.isfinite(params.grads).all()


def test_zero_grad(rng):
    layer = MLP((3, 2), rng=rng)
    params = FlatParameters(layer)
    for owner in (layer, params):
        params.grads[:] = 7.0
        owner.zero_grad()
        np.testing.assert_array_equal(params.grads, 0)


class Stretch(Bijector):
    """z = exp(s) x, s one number a feature."""

    param_names = ("s",)

    def __init__(self, dim, s=0.3):
        self.dim = dim
        self.s, self.ds = np.full(dim, s), np.zeros(dim)

    def forward(self, x):
        return x * np.exp(self.s), np.full(len(x), self.s.sum()), x

    def inverse(self, z):
        return z * np.exp(-self.s), np.full(len(z), -self.s.sum()), z

    def backward(self, dz, dlog_det, x):
        self.ds[...] = (dz * x * np.exp(self.s) + dlog_det[:, None]).sum(axis=0)
        return dz * np.exp(self.s)

    def inverse_backward(self, dx, dlog_det, z):
        self.ds[...] = -(dx * z * np.exp(-self.s) + dlog_det[:, None]).sum(axis=0)
        return dx * np.exp(-self.s)


class Adding(Stretch):
    """The same by the habit of other libraries."""

    def backward(self, dz, dlog_det, x):
        self.ds += (dz * x * np.exp(self.s) + dlog_det[:, None]).sum(axis=0)
        return dz * np.exp(self.s)

    def inverse_backward(self, dx, dlog_det, z):
        self.ds -= (dx * z * np.exp(-self.s) + dlog_det[:, None]).sum(axis=0)
        return dx * np.exp(-self.s)


class Assigning(Stretch):
    def backward(self, dz, dlog_det, x):
        self.ds = (dz * x * np.exp(self.s) + dlog_det[:, None]).sum(axis=0)
        return dz * np.exp(self.s)


class Undeclared(Stretch):
    param_names = ()


class Network(Module):
    """A conditioner x W + b that keeps its layer where it is told to, and computes its gradients as it is told to."""

    def __init__(self, keep, add=None):
        self.kept = keep(Linear(np.full((1, 1), 0.5), np.zeros(1)))
        self.add = add

    @property
    def lin(self):
        kept = self.kept
        while not hasattr(kept, "W"):
            kept = next(iter(kept.values() if isinstance(kept, dict) else kept))
        return kept

    def forward(self, x):
        return self.lin.forward(x), x

    def backward(self, dy, x):
        if self.add is None:
            return self.lin.backward(dy, x)
        self.add(self.lin, dy, x)
        return dy @ self.lin.W.T


def coupling(conditioner):
    return AdditiveCoupling(Partition.odd_even(2), conditioner)


class PlainLinear:
    def __init__(self, linear):
        self.W, self.dW = linear.W, linear.dW


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Undeclared(2), "bijector.s"),
        (lambda: coupling(Network(lambda lin: {"first": lin})), "bijector.conditioner.kept.first.W"),
        (lambda: coupling(Network(lambda lin: [[lin]])), "bijector.conditioner.kept.0.0.W"),
        (lambda: coupling(Network(PlainLinear)), "bijector.conditioner.kept.W"),
        (lambda: coupling(Network(lambda lin: {"W": [lin.W], "dW": [lin.dW]})), "bijector.conditioner.kept.W.0"),
    ],
    ids=["no param_names", "dictionary", "nested list", "no Module", "list of arrays"],
)
def test_what_the_gradient_check_finds_and_training_would_not_is_refused(make, name):
    with pytest.raises(
        NiceValueError, match=rf"^{name}: an array with a gradient .* would not be trained; .*param_names"
    ):
        Flow("normal", make())


@pytest.mark.parametrize("kind", [Stretch, Adding, Assigning])
@pytest.mark.parametrize("place", ["alone", "chain", "inverse", "context"])
def test_an_own_layer_without_any_keyword_works_everywhere(kind, place, rng):
    layer = kind(2)
    x, context = rng.normal(size=(50, 2)), None
    if place == "context":
        flow, context = Flow("normal", WithContext(layer, 1), context_dim=1), np.zeros((50, 1))
    else:
        flow = Flow("normal", {"alone": layer, "chain": Chain([layer, kind(2, 0.1)]), "inverse": Inverse(layer)}[place])
    check_gradients(kind(2), x).raise_if_failed()
    check_gradients(flow, x, context=context).raise_if_failed()
    grads = flow.nll_and_grad(x, context)[1].copy()
    np.testing.assert_array_equal(flow.nll_and_grad(x, context)[1], grads)  # nothing is left of the first
    flow.grad_log_prob(x, context)
    flow.decode_with_pullback(x, context)[2](x, np.ones(50))
    np.testing.assert_array_equal(flow.params.grads, grads)  # gradients of the input leave those of parameters alone
    before = flow.log_prob(5 * x, context).mean()
    fit(flow, 5 * x, context, epochs=20, learning_rate=0.1, progress=False, rng=0)
    assert flow.log_prob(5 * x, context).mean() > before + 1


def test_arrays_that_only_look_alike_are_no_parameters(rng):
    class Keeps(Stretch):
        def __init__(self, dim):
            super().__init__(dim)
            self.t, self.dt = np.linspace(0, 1, 5), 0.25  # times, and their step
            self.numpy = np

    assert len(Flow("normal", Keeps(2)).params) == 2


def test_two_parameters_that_are_one_array_are_refused():
    class Tied(Module):
        def __init__(self, change):
            W = np.eye(2)
            self.there, self.back = Linear(W, np.zeros(2)), Linear(change(W), np.zeros(2))

    for change in (lambda W: W, np.transpose):
        with pytest.raises(NiceValueError, match=r"back.W and there.W are one array, but would be trained as two"):
            FlatParameters(Tied(change))
    assert len(FlatParameters(Tied(np.copy))) == 12


def add_to(lin, dy, x):
    lin.dW += x.T @ dy
    lin.db += dy.sum(axis=0)


def assign(lin, dy, x):
    lin.dW = lin.dW + x.T @ dy


@pytest.mark.parametrize("add", [add_to, assign])
def test_a_layer_of_ours_in_a_network_of_yours_may_be_added_to(add, rng):
    x = rng.normal(size=(5, 2))
    adding = Flow("normal", coupling(Network(lambda lin: [lin], add)))
    writing = Flow("normal", coupling(Network(lambda lin: [lin])))
    for _ in range(2):
        expected = writing.nll_and_grad(x)[1]
        assert expected[0]
        np.testing.assert_allclose(adding.nll_and_grad(x)[1][0], expected[0], rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_model_without_parameters_has_the_dtype_of_its_constants(dtype):
    flow = Flow("normal", Standardize([0.0, 1.0], [1.0, 2.0])).astype(dtype)
    assert flow.dtype == flow.copy().dtype == flow.replica().dtype == dtype
    assert flow.log_prob([[0.0, 1.0]]).dtype == dtype
    assert Flow("normal", Permutation([1, 0])).dtype == np.float64  # nothing says otherwise


def test_constants_of_another_dtype_are_refused():
    layers = [Standardize(np.zeros(2), np.ones(2)), DiagonalScaling(2, dtype=np.float32)]
    with pytest.raises(
        NiceValueError, match=r"float32, float64: bijector.layers.0.mean and bijector.layers.1.log_scale"
    ):
        Flow("normal", Chain(layers))
    layers[0].cast(np.float32)
    assert Flow("normal", Chain(layers)).dtype == np.float32

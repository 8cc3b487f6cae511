"""What each bijector does in particular; what all of them promise is in test_contract.py."""

import numpy as np
import pytest
from registry import coupling, mlp

from nice_np import (
    MLP,
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    DiagonalScaling,
    Equalize,
    Flow,
    Inverse,
    Logit,
    MultiplicativeCoupling,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    Partition,
    PCAWhitening,
    Permutation,
    Rescale,
    Standardize,
    StandardNormal,
    WithContext,
    ZCAWhitening,
    kernels,
)
from nice_np.bijectors import get_partition
from nice_np.bijectors.partition import put_pairs, take_pairs
from nice_np.bijectors.with_context import without_context
from nice_np.parameters import Module

# -- partitions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "a", "b"),
    [
        (lambda: Partition.odd_even(6), [0, 2, 4], [1, 3, 5]),
        (lambda: Partition.odd_even(5), [0, 2, 4], [1, 3]),
        (lambda: Partition.halves(6), [0, 1, 2], [3, 4, 5]),
        (lambda: Partition.halves(5), [0, 1, 2], [3, 4]),
        (lambda: Partition.checkerboard(2, 3), [0, 2, 4], [1, 3, 5]),
        (lambda: Partition.checkerboard(3, 4), [0, 2, 5, 7, 8, 10], [1, 3, 4, 6, 9, 11]),
        (lambda: Partition.checkerboard(1, 3, channels=2), [0, 2, 3, 5], [1, 4]),
        (lambda: get_partition("checkerboard", 8, (2, 2, 2)), [0, 3, 4, 7], [1, 2, 5, 6]),
        (lambda: get_partition("checkerboard", 6, (2, 3)), [0, 2, 4], [1, 3, 5]),
        (lambda: get_partition("checkerboard", 12, (2, 3, 2)), [0, 3, 4, 6, 9, 10], [1, 2, 5, 7, 8, 11]),
        (lambda: Partition(5, [4, 1]), [4, 1], [0, 2, 3]),
        (lambda: Partition(2, [1]), [1], [0]),
    ],
)
def test_partitions(make, a, b, rng):
    partition = make()
    np.testing.assert_array_equal(partition.idx_a, a)
    np.testing.assert_array_equal(partition.idx_b, b)
    np.testing.assert_array_equal(partition.swapped().idx_a, b)
    np.testing.assert_array_equal(np.sort(partition.swapped().idx_b), np.sort(a))
    x = rng.normal(size=(3, partition.dim))
    x_a, x_b = partition.split(x)
    np.testing.assert_array_equal(x_a, x[:, a])
    np.testing.assert_array_equal(x_b, x[:, b])
    assert not np.shares_memory(x_a, x)
    np.testing.assert_array_equal(partition.merge(x_a, x_b), x)


PARTS = {  # pairs, odd dim, scattered, and with a context
    "pairs": Partition.odd_even(6), "odd": Partition.odd_even(5), "any": Partition(6, [4, 1]),
    "context": Partition(6, [0, 2, 4], context_dim=2),
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_parts_of_another_shape_are_refused(part):
    """A compiled loop would read what lies behind the end of the array."""
    width, kept, moved = part.dim + part.context_dim, len(part.idx_a) + part.context_dim, len(part.idx_b)
    for shape in ((2, width - 1), (2, width + 1), (2, 1), (width,), (), (2, width, 1), (0, 1)):
        with pytest.raises(NiceValueError, match=rf"Partition\.split: expected x of shape \(.*{width},?\), got"):
            part.split(np.ones(shape))
    for shape in ((2, moved + 1), (2, 1), (3, moved), (1, moved), (moved,), ()):
        if shape != (2, moved):
            with pytest.raises(NiceValueError, match=rf"Partition\.merge: expected x_b of shape \(2, {moved}\), got"):
                part.merge(np.ones((2, kept)), np.ones(shape))
    for shape in ((2, kept + 1), (2, kept - 1), (kept,), ()):
        with pytest.raises(NiceValueError, match=r"Partition\.merge: expected x_a of shape"):
            part.merge(np.ones(shape), np.ones((2, moved)))


@pytest.mark.parametrize(
    ("dim", "idx_a", "error", "says"),
    [
        (1, [0], NiceValueError, "at least 2 features"),
        (0, [0], NiceValueError, "dim must be >= 1, got 0"),
        (-1, [0], NiceValueError, "dim must be >= 1, got -1"),
        (3, [-1, 1], NiceValueError, r"lie in 0 .. 2, got -1 .. 1"),
        (3, [1, 3], NiceValueError, r"lie in 0 .. 2, got 1 .. 3"),
        (3, [], NiceValueError, "1 to 2 different features"),
        (3, [0, 1, 2], NiceValueError, "1 to 2 different features"),
        (3, [0, 0], NiceValueError, "1 to 2 different features"),
        (3, [[0, 1]], NiceValueError, "1 to 2 different features"),
        (3, [3], NiceValueError, r"lie in 0 .. 2, got 3"),
        (3, [-1], NiceValueError, r"lie in 0 .. 2, got -1"),
        (3, [0.5], NiceTypeError, "whole numbers"),
        (3, [True, False, False], NiceTypeError, r"use np.flatnonzero\(mask\)"),
    ],
)
def test_bad_partitions(dim, idx_a, error, says):
    with pytest.raises(error, match=says):
        Partition(dim, idx_a)


def test_with_a_context_no_other_feature_need_be_kept():
    part = Partition(3, [], context_dim=2)
    x_a, x_b = part.split(np.arange(5.0)[None])
    np.testing.assert_array_equal(x_a, [[3, 4]])
    np.testing.assert_array_equal(x_b, [[0, 1, 2]])
    np.testing.assert_array_equal(part.merge(x_a, x_b), [[0, 1, 2, 3, 4]])
    with pytest.raises(NiceValueError, match="0 to 2 different features"):
        Partition(3, [0, 1, 2], context_dim=2)


# -- couplings ------------------------------------------------------------------------------------------------------


def test_additive_is_the_formula_and_keeps_volume(rng):
    layer = coupling(AdditiveCoupling, Partition.odd_even(5), rng)
    x = rng.normal(size=(4, 5))
    z, log_det, _ = layer.forward(x)
    np.testing.assert_array_equal(z[:, ::2], x[:, ::2])
    np.testing.assert_allclose(z[:, 1::2], x[:, 1::2] + layer.conditioner.forward(x[:, ::2])[0], rtol=1e-14)
    np.testing.assert_array_equal(log_det, 0)
    np.testing.assert_array_equal(layer.inverse(z)[1], 0)


def test_multiplicative_and_affine_are_the_formula(rng):
    x = rng.normal(size=(4, 5))
    part = Partition.odd_even(5)
    layer = coupling(MultiplicativeCoupling, part, rng, scale="exp")
    raw = layer.conditioner.forward(x[:, ::2])[0]
    np.testing.assert_allclose(layer.forward(x)[0][:, 1::2], x[:, 1::2] * np.exp(raw), rtol=1e-13)
    layer = coupling(AffineCoupling, part, rng, scale="exp")
    raw, t = np.split(layer.conditioner.forward(x[:, ::2])[0], 2, axis=1)
    z, log_det, _ = layer.forward(x)
    np.testing.assert_allclose(z[:, 1::2], x[:, 1::2] * np.exp(raw) + t, rtol=1e-13)
    np.testing.assert_allclose(log_det, raw.sum(axis=1), rtol=1e-12)


def test_the_conditioner_must_fit(rng):
    part = Partition.odd_even(5)  # keeps 3, transforms 2
    for law, sizes in [(AdditiveCoupling, (2, 4, 3)), (AffineCoupling, (3, 4, 2)), (MultiplicativeCoupling, (3, 4, 4))]:
        with pytest.raises(NiceValueError, match=r"the conditioner must map 3 to \d features, MLP\("):
            law(part, MLP(sizes, rng=0))
    with pytest.raises(NiceTypeError, match="must be a Module"):
        AdditiveCoupling(part, np.tanh)

    class OneWay(Module):
        def forward(self, x):
            return x, None

    for wrong in (DiagonalScaling(3), StandardNormal(), OneWay()):
        with pytest.raises(NiceTypeError, match="must be a Module with forward and backward"):
            AdditiveCoupling(part, wrong)
    with pytest.raises(NiceTypeError, match="must be a Partition"):
        AdditiveCoupling([0, 2], MLP((3, 2), rng=0))


def test_an_answer_that_would_broadcast_is_refused():
    class Lazy(Module):
        def forward(self, x):
            return np.ones((len(x), 1)), None

        def backward(self, dy, cache):
            return dy

    with pytest.raises(NiceValueError, match=r"must return shape \(3, 2\), got \(3, 1\)"):
        AdditiveCoupling(Partition.odd_even(5), Lazy()).forward(np.zeros((3, 5)))


class Shift(AdditiveCoupling):
    """An own law that answers with one column only."""

    def _couple(self, x_b, theta):
        return x_b[:, :1], np.zeros(len(x_b)), None

    def _couple_backward(self, dy_b, dlog_det, cache):
        return dy_b[:, :1], dy_b


def test_a_law_that_answers_with_another_shape_is_refused(rng):
    layer = Shift(Partition.odd_even(6), mlp((3, 4, 3), rng))
    x = rng.normal(size=(2, 6))
    with pytest.raises(NiceValueError, match=r"expected x_b of shape \(2, 3\), got \(2, 1\)"):
        layer.forward(x)
    cache = AdditiveCoupling(layer.partition, layer.conditioner).forward(x)[2]
    with pytest.raises(NiceValueError, match=r"expected x_b of shape \(2, 3\), got \(2, 1\)"):
        layer.backward(x, np.ones(2), cache)


@pytest.mark.parametrize("shape", [(3, 5), (5, 7), (1, 7), (7,)])
@pytest.mark.parametrize("passes", [("forward", "backward"), ("inverse", "inverse_backward")], ids=str)
def test_gradients_of_another_shape_are_refused(passes, shape, rng):
    layer = coupling(AdditiveCoupling, Partition.odd_even(7), rng)
    there, back = (getattr(layer, name) for name in passes)
    cache = there(rng.normal(size=(3, 7)))[2]
    for parameters in (True, False):
        with pytest.raises(NiceValueError, match=r"expected .* of shape"):
            back(np.ones(shape), np.ones(3), cache, parameters)


class Own(Module):
    """A conditioner of somebody else's: m(x) = 0 for B features, its gradient of a given width."""

    def __init__(self, width, **attributes):
        self.width = width
        vars(self).update(attributes)

    def forward(self, x):
        return np.zeros((len(x), 2)), None

    def backward(self, dy, cache):
        return np.ones((len(dy), self.width))


def test_a_conditioners_gradient_that_would_broadcast_is_refused():
    x = np.ones((4, 5))
    for width in (1, 2, 3):
        layer = AdditiveCoupling(Partition.odd_even(5), Own(width))
        for back in (layer.backward, layer.inverse_backward):
            cache = layer.forward(x)[2]
            if width == 3:
                assert back(x, np.ones(4), cache).shape == (4, 5)
            else:
                with pytest.raises(NiceValueError, match=rf"gradient of shape \(4, 3\), got \(4, {width}\)"):
                    back(x, np.ones(4), cache)


@pytest.mark.parametrize(
    ("sizes", "error", "says"),
    [
        ((), NiceValueError, "widths from input to output, got none"),
        ((3,), NiceValueError, "must map 3 to 2 features, .* maps 3 to 3"),
        (3, NiceTypeError, "sizes must be a sequence of whole numbers"),
        ((3, "two"), NiceTypeError, "whole number"),
    ],
)
def test_bad_sizes_of_an_own_conditioner(sizes, error, says):
    with pytest.raises(error, match=says):
        AdditiveCoupling(Partition.odd_even(5), Own(3, sizes=sizes))
    assert AdditiveCoupling(Partition.odd_even(5), Own(3, sizes=np.array([3, 2]))).dim == 5


# -- the others -----------------------------------------------------------------------------------------------------


def test_scaling_is_the_formula(rng):
    layer = DiagonalScaling(3)
    layer.log_scale = np.array([0.5, -1.0, 2.0])
    x = rng.normal(size=(4, 3))
    z, log_det, _ = layer.forward(x)
    np.testing.assert_allclose(z, x * np.exp([0.5, -1.0, 2.0]), rtol=1e-14)
    np.testing.assert_allclose(log_det, np.full(4, 1.5), rtol=1e-14)


def test_standardize(rng):
    x = rng.normal([5.0, -3.0], [2.0, 0.01], size=(1000, 2))
    layer = Standardize(x.mean(axis=0), x.std(axis=0))
    z, log_det, _ = layer.forward(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-10)
    np.testing.assert_allclose(log_det, -np.log(x.std(axis=0)).sum(), rtol=1e-12)
    single = Standardize.unfitted(2, np.float32)
    single.set(x.mean(axis=0), x.std(axis=0))
    assert single.mean.dtype == np.float32
    assert single.fitted


@pytest.mark.parametrize(
    ("mean", "std", "says"),
    [
        ([0.0], [0.0], "std must be > 0, got 0.0 in feature 0"),
        ([0.0, 0.0], [1.0, -1.0], "feature 1"),
        ([0.0, np.nan], [1.0, 1.0], "mean contains NaN"),
        ([0.0], [np.inf], "std contains NaN or inf"),
        ([0.0, 0.0], [1.0], "same shape"),
        ([[0.0]], [[1.0]], r"expected mean of shape \(D,\)"),
        ([], [], r"expected mean of shape \(D,\)"),
    ],
)
def test_bad_standardize(mean, std, says):
    with pytest.raises(NiceValueError, match=says):
        Standardize(mean, std)


def test_standardize_keeps_its_size_and_says_whether_it_is_fitted():
    layer = Standardize([0.0], [1.0], fitted=np.bool_(False))
    assert layer.fitted is False
    with pytest.raises(NiceValueError, match=r"expected mean and std of shape \(1,\), got \(2,\)"):
        layer.set([0.0, 0.0], [1.0, 1.0])


def test_with_context():
    layer = WithContext(Logit(2), 3)
    assert (layer.dim, layer.interval, layer.fitted) == (5, Logit(2).interval, True)
    assert WithContext(Standardize.unfitted(2), 1).fitted is False
    assert without_context([layer, layer.bijector]) == [layer.bijector, layer.bijector]
    with pytest.raises(NiceTypeError, match="expected a Bijector, got 'logit'"):
        WithContext("logit", 3)
    for context_dim in (0, -1):
        with pytest.raises(NiceValueError, match="context_dim must be >= 1"):
            WithContext(Logit(2), context_dim)
    assert WithContext(Logit(2), 1).dim == 3


def test_permutations_move_what_they_say():
    x = np.arange(5.0)[None]
    assert Permutation.tile(5).forward(x)[0].tolist() == [[0, 2, 4, 1, 3]]
    assert Permutation.reversal(5).forward(x)[0].tolist() == [[4, 3, 2, 1, 0]]
    assert Permutation.halves(5).forward(x)[0].tolist() == [[3, 4, 0, 1, 2]]
    assert Permutation.halves(4).forward(x[:, :4])[0].tolist() == [[2, 3, 0, 1]]
    assert Permutation([2, 0, 1]).forward(x[:, :3])[0].tolist() == [[2, 0, 1]]
    np.testing.assert_array_equal(Permutation.random(9, 0).order, Permutation.random(9, 0).order)


def test_squeeze_makes_channels_of_2x2_blocks(rng):
    x = rng.normal(size=(3, 2, 4, 6))
    z = Permutation.squeeze((2, 4, 6)).forward(x.reshape(3, -1))[0].reshape(3, 8, 2, 3)
    for channel in range(2):
        for field, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
            np.testing.assert_array_equal(z[:, 4 * channel + field], x[:, channel, row::2, column::2])
    grey = Permutation.squeeze((4, 6)).forward(x[:, 0].reshape(3, -1))[0]
    np.testing.assert_array_equal(grey, z[:, :4].reshape(3, -1))
    for shape in ((3, 4), (4, 4, 4, 4), (8,)):
        with pytest.raises(NiceValueError, match="even height and width"):
            Permutation.squeeze(shape)


def test_bad_settings_of_standardize():
    layer = Standardize.unfitted(2)
    with pytest.raises(NiceTypeError):
        layer.set("abc", [1.0, 1.0])
    with pytest.raises(NiceValueError, match="complex"):
        layer.set([1j, 0], [1.0, 1.0])
    with pytest.raises(NiceTypeError, match="float32 or float64"):
        Standardize.unfitted(2, "foo")


@pytest.mark.parametrize("order", [np.empty(0, int), [0, 0], [1, 2], [[0, 1]], [0, 2, -1]])
def test_bad_permutations(order):
    with pytest.raises(NiceValueError, match=r"each of 0 .. -?\d once"):
        Permutation(order)
    with pytest.raises(NiceTypeError, match="whole numbers"):
        Permutation([0.0, 1.0])


def test_the_original_code_is_a_chain(rng):
    """Tile, then couplings of the first half on the second with a full reversal after each: the authors' own layout."""
    m = [mlp((3, 5, 3), rng) for _ in range(4)]
    layers = [Permutation.tile(6)]
    for conditioner in m:
        layers += [AdditiveCoupling(Partition.halves(6), conditioner), Permutation.reversal(6)]
    x = rng.normal(size=(4, 6))
    y = np.concatenate([x[:, ::2], x[:, 1::2]], axis=1)
    for conditioner in m:
        y = y.copy()
        y[:, 3:] += conditioner.forward(y[:, :3])[0]
        y = y[:, ::-1]
    np.testing.assert_allclose(Chain(layers).forward(x)[0], y, rtol=1e-13)


def test_chain_adds_log_dets_and_inverse_swaps(rng):
    first, second = coupling(AffineCoupling, Partition.odd_even(4), rng), DiagonalScaling(4, log_scale=0.3)
    x = rng.normal(size=(3, 4))
    middle, d1, _ = first.forward(x)
    z, d2, _ = second.forward(middle)
    chained, log_det, _ = Chain([first, second]).forward(x)
    np.testing.assert_array_equal(chained, z)
    np.testing.assert_allclose(log_det, d1 + d2, rtol=1e-14)
    np.testing.assert_array_equal(Inverse(first).inverse(x)[0], middle)
    np.testing.assert_array_equal(Inverse(Inverse(first)).forward(x)[0], middle)


def test_the_interval_of_a_chain_is_that_of_the_first_layer_that_changes_a_number():
    tile, logit, anywhere = Permutation.tile(2), Logit(2), (-np.inf, np.inf)
    assert Chain([tile, tile, logit]).interval == Chain([logit, tile]).interval == logit.interval
    assert Chain([Chain([tile, logit]), tile]).interval == logit.interval
    assert Chain([tile, DiagonalScaling(2), logit]).interval == Chain([tile]).interval == anywhere


def test_most_layers_take_any_number():
    assert DiagonalScaling(2).interval == Permutation.tile(2).interval == (-np.inf, np.inf)


@pytest.mark.parametrize("law", [AffineCoupling, MultiplicativeCoupling])
def test_the_config_of_a_coupling_makes_it_again(law, rng):
    layer = coupling(law, Partition(5, [3, 0]), rng, scale="softplus")
    config = layer.config()
    assert config["scale"] == "softplus"
    x = rng.normal(size=(3, 5))
    np.testing.assert_array_equal(law.from_config(**config).forward(x)[0], layer.forward(x)[0])
    assert Standardize([0.0], [1.0]).fitted is True


def test_a_chain_is_a_sequence_of_its_layers():
    layers = [DiagonalScaling(2, 0.1), Permutation([1, 0]), DiagonalScaling(2, -0.2)]
    chain = Chain(layers)
    assert len(chain) == 3
    assert list(chain) == layers
    assert chain[0] is layers[0]
    assert chain[-1] is layers[2]
    with pytest.raises(IndexError):
        chain[3]
    x = np.array([[1.0, 2.0]])
    for part in (chain[:2], chain[1:2]):
        assert isinstance(part, Chain)
    np.testing.assert_array_equal(layers[2].forward(chain[:2].forward(x)[0])[0], chain.forward(x)[0])
    with pytest.raises(NiceValueError, match="at least one"):
        chain[3:]


def test_bad_chains():
    with pytest.raises(NiceValueError, match="at least one"):
        Chain([])
    with pytest.raises(NiceValueError, match=r"same dim, got \[2, 3\]"):
        Chain([DiagonalScaling(2), DiagonalScaling(3)])
    with pytest.raises(NiceTypeError, match="expected bijectors"):
        Chain([DiagonalScaling(2), "scaling"])


def test_reprs(rng):
    part = Partition.odd_even(784)
    layer = AdditiveCoupling(part, MLP((392, 10, 392), rng=0))
    assert repr(layer) == "AdditiveCoupling(dim=784, kept=392, conditioner=MLP(392-10-392, relu))"
    assert repr(part) == "Partition(dim=784, a=[  0   2 ... 780 782], b=[  1   3 ... 781 783])"
    assert repr(Chain([DiagonalScaling(2)])) == "Chain(\n  DiagonalScaling(dim=2)\n)"
    assert repr(Inverse(Standardize([0.0], [1.0]))) == "Inverse(Standardize(dim=1))"


def test_the_kept_features_come_in_the_order_they_were_given(rng):
    part, x = Partition(6, [2, 0, 4]), rng.normal(size=(3, 6))
    x_a, x_b = part.split(x)
    np.testing.assert_array_equal(x_a, x[:, [2, 0, 4]])
    np.testing.assert_array_equal(x_b, x[:, [1, 3, 5]])
    np.testing.assert_array_equal(part.merge(x_a, x_b), x)


def test_indices_with_a_constant_step_are_a_slice():
    regular = [Partition.odd_even(5), Partition.halves(6), Partition.checkerboard(2, 3), Partition(6, [1, 3, 5])]
    for part in (*regular, Partition.odd_even(2)):
        assert (type(part._a), type(part._b)) == (slice, slice)
    for part in (Partition.checkerboard(2, 4), Partition(6, [4, 2, 0]), Partition.halves(6).with_context(1)):
        assert type(part._a) is not slice


def test_alternating_features_have_a_kernel():
    for part in (Partition.odd_even(6), Partition.odd_even(6).swapped(), Partition.checkerboard(2, 3)):
        assert part._pairs
    others = (Partition.odd_even(5), Partition.halves(6), Partition(6, [0, 3]), Partition(4, [2, 0]))
    for part in (*others, Partition.odd_even(6).with_context(2)):
        assert not part._pairs
    assert take_pairs.loop is kernels.take_pairs_loop
    assert put_pairs.loop is kernels.put_pairs_loop


def test_indices_of_any_whole_type():
    small = np.array([2, 0], np.uint8)
    assert Partition(3, small).idx_a.dtype == Permutation(np.array([2, 0, 1], np.int8)).order.dtype == np.intp
    np.testing.assert_array_equal(Partition(3, small).swapped().idx_a, [1])


DOORS = {
    "Logit": Logit,
    "Equalize": Equalize.unfitted,
    "Rescale": Rescale,
    "DiagonalScaling": DiagonalScaling,
    "Standardize": Standardize.unfitted,
    "PCAWhitening": PCAWhitening.unfitted,
    "ZCAWhitening": ZCAWhitening.unfitted,
    "tile": Permutation.tile,
    "reversal": Permutation.reversal,
    "halves": Permutation.halves,
    "random": Permutation.random,
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())
def test_one_feature_is_the_least(door):
    assert door(1).dim == 1
    for dim in (0, -1):
        with pytest.raises(NiceValueError, match=f"dim must be >= 1, got {dim}"):
            door(dim)


@pytest.mark.parametrize("make", [Partition.odd_even, Partition.halves])
def test_two_features_are_the_least_of_a_partition(make):
    np.testing.assert_array_equal(make(2).idx_a, [0])
    for dim, says in ((1, "at least 2 features"), (0, "dim must be >= 1, got 0"), (-1, "dim must be >= 1, got -1")):
        with pytest.raises(NiceValueError, match=says):
            make(dim)


@pytest.mark.parametrize(("dtype", "log_scale"), [(np.float64, -750.0), (np.float64, -709.0), (np.float32, -110.0)])
def test_a_scale_that_underflows_is_an_error_and_no_zero(dtype, log_scale):
    x = [[1.0, 2.0]]
    for flow, way in (
        (Flow("normal", DiagonalScaling(2, log_scale, dtype)), "encode"),
        (Flow("normal", DiagonalScaling(2, -log_scale, dtype)), "decode"),
    ):
        with pytest.raises(NiceOverflowError, match=r"row 0 overflows .* in layer 0 \(DiagonalScaling\)"):
            getattr(flow, way)(x)
    fine = Flow("normal", DiagonalScaling(2, log_scale / 1.3, dtype))
    np.testing.assert_allclose(fine.decode(fine.encode(x)), x, rtol=1e-4)

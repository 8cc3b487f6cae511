"""MADE: which output sees which input, where the weights start, what is refused."""

import numpy as np
import pytest
from registry import shaken

from nice_np import Adam, FlatParameters, MaskedMLP, NiceTypeError, NiceValueError
from nice_np.files.architecture import build, check_size, own_classes
from nice_np.networks.masked import feature_order


def seen(net, rng):
    """(n_out, n_in) of 0 and 1: which output changes with which input."""
    x = rng.normal(size=(1, net.sizes[0]))
    columns = [net.forward(x + step)[0] != net.forward(x)[0] for step in np.eye(net.sizes[0])]
    return np.concatenate(columns).T.astype(int)


@pytest.mark.parametrize("hidden", [(), (30,), (30, 40, 30), (3,), (7, 3)], ids=str)
@pytest.mark.parametrize("order", ["natural", "reversed", (2, 0, 4, 1, 3)], ids=str)
def test_an_output_sees_the_features_before_its_own(order, hidden, rng):
    net = shaken(MaskedMLP((5, *hidden, 10), order, activation="softplus", rng=rng), rng)
    sees = seen(net, rng)
    for block in (sees[:5], sees[5:]):
        in_order = block[np.ix_(net.order, net.order)]
        np.testing.assert_array_equal(np.triu(in_order), 0)
        if min((*hidden, 4)) >= 4:  # with fewer units some features are seen together with those before them
            np.testing.assert_array_equal(in_order, np.tri(5, k=-1))
        assert in_order[-1].sum() == 4  # the last one sees all others, however few units there are


def test_all_outputs_see_the_context(rng):
    net = shaken(MaskedMLP((5, 12, 12, 6), (1, 2, 0), 2, "softplus", rng=rng), rng)
    sees = seen(net, rng)
    np.testing.assert_array_equal(sees[:, 3:], 1)
    np.testing.assert_array_equal(sees[:3, :3], [[0, 1, 1], [0, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(sees[:3], sees[3:])


def test_one_feature_is_a_constant_or_a_function_of_the_context(rng):
    assert seen(shaken(MaskedMLP((1, 4, 2), rng=rng), rng), rng).sum() == 0
    np.testing.assert_array_equal(seen(shaken(MaskedMLP((2, 4, 1), context_dim=1, rng=rng), rng), rng), [[0, 1]])


def test_masked_weights_have_no_gradient_and_no_effect_after_a_step(rng):
    net = MaskedMLP((3, 8, 6), output_scale=1.0, rng=rng)
    params = FlatParameters(net)
    x, optimizer = rng.normal(size=(10, 3)), Adam()
    for _ in range(3):
        y, cache = net.forward(x)
        net.backward(y, cache)
        for layer in net.layers:
            assert (layer.dW[layer.M == 0] == 0).all()
        optimizer.step(params.values, params.grads, 0.1)
        assert not np.array_equal(net.forward(x)[0], y), "the weights of before the step"
    expected = net.forward(x)[0]
    for layer in net.layers:
        layer.W[layer.M == 0] = 1e3
    np.testing.assert_array_equal(net.forward(x)[0], expected)


def test_units_start_as_large_whatever_they_see(rng):
    net = MaskedMLP((200, 400, 400, 200), init="he", rng=rng)
    _, cache = net.forward(rng.normal(size=(300, 200)))
    for h in cache.inputs[1:]:
        assert np.mean(h[:, :100] ** 2) == pytest.approx(1, rel=0.2)
        assert np.mean(h[:, -100:] ** 2) == pytest.approx(1, rel=0.2)
    np.testing.assert_array_less(np.abs(MaskedMLP((4, 8, 4), init="uniform", rng=0).layers[0].W), 0.01)


def test_orders():
    np.testing.assert_array_equal(feature_order("natural", 3), [0, 1, 2])
    drawn = [feature_order("random", 20, seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    np.testing.assert_array_equal(np.sort(drawn[0]), np.arange(20))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": (3, 4, 5)}, "a multiple of dim"),
        ({"sizes": (3, 4, 3), "context_dim": 3}, "a multiple of dim"),
        ({"order": (0, 1)}, "each of 0 .. 2 once"),
        ({"order": (0, 1, 1)}, "each of 0 .. 2 once"),
        ({"order": (0.0, 1.0, 2.0)}, "each of 0 .. 2 once"),
        ({"order": [[0, 1, 2]]}, "each of 0 .. 2 once"),
        ({"order": "reverse"}, "did you mean 'reversed'"),
        ({"context_dim": -1}, "context_dim"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    with pytest.raises(NiceValueError, match=message):
        MaskedMLP(**{"sizes": (3, 4, 6), **settings})
    with pytest.raises(NiceTypeError, match="order"):
        MaskedMLP((3, 4, 6), order=[None] * 3)


def test_the_settings_give_the_same_masks(rng):
    net = MaskedMLP((6, 9, 8), "random", 2, rng=rng)
    again = MaskedMLP(**net.config())
    np.testing.assert_array_equal(again.order, net.order)
    for a, b in zip(again.layers, net.layers, strict=True):
        np.testing.assert_array_equal(a.M, b.M)
    assert MaskedMLP.count_parameters(net.config()) == net.n_parameters


def test_hostile_settings_in_a_file_are_refused_before_anything_is_made():
    huge = {"class": "MaskedMLP", "sizes": [2, 10**6, 10**6, 4], "order": "natural"}
    with pytest.raises(NiceValueError, match="far more than the file holds"):
        check_size(huge, own_classes(), limit=10**6)
    for order in ([0, 0], [0, 7], list(range(1000)), [0.5, 1], None):
        with pytest.raises(ValueError, match="cannot build MaskedMLP"):
            build({"class": "MaskedMLP", "sizes": [2, 3, 4], "order": order}, {}, [], own_classes())

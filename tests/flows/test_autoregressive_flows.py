"""maf and iaf: what they build, that it trains, is saved, and takes a context."""

import numpy as np
import pytest

from nice_np import (
    AffineAutoregressive,
    Inverse,
    NiceTypeError,
    NiceValueError,
    check_gradients,
    fit,
    iaf,
    load,
    maf,
    one_hot,
)
from nice_np.bijectors import TanhScale
from nice_np.datasets.toy import two_moons


def networks(flow):
    return [getattr(layer, "bijector", layer).conditioner for layer in flow.bijector.layers[1:]]


def test_the_order_is_reversed_in_every_second_layer():
    flow = maf(3, layers=3, rng=0)
    assert [net.order.tolist() for net in networks(flow)] == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]
    assert all(net.sizes == (3, 64, 64, 6) for net in networks(flow))
    assert {layer.scale.bound for layer in flow.bijector.layers[1:]} == {2.0}
    orders = [net.order.tolist() for net in networks(maf(9, layers=3, ordering="random", rng=0))]
    assert orders[0] != orders[1] != orders[2]
    assert [net.order.tolist() for net in networks(maf(2, layers=2, ordering="natural", rng=0))] == [[0, 1]] * 2


def test_iaf_is_the_inverse_of_maf(rng):
    settings = {"layers": 2, "hidden": 8, "preprocess": (), "dtype": np.float64, "rng": 0, "scale": TanhScale(1.0)}
    direct, inverse = maf(3, **settings), iaf(3, **settings)
    assert all(isinstance(layer, Inverse) for layer in inverse.bijector.layers)
    assert all(isinstance(layer, AffineAutoregressive) for layer in direct.bijector.layers)
    inverse.params.values[:] = direct.params.values[:] = rng.normal(0, 0.5, len(direct.params))
    x = rng.normal(size=(5, 3))
    expected = direct.bijector.layers[0].inverse(x)[0]
    np.testing.assert_allclose(inverse.bijector.layers[0].forward(x)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("build", [maf, iaf])
@pytest.mark.parametrize("context_dim", [0, 2])
def test_gradients_round_trip_and_files(build, context_dim, rng, tmp_path):
    settings = {"layers": 2, "hidden": (6, 5), "ordering": "random", "dtype": np.float64}
    flow = build(3, context_dim=context_dim, rng=rng, preprocess=(), **settings)
    flow.params.values[:] = rng.normal(0, 0.4, len(flow.params))
    x, c = rng.normal(size=(4, 3)), rng.normal(size=(4, context_dim)) if context_dim else None
    check_gradients(flow, x, **({"context": c} if context_dim else {})).raise_if_failed()
    np.testing.assert_allclose(flow.decode(flow.encode(x, c), c), x, atol=1e-12)
    flow.save(tmp_path / "flow.npz")
    np.testing.assert_array_equal(load(tmp_path / "flow.npz").log_prob(x, c), flow.log_prob(x, c))


@pytest.mark.parametrize("build", [maf, iaf])
def test_two_moons_are_learned(build):
    x = two_moons(1000, rng=0)
    flow = build(2, layers=3, hidden=32, rng=0)
    before = flow.log_prob(two_moons(500, rng=1)).mean()
    fit(flow, x, epochs=10, batch_size=100, learning_rate=3e-3, rng=0, progress=False)
    assert flow.log_prob(two_moons(500, rng=1)).mean() > before + 0.3


def test_labels(rng):
    flow = maf(2, layers=2, hidden=16, context_dim=3, rng=0)
    x = rng.normal(size=(60, 2))
    labels = np.arange(60) % 3
    fit(flow, x, context=one_hot(labels, 3), epochs=2, rng=0, progress=False)
    assert flow.sample(5, context=one_hot(labels[:5], 3), rng=0).shape == (5, 2)


def test_arguments():
    assert maf(1, rng=0).dim == 1
    with pytest.raises(NiceTypeError, match="did you mean layers"):
        maf(2, n_layers=3)
    with pytest.raises(NiceValueError, match="iaf: unknown ordering"):
        iaf(2, ordering="sorted")
    with pytest.raises(NiceValueError, match="maf: layers"):
        maf(2, layers=0)

"""spline_flow and mixture_flow: what they build, that it trains, is saved, and takes a context."""

import numpy as np
import pytest

from nice_np import NiceTypeError, NiceValueError, check_gradients, fit, load, mixture_flow, one_hot, spline_flow
from nice_np.datasets.toy import two_moons

SMALL = {spline_flow: {"bins": 3}, mixture_flow: {"components": 2}}
builds = pytest.mark.parametrize("build", [spline_flow, mixture_flow])
wirings = pytest.mark.parametrize("wiring", ["coupling", "autoregressive"])


def test_the_settings_reach_the_layers():
    flow = spline_flow(3, 4, 8, wiring="coupling", bins=5, bound=2.5, rng=0)
    layers = flow.bijector.layers[1:]
    assert [type(layer).__name__ for layer in layers] == ["SplineCoupling"] * 4
    assert {(layer.bins, layer.bound) for layer in layers} == {(5, 2.5)}
    assert [layer.conditioner.sizes for layer in layers[:2]] == [(2, 8, 14), (1, 8, 28)]
    layer = mixture_flow(3, 1, 8, components=2, rng=0).bijector.layers[1]
    assert (type(layer).__name__, layer.components, layer.conditioner.sizes) == ("MixtureAutoregressive", 2, (3, 8, 24))


@builds
@wirings
def test_it_starts_near_the_identity(build, wiring, rng):
    flow = build(2, 3, wiring=wiring, preprocess=(), dtype=np.float64, rng=0)
    x = rng.normal(size=(50, 2))
    assert np.abs(flow.encode(x) - x).max() < (0.2 if build is spline_flow else 2.0)


@builds
@wirings
@pytest.mark.parametrize("context_dim", [0, 2])
def test_gradients_round_trip_and_files(build, wiring, context_dim, rng, tmp_path):
    settings = {"wiring": wiring, "dtype": np.float64, "context_dim": context_dim, "preprocess": (), "rng": rng}
    flow = build(3, 3, (4,), **settings, **SMALL[build])
    flow.params.values[:] = rng.normal(0, 0.4, len(flow.params))
    x, c = rng.normal(size=(4, 3)), rng.normal(size=(4, context_dim)) if context_dim else None
    check_gradients(flow, x, **({"context": c} if context_dim else {})).raise_if_failed()
    np.testing.assert_allclose(flow.decode(flow.encode(x, c), c), x, atol=1e-11)
    nll, grads = flow.nll_and_grad(x, c)
    stored = grads.copy()
    again, rebuilt = flow.nll_and_grad(x, c, recompute=True)
    np.testing.assert_allclose(again, nll, rtol=1e-12)
    np.testing.assert_allclose(rebuilt, stored, rtol=1e-7, atol=1e-9)
    flow.save(tmp_path / "flow.npz")
    np.testing.assert_array_equal(load(tmp_path / "flow.npz").log_prob(x, c), flow.log_prob(x, c))


@builds
@wirings
def test_it_trains_with_a_label_and_in_threads(build, wiring, rng):
    labels = rng.integers(0, 2, 400)
    x = two_moons(400, rng) + 3 * labels[:, None]
    flow = build(2, 3, (16,), wiring=wiring, context_dim=2, rng=0, **SMALL[build])
    before = flow.log_prob(x.astype(np.float32), one_hot(labels, 2)).mean()
    fit(flow, x, one_hot(labels, 2), epochs=10, learning_rate=3e-3, progress=False, threads=2, rng=0)
    assert flow.log_prob(x.astype(np.float32), one_hot(labels, 2)).mean() > before + 0.5
    assert np.isfinite(flow.sample(20, context=one_hot(labels[:20], 2), rng=1)).all()


def test_what_is_refused():
    with pytest.raises(NiceValueError, match="wiring"):
        spline_flow(2, wiring="planar")
    with pytest.raises(NiceValueError, match="spline_flow: bins must be >= 1"):
        spline_flow(2, bins=0)
    with pytest.raises(NiceValueError, match="at least 2 features"):
        mixture_flow(1, wiring="coupling")
    with pytest.raises(NiceTypeError, match="did you mean layers"):
        spline_flow(2, transforms=4)
    with pytest.warns(UserWarning, match="with 2 coupling") as caught:
        spline_flow(2, 2, wiring="coupling")
    assert caught[0].filename == __file__

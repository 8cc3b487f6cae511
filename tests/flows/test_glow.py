"""Flows of images on several scales, with all that other flows can do."""

import numpy as np
import pytest
from registry import shaken

from nice_np import (
    Adam,
    AffineCoupling,
    Flow,
    GlowNet,
    Mask,
    NiceTypeError,
    NiceValueError,
    OnPart,
    Partition,
    Permutation,
    WithContext,
    check_gradients,
    check_inverse,
    check_log_det,
    fit,
    glow,
    inpaint,
)
from nice_np.interop import to_onnx
from nice_np.training.fit import start_from_data


def small(shape=(4, 4), rng=0, **settings):
    settings = {"levels": 2, "steps": 1, "channels": 3, "dtype": "float64"} | settings
    return glow(shape, rng=rng, **settings)


def images(rng, n=6, dim=16):
    return rng.uniform(0.1, 0.9, (n, dim))


@pytest.mark.parametrize(
    ("shape", "context_dim", "dense"), [((4, 4), 0, 0), ((2, 4, 4), 0, 0), ((4, 4), 2, 0), ((4, 4), 2, 1)]
)
def test_gradients_inverse_and_log_det(shape, context_dim, dense, rng):
    flow = small(shape, context_dim=context_dim, dense=dense, hidden=3)
    shaken(flow.bijector, rng, 0.2)
    x = np.concatenate([images(rng, 2, flow.dim), rng.normal(size=(2, context_dim))], axis=1)
    check_gradients(flow.bijector, x, rng=rng, max_coordinates=40).raise_if_failed()
    check_inverse(flow.bijector, x).raise_if_failed()
    check_log_det(flow.bijector, x).raise_if_failed()


@pytest.mark.parametrize("law", ["additive", "spline", "mixture"])
def test_other_laws(law, rng):
    flow = small(law=law, levels=1, channels=2)
    shaken(flow.bijector, rng, 0.2)
    x = images(rng, 2)
    check_gradients(flow, x, rng=rng, max_coordinates=10).raise_if_failed()
    np.testing.assert_allclose(flow.decode(flow.encode(x)), x, atol=1e-9)


def test_the_layers_of_the_paper():
    flow = glow((28, 28), rng=0)
    assert flow.n_parameters == 76_228
    kinds = [type(layer).__name__ for layer in flow.layers]
    step = ["ActNorm", "LULinear", "AffineCoupling"]
    assert kinds == ["Logit", "Permutation", *6 * step, "AffineCoupling", *19 * ["OnPart"]]
    deeper = [type(layer.bijector).__name__ for layer in flow.layers[-19:]]
    assert deeper == ["Permutation", *6 * step]
    networks = {repr(layer.conditioner) for layer in flow.layers if isinstance(layer, AffineCoupling)}
    assert networks == {"GlowNet(14x14, 2-48-48-4, relu)", "GlowNet(14x14, 2-4, relu)"}
    assert repr(flow.layers[-1].bijector.conditioner) == "GlowNet(7x7, 4-48-48-8, relu)"


def test_couplings_start_as_the_identity():
    """So a new flow is a linear map behind the logit."""
    flow = small()
    couplings = [layer for layer in flow.layers if isinstance(getattr(layer, "bijector", layer), AffineCoupling)]
    x = np.random.default_rng(0).normal(size=(3, 16))
    assert len(couplings) == 3
    for layer in couplings:
        np.testing.assert_array_equal(layer.forward(x)[0], x)


def test_what_a_level_factors_out_is_left_alone_afterwards(rng):
    flow = small(channels=4)
    shaken(flow.bijector, rng, 0.3)
    x = images(rng)
    before = x
    for layer in flow.layers[:6]:  # logit, squeeze, a step, factoring out
        before = layer.forward(before)[0]
    np.testing.assert_array_equal(flow.encode(x)[:, 8:], before[:, 8:])
    assert np.abs(flow.encode(x)[:, :8] - before[:, :8]).min() > 1e-6


def test_a_pixel_of_the_network_sees_its_neighbours(rng):
    x = rng.normal(size=(1, 25))
    moved = x.copy()
    moved[0, 12] += 1.0  # the pixel in the middle
    for channels, reach in (((1, 1), 1), ((1, 4, 1), 2), ((1, 4, 4, 1), 2)):  # 3x3; twice; with a 1x1 between
        net = shaken(GlowNet((5, 5), channels, activation="tanh", rng=0), rng)
        change = np.abs(net.forward(moved)[0] - net.forward(x)[0]).reshape(5, 5)
        np.testing.assert_array_equal(change > 0, np.pad(np.ones((2 * reach + 1,) * 2, bool), 2 - reach))


def test_a_dense_step_sees_the_whole_image(rng):
    def changed(**settings):
        """Which of the pixels that are latents of the last level depend on the pixel in a corner."""
        flow = glow((8, 8), levels=1, steps=1, channels=4, dtype="float64", rng=0, **settings)
        shaken(flow.bijector, rng, 0.3)
        x = rng.uniform(0.1, 0.9, (1, 64))
        moved = x.copy()
        moved[0, 0] += 0.05
        return (flow.encode(moved) != flow.encode(x)).reshape(4, 4, 4)  # (channels, height, width)

    assert not changed()[:, 3, 3].any()  # two 3x3 convolutions reach two pixels
    assert changed(dense=1, hidden=(32,))[2:, 3, 3].all()


@pytest.mark.parametrize("context_dim", [0, 2])
def test_fit_starts_every_actnorm_and_learns(context_dim, rng, tmp_path):
    x = np.clip(rng.normal(0.5, 0.1, (300, 1)) + rng.normal(0, 0.02, (300, 16)), 0.01, 0.99)
    context = rng.normal(size=(300, 2)) if context_dim else None
    flow = small(context_dim=context_dim, channels=8)
    plain = small(context_dim=context_dim, channels=8)
    settings = {"epochs": 6, "batch_size": 50, "learning_rate": 5e-3, "progress": False, "rng": 0}
    history = fit(flow, x, context, optimizer=Adam(), **settings)
    assert all(layer.fitted for layer in flow.layers if hasattr(layer, "fitted"))
    assert history.rows[-1]["train_log_likelihood"] > history.rows[0]["train_log_likelihood"] + 1
    fit(plain, x, context, recompute=True, threads=2, **settings)
    np.testing.assert_allclose(plain.params.values, flow.params.values, rtol=1e-5, atol=1e-7)


def test_a_resumed_run_is_the_whole_run_and_a_file_keeps_the_flow(rng, tmp_path):
    x, settings = images(rng, 60), {"batch_size": 20, "progress": False, "rng": 0}
    whole, stopped, resumed = small(), small(), small()
    fit(whole, x, epochs=4, **settings)
    fit(stopped, x, epochs=2, checkpoint=tmp_path / "run.npz", **settings)
    fit(resumed, x, epochs=4, checkpoint=tmp_path / "run.npz", resume=True, **settings)
    np.testing.assert_array_equal(resumed.params.values, whole.params.values)
    whole.save(tmp_path / "glow.npz")
    np.testing.assert_array_equal(Flow.load(tmp_path / "glow.npz").log_prob(x), whole.log_prob(x))


@pytest.mark.parametrize("context_dim", [0, 2])
def test_recompute_gives_the_same_gradient(context_dim, rng):
    flow = small(context_dim=context_dim)
    shaken(flow.bijector, rng, 0.2)
    x, context = images(rng), rng.normal(size=(6, 2)) if context_dim else None
    nll, stored = flow.nll_and_grad(x, context)
    stored = stored.copy()
    rebuilt_nll, rebuilt = flow.nll_and_grad(x, context, recompute=True)
    assert rebuilt_nll == pytest.approx(nll, abs=1e-12)
    np.testing.assert_allclose(rebuilt, stored, rtol=1e-9, atol=1e-9)


def test_inpainting_keeps_what_is_seen(rng):
    flow = small()
    x, seen = images(rng, 2), np.arange(16) % 2 == 0
    result = inpaint(flow, x, Mask(seen), steps=5, rng=0, progress=False)
    np.testing.assert_allclose(result.x[:, seen], x[:, seen])


@pytest.mark.parametrize("what", ["encode", "log_prob", "decode"])
@pytest.mark.parametrize("context_dim", [0, 2])
def test_onnx(what, context_dim, rng):
    pytest.importorskip("onnx")
    flow = small((2, 4, 4), context_dim=context_dim)
    shaken(flow.bijector, rng, 0.2)
    from onnx.reference import ReferenceEvaluator

    x, context = images(rng, 3, 32), rng.normal(size=(3, 2)) if context_dim else None
    given = rng.normal(size=(3, 32)) if what == "decode" else x
    run = ReferenceEvaluator(to_onnx(flow, what))
    inputs = dict(zip([node.name for node in run.proto_.graph.input], [given, context], strict=False))
    np.testing.assert_allclose(run.run(None, inputs)[0], getattr(flow, what)(given, context), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((6, 8), {}, r"divisible by 2\^levels = 4, got \(6, 8\)"),
        ((16,), {}, "image_shape must be"),
        ((8, 8), {"levels": 0}, "levels must be"),
        ((8, 8), {"steps": 0}, "steps must be >= 1"),
        ((8, 8), {"channels": 0}, "channels must be >= 1"),
        ((8, 8), {"law": "cubic"}, "law"),
        ((8, 8), {"dense": -1}, "dense must be >= 0"),
        ((8, 8), {"dense": 1, "hidden": 0}, "hidden"),
    ],
)
def test_wrong_settings(shape, settings, message):
    with pytest.raises(NiceValueError, match=message):
        glow(shape, **settings)


def test_on_part():
    part = Partition(5, [0, 3], 1)
    layer = OnPart(Permutation.reversal(3), part)
    np.testing.assert_array_equal(layer.forward(np.arange(6.0)[None])[0], [[5, 1, 2, 3, 4, 0]])
    assert repr(layer) == "OnPart(Permutation(dim=3), 2 of 5)"
    assert isinstance(WithContext(Permutation.reversal(3), 1), OnPart)
    with pytest.raises(NiceValueError, match="the part has 3 features, the bijector takes 2"):
        OnPart(Permutation.reversal(2), part)
    with pytest.raises(NiceTypeError, match="partition must be a Partition"):
        OnPart(Permutation.reversal(2), 3)
    with pytest.raises(NiceTypeError, match="expected a Bijector"):
        OnPart(part, part)


def test_wrong_networks():
    with pytest.raises(NiceValueError, match=r"pixels must be \(height, width\)"):
        GlowNet((3,), (1, 2))
    with pytest.raises(NiceValueError, match="channels must be at least two"):
        GlowNet((3, 3), (1,))


def test_a_start_from_the_data_keeps_what_varies_most_for_the_deeper_levels(rng):
    """A smooth image: after two steps the first half of the channels has the mean of each 2x2 block."""
    coarse = rng.normal(size=(400, 4, 4))
    x = (coarse.repeat(2, axis=1).repeat(2, axis=2) + 0.01 * rng.normal(size=(400, 8, 8))).reshape(400, 64)
    flow = glow((8, 8), 2, 2, 4, start="whitening", preprocess=(), dtype="float64", rng=0)
    start_from_data(flow, x)
    assert all(layer.fitted for layer in flow.layers if hasattr(layer, "fitted"))
    z = x
    for layer in flow.layers[:8]:  # squeeze, two steps, factoring out
        z = layer.forward(z)[0]
    means = x.reshape(400, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(400, 16)
    planes = z.reshape(400, 4, 16)
    agreement = [abs(np.corrcoef(planes[:, c].ravel(), means.ravel())[0, 1]) for c in range(4)]
    assert agreement[0] > 0.99
    assert max(agreement[1:]) < 0.2
    assert flow.log_prob(x).mean() > 1.2 * glow_log_prob(x)


def glow_log_prob(x):
    flow = glow((8, 8), 2, 2, 4, preprocess=(), dtype="float64", rng=0)
    start_from_data(flow, x)
    return flow.log_prob(x).mean()

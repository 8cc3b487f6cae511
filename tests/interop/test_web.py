"""Flows as JavaScript files: what is in them; tests/project/test_explorables.py runs them in a browser."""

import json

import numpy as np
import pytest
import registry
from exported_flow import parts_of, read_back

from nice_np import (
    AffineCoupling,
    Chain,
    DiagonalScaling,
    Flow,
    NiceTypeError,
    NiceValueError,
    Permutation,
    Standardize,
    glow,
    nice,
    real_nvp,
    variational_autoencoder,
)
from nice_np.interop import save_web, to_web
from nice_np.interop.web import WRITTEN, as_halves

HALF = 2.0**-11  # relative error of float16


def build(name, rng):
    flow = {
        "nice": lambda: nice(16, hidden=(5, 4), preprocess=("logit", "standardize"), rng=rng),
        "real_nvp": lambda: real_nvp(16, hidden=(5,), prior="logistic", scale="softplus", rng=rng),
        "glow": lambda: glow((4, 4), steps=2, channels=3, preprocess=("logit", "standardize"), rng=rng),
        "additive glow": lambda: glow((2, 4, 4), law="additive", steps=1, channels=3, activation="tanh", rng=rng),
    }[name]()
    for layer in flow.layers:
        if isinstance(layer, Standardize):
            layer.set(rng.normal(size=layer.dim), np.exp(rng.normal(size=layer.dim)))
    return registry.shaken(flow, rng, 0.2)


@pytest.mark.parametrize("name", ["nice", "real_nvp", "glow", "additive glow"])
def test_the_file_holds_the_whole_flow(name, rng):
    flow = build(name, rng)
    again = read_back(to_web(flow))
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in flow.layers]
    for (path, mine, _), (_, theirs, _) in zip(again.named_parameters(), flow.named_parameters(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=HALF, err_msg=path)
    x = rng.uniform(0.1, 0.9, size=(5, flow.dim))
    np.testing.assert_allclose(again.log_prob(x), flow.astype(np.float64).log_prob(x), rtol=0.02)
    assert to_web(again) == to_web(again.copy())
    np.testing.assert_array_equal(read_back(to_web(again)).params.values, again.params.values)  # rounded already


@pytest.mark.parametrize("name", registry.BIJECTORS)
def test_every_bijector_is_written_or_refused(name, rng):
    layer = registry.BIJECTORS[name](rng)
    flow = Flow("logistic", Chain([layer, DiagonalScaling(layer.dim)]))
    inside = [part for _, part in layer.modules()]
    context = any(getattr(part, "context_dim", 0) or getattr(part, "partition", flow).context_dim for part in inside)
    if {type(part) for part in inside} <= set(WRITTEN) and not context:
        assert read_back(to_web(flow)).dim == flow.dim
    else:
        reason = r"flow\.bijector\.layers\.0.* (has a context of|is a .*, which flow.js does not know; it k.*to_onnx)"
        with pytest.raises((NiceTypeError, NiceValueError), match=reason):
            to_web(flow)


def test_numbers_of_any_size_have_eleven_bits(rng):
    for size in (1e-300, 1e-9, 1.0, 65_504.0, 1e30, 1e300):
        array = size * rng.normal(size=100)
        halves, scale = as_halves(array)
        np.testing.assert_allclose(halves.astype(float) * scale, array, rtol=HALF)
    halves, scale = as_halves(np.array([1.0, 1e-8, 0.0]))
    assert abs(halves[1] * scale - 1e-8) <= HALF * 1e-8
    assert as_halves(np.zeros(2))[1] == 2.0**-15
    assert as_halves(np.zeros(0))[0].shape == (0,)


def test_what_is_there_already_is_not_written_again(rng):
    once = Flow("normal", Chain([Permutation.random(500, rng), DiagonalScaling(500)]))
    layer = once.layers[0]
    twice = Flow("normal", Chain([Permutation(layer.order), Permutation(layer.order), DiagonalScaling(500)]))
    assert len(parts_of(to_web(once))[2]) == len(parts_of(to_web(twice))[2]) == 2 * (500 + 500)  # order and log_scale


def test_about_and_its_names_are_escaped():
    about = {"dataset": "</script><b>\u2028`${x}\n", "scores": [1.5, float("nan")]}
    text = to_web(nice(4, hidden=(3,), rng=0), about)
    assert text.isascii()
    assert "</script" not in text
    found = parts_of(text)[0]
    assert found["dataset"] == about["dataset"]
    assert found["scores"] == [1.5, None]
    assert found["parameters"] > 0
    assert json.dumps(found["nice_np"]) in text


def test_what_is_refused(rng, tmp_path):
    class Mine(AffineCoupling):
        pass

    coupling = registry.coupling(AffineCoupling, registry.Partition.odd_even(4), rng)
    with pytest.raises(NiceTypeError, match="is of class Mine; only the library's own"):
        to_web(Flow("normal", Mine(coupling.partition, coupling.conditioner)))
    with pytest.raises(NiceTypeError, match="expected a Flow, got VAE; to_onnx"):
        to_web(variational_autoencoder(16, latent=2, hidden=(3,), rng=0))
    with pytest.raises(NiceValueError, match="context of 3 features; train it without"):
        to_web(nice(4, hidden=(3,), context_dim=3, rng=0))
    with pytest.raises(NiceTypeError, match=r"flow\.prior is a Uniform"):
        to_web(Flow(registry.Uniform(-1, 1), DiagonalScaling(2)))
    with pytest.raises(NiceValueError, match=r"order goes up to 32768, at most 32767"):
        to_web(Flow("normal", Permutation.reversal(32_769)))
    with pytest.raises(NiceValueError, match=r"layers\.0\.std has numbers whose ratio is 1e\+30"):
        to_web(Flow("normal", Chain([Standardize([0.0, 0.0], [1e-30, 1.0]), DiagonalScaling(2)])))
    flow = nice(4, hidden=(3,), rng=0)
    flow.layers[-1].log_scale[0] = np.nan
    with pytest.raises(NiceValueError, match="log_scale holds NaN or infinity"):
        save_web(flow, tmp_path / "flow.js")
    assert not list(tmp_path.iterdir())

"""The explorables compute what the library computes; opened from a file, as a teacher would who has no server."""

import html
import json
import re
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
import registry
from browser import needs_chromium, opened
from exported_flow import parts_of, read_back

from nice_np import (
    AdditiveCoupling,
    Chain,
    Equalize,
    Flow,
    LULinear,
    MultiplicativeCoupling,
    OnPart,
    Partition,
    Rescale,
    Standardize,
    check_gradients,
    glow,
    nice,
    real_nvp,
)
from nice_np.bijectors import FlooredSigmoidScale, SoftclipScale, TanhScale
from nice_np.interop import to_web
from nice_np.playground.one_unit import LAWS, tiny_flow

FOLDER = Path(__file__).parents[2] / "docs" / "_extra" / "explore"
pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.skipif(not FOLDER.exists(), reason="docs/ is in the checkout: run python -m pytest there"),
]


def shown(page, name, profile, **state):
    """What the page computed in this state, {name: value}."""
    address = f"{(FOLDER / page).as_uri()}#{urlencode(state)}"
    text, messages = opened(address, profile)
    assert not messages
    return json.loads(html.unescape(re.search(rf'data-{name}="([^"]*)"', text)[1]))


def flow_of(weights):
    """The flow of coupling.js with these weights."""
    flow = real_nvp(2, 8, 32, activation="tanh", scale="tanh", preprocess=(), dtype=np.float64, rng=0)
    for layer, P in zip(flow.layers, np.reshape(weights, (8, -1)), strict=True):
        hidden, output = layer.conditioner.layers
        w, b, R, r, T, t = np.split(P, [32, 64, 96, 97, 129])
        hidden.W[0], hidden.b[...] = w, b
        output.W[...], output.b[...] = np.stack([R, T], axis=1), np.concatenate([r, t])
    return flow


def gradient_of(flow):
    """The gradient in the order of coupling.js."""
    parts = []
    for layer in flow.layers:
        hidden, output = layer.conditioner.layers
        parts += [hidden.dW[0], hidden.db, output.dW[:, 0], output.db[:1], output.dW[:, 1], output.db[1:]]
    return np.concatenate(parts)


@pytest.mark.parametrize("prior", ["normal", "logistic"])
@pytest.mark.parametrize("law", LAWS)
def test_bend_it_yourself(law, prior, rng, tmp_path):
    ground = tiny_flow(law, couplings=3, prior=prior)
    ground.randomize(rng)
    knobs = {name: round(value, 4) for name, value in ground.positions.items()} | {"s1": 0.4, "s2": -0.7}
    for name, value in knobs.items():
        ground.turn(name, value)
    x = [-0.75, 1.25]
    page = shown("bend.html", "point", tmp_path, law=law, couplings=3, prior=prior, x="-0.75,1.25", **knobs)
    z, log_det, _ = ground.flow.bijector.forward(np.array([x]))
    np.testing.assert_allclose(page["z"], z[0], atol=1e-9)
    np.testing.assert_allclose(page["back"], x, atol=1e-9)
    assert page["logDet"] == pytest.approx(log_det[0], abs=1e-9)
    assert page["logProb"] == pytest.approx(ground.flow.log_prob([x])[0], abs=1e-9)


def test_layer_by_layer(tmp_path):
    text = (FOLDER / "trained.js").read_text(encoding="utf-8")
    flows = json.loads(text.split("const TRAINED = ")[1].rstrip().rstrip(";"))
    for name, about in flows.items():
        flow = flow_of(about["weights"])
        page = shown("layers.html", "point", tmp_path, data=name, time=8, z="0.3,-0.8")
        np.testing.assert_allclose(page["x"], flow.decode([[0.3, -0.8]])[0], atol=1e-9)
    page = shown("layers.html", "point", tmp_path, data=name, time=0, z="0.3,-0.8")
    np.testing.assert_allclose(page["x"], [0.3, -0.8], atol=1e-12)


def test_train_in_the_page(tmp_path):
    page = shown("train.html", "batch", tmp_path)
    flow, x = flow_of(page["P"]), np.reshape(page["x"], (-1, 2))
    assert check_gradients(flow, x).passed
    loss, _ = flow.nll_and_grad(x)
    assert page["loss"] == pytest.approx(loss, abs=1e-9)
    np.testing.assert_allclose(page["G"], gradient_of(flow), atol=1e-9)
    np.testing.assert_allclose(page["decoded"], page["x"], atol=1e-9)


def test_it_learns(tmp_path):
    assert shown("train.html", "trained", tmp_path, train=400) > -2.75  # nats; untrained -3.9, a Gaussian -3.2


@pytest.mark.parametrize(
    ("bug", "coupling", "weights"),
    [
        ("none", -1, []),
        ("sign", 7, ["w", "b", "R", "r"]),
        ("tanh", 7, ["w", "b"]),
        ("input", 7, ["w", "b", "R", "r"]),
        ("shift", 7, ["w", "b", "T", "t"]),
        ("kept", 6, ["w", "b", "R", "r", "T", "t"]),
    ],
)
def test_the_check_finds_each_bug(bug, coupling, weights, tmp_path):
    assert shown("train.html", "wrong", tmp_path, bug=bug, check=1) == {"bug": bug, "last": coupling, "here": weights}


# -- a flow of digits --------------------------------------------------------------------------------------------------

SCRIPTS = ("random.js", "arrays.js", "networks.js", "flow.js", "completion.js", "plane.js", "picture.js")


def ran(script, tmp_path, **given):
    """What `script` leaves in `result`, with the explorables' scripts loaded and the given values at hand."""
    head = "".join(f'<script src="{(FOLDER / name).as_uri()}"></script>' for name in SCRIPTS)
    values = "".join(f"const {name} = {json.dumps(value)};" for name, value in given.items())
    end = "document.body.dataset.result = JSON.stringify(result);"
    page = f'<!doctype html><meta charset="utf-8"><body>{head}<script>{values}{script};{end}</script>'
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    text, messages = opened((tmp_path / "page.html").as_uri(), tmp_path / "profile")
    assert not messages
    return json.loads(html.unescape(re.search('data-result="([^"]*)"', text)[1]))


def small_flows(rng):
    """All that `to_web` writes, in small."""
    flows = []
    activations, priors = ("relu", "tanh", "softplus", "leaky_relu"), ("normal", "logistic")
    scales = ("exp", "tanh", "sigmoid", "softplus", TanhScale(0.7), SoftclipScale(), FlooredSigmoidScale())
    before = ((Equalize(16, [8, 1, 0.5, 0.5, 2]), "logit"), ("logit", "standardize"))
    for k, scale in enumerate(scales):
        settings = {"activation": activations[k % 4], "prior": priors[k % 2], "preprocess": before[k % 2]}
        flows.append(glow((4, 4), steps=2, channels=5, scale=scale, rng=rng, **settings))
    flows.append(glow((3, 4, 4), law="additive", steps=1, channels=5, rng=rng))
    flows.append(nice(16, hidden=(6, 5), preprocess=("standardize",), rng=rng))
    part = Partition(7, [6, 0, 3])
    coupling = registry.coupling(MultiplicativeCoupling, Partition.odd_even(4).swapped(), rng, scale="exp")
    inner = Chain([coupling, registry.coupling(AdditiveCoupling, Partition.odd_even(4), rng)])
    flows.append(Flow("logistic", Chain([Rescale(7, -2.0, 3.0), LULinear(7, rng=rng), OnPart(inner, part.swapped())])))
    for flow in flows:
        registry.shaken(flow, rng, 0.3)
        for layer in flow.layers:
            if isinstance(layer, Standardize):
                layer.set(rng.normal(size=layer.dim), np.exp(rng.normal(size=layer.dim)))
    return flows


PASSES = """
const result = EXPORTS.map((exported, n) => {
  const flow = new Flow(exported), x = Float64Array.from(xs[n]), z = Float64Array.from(zs[n]);
  const { logDet, logProb, ...encoded } = flow.encode(x), decoded = flow.decodeWithPullback(z);
  const arrays = { z: encoded.z, gradient: flow.score(x).gradient, x: decoded.x, pullback: decoded.pullback(x) };
  return { logDet, logProb, ...Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, [...array]])) };
})
"""


def agree(texts, xs, zs, tmp_path):
    """Both directions, log p and both gradients are those of the flows read back from the files, in float64."""
    exports = "".join("{" + text + "EXPORTS.push(EXPORTED); }\n" for text in texts)
    pages = ran(f"const EXPORTS = []; {exports} {PASSES}", tmp_path, xs=[list(x) for x in xs], zs=[list(z) for z in zs])
    for text, page, x, z in zip(texts, pages, xs, zs, strict=True):
        flow = read_back(text)
        encoded, log_det, _ = flow.bijector.forward(x[None])
        decoded, _, cache = flow.bijector.inverse(z[None])
        here = {
            "z": encoded[0],
            "logDet": log_det[0],
            "logProb": flow.log_prob(x[None])[0],
            "gradient": flow.grad_log_prob(x[None])[0],
            "x": decoded[0],
            "pullback": flow.bijector.inverse_backward(x[None], np.zeros(1), cache)[0],
        }
        for name, value in here.items():
            np.testing.assert_allclose(page[name], value, rtol=1e-9, atol=1e-9 * np.abs(value).max(), err_msg=name)


def test_all_that_is_exported(rng, tmp_path):
    flows = small_flows(rng)
    xs = [rng.uniform(0.1, 0.9, flow.dim) for flow in flows]
    agree([to_web(flow) for flow in flows], xs, [rng.normal(size=flow.dim) for flow in flows], tmp_path)


def test_the_digits(rng, tmp_path):
    x, z = rng.uniform(0.05, 0.95, 784), 0.8 * rng.normal(size=784)
    agree([(FOLDER / "digits.js").read_text(encoding="utf-8")], [x], [z], tmp_path)


def test_the_page_of_digits(rng, tmp_path):
    text = (FOLDER / "digits.js").read_text(encoding="utf-8")
    levels = (rng.integers(0, 256, 784) * (rng.random(784) < 0.2) * (np.arange(784) > 300)).tolist()
    examples = [example["pixels"] for example in parts_of(text)[0]["examples"]]
    again = "examples.map((pixels) => packed(unpacked(pixels)))"
    drawing, repacked = ran(f"const result = [packed(levels), {again}]", tmp_path, levels=levels, examples=examples)
    assert repacked == examples
    flow = read_back(text)
    state = {"drawing": drawing, "temperature": 0.5, "known": "upper", "seed": 3}
    score = shown("digits.html", "score", tmp_path, **state)
    np.testing.assert_array_equal(np.floor(256 * np.array(score["x"])), levels)
    assert score["logProb"] == pytest.approx(flow.log_prob([score["x"]])[0], rel=1e-9)
    sample = shown("digits.html", "sample", tmp_path, **state)
    np.testing.assert_allclose(sample["x"], flow.decode([sample["z"]])[0], rtol=1e-7, atol=1e-9)
    assert np.std(sample["z"]) == pytest.approx(0.5, rel=0.1)


CHAINS = """
const flow = new Flow(EXPORTED), image = Float64Array.from([0, 0, y]), known = [0, 0, 1], result = [];
for (let k = 1; k <= 1500; k++) {
  let last = null;
  for (const step of completion(flow, image, known, generator(k))) last = step;
  result.push([...last.z]);
}
"""


def test_completions_are_draws_from_the_posterior(rng, tmp_path):
    """x = B z with z ~ N(0, I) and x_2 known up to sigma: z is Gaussian, of precision I + b b^T / sigma^2."""
    text = to_web(Flow("normal", registry.shaken(LULinear(3, rng=rng), rng, 0.5)))
    b, y, sigma = read_back(text).decode(np.eye(3))[:, 2], 0.8, 0.1
    z = np.array(ran(text + CHAINS, tmp_path, y=y))
    covariance = np.linalg.inv(np.eye(3) + np.outer(b, b) / sigma**2)
    u = (z - covariance @ b * y / sigma**2) @ np.linalg.inv(np.linalg.cholesky(covariance)).T  # white
    np.testing.assert_allclose(u.mean(axis=0), 0, atol=0.1)  # of 1500 draws: 4 standard errors
    np.testing.assert_allclose(np.cov(u.T), np.eye(3), atol=0.15)

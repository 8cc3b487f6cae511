"""The explorables compute what the library computes; opened from a file, as a teacher would who has no server."""

import html
import json
import re
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from browser import needs_chromium, opened

from nice_np import check_gradients, real_nvp
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

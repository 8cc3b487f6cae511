"""nice-np play on the command line: pictures without a window, your own model, and one-line errors."""

import json

import numpy as np
import pytest
from command_line import fail, run

from nice_np import load_model, nice, save_model
from nice_np.playground import window as figure


def test_it_saves_a_picture_and_says_where_the_sliders_are(tmp_path):
    picture = tmp_path / "play.png"
    words = ("play", "--law", "affine", "--couplings", "1", "--set", "a1=2", "--set", "w1=-0.5", "--save", picture)
    code, out, err = run(*words, "--json")
    assert (code, err) == (0, "")
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    result = json.loads(out)
    assert result["flow"] == {"law": "affine", "couplings": 1, "prior": "normal"}
    assert result["positions"] == {"w1": -0.5, "b1": 0, "r1": 0, "a1": 2, "s1": 0, "s2": 0}
    before = picture.read_bytes()
    assert "exists; --force replaces it" in fail(*words, code=1)
    assert picture.read_bytes() == before
    assert run(*words, "--force")[0] == 0


def test_a_seed_starts_at_random_and_repeats(tmp_path, monkeypatch):
    def positions(seed, *words):
        return json.loads(run("play", "--seed", seed, "--json", *words)[1])["positions"]

    monkeypatch.setattr(figure, "show", lambda ground, rng: ground)
    assert positions(1) == positions(1, "--save", tmp_path / "a.svg") != positions(2)


def test_the_random_button_continues_the_seeds_generator(monkeypatch):
    shown = []

    def show(ground, rng):
        shown.append(dict(ground.positions))
        ground.randomize(rng)  # like the button
        return ground

    monkeypatch.setattr(figure, "show", show)
    after = json.loads(run("play", "--seed", 1, "--json")[1])["positions"]
    assert after != shown[0]
    assert after == json.loads(run("play", "--seed", 1, "--json")[1])["positions"]


def test_a_trained_flow_from_a_file(tmp_path, rng):
    flow = nice(2, couplings=3, hidden=(4,), rng=0)
    flow.params.values[:] = rng.normal(0, 0.3, len(flow.params))
    save_model(tmp_path / "model.npz", flow)
    code, out, err = run("play", tmp_path / "model.npz", "--set", "l2=0.5", "--save", tmp_path / "a.png", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["positions"] == {"l2": 0.5, "l3": 1, "l4": 1, "l5": 1}
    np.testing.assert_array_equal(load_model(tmp_path / "model.npz")[0].params.values, flow.params.values)
    assert "only the tiny flow takes --law" in fail("play", tmp_path / "model.npz", "--law", "affine", code=1)
    assert "only the tiny flow takes --seed" in fail("play", tmp_path / "model.npz", "--seed", 0, code=1)
    save_model(tmp_path / "three.npz", nice(3, couplings=3, hidden=(4,), rng=0))
    assert "dimension 2 without a context, got dimension 3" in fail("play", tmp_path / "three.npz", code=1)
    assert "nowhere" in fail("play", tmp_path / "nowhere.npz", code=1)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--law", "afine"), 2, "did you mean affine?"),
        (("--couplings", "4"), 2, "expected a whole number from 1 to 3"),
        (("--prior", "gauss"), 2, "choose one of normal, logistic"),
        (("--set", "a1"), 2, "expected NAME=NUMBER such as a1=2, got 'a1'"),
        (("--set", "a1=nan"), 2, "expected NAME=NUMBER"),
        (("--set", "=2"), 2, "expected NAME=NUMBER"),
        (("--set", "q=2"), 1, "unknown knob 'q'; choose one of w1, b1, a1"),
        (("--set", "a1=9"), 1, "a1 goes from -3 to 3, got 9"),
        (("--save", "a.txt"), 2, "ending in .png or .pdf or .svg"),
        (("--save", "no-such-folder/a.png"), 1, "cannot write no-such-folder"),
    ],
)
def test_errors_are_one_line(words, code, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert message in fail("play", *words, code=code)
    assert not list(tmp_path.iterdir())


def test_without_a_window_it_names_save(monkeypatch):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    assert "--save FILE.png" in fail("play", code=1)
    assert not plt.get_fignums()

"""nice-np evaluate, sample, info, gradcheck and presets: what they print for a trained model, and for other files."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import as_json, child, fail, image_size, run, succeed

from nice_np import load_model, nice, one_hot, save_model
from nice_np.runs.presets import PRESETS


def test_evaluate_gives_the_scores_of_training(moons, demo):
    metrics = json.loads((moons / "metrics.json").read_text())
    for split in ("train", "validation", "test"):
        found = as_json(succeed("evaluate", moons, "--split", split, "--json"))
        assert found["log_likelihood"] == pytest.approx(metrics["log_likelihood"][split], rel=1e-12)
    out = succeed("evaluate", moons / "model.npz", "--data", "two-moons")
    assert f"two-moons test: {metrics['log_likelihood']['test']:.2f} +- " in out
    assert "nats" in out
    assert "bits/dim (bin width 1) over 5000 samples" in out
    folder, result = demo
    found = as_json(succeed("evaluate", folder, "--data", "mnist-small", "--split", "validation", "--json"))
    assert found["bits_per_dim"] == pytest.approx(result["bits_per_dim"]["validation"], rel=1e-9)


def test_sample_to_pictures_and_numbers(moons, demo, here):
    folder, _ = demo
    succeed("sample", folder, "-n", "6", "--out", "digits.png")
    succeed("sample", moons, "-n", "50", "--out", "POINTS.PNG")
    assert min(image_size(Path("digits.png"))) > 150
    assert min(image_size(Path("POINTS.PNG"))) > 200
    result = as_json(
        succeed("sample", moons, "-n", "5", "--seed", "9", "--temperature", "0.5", "--out", "x.NPY", "--json")
    )
    flow, _ = load_model(moons / "model.npz")
    np.testing.assert_array_equal(np.load("x.NPY"), flow.sample(5, rng=9, temperature=0.5))
    assert result["shape"] == [5, 2]
    before = Path("x.NPY").read_bytes()
    assert "x.NPY exists; --force replaces it" in fail("sample", moons, "--out", "x.NPY", code=1)
    assert Path("x.NPY").read_bytes() == before
    succeed("sample", moons, "-n", "5", "--out", "x.NPY", "--force")
    assert Path("x.NPY").read_bytes() != before
    assert sorted(path.name for path in here.iterdir()) == ["POINTS.PNG", "digits.png", "x.NPY"]


def test_sample_of_a_model_without_pictures(here):
    save_model("five.npz", nice(5, hidden=(4,), rng=0))
    assert "5 features are neither an image nor a point" in fail("sample", "five.npz", "--out", "a.png", code=1)
    assert not Path("a.png").exists()
    succeed("sample", "five.npz", "--out", "a.npy")
    assert "does not say what it was trained on" in fail("evaluate", "five.npz", code=1)
    assert "data set rings has 2 features, the model expects 5" in fail(
        "evaluate", "five.npz", "--data", "rings", code=1
    )
    assert "Flow(dim=5" in succeed("info", "five.npz")


def test_a_flow_with_labels_classifies(labelled):
    folder, out = labelled
    metrics = json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert metrics["accuracy"]["test"] > 0.5
    assert f"test label accuracy: {metrics['accuracy']['test']:.2%}" in out
    assert metrics["log_likelihood"]["test"] < metrics["log_likelihood_given_label"]["test"]
    flow, metadata = load_model(folder / "model.npz")
    assert flow.context_dim == 10
    assert metadata["accuracy"] == metrics["accuracy"]
    out = succeed("evaluate", folder)
    assert f"given the label {metrics['log_likelihood_given_label']['test']:.2f} nats" in out
    assert f"the most likely label is right for {metrics['accuracy']['test']:.2%}" in out


def test_a_chosen_label_is_drawn(labelled, moons, here):
    folder, _ = labelled
    flow, _ = load_model(folder / "model.npz")
    succeed("sample", folder, "-n", "5", "--label", "7", "--out", "sevens.npy")
    np.testing.assert_array_equal(np.load("sevens.npy"), flow.sample(5, rng=0, context=one_hot(np.full(5, 7), 10)))
    succeed("sample", folder, "-n", "12", "--out", "all.npy")
    in_turn = one_hot(np.arange(12) % 10, 10)
    np.testing.assert_array_equal(np.load("all.npy"), flow.sample(12, rng=0, context=in_turn))
    assert "knows the labels 0 .. 9, not 10" in fail("sample", folder, "--label", "10", "--out", "a.png", code=1)
    assert "trained without labels" in fail("sample", moons, "--label", "1", "--out", "a.png", code=1)


def test_presets_are_listed_with_size_and_source():
    out = succeed("presets")
    assert out.isascii()
    assert max(map(len, out.splitlines())) <= 135
    rows = as_json(succeed("presets", "--json"))["presets"]
    assert list(rows) == list(PRESETS)
    for name, row in rows.items():
        line = next(line for line in out.splitlines() if line.split()[0] == name)
        for text in (f"{row['parameters']:,}", row["source"], row["made_for"], row["description"]):
            assert text in line


def test_info_is_readable(moons):
    out = succeed("info", moons)
    assert "Flow(dim=2, prior=StandardNormal, float32" in out
    assert "dataset         two-moons" in out
    assert "None" not in out
    result = as_json(succeed("info", moons, "--json"))
    assert result["parameters"] == len(load_model(moons / "model.npz")[0].params)
    assert result["seed"] == 3


def test_gradcheck_passes_for_small_flows_and_a_model(tmp_path):
    result = as_json(succeed("gradcheck", "--json"))
    assert result["passed"] is True
    assert len(result["reports"]) >= 6
    for law in ("AdditiveCoupling", "MultiplicativeCoupling", "AffineCoupling"):
        assert law in str(result["reports"])
    save_model(tmp_path / "m.npz", nice(3, hidden=(4,), rng=0))
    out = succeed("gradcheck", tmp_path / "m.npz")
    assert str(tmp_path) in out
    assert out.endswith("all gradients agree with finite differences\n")


def test_gradcheck_of_a_wrong_gradient_ends_with_1(monkeypatch, tmp_path):
    from nice_np import AdditiveCoupling

    real = AdditiveCoupling._couple_backward
    monkeypatch.setattr(AdditiveCoupling, "_couple_backward", lambda self, *a: (real(self, *a)[0], -real(self, *a)[1]))
    code, out, err = run("gradcheck")
    assert (code, err) == (1, "")
    assert out.endswith("some gradients are WRONG, see above\n")
    save_model(tmp_path / "m.npz", nice(3, hidden=(4,), rng=0))
    code, out, _ = run("gradcheck", tmp_path / "m.npz", "--json")
    assert code == 1
    assert as_json(out)["passed"] is False


@pytest.mark.parametrize("command", ["info", "evaluate", "gradcheck", "sample"])
def test_files_that_are_not_models(command, moons, here):
    model = (moons / "model.npz").read_bytes()
    Path("empty.npz").write_bytes(b"")
    Path("cut.npz").write_bytes(model[:-1000])
    Path("text.npz").write_text("hello")
    Path("flipped.npz").write_bytes(model[:5000] + bytes(200) + model[5200:])
    Path("folder").mkdir()
    Path("unfinished").mkdir()
    shutil.copy(moons / "checkpoint.npz", "unfinished")
    options = ["--out", "a.npy"] if command == "sample" else []
    cases = {
        "empty.npz": "empty.npz", "cut.npz": "cut.npz", "text.npz": "not a nice_np file", "flipped.npz": "flipped.npz",
        "folder": "model.npz: No such file", "missing": "missing: No such file", "/proc/self/mem": "/proc/self/mem",
        "unfinished": "not finished, it has no model.npz yet", "unfinished/checkpoint.npz": "expected a model",
        "n" * 300: "File name too long", "cut.npz/m": "Not a directory", "a\nb\x1b[31m\udce9": r"a\nb\x1b[31m\udce9",
    }  # fmt: skip
    for name, says in cases.items():
        assert says in fail(command, name, *options, code=1)
    assert not Path("a.npy").exists()


@pytest.mark.parametrize(
    "metadata",
    [
        {"image_shape": "abc"}, {"image_shape": [0, 0]}, {"image_shape": {"a": 1}}, {"image_shape": [7, 9]},
        {"dataset": ["rings"]}, {"dataset": "moon"},
        {"dataset": "rings", "seed": -5}, {"dataset": "rings", "seed": "x"},
    ],
)  # fmt: skip
def test_models_with_strange_metadata(metadata, here):
    save_model("m.npz", nice(2, hidden=(4,), rng=0), metadata)
    fail(*(["sample", "m.npz", "--out", "a.png"] if "image_shape" in metadata else ["evaluate", "m.npz"]), code=1)
    assert not Path("a.png").exists()
    assert succeed("info", "m.npz").isascii()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX pipes")
def test_a_pipe_in_a_run_folder_does_not_block(moons, here):
    words = []
    for name in ("model.npz", "metrics.json", "history.csv", "figures/training_curve.png"):
        run = Path(name).stem
        shutil.copytree(moons, run)
        Path(run, name).unlink(missing_ok=True)
        os.mkfifo(Path(run, name))
        words += [["info", run], ["evaluate", run]] if name == "model.npz" else [["report", run, "--out", "a.html"]]
    code = f"from nice_np import cli\nprint([cli.main(words) for words in {words}])"
    found = child(code=code, text=True, timeout=60)  # one for all, since most of the time goes into its imports
    assert found.stdout == "[1, 1, 1, 1, 1]\n"
    assert found.stderr.splitlines() == [
        f"nice-np: error: cannot read {path}: it is not a regular file"
        for path in ("model/model.npz", "model/model.npz", "metrics/metrics.json", "history/history.csv",
                     "training_curve/figures/training_curve.png")
    ]  # fmt: skip

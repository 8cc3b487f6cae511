"""nice-np train and demo: what they print and write, existing run folders, and resuming."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import QUICK, fail, image_size, succeed

from nice_np import DivergenceError, Schedule, cli, datasets, load_model
from nice_np.commands import train
from nice_np.runs.presets import Preset


def test_demo_ends_with_the_likelihood_and_pictures(demo):
    folder, result = demo
    assert result["dataset"] == "mnist-small"
    assert result["bits_per_dim"]["test"] == pytest.approx(8 - result["log_likelihood"]["test"] / 784 / np.log(2))
    assert sorted(path.stem for path in (folder / "figures").iterdir()) == [
        "inpainting", "interpolation", "likelihoods", "nearest_neighbours", "reconstructions", "samples",
        "training_curve",
    ]  # fmt: skip
    for path in result["figures"]:
        assert min(image_size(Path(path))) > 150


def test_summary_names_nats_bits_and_the_folder(here):
    out = succeed("train", "rings", *QUICK)
    metrics = json.loads(Path("runs/rings/metrics.json").read_text())
    assert "rings, preset toy-affine" in out
    assert f"{metrics['log_likelihood']['test']:.2f} nats" in out
    assert f"{metrics['bits_per_dim']['test']:.4f}" in out
    assert "model and figures in runs/rings:" in out
    assert out.isascii()


def test_the_run_folder(moons):
    assert sorted(path.name for path in moons.iterdir()) == [
        "checkpoint.npz", "figures", "history.csv", "metrics.json", "model.npz", "settings.json",
    ]  # fmt: skip
    metrics = json.loads((moons / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert (metrics["dataset"], metrics["preset"], metrics["seed"]) == ("two-moons", "toy-affine", 3)
    assert metrics["configuration"]["batch_size"] == 5000
    assert metrics["configuration"]["epochs"] == metrics["epochs"] == 1
    assert metrics["steps"] == 2
    assert metrics["train_seconds"] > 0
    assert metrics["versions"]["numpy"] == np.__version__
    assert metrics["threads"]["cores"] >= 1
    flow, metadata = load_model(moons / "model.npz")
    assert metrics["parameters"] == len(flow.params)
    assert metadata["log_likelihood"] == metrics["log_likelihood"]
    for split in ("train", "validation", "test"):
        points = datasets.load("two-moons", seed=3).split(split)
        nats = flow.log_prob(points).mean(dtype=np.float64)
        assert metrics["log_likelihood"][split] == pytest.approx(nats, rel=1e-6)
        assert metrics["bits_per_dim"][split] == pytest.approx(-nats / 2 / np.log(2), rel=1e-6)
    with open(moons / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1
    assert float(rows[0]["validation_log_likelihood"]) == pytest.approx(
        metrics["log_likelihood"]["validation"], rel=1e-6
    )


def test_every_data_set_has_a_name_and_every_preset_trains(here, no_figures):
    for name in datasets.TOYS:
        assert cli.parse(["train", name]).dataset == name
    succeed("train", "swiss-roll", *QUICK, "--preset", "toy", "--out", "a")
    succeed("train", "grid", *QUICK, "--preset", "digits-nice", "--out", "b")
    assert (here / "b" / "model.npz").exists()


def test_without_a_length_the_preset_decides(moons, here, monkeypatch):
    class Enough(Exception):
        pass

    given = {}

    def spy(flow, x, context, **settings):
        given.update(settings)
        raise Enough

    monkeypatch.setattr(train, "fit", spy)
    assert "Enough" in fail("train", "two-moons", "--quiet", code=1)
    assert (given["epochs"], given["time_limit"], given["batch_size"]) == (100, None, 256)
    fail("train", "two-moons", "--quiet", "--time-limit", "2.5", "--learning-rate", "0.5", code=1)
    assert (given["epochs"], given["time_limit"]) == (None, 2.5)
    assert "0.5" in repr(given["learning_rate"])


def test_threads_change_only_the_last_digits(moons, here, no_figures):
    succeed("train", "two-moons", *QUICK, "--seed", "3", "--threads", "2", "--out", "threads")
    alone, shared = (json.loads((folder / "metrics.json").read_text()) for folder in (moons, Path("threads")))
    assert "--threads=2" in shared["command"]
    assert "--threads" not in alone["command"]
    assert shared["log_likelihood"] == pytest.approx(alone["log_likelihood"], rel=1e-4)


def test_divergence_is_one_line(here, monkeypatch):
    def diverge(*arguments, **settings):
        raise DivergenceError("training diverged at step 3")

    monkeypatch.setattr(train, "fit", diverge)
    assert "training diverged at step 3" in fail("train", "rings", *QUICK, code=1)


def test_a_training_that_diverges_keeps_its_best_model_and_says_how_to_go_on(here, monkeypatch, no_figures):
    class Rising(Schedule):
        def __call__(self, step, progress):
            return 1e-3 if step < 30 else 1e6

    monkeypatch.setattr(Preset, "training", lambda *arguments: {"learning_rate": Rising(), "batch_size": 500})
    said = fail("train", "rings", "--epochs=9", "--seed=3", "--out=r", "-q", code=1)
    assert re.search(r"after 4 retries.*the best model so far, of epoch \d, is r/model\.npz; start again with: ", said)
    assert said.rstrip().endswith("nice-np train rings --epochs=9 --learning-rate=0.0002 --seed=3 --out=r --force")
    succeed("sample", "r", "--out=s.npy")
    succeed(*said.rstrip().split("start again with: nice-np ")[1].replace("--epochs=9", "--epochs=1").split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--preset", "mnist-affine"), "is not between"),  # a logit's pixels
        (("--tensorboard", "a-file"), "tensorboardX|cannot write into"),  # which may not be installed
        (("--preset", "mnist-code", "--learning-rate", "5e-5"), "--learning-rate"),
    ],
)
def test_a_refused_command_keeps_the_old_run(words, says, moons, here):
    folder = here / "run"
    shutil.copytree(moons, folder)
    (here / "a-file").touch()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    err = fail("train", "two-moons", *QUICK, "--out", folder, "--force", *words, code=2 if "5e-5" in words else 1)
    assert re.search(says, err)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_run_is_kept_unless_forced(moons, tmp_path, no_figures):
    folder = tmp_path / "run"
    shutil.copytree(moons, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "already holds a run (model.npz)" in fail("train", "two-moons", *QUICK, "--out", folder, code=1)
    for changed, says in {
        ("--seed", "4"): "seed is 4 now and was 3 then",
        ("--seed", "3", "--preset", "toy"): "preset is toy now and was toy-affine then",
        ("--seed", "3", "--batch-size", "2500"): "batch_size is 2500 now and was 5000 then",
        ("--seed", "3", "--learning-rate", "0.25"): "learning_rate is ",
    }.items():
        assert says in fail("train", "two-moons", *QUICK, "--out", folder, "--resume", *changed, code=1)
    err = fail("train", "rings", *QUICK, "--seed", "3", "--out", folder, "--resume", code=1)
    assert "dataset is rings now and was two-moons then" in err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    succeed("train", "rings", *QUICK, "--out", folder, "--force")
    assert json.loads((folder / "metrics.json").read_text())["dataset"] == "rings"


def test_resuming_a_finished_run_extends_it_or_changes_nothing(moons, tmp_path, no_figures):
    folder = tmp_path / "run"
    shutil.copytree(moons, folder)
    words = ["train", "two-moons", "--batch-size", "5000", "--quiet", "--seed", "3", "--resume", "--out", folder]
    (folder / "model.npz").unlink()
    succeed(*words, "--epochs", "1")
    assert (folder / "model.npz").read_bytes() == (moons / "model.npz").read_bytes()
    succeed(*words, "--epochs", "3")
    assert json.loads((folder / "metrics.json").read_text())["epochs"] == 3


def test_resume_of_nothing_creates_nothing(here):
    err = fail("train", "rings", *QUICK, "--resume", code=1)
    assert f"nothing to resume: {Path('runs/rings/checkpoint.npz')} does not exist" in err
    assert list(here.iterdir()) == []


def test_a_data_set_that_is_missing_creates_nothing(here):
    assert "train-images-idx3-ubyte" in fail("train", "mnist", "--data-dir", "nowhere", "--quiet", code=1)
    assert list(here.iterdir()) == []


def test_the_command_to_resume_is_complete():
    words = "train rings --epochs 7 --seed 4 --preset toy --learning-rate 0.002 --batch-size 99 --data-dir d --out o"
    arguments = cli.parse([*words.split(), "--threads", "2", "--checkpoint-every", "5"])
    again = cli.parse(train.resume_command(arguments).split()[1:])
    assert vars(again) == {**vars(arguments), "resume": True}
    assert train.resume_command(cli.parse(["train", "rings"])) == "nice-np train rings --resume"
    assert "checkpoint" not in train.train_command(arguments)


def test_a_learning_rate_that_does_not_fit_the_presets_schedule_is_a_usage_error(here):
    words = ("train", "mnist-small", *QUICK, "--preset", "mnist-code")
    err = fail(*words, "--learning-rate", "5e-5", code=2)
    assert "argument --learning-rate: does not fit preset mnist-code; ExponentialDecay: minimum 0.0001 is above" in err
    assert list(here.iterdir()) == []

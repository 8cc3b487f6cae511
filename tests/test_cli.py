"""The command line: what it prints, where it writes, how it ends; as a newcomer and as an adversary."""

import csv
import io
import json
import os
import shutil
import struct
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from nice_np import DivergenceError, NiceFileError, cli, commands, datasets, load_model, nice, one_hot, save_model
from nice_np.presets import PRESETS
from nice_np.progress import Progress

QUICK = ["--epochs", "1", "--batch-size", "5000", "--quiet"]
ROOT = Path(cli.__file__).parents[1]  # children find the package also from another folder
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "error", "PYTHONPATH": str(ROOT)}
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)  # with a buffer, what cannot be written shows late
COMMANDS = ("demo", "train", "evaluate", "sample", "gradcheck", "presets", "info")


def run(*words):
    """Exit code, standard output and standard error of a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def succeed(*words):
    code, out, err = run(*words)
    assert code == 0, err
    return out


def as_json(text):
    """The only object in the text, in which NaN does not occur."""
    assert text.count("\n") == 1
    return json.loads(text, parse_constant=pytest.fail)


def fail(*words, code):
    found, out, err = run(*words)
    assert found == code, err
    assert out == ""
    assert err.startswith("nice-np: error: ")
    assert err.count("\n") == 1
    assert err.isascii()
    return err


def child(*words, code=None, **settings):
    first = ["-m", "nice_np"] if code is None else ["-c", code]
    settings = {"env": ENVIRONMENT, "capture_output": True, "timeout": 120, **settings}
    return subprocess.run([sys.executable, *first, *map(str, words)], **settings)


def image_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


@pytest.fixture(scope="module")
def moons(tmp_path_factory):
    """A finished run on two moons; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "moons"
    succeed("train", "two-moons", *QUICK, "--seed", "3", "--out", folder)
    return folder


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder and the result of the demo, cut short."""
    folder = tmp_path_factory.mktemp("runs") / "demo"
    return folder, as_json(succeed("demo", "--time-limit", "0.3", "--quiet", "--json", "--out", folder))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """The folder and the result of a run with labels, cut short and without figures."""
    folder = tmp_path_factory.mktemp("runs") / "labelled"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "draw", lambda *arguments: [])
        words = ("train", "mnist-small", "--preset", "mnist-labels", "--epochs", "2", "--quiet", "--out", folder)
        return folder, succeed(*words)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_figures(monkeypatch):
    """Drawing takes longer than these trainings."""
    monkeypatch.setattr(commands, "draw", lambda *arguments: [])


# -- a newcomer -----------------------------------------------------------------------------------------------------


def test_demo_ends_with_the_likelihood_and_pictures(demo):
    folder, result = demo
    assert result["dataset"] == "mnist-small"
    assert result["bits_per_dim"]["test"] == pytest.approx(8 - result["log_likelihood"]["test"] / 784 / np.log(2))
    assert sorted(path.stem for path in (folder / "figures").iterdir()) == [
        "inpainting", "interpolation", "likelihoods", "nearest_neighbours", "reconstructions", "samples", "spectrum",
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
    succeed("train", "grid", *QUICK, "--preset", "digits", "--out", "b")
    assert (here / "b" / "model.npz").exists()


def test_without_a_length_the_preset_decides(moons, here, monkeypatch):
    class Enough(Exception):
        pass

    given = {}

    def spy(flow, x, context, **settings):
        given.update(settings)
        raise Enough

    monkeypatch.setattr(commands, "fit", spy)
    assert "Enough" in fail("train", "two-moons", "--quiet", code=1)
    assert (given["epochs"], given["time_limit"], given["batch_size"]) == (100, None, 256)
    fail("train", "two-moons", "--quiet", "--time-limit", "2.5", "--learning-rate", "0.5", code=1)
    assert (given["epochs"], given["time_limit"]) == (None, 2.5)
    assert "0.5" in repr(given["learning_rate"])


def test_threads_change_nothing_but_the_last_digits(moons, here, no_figures):
    succeed("train", "two-moons", *QUICK, "--seed", "3", "--threads", "2", "--out", "threads")
    alone, shared = (json.loads((folder / "metrics.json").read_text()) for folder in (moons, Path("threads")))
    assert "--threads=2" in shared["command"]
    assert "--threads" not in alone["command"]
    assert shared["log_likelihood"] == pytest.approx(alone["log_likelihood"], rel=1e-4)


def test_evaluate_says_what_training_said(moons, demo):
    metrics = json.loads((moons / "metrics.json").read_text())
    for split in ("train", "validation", "test"):
        found = as_json(succeed("evaluate", moons, "--split", split, "--json"))
        assert found["log_likelihood"] == pytest.approx(metrics["log_likelihood"][split], rel=1e-12)
    out = succeed("evaluate", moons / "model.npz", "--data", "two-moons")
    assert f"two-moons test: {metrics['log_likelihood']['test']:.2f} +- " in out
    assert "nats" in out
    assert "bits/dim over 5000 samples" in out
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


def test_sample_of_a_model_that_is_no_picture(here):
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
    assert f"test labels found: {metrics['accuracy']['test']:.2%}" in out
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
    out = succeed("gradcheck")
    assert out.endswith("all gradients agree with finite differences\n")
    for law in ("AdditiveCoupling", "MultiplicativeCoupling", "AffineCoupling"):
        assert law in out
    result = as_json(succeed("gradcheck", "--json"))
    assert result["passed"] is True
    assert len(result["reports"]) >= 6
    save_model(tmp_path / "m.npz", nice(3, hidden=(4,), rng=0))
    assert str(tmp_path) in succeed("gradcheck", tmp_path / "m.npz")


def test_gradcheck_of_a_wrong_gradient_ends_with_1(monkeypatch):
    from nice_np import AdditiveCoupling

    real = AdditiveCoupling._couple_backward
    monkeypatch.setattr(AdditiveCoupling, "_couple_backward", lambda self, *a: (real(self, *a)[0], -real(self, *a)[1]))
    code, out, err = run("gradcheck")
    assert (code, err) == (1, "")
    assert out.endswith("some gradients are WRONG, see above\n")
    code, out, _ = run("gradcheck", "--json")
    assert code == 1
    assert as_json(out)["passed"] is False


def test_divergence_is_one_line(here, monkeypatch):
    def diverge(*arguments, **settings):
        raise DivergenceError("training diverged at step 3")

    monkeypatch.setattr(commands, "fit", diverge)
    assert "training diverged at step 3" in fail("train", "rings", *QUICK, code=1)


# -- usage ----------------------------------------------------------------------------------------------------------


def test_alone_it_names_the_commands():
    err = fail(code=2)
    for name in COMMANDS:
        assert name in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("trian rings", r"unknown command 'trian' (did you mean train?)"),
        ("train", "required: DATASET (see nice-np train --help)"),
        ("train two_moon", "unknown data set 'two_moon' (did you mean two-moons?); choose one of mnist-small, mnist"),
        ("train fashion", "unknown data set 'fashion'; choose one of"),
        ("train rings --preset digit", "unknown preset 'digit' (did you mean digits?)"),
        ("train rings --epochs 0", "argument --epochs: expected a whole number from 1 to"),
        ("train rings --epochs -1", "argument --epochs"),
        ("train rings --epochs 1e3", "got '1e3'"),
        ("train rings --epochs 2.5", "got '2.5'"),
        ("train rings --epochs nan", "got 'nan'"),
        ("train rings --epochs " + "9" * 5000, "argument --epochs"),
        ("train rings --batch-size 0", "argument --batch-size"),
        ("train rings --batch-size " + "9" * 400, "argument --batch-size"),
        ("train rings --threads 0", "argument --threads: expected a whole number from 1 to"),
        ("train rings --learning-rate nan", "argument --learning-rate: expected a number > 0, got 'nan'"),
        ("train rings --learning-rate inf", "got 'inf'"),
        ("train rings --learning-rate 0", "got '0'"),
        ("train rings --learning-rate fast", "got 'fast'"),
        ("train rings --time-limit 0", "argument --time-limit: expected a number > 0"),
        ("train rings --time-limit -5", "argument --time-limit"),
        ("train rings --epochs 2 --time-limit 2", "not allowed with argument --epochs"),
        ("train rings --seed -1", "argument --seed"),
        ("train rings --checkpoint-every 0", "argument --checkpoint-every"),
        ("train rings --resume --force", "--resume goes on with a run and --force replaces it"),
        ("train rings --epoch 3", "unknown argument '--epoch' (did you mean --epochs?) (see nice-np train --help)"),
        ("train rings --res", "unknown argument '--res'"),
        ("train rings rings", "unknown argument 'rings'"),
        ("train --epochs", "argument --epochs: expected one argument"),
        ("--json train rings", "unknown argument '--json'; write it after train"),
        ("demo --resume", "unknown argument '--resume'"),
        ("demo --time-limit nan", "argument --time-limit"),
        ("sample run", "required: --out"),
        ("sample run --out a.jpg", "expected a file that ends in .png or .npy, got 'a.jpg'"),
        ("sample run --out a.png -n 0", "argument -n"),
        ("sample run --out a.png -n 99999999999", "argument -n"),
        ("sample run --out a.png --temperature -1", "argument --temperature: expected a number >= 0"),
        ("evaluate", "required: MODEL"),
        ("evaluate run --split tset", "unknown split 'tset' (did you mean test?)"),
        ("evaluate run --data moon", "unknown data set 'moon'"),
        ("gradcheck --seed x", "argument --seed"),
        ("info", "required: MODEL"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2_and_creates_nothing(words, says, here):
    assert says in fail(*words.split(), code=2)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help(command):
    out = succeed(*command, "--help")
    assert out.startswith(" ".join(("usage: nice-np", *command)))
    assert out.isascii()
    assert max(map(len, out.splitlines())) <= 110
    if command == ("train",):
        for name in (*datasets.names(), *PRESETS):
            assert name in out


def test_help_examples_can_be_parsed():
    examples = [line.strip() for line in (cli.EXAMPLES + cli._train_epilog()).splitlines() if "  nice-np " in line]
    assert len(examples) >= 8
    for example in examples:
        cli.parse(example.split("  ")[0].split()[1:])


def test_version():
    assert succeed("--version") == f"nice-np {cli.__version__}\n"


def test_help_imports_nothing_heavy():
    code = """
import sys
from nice_np.cli import main
for words in (["--help"], ["train", "--help"], ["demo", "--help"], ["trian"], ["--version"], ["info", "/nowhere"]):
    main(words)
print(sorted({"numba", "matplotlib", "scipy", "pooch", "tqdm"} & set(sys.modules)))
"""
    found = child(code=code, text=True)
    assert found.stdout.splitlines()[-1] == "[]", found.stderr


# -- folders and files that are in the way --------------------------------------------------------------------------


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


def test_out_that_cannot_be_written(moons, here):
    Path("file").write_text("mine")
    assert "file is not a folder" in fail("train", "rings", *QUICK, "--out", "file", code=1)
    for out in ("file/below", "/proc/nowhere", "n" * 300, "d/" * 3000):
        assert "cannot" in fail("train", "rings", *QUICK, "--out", out, "--force", code=1)
    for out in ("file/a.png", "no/a.npy", "n" * 300 + ".npy"):
        assert "cannot write" in fail("sample", moons, "--out", out, "--force", code=1)
    Path("folder.png").mkdir()
    assert "it is a folder" in fail("sample", moons, "--out", "folder.png", "--force", code=1)
    assert sorted(path.name for path in here.iterdir()) == ["file", "folder.png"]
    assert Path("file").read_text() == "mine"


@pytest.mark.parametrize("command", ["info", "evaluate", "gradcheck", "sample"])
def test_models_that_are_none(command, moons, here):
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


@pytest.mark.parametrize("name", ["with space", "ünïcødé-雪", "-dash", "quote'\"", "%s{}", "..."])
def test_odd_paths(name, here, no_figures):
    succeed("train", "rings", *QUICK, f"--out={name}")
    succeed("evaluate", "--", name)
    succeed("sample", "--out", f"./{name}.npy", "--", name)
    assert Path(f"{name}.npy").exists()
    assert name in as_json(succeed("sample", f"--out={name}.npy", "--force", "--json", f"./{name}"))["out"]


def test_debug_shows_the_traceback(here):
    with pytest.raises(NiceFileError, match="No such file"):
        run("info", "missing", "--debug")


def test_a_bug_is_one_line_too(moons, monkeypatch):
    monkeypatch.setattr(commands, "info", lambda arguments: 1 / 0)
    assert "ZeroDivisionError: division by zero (--debug shows where)" in fail("info", moons, code=1)
    monkeypatch.setattr(commands, "info", lambda arguments: bytearray(2**62))
    assert "out of memory" in fail("info", moons, code=1)


def test_the_command_to_go_on_says_all_that_matters():
    words = "train rings --epochs 7 --seed 4 --preset toy --learning-rate 0.002 --batch-size 99 --data-dir d --out o"
    arguments = cli.parse([*words.split(), "--threads", "2"])
    again = cli.parse(commands.resume_command(arguments).split()[1:])
    assert vars(again) == {**vars(arguments), "resume": True}


# -- terminals, pipes, locales --------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], ["info", "MODEL"], ["evaluate", "MODEL", "--json"]])
def test_a_full_or_closed_standard_output(words, moons):
    words = [str(moons) if word == "MODEL" else word for word in words]
    with open("/dev/full", "w") as full:
        found = child(*words, stdout=full, stderr=subprocess.PIPE, capture_output=False, text=True)
    assert found.returncode == 1
    assert found.stderr == "nice-np: error: cannot write to standard output: No space left on device\n"

    shell = f"exec {sys.executable} -m nice_np " + " ".join(words)
    for closed in (">&-", ">&- 2>&-"):
        found = subprocess.run(
            ["sh", "-c", f"{shell} {closed}"], env=ENVIRONMENT, capture_output=True, text=True, timeout=60
        )
        assert found.returncode == 0
        assert "Traceback" not in found.stderr


def test_errors_with_a_closed_standard_error_do_not_go_to_standard_output(here):
    for words in ("info missing", "trian"):
        shell = f"exec {sys.executable} -m nice_np {words} 2>&-"
        found = subprocess.run(["sh", "-c", shell], env=ENVIRONMENT, capture_output=True, timeout=60)
        assert found.returncode in (1, 2)
        assert found.stdout == b""


def test_a_full_standard_error(here):
    with open("/dev/full", "w") as full:
        for words, code in ((["info", "missing"], 1), (["trian"], 2)):
            assert child(*words, stdout=full, stderr=full, capture_output=False).returncode == code


@pytest.mark.parametrize("words", [["--help"], ["gradcheck"]])
def test_a_reader_that_has_seen_enough(words):
    read, write = os.pipe()
    os.close(read)
    try:
        found = child(*words, stdout=write, stderr=subprocess.PIPE, capture_output=False)
    finally:
        os.close(write)
    assert (found.returncode, found.stderr) == (0, b"")


def test_a_log_that_is_full_does_not_stop_training(tmp_path):
    with open("/dev/full", "w") as full:
        found = child(
            "train",
            "rings",
            *QUICK[:-1],
            "--out",
            tmp_path / "run",
            stderr=full,
            stdout=subprocess.PIPE,
            capture_output=False,
        )
    assert found.returncode == 0
    assert b"bits/dim" in found.stdout


def test_the_c_locale(moons, tmp_path):
    environment = {**ENVIRONMENT, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    odd = tmp_path / "ünïcødé"
    shutil.copytree(moons, odd)
    for words in (["info", odd], ["evaluate", odd], ["sample", odd, "--out", odd / "雪.npy"]):
        found = child(*words, env=environment)
        assert found.returncode == 0, found.stderr
        assert found.stdout.isascii()
    assert (odd / "雪.npy").exists()
    found = child("info", odd / "雪", env=environment)
    assert found.returncode == 1
    assert b"Traceback" not in found.stderr
    found = child("train", "rings", *QUICK[:-1], "--out", odd / "ü", env=environment)
    assert found.returncode == 0, found.stderr


def test_in_a_log_progress_is_lines(here, no_figures):
    code, _, err = run("train", "rings", "--epochs", "2", "--batch-size", "5000")
    assert code == 0
    assert "\r" not in err
    first, last = err.splitlines()
    assert first.startswith(f"training on rings for 2 epoch(s), run folder {Path('runs/rings')} (Ctrl-C stops")
    assert last.startswith("epoch 2 100% -")
    assert last.endswith(" samples/s")


def test_long_runs_say_something_now_and_then(monkeypatch):
    monkeypatch.setattr("nice_np.progress.SECONDS_PER_LINE", 0.0)
    err = io.StringIO()
    with redirect_stderr(err):
        bar = Progress(True)
        bar.update(0.25, 1, -2.0, 3.0, 100.0)
        bar.update(0.50, 2, -1.0, 2.0, 100.0)
        bar.close()
        bar.close()
    assert err.getvalue().splitlines() == [
        "epoch 1  25% -2.00 nats, 3.000 bits/dim, 100 samples/s",
        "epoch 2  50% -1.00 nats, 2.000 bits/dim, 100 samples/s",
    ]


def test_progress_that_cannot_be_shown_is_given_up(monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("nice_np.progress.SECONDS_PER_LINE", 0.0)
    with redirect_stderr(Full()):
        for work in (lambda bar: bar.update(0.5, 1, -2.0, 3.0, 100.0), Progress.close):
            bar = Progress(True)
            bar.show.line = "left to print"
            work(bar)
            assert bar.show is None
            work(bar)
    with redirect_stderr(None):
        assert Progress(True).show is None


def test_in_a_terminal_progress_is_a_bar(tmp_path):
    pty = pytest.importorskip("pty")
    import fcntl  # as pty, only where there are terminals of this kind
    import termios

    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))  # rows, columns
        found = child(
            "train",
            "rings",
            *QUICK[:-1],
            "--out",
            tmp_path / "run",
            stderr=theirs,
            stdout=subprocess.PIPE,
            capture_output=False,
        )
        shown = os.read(ours, 100_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert found.returncode == 0
    last = shown.splitlines()[-1].split("\r")[-1]
    assert last.startswith("epoch 1 100%|")
    assert shown.endswith("\n")

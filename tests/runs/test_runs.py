"""Run folders: what is refused and replaced; scores of a model on a data set."""

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nice_np
from nice_np import NiceFileError, NiceValueError, datasets, nice, one_hot
from nice_np.pixels.dequantize import BIN_WIDTH
from nice_np.runs.folder import check_folder, environment, open_folder
from nice_np.runs.scoring import as_density_input, label_context, score

SETTINGS = {"dataset": "two-moons", "preset": "toy", "seed": 0, "batch_size": 256}


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(folder, settings=SETTINGS, **how):
    """Try to open a run folder that must not be opened."""
    with open_folder(folder, settings, **how):
        pytest.fail("the run began")


def test_a_new_folder_is_made_with_its_parents(tmp_path):
    folder = tmp_path / "a" / "b c"
    check_folder(folder, resume=False, force=False)
    assert contents(tmp_path) == []
    with open_folder(folder, SETTINGS, resume=False):
        assert contents(folder) == [".nice-np.lock", "figures", "settings.json"]
    assert contents(folder) == ["figures", "settings.json"]
    assert json.loads((folder / "settings.json").read_text()) == {"nice_np": nice_np.__version__, **SETTINGS}
    check_folder(folder, resume=False, force=False)  # no results yet
    with open_folder(folder, {**SETTINGS, "seed": 7}, resume=False):
        assert json.loads((folder / "settings.json").read_text())["seed"] == 7


@pytest.mark.parametrize("words", ["missing/../p", "missing/..", "missing/../sub/p"])
@pytest.mark.parametrize("force", [False, True])
def test_a_path_through_a_missing_folder_makes_no_folder(words, force, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "settings.json").write_text("mine")
    with pytest.raises(NiceFileError, match=r"missing/\.\.\S*: No such file"):
        check_folder(tmp_path / words, resume=False, force=force)
    check_folder(tmp_path / "p" / ".." / "new", resume=False, force=False)
    assert contents(tmp_path) == ["p", "p/settings.json"]


@pytest.mark.parametrize("name", ["model.npz", "checkpoint.npz", "metrics.json", "history.csv", "figures/density.png"])
def test_a_run_is_not_overwritten_without_force(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(NiceFileError, match=rf"already holds a run \({name}\); --resume .*--force .*--out"):
        check_folder(tmp_path, resume=False, force=False)
    assert (tmp_path / name).read_text() == "old"
    check_folder(tmp_path, resume=False, force=True)
    with open_folder(tmp_path, SETTINGS, resume=False, force=True):
        assert not (tmp_path / name).exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ['{"mine": 1}', "[]", "{", "", "null"])
@pytest.mark.parametrize("resume", [False, True])
def test_settings_of_somebody_else_are_kept(text, resume, tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(text)
    if resume:  # they are compared as far as they go, and never written
        (tmp_path / "checkpoint.npz").write_bytes(b"")
        with contextlib.suppress(NiceFileError), open_folder(tmp_path, SETTINGS, resume=True):
            pass
    else:
        with pytest.raises(NiceFileError, match=r"settings.json was not written by nice-np; --force replaces it"):
            check_folder(tmp_path, resume=False, force=False)
        with (
            pytest.raises(NiceFileError, match="was not written by nice-np"),
            open_folder(tmp_path, SETTINGS, resume=False),
        ):
            pytest.fail("the run began")
    assert path.read_text() == text
    if not resume:
        with open_folder(tmp_path, SETTINGS, resume=False, force=True):
            assert json.loads(path.read_text())["dataset"] == "two-moons"


@pytest.mark.parametrize("name", ["settings.json", "model.npz", "checkpoint.npz", "figures/density.png", "figures"])
@pytest.mark.parametrize("target", ["missing", "file", "folder"])
@pytest.mark.parametrize("force", [False, True])
def test_nothing_is_written_through_a_link(name, target, force, tmp_path):
    folder = tmp_path / "run"
    (folder / name).parent.mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (folder / name).symlink_to(tmp_path / target)
    before = contents(tmp_path)
    with pytest.raises(NiceFileError, match="cannot write into"):
        check_folder(folder, resume=False, force=force)
    with (
        pytest.raises(NiceFileError, match="cannot write into"),
        open_folder(folder, SETTINGS, resume=False, force=force),
    ):
        pytest.fail("the run began")
    assert (tmp_path / "file").read_text() == "mine"
    assert [path for path in contents(tmp_path) if path != "run/figures"] == [p for p in before if p != "run/figures"]


def test_the_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "large-disk").mkdir()
    (tmp_path / "run").symlink_to("large-disk")
    check_folder(tmp_path / "run", resume=False, force=False)
    with open_folder(tmp_path / "run", SETTINGS, resume=False):
        assert (tmp_path / "large-disk" / "settings.json").exists()


@pytest.mark.parametrize(("resume", "force"), [(False, False), (False, True), (True, False)])
def test_one_folder_one_run_at_a_time(resume, force, tmp_path):
    with open_folder(tmp_path, SETTINGS, resume=False):
        (tmp_path / "checkpoint.npz").write_bytes(b"mine")
        before = contents(tmp_path)
        says = rf"{tmp_path.name} is in use by process {os.getpid()} on .* since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d; wait"
        with pytest.raises(NiceFileError, match=says):
            check_folder(tmp_path, resume=resume, force=force)
        with pytest.raises(NiceFileError, match=says), open_folder(tmp_path, SETTINGS, resume=resume, force=force):
            pytest.fail("a second run began")
        assert contents(tmp_path) == before
    with open_folder(tmp_path, SETTINGS, resume=resume, force=True):
        pass


def test_a_run_that_came_and_went_meanwhile_is_not_replaced(tmp_path):
    check_folder(tmp_path, resume=False, force=False)
    with open_folder(tmp_path, SETTINGS, resume=False):
        (tmp_path / "model.npz").write_text("theirs")
    with pytest.raises(NiceFileError, match="already holds a run"), open_folder(tmp_path, SETTINGS, resume=False):
        pytest.fail("the run began")
    assert (tmp_path / "model.npz").read_text() == "theirs"


def test_what_cannot_be_a_folder_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(NiceFileError, match=r"file is not a folder; choose another one with --out"):
        check_folder(file, resume=False, force=True)
    for folder in (file / "below", Path("/proc/nowhere/run"), tmp_path / ("n" * 300)):
        with pytest.raises(NiceFileError, match=r"cannot write into .*: (Not a directory|No such|File name too)"):
            refused(folder, resume=False)
    assert contents(tmp_path) == ["file"]
    assert file.read_text() == "mine"


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    (tmp_path / "run" / "model.npz").mkdir(parents=True)
    for force in (False, True):
        with pytest.raises(NiceFileError, match=r"cannot write into .*run: model.npz: it is a folder"):
            check_folder(tmp_path / "run", resume=False, force=force)


def test_resume_needs_a_checkpoint_and_creates_nothing(tmp_path):
    with pytest.raises(NiceFileError, match=r"nothing to resume: .*checkpoint.npz does not exist"):
        check_folder(tmp_path / "new", resume=True, force=False)
    assert contents(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "now"), [("dataset", "rings"), ("preset", "toy-affine"), ("seed", 7), ("batch_size", 1)]
)
def test_resume_with_another_setting_names_both_values(name, now, tmp_path):
    with open_folder(tmp_path, SETTINGS, resume=False):
        (tmp_path / "checkpoint.npz").write_bytes(b"")
    check_folder(tmp_path, resume=True, force=False)
    with open_folder(tmp_path, SETTINGS, resume=True):
        assert (tmp_path / "checkpoint.npz").exists()
    before = (tmp_path / "settings.json").read_bytes()
    with pytest.raises(NiceValueError, match=rf"{name} is {now} now and was {SETTINGS[name]} then"):
        refused(tmp_path, {**SETTINGS, name: now}, resume=True)
    assert (tmp_path / "settings.json").read_bytes() == before


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_damaged_settings_are_named(damage, tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(b"")
    (tmp_path / "settings.json").write_bytes(damage)
    with pytest.raises(NiceFileError, match=r"cannot read .*settings.json: .*; delete it"):
        refused(tmp_path, resume=True)
    (tmp_path / "settings.json").unlink()
    with open_folder(tmp_path, SETTINGS, resume=True):
        assert (tmp_path / "settings.json").exists()


def test_score_of_points_and_pixels(rng):
    moons = datasets.load("two-moons")
    flow = nice(2, hidden=(8,), prior="normal", rng=0)
    flow.params.values[:] = 0  # the identity: the density of the prior itself
    expected = -0.5 * (moons.test**2).sum(axis=1) - np.log(2 * np.pi)
    found = score(flow, moons, "test", seed=1)
    assert found["log_likelihood"] == pytest.approx(expected.mean(), rel=1e-5)
    assert found["standard_error"] == pytest.approx(expected.std() / np.sqrt(5000), rel=1e-4)
    assert found["bits_per_dim"] == pytest.approx(-expected.mean() / (2 * np.log(2)), rel=1e-5)
    assert found["samples"] == 5000

    pixels = rng.integers(0, 256, (50, 6)).astype(np.uint8)
    images = datasets.Dataset("images", pixels, pixels[:5], pixels, image_shape=(2, 3), bin_width=BIN_WIDTH)
    flow = nice(6, hidden=(8,), prior="normal", rng=0)
    flow.params.values[:] = 0
    x = as_density_input(pixels, 3, flow)
    assert ((pixels <= x * 256) & (x * 256 < pixels + 1.001)).all()
    expected = (-0.5 * x**2 - 0.5 * np.log(2 * np.pi)).sum(axis=1).mean()
    found = score(flow, images, "test", seed=3)
    assert found["log_likelihood"] == pytest.approx(expected, rel=1e-5)
    assert found["bits_per_dim"] == pytest.approx(-expected / (6 * np.log(2)) + 8, rel=1e-5)
    assert score(flow, images, "test", seed=3) == found


@pytest.fixture
def labelled(rng):
    """Points in three classes, and a flow that takes the class as its context."""
    x, labels = rng.normal(size=(30, 4)), np.arange(30) % 3
    flow = nice(4, hidden=(8,), prior="normal", context_dim=3, rng=0, dtype=np.float64)
    flow.params.values[:] += rng.normal(size=len(flow.params)) / 5
    return flow, datasets.Dataset("points", x, x[:9], x, labels, labels[:9], labels)


def test_score_of_a_flow_with_labels_is_the_likelihood_without_them(labelled):
    flow, points = labelled
    by_label = np.stack([flow.log_prob(points.test, one_hot(np.full(30, k), 3)) for k in range(3)], axis=1)  # (N, C)
    marginal = np.log(np.exp(by_label).mean(axis=1))
    found = score(flow, points, "test", seed=1)
    assert found["log_likelihood"] == pytest.approx(marginal.mean(), rel=1e-9)
    assert found["standard_error"] == pytest.approx(marginal.std() / np.sqrt(30), rel=1e-9)
    assert found["log_likelihood_given_label"] == pytest.approx(by_label[np.arange(30), np.arange(30) % 3].mean())
    assert found["accuracy"] == pytest.approx((by_label.argmax(axis=1) == np.arange(30) % 3).mean())
    assert 0 < found["accuracy"] < 1
    np.testing.assert_array_equal(label_context(flow, points, "validation"), one_hot(np.arange(9) % 3, 3))
    assert label_context(nice(4, hidden=(8,), rng=0), points, "test") is None


def test_labels_that_a_flow_cannot_take(labelled):
    flow, points = labelled
    with pytest.raises(NiceValueError, match="has no labels, which this flow needs as its context"):
        score(flow, replace(points, test_labels=None), "test", seed=1)
    with pytest.raises(NiceValueError, match=r"knows the labels 0 \.\. 2, test has 0 \.\. 3"):
        score(flow, replace(points, test_labels=np.arange(30) % 4), "test", seed=1)


def test_environment_names_versions_and_threads(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    found = environment()
    assert found["versions"]["numpy"] == np.__version__
    assert found["threads"]["OPENBLAS_NUM_THREADS"] == "3"
    assert found["threads"]["cores"] >= 1

"""Readers that quit early, full and closed standard output, the C locale, odd paths: exit code, at most one line."""

import contextlib
import io
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
from faults import ENVIRONMENT, FAULTS, is_one_line_error, posix, run, temporaries, times
from hypothesis import given, settings
from hypothesis import strategies as st

from nice_np import cli, nice, save_model
from nice_np.commands import COMMANDS as BY_NAME

pytestmark = posix
COMMANDS = ("--help", "presets --json", "info MODEL", "trian")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    save_model(path, nice(2, hidden=(4,), rng=0), {"dataset": "rings", "seed": 0, "bin_width": None})
    return path


def shell(words, redirection, model):
    words = shlex.join([sys.executable, "-m", "nice_np", *words.replace("MODEL", str(model)).split()])
    script = f"set -o pipefail; {words} {redirection}"
    return subprocess.run(
        ["bash", "-c", script], env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS)
def test_head_full_and_closed(words, model):
    code = 2 if words == "trian" else 0
    for redirection in ("| head -1", "<&- >&- 2>&-", "> /dev/full", "> /dev/full 2>&1"):
        found = shell(words, redirection, model)
        assert "Traceback" not in found.stderr + found.stdout
        assert "Exception ignored" not in found.stderr
        if "full" in redirection and code == 0:
            assert found.returncode == 1
            said = "nice-np: error: cannot write to standard output: No space left on device\n"
            assert found.stderr == ("" if "2>&1" in redirection else said)
        else:
            assert found.returncode == code, (redirection, found.stderr)


@pytest.mark.slow
def test_training_goes_on_without_a_reader_of_its_messages(tmp_path):
    words = f"train rings --epochs 1 --batch-size 5000 --out {shlex.quote(str(tmp_path / 'run'))}"
    for redirection in ("2>&-", "2> /dev/full"):
        found = shell(f"{words} --force", redirection, "")
        assert found.returncode == 0, found.stderr
        assert (tmp_path / "run" / "metrics.json").exists()


ODD = [
    "with space",
    "ünïcødé-雪",
    "-dash",
    "--dash",
    "quote'\"",
    "%s{}",
    "...",
    "a\nb",
    "\t",
    "~",
    "$HOME",
    "*",
    "é" * 100,
]


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_odd_paths_in_the_c_locale(name, model, tmp_path):
    """Each is used as it is given; a file, not an option or a pattern."""
    settings = {
        "env": {**ENVIRONMENT, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        "cwd": tmp_path, "text": False,
    }  # fmt: skip
    folder = tmp_path / name
    folder.mkdir()
    (folder / "model.npz").write_bytes(model.read_bytes())
    child = run("sample", "-n", 3, f"--out={name}/x.npy", "--", f"{name}/model.npz", **settings)
    assert (child.returncode, child.stderr) == (0, b"")
    assert np.load(folder / "x.npy").shape == (3, 2)
    child = run("info", "--", f"{name}/none", **settings)
    assert child.returncode == 1
    assert child.stderr.startswith(b"nice-np: error: ")
    assert child.stderr.count(b"\n") == 1
    assert os.listdir(tmp_path) == [name]


@pytest.mark.slow
def test_names_that_are_too_long_or_impossible(model, tmp_path):
    for name in ("x" * 300, "/".join(["y" * 200] * 30), "file/below", "loop/x"):
        (tmp_path / "file").write_text("mine")
        if not (tmp_path / "loop").is_symlink():
            (tmp_path / "loop").symlink_to("loop")
        path = tmp_path / name
        for words in (["info", path], ["sample", model, f"--out={path}.npy"], ["train", "rings", f"--out={path}"]):
            child = run(*words)
            assert child.returncode == 1
            assert is_one_line_error(child.stderr), child.stderr
    assert sorted(os.listdir(tmp_path)) == ["file", "loop"]
    assert temporaries(tmp_path) == []


WORDS = st.sampled_from(
    """train demo evaluate sample gradcheck presets info inpaint restore report export play rings two-moons
    mnist --epochs --seed --out --force --resume --json --quiet --debug --batch-size --learning-rate
    --threads -n --label --mask --task --sigma --images --epoch --ou --foo -x -1 0 1 1e3 nan inf x.npy x.png
    top / . .. -- = --seed= '' ß""".split()  # noqa: SIM905
)


@settings(max_examples=times(200), deadline=None, derandomize=FAULTS == 1)
@given(st.lists(st.one_of(WORDS, st.text(max_size=5)), max_size=5))
def test_any_words_are_understood_or_refused(words):
    """What is not refused is the usage of a command; nothing but UsageError and the end of --help leaves the parser."""
    with contextlib.suppress(cli.UsageError, SystemExit), contextlib.redirect_stdout(io.StringIO()):
        assert cli.parse(words).command in BY_NAME

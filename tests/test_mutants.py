"""The list of planted errors fits the source: each of them can be planted, at one place."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

import nice_np

SCRIPT = Path(__file__).parents[1] / "scripts" / "mutants.py"

pytestmark = pytest.mark.skipif(
    not SCRIPT.exists(), reason="scripts/ is only in the checkout, not in an installed package"
)


def load_script():
    spec = importlib.util.spec_from_file_location("mutants", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_mutant_can_be_planted():
    mutants = load_script().MUTANTS
    assert len(mutants) > 90
    for mutant in mutants:
        source = (Path(nice_np.__file__).parent / mutant.file).read_text(encoding="utf-8")
        assert source.count(mutant.old) == 1, mutant
        assert mutant.new not in ("", mutant.old) or mutant.old.strip(), mutant


@pytest.mark.parametrize(("outcome", "expected"), [(0, False), (1, True), (2, False), ("never", True)])
def test_what_counts_as_killed(outcome, expected, tmp_path, monkeypatch):
    """A failing test does, and one that never ends; tests that cannot be collected, exit code 2, are no proof."""
    script = load_script()
    (tmp_path / "nice_np").mkdir()
    source = tmp_path / "nice_np" / "mlp.py"
    source.write_text("y = x + b\n")

    def run(command, timeout, **settings):
        assert source.read_text() == "y = x - b\n"
        assert command[-len(script.TESTS)] == "tests/test_mlp.py"  # first the file's own tests
        if outcome == "never":
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, outcome)

    monkeypatch.setattr(subprocess, "run", run)
    assert script.killed(script.Mutant("wrong sign", "mlp.py", "x + b", "x - b"), tmp_path) is expected
    assert source.read_text() == "y = x + b\n"


def run_all(script, monkeypatch, exit_code, word=""):
    """The exit code of the script, with that of the suite in the place of the suite."""
    monkeypatch.setattr(script, "exit_code", lambda folder, first="": exit_code(folder))
    monkeypatch.setattr(script, "MUTANTS", [script.Mutant("no bias", "mlp.py", "import annotations", "import")] * 256)
    monkeypatch.setattr("sys.argv", ["mutants.py", word])
    return script.main()


def is_changed(folder):
    return "import annotations" not in (folder / "nice_np" / "mlp.py").read_text(encoding="utf-8")


def test_the_exit_code_says_whether_one_survives(monkeypatch, capsys):
    assert run_all(load_script(), monkeypatch, lambda folder: 0) == 1  # 256 survive, which the system takes for 0
    assert "0 of 256 mutants killed" in capsys.readouterr().out
    assert run_all(load_script(), monkeypatch, is_changed) == 0
    assert "256 of 256 mutants killed" in capsys.readouterr().out


@pytest.mark.parametrize("code", [1, 2])
def test_a_suite_that_is_red_anyway_proves_nothing(code, monkeypatch):
    with pytest.raises(SystemExit, match="fail without any mutant"):
        run_all(load_script(), monkeypatch, lambda folder: code)


def test_a_word_that_matches_nothing(monkeypatch):
    with pytest.raises(SystemExit, match="no mutant has 'afine'"):
        run_all(load_script(), monkeypatch, lambda folder: 0, "afine")

"""The log: silent in a library, one line per record on standard error with -v, only errors with -q."""

import ast
import io
import json
import logging
import warnings
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from command_line import QUICK, as_json, child, run, succeed

import nice_np
from nice_np import fit, load_model, nice
from nice_np.commands import messages

TRAIN = ("train", "rings", "--epochs", "1", "--batch-size", "5000")


def test_a_library_prints_no_log_by_default():
    code = """
import logging
from nice_np import fit, nice
import numpy as np
fit(nice(2, hidden=(4,), rng=0), np.eye(2), epochs=1, progress=False)
logging.getLogger("nice_np.somewhere").error("not asked for")
"""
    found = child(code=code, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_every_logger_has_the_name_of_its_module():
    root, found = Path(nice_np.__file__).parent, 0
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger":
                ours = ast.unparse(node.args[0]) == "__name__" or path.name == "messages.py"
                assert ours, path
                found += 1
    assert found >= 8


def test_v_reports_what_is_read_written_and_chosen(here, no_figures):
    _, out, err = run(*TRAIN, "-v")
    assert "wrote the checkpoint runs/rings/checkpoint.npz" in err
    assert "wrote the model runs/rings/model.npz" in err
    assert "gradients by 1 thread(s)" in err
    assert "training is over (epochs): History(1 epochs" in err
    assert "debug: " not in err
    assert "bits/dim" in out
    _, out, err = run("train", "rings", "--epochs", "2", "--batch-size", "5000", "--resume", "-vv")
    assert "info: nice_np.training.resume: resuming from runs/rings/checkpoint.npz: epoch 2, step 2" in err
    assert "debug: nice_np.training.loop: epoch 2: {'epoch': 2, 'step': 4" in err
    assert "read the model" in run("info", "runs/rings", "-v")[2]
    assert run("info", "runs/rings")[2] == ""
    as_json(succeed("info", "runs/rings", "-vv", "--json"))


def test_q_shows_only_errors(here, no_figures, monkeypatch):
    words = ("train", "rings", "--epochs", "1", "--batch-size", "5000", "--force")

    def warn(*arguments):
        logging.getLogger("nice_np.somewhere").warning("look out")
        warnings.warn("and here", stacklevel=1)
        return []

    monkeypatch.setattr("nice_np.commands.train.draw", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        _, out, err = run(*words)
        assert "warning: nice_np.somewhere: look out\nwarning: nice_np: and here\n" in err
        quiet = run(*words, "-q")
    assert quiet[2] == ""
    assert quiet[1].splitlines()[1:3] == out.splitlines()[1:3]  # the result is still printed; only the time differs
    code, out, err = run("info", "missing", "-q")
    assert (code, out) == (1, "")
    assert err.startswith("nice-np: error: cannot read missing")


def test_logging_is_restored_afterwards(moons):
    log, show = logging.getLogger("nice_np"), warnings.showwarning
    before = (log.level, list(log.handlers))
    run("info", moons, "-vv")
    run("info", "missing", "-v")
    assert (log.level, log.handlers) == before
    assert warnings.showwarning is show


def test_a_program_with_its_own_handler_gets_the_records(tmp_path, caplog, rng):
    caplog.set_level("INFO", "nice_np")
    flow, x = nice(2, hidden=(4,), rng=0), rng.normal(size=(50, 2))
    fit(flow, x, epochs=1, progress=False, checkpoint=tmp_path / "c.npz")
    flow.save(tmp_path / "m.npz")
    load_model(tmp_path / "m.npz")
    said = [record.getMessage() for record in caplog.records]
    assert "rng is None: the seed comes from the operating system, so this run cannot be repeated" in said
    assert any(text.startswith(f"wrote the checkpoint {tmp_path / 'c.npz'}, ") for text in said)
    assert any(text.startswith(f"read the model {tmp_path / 'm.npz'}, ") for text in said)


def test_without_numba_it_says_so(rng):
    code = """
import logging
logging.basicConfig(level="INFO", format="%(name)s %(message)s")
from nice_np import fit, nice
import numpy as np
fit(nice(2, hidden=(4,), rng=0), np.eye(2), epochs=1, progress=False, rng=0)
"""
    from command_line import ENVIRONMENT

    found = child(code=code, text=True, env={**ENVIRONMENT, "NUMBA_DISABLE_JIT": "1"})
    assert "nice_np.training.loop loops run in NumPy: Numba is not installed, or switched off" in found.stderr


def test_the_time_limit_and_an_early_stop_are_named(caplog, rng):
    caplog.set_level("INFO", "nice_np")
    x = rng.normal(size=(50, 2))
    fit(nice(2, hidden=(4,), rng=0), x, time_limit=0.01, progress=False, rng=0)
    fit(nice(2, hidden=(4,), rng=0), x, validation=x, epochs=1000, patience=1, learning_rate=0.5, progress=False, rng=0)
    over = [record.getMessage() for record in caplog.records if record.getMessage().startswith("training is over")]
    assert over[0].startswith("training is over (time limit)")
    assert over[1].startswith("training is over (patience)")


@pytest.mark.parametrize("stream", ["full", None])
def test_a_standard_error_that_cannot_be_written(stream, here, no_figures):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    with redirect_stderr(Full() if stream else None), messages.shown(2):
        logging.getLogger("nice_np").warning("goes nowhere")
        messages.say("nor this")


def test_a_name_with_an_escape_sequence_cannot_act_on_the_terminal():
    err = io.StringIO()
    with redirect_stderr(err), messages.shown():
        logging.getLogger("nice_np").warning("reading %s", "a\x1b[2Jb\nc")
    assert err.getvalue() == r"warning: nice_np: reading a\x1b[2Jb\nc" + "\n"


def test_the_history_grows_during_training(here, no_figures, monkeypatch):
    from nice_np import History
    from nice_np.commands import train

    seen, real = [], train._write_history

    def spy(path, model, history):
        real(path, model, history)
        seen.append(len(History.from_csv(path.read_text()).rows))

    monkeypatch.setattr(train, "_write_history", spy)
    succeed("train", "rings", "--epochs", "3", "--batch-size", "5000", "--quiet")
    assert seen == [1, 2, 3]
    metrics = json.loads(Path("runs/rings/metrics.json").read_text())
    assert metrics["epochs"] == 3


def test_a_history_that_cannot_be_written_does_not_stop_training(here, no_figures, monkeypatch):
    from nice_np import NiceFileError
    from nice_np.commands import train

    def full(path, text):
        raise NiceFileError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(train, "write_text", full)
    code, _, err = run("train", "rings", *QUICK[:-1])
    assert code == 0
    assert "warning: nice_np.commands.train: cannot write runs/rings/history.csv: No space left" in err

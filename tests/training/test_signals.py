"""Ctrl-C, SIGTERM and SIGKILL, in this process and in real child processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import numpy as np
import pytest

from nice_np import TrainingInterrupted, cli, fit, nice
from nice_np.training.signals import StopSignals

BOTH = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
# Only a fixed number of threads gives the same bits, and one leaves cores to other tests.
ROOT = Path(cli.__file__).parents[1]
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "error", "PYTHONPATH": str(ROOT)}


def handlers():
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)


@pytest.fixture
def start():
    """Start the command in a child process; with `code`, what the child runs before it."""
    children = []

    def start(*words, code=None):
        first = ["-m", "nice_np"]
        if code is not None:
            first = ["-c", f"{code}\nimport sys\nfrom nice_np import cli\nsys.exit(cli.main())"]
        children.append(
            subprocess.Popen(
                [sys.executable, *first, *map(str, words)],
                env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()


def test_a_signal_after_the_command_ends_the_process_without_a_traceback():
    code = """
import signal, sys
from nice_np import cli
sys.argv = ["nice-np", "--version"]
code = cli.entry()
signal.raise_signal(signal.SIGINT)
"""
    child = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
    assert child.returncode == -signal.SIGINT
    assert child.stdout.startswith("nice-np ")
    assert child.stderr == ""


def saved_at(path):
    return path.stat().st_mtime_ns if path.exists() else 0


def wait_for_save(path, child, since=0):
    while saved_at(path) == since:
        assert child.poll() is None, child.communicate()
        time.sleep(0.002)


def finished(child):
    _, stderr = child.communicate()
    assert child.returncode == 0, stderr
    return True


def leftovers(folder):
    return [path.name for path in folder.rglob(".*")]


# -- in this process ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_raises(signum):
    before, noted = handlers(), []

    def two_signals():
        with StopSignals() as stop:
            noted.append(stop.received)
            signal.raise_signal(signal.SIGINT)
            noted.append(stop.received)
            signal.raise_signal(signum)

    with pytest.raises(TrainingInterrupted, match=rf"at once by {signum.name} \(the second") as caught:
        two_signals()
    assert caught.value.signum == signum
    assert noted == [0, signal.SIGINT]
    assert handlers() == before


def test_at_once_the_first_signal_raises():
    before = handlers()
    with pytest.raises(TrainingInterrupted, match=r"at once by SIGTERM$"), StopSignals(at_once=True):
        signal.raise_signal(signal.SIGTERM)
    assert handlers() == before


def test_a_signal_noted_too_late_goes_to_the_previous_handler():
    with pytest.raises(TrainingInterrupted, match="SIGTERM"), StopSignals(at_once=True), StopSignals():
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), StopSignals():
        signal.raise_signal(signal.SIGINT)


def test_an_error_is_not_replaced_by_the_signal():
    def fails():
        with StopSignals():
            signal.raise_signal(signal.SIGINT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()


def test_off_the_main_thread_nothing_is_installed(capsys, tmp_path):
    before, found = handlers(), []

    def work():
        with StopSignals():
            found.append(handlers())
        fit(nice(2, hidden=(4,), rng=0), np.eye(2), epochs=1, progress=False)
        found.append(cli.main(["info", str(tmp_path / "none")]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before, 1]
    assert "nice-np: error: cannot read" in capsys.readouterr().err


def test_main_restores_the_handlers(capsys):
    before = handlers()
    for words in (["--version"], ["trian"], ["info", "/nowhere"]):
        cli.main(words)
        assert handlers() == before


# -- in child processes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("signum", "code"), BOTH)
def test_a_signal_during_training_leaves_a_checkpoint_to_go_on_from(start, signum, code, tmp_path):
    out = tmp_path / "my run"
    child = start("train", "two-moons", "--epochs", 100_000, "--out", out, "--checkpoint-every", 0.05)
    wait_for_save(out / "checkpoint.npz", child)
    child.send_signal(signum)
    stdout, stderr = child.communicate(timeout=60)
    assert child.returncode == code
    assert stdout == ""
    last = stderr.splitlines()[-1]
    assert last.startswith(f"nice-np: error: stopped by {signum.name} at step ")
    assert f"saved {out}/checkpoint.npz" in last
    words = f"nice-np train two-moons --epochs=100000 '--out={out}' --checkpoint-every=0.05 --resume"
    assert last.endswith(f"resume with: {words}")
    assert "Traceback" not in stderr
    left = {path.name for path in out.iterdir()} - {"history.csv"}  # exists after the first epoch
    assert left == {"checkpoint.npz", "figures", "settings.json"}


# Each stops the child at a known place by a signal to itself, so that nothing depends on the clock.
SIGNAL_AT = """
import os, signal
import importlib
module = importlib.import_module("{module}")
real = module.{function}
def signalling(*arguments, **settings):
    result = real(*arguments, **settings)
    os.kill(os.getpid(), signal.{name})
    return result
module.{function} = signalling
"""


PLACES = [
    ("nice_np.commands.train", "load"),
    ("nice_np.runs.scoring", "score"),
    ("nice_np.commands.train", "write_results"),
    ("nice_np.plotting", "save"),
]
PLACES_AND_SIGNALS = [
    pytest.param(*place, *stop, marks=[pytest.mark.slow] if (n, m) not in ((0, 0), (2, 1)) else [])
    for n, place in enumerate(PLACES)
    for m, stop in enumerate(BOTH)
]


@pytest.mark.parametrize(("module", "function", "signum", "code"), PLACES_AND_SIGNALS)
def test_a_signal_before_or_after_training(start, module, function, signum, code, tmp_path):
    out = tmp_path / "run"
    child = start(
        "train", "rings", "--epochs", 1, "--batch-size", 5000, "--out", out, "--quiet",
        code=SIGNAL_AT.format(module=module, function=function, name=signum.name),
    )  # fmt: skip
    stdout, stderr = child.communicate(timeout=120)
    assert child.returncode == code
    assert stdout == ""
    assert stderr.startswith(f"nice-np: error: stopped at once by {signum.name}")
    assert len(stderr.splitlines()) == 1
    assert leftovers(tmp_path) == []
    assert ("resume with: nice-np train rings" in stderr) == (function != "load")
    assert out.exists() == (function != "load")


@pytest.mark.parametrize(("signum", "code"), BOTH)
def test_a_second_signal_stops_at_once(start, signum, code, tmp_path):
    # The child hangs in its first step, as a very long one would.
    hang = """
import os, signal, time
from nice_np import Flow
def forever(self, x, context=None):
    os.kill(os.getpid(), signal.SIGINT)
    os.write(1, b"noted")
    time.sleep(1000)
Flow.unchecked_loss_and_grad = forever
"""
    child = start("train", "rings", "--epochs", 1, "--out", tmp_path / "run", "--quiet", code=hang)
    assert child.stdout.read(5) == "noted"
    child.send_signal(signum)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == code
    assert stderr == f"nice-np: error: stopped at once by {signum.name} (the second signal)\n"
    assert leftovers(tmp_path) == []


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_like_one_that_was_not(start, tmp_path):
    settings = ["train", "two-moons", "--epochs", 40, "--batch-size", 1000, "--checkpoint-every", 1e-9, "--quiet"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert finished(start(*settings, "--out", whole))
    rng, kills, checkpoint = np.random.default_rng(0), 0, killed / "checkpoint.npz"
    for _ in range(5):
        since = saved_at(checkpoint)
        child = start(*settings, "--out", killed, *(["--resume"] if since else []))
        wait_for_save(checkpoint, child, since)
        time.sleep(rng.uniform(0, 0.2))  # it saves after each step, so about half of the kills come inside a save
        child.kill()
        kills += child.wait() == -signal.SIGKILL
    assert kills >= 3
    assert finished(start(*settings, "--out", killed, "--resume"))
    assert (killed / "model.npz").read_bytes() == (whole / "model.npz").read_bytes()

    def timeless(folder):
        return [line.rsplit(",", 1)[0] for line in (folder / "history.csv").read_text().splitlines()]

    assert timeless(killed) == timeless(whole)
    assert len(timeless(whole)) == 41
    a, b = (json.loads((folder / "metrics.json").read_text()) for folder in (killed, whole))
    assert {**a, "train_seconds": 0} == {**b, "train_seconds": 0}


@pytest.mark.parametrize(("signum", "method"), [(signal.SIGINT, "create_module"), (signal.SIGTERM, "exec_module")])
def test_the_initialisation_of_a_compiled_module_is_not_interrupted(signum, method):
    """C++ modules make an ImportError of an exception there, and some end the process."""

    class Loader(ExtensionFileLoader):
        def create_module(self, spec):
            signal.raise_signal(signum)
            done.append("create_module")

        def exec_module(self, module):
            signal.raise_signal(signum)
            done.append("exec_module")

    done = []

    def importing():
        with StopSignals(at_once=True):
            getattr(Loader("compiled", "compiled.so"), method)(None)
            done.append("imported")
            time.sleep(60)

    with pytest.raises(TrainingInterrupted, match="stopped at once by SIG"):
        importing()
    assert done == [method, "imported"]


def test_a_signal_that_python_made_an_error_of(monkeypatch, capsys):
    """An exception in __set_name__ comes as a RuntimeError from Python 3.6 to 3.11, with the exception as its cause."""

    def run(arguments):
        try:
            raise TrainingInterrupted("stopped at once by SIGTERM", signal.SIGTERM)
        except TrainingInterrupted as stop:
            raise RuntimeError("Error calling __set_name__") from stop

    monkeypatch.setattr(cli.module_of("presets"), "run", run)
    assert cli.main(["presets"]) == 143
    assert capsys.readouterr().err == "nice-np: error: stopped at once by SIGTERM\n"

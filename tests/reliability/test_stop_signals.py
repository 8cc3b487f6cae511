"""SIGINT and SIGTERM at random moments of a command: exit code, time, and a checkpoint to resume from."""

import shutil
import signal
import time

import numpy as np
import pytest
from faults import ENVIRONMENT, is_one_line_error, posix, run, started, tally, temporaries, times, wait_until
from kill_loop import state

from nice_np.files.npz import read_npz

pytestmark = [posix, pytest.mark.slow]
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A file that is open when the signal comes is closed by Python, which as an error would be a line of its own.
USUAL = {**ENVIRONMENT, "PYTHONWARNINGS": "default::RuntimeWarning"}
SETTINGS = ("train", "two-moons", "--epochs", 12, "--batch-size", 500, "--checkpoint-every", 1e-9)
LONG = ("train", "two-moons", "--epochs", 100_000, "--checkpoint-every", 0.05)


def version_of(checkpoint):
    """Which of several checkpoints of one name this is; None if there is none."""
    return (checkpoint.stat().st_ino, checkpoint.stat().st_mtime_ns) if checkpoint.exists() else None


def check_stop(child, signum, out, stderr, seconds, before=None):
    """What a stopped command must do: exit code, time, message, a complete checkpoint and no leftovers.

    `before` is the version of the checkpoint that an earlier command left.  One that is stopped while it imports has
    done nothing yet, and has no advice to give.
    """
    assert child.returncode == 128 + signum, stderr
    assert seconds < 5
    last = stderr.splitlines()[-1]
    assert last.startswith(("nice-np: error: stopped by ", "nice-np: error: stopped at once by "))
    assert signum.name in last
    assert "Traceback" not in stderr
    assert temporaries(out.parent) == []
    if (out / "checkpoint.npz").exists():
        state(out / "checkpoint.npz")  # raises unless it is whole
    if version_of(out / "checkpoint.npz") != before:
        assert "resume with: nice-np train two-moons" in last


def test_at_any_moment(tmp_path):
    """From before the first import to after the last figure; the resuming command ends as if nothing had happened."""
    whole = tmp_path / "whole"
    before = time.monotonic()
    assert run(*SETTINGS, "--out", whole, "--quiet").returncode == 0
    length = time.monotonic() - before
    rng, stopped, out = np.random.default_rng(0), 0, tmp_path / "runs" / "stopped"
    out.parent.mkdir()

    def is_the_whole_run():
        assert (out / "model.npz").read_bytes() == (whole / "model.npz").read_bytes()
        assert state(out / "checkpoint.npz") == state(whole / "checkpoint.npz")
        return True

    for turn in range(times(24)):
        if stopped >= times(6):
            break
        signum = SIGNALS[turn % 2]
        before = version_of(out / "checkpoint.npz")
        resume = ["--resume"] if before else ["--force"]
        with started(*SETTINGS, "--out", out, "--quiet", *resume, env=USUAL) as child:
            time.sleep(rng.uniform(0, 0.8 * length))
            child.send_signal(signum)
            sent = time.monotonic()
            _, stderr = child.communicate(timeout=60)
            seconds = time.monotonic() - sent
        if child.returncode == 0:  # it came too late; the next run starts anew
            assert is_the_whole_run()
            shutil.rmtree(out)
        elif child.returncode != -signum:  # there Python itself had not come to the first line of nice-np
            check_stop(child, signum, out, stderr, seconds, before)
            stopped += 1
    assert stopped >= times(6) // 2
    resume = ["--resume"] if (out / "checkpoint.npz").exists() else ["--force"]
    assert run(*SETTINGS, "--out", out, "--quiet", *resume).returncode == 0
    assert is_the_whole_run()
    tally("SIGINT and SIGTERM at random moments of a command", stopped)


@pytest.mark.parametrize("signum", SIGNALS)
def test_in_the_middle_of_training(signum, tmp_path):
    rng = np.random.default_rng(signum)
    for turn in range(times(2)):
        out = tmp_path / f"run{turn}" / "a run"
        with started(*LONG, "--out", out, env=USUAL) as child:
            assert wait_until((out / "checkpoint.npz").exists, child)
            time.sleep(rng.uniform(0, 0.2))
            child.send_signal(signum)
            sent = time.monotonic()
            stdout, stderr = child.communicate(timeout=60)
            seconds = time.monotonic() - sent
        check_stop(child, signum, out, stderr, seconds)
        assert stdout == ""
        assert f"saved {out / 'checkpoint.npz'}" in stderr
        assert read_npz(out / "checkpoint.npz")["values"].size > 0
    tally("SIGINT and SIGTERM in the middle of training", times(2))


@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_at_a_random_moment(second, tmp_path):
    """It may come before the first one was noted, during the save, or after the end: never a traceback."""
    rng = np.random.default_rng(second)
    for turn in range(times(2)):
        out = tmp_path / f"run{turn}" / "run"
        with started(*LONG, "--out", out, "--threads", 2, env=USUAL) as child:
            assert wait_until((out / "checkpoint.npz").exists, child)
            child.send_signal(signal.SIGINT)
            time.sleep(rng.uniform(0, 0.02))
            child.send_signal(second)
            sent = time.monotonic()
            _, stderr = child.communicate(timeout=60)
        assert time.monotonic() - sent < 5
        # -second: the command had said its last words, and Python was on its way out; to a shell it is the same number.
        assert child.returncode in {128 + signal.SIGINT, 128 + second, -second}, stderr
        assert "Traceback" not in stderr
        assert is_one_line_error(stderr.splitlines()[-1] + "\n", "stopped ")
        state(out / "checkpoint.npz")
    tally("second signals", times(2))

"""The progress of a training: lines in a log, a bar in a terminal, nothing without a stream."""

import io
import os
import struct
import subprocess
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from command_line import QUICK, WITHOUT_FIGURES, child, run

from nice_np.training.progress import Progress


def test_in_a_log_progress_is_lines(here, no_figures):
    code, _, err = run("train", "rings", "--epochs", "2", "--batch-size", "5000")
    assert code == 0
    assert "\r" not in err
    first, last = err.splitlines()
    assert first.startswith(f"training on rings for 2 epoch(s), run folder {Path('runs/rings')} (Ctrl-C stops")
    assert last.startswith("epoch 2 100% -")
    assert last.endswith(" samples/s")


def test_long_runs_print_a_line_from_time_to_time(monkeypatch):
    monkeypatch.setattr("nice_np.training.progress.SECONDS_PER_LINE", 0.0)
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


def test_progress_that_cannot_be_shown_is_abandoned(monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("nice_np.training.progress.SECONDS_PER_LINE", 0.0)
    with redirect_stderr(Full()):
        for work in (lambda bar: bar.update(0.5, 1, -2.0, 3.0, 100.0), Progress.close):
            bar = Progress(True)
            bar.show.line = "left to print"
            work(bar)
            assert bar.show is None
            work(bar)
    with redirect_stderr(None):
        assert Progress(True).show is None


def test_a_closed_stream_and_one_with_write_and_flush_only(monkeypatch):
    class Tee:
        def __init__(self):
            self.text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    tee, closed = Tee(), io.StringIO()
    with redirect_stderr(tee):
        bar = Progress(True)
        bar.update(0.5, 1, -2.0, 3.0, 100.0)
        bar.close()
    assert tee.text == "epoch 1  50% -2.00 nats, 3.000 bits/dim, 100 samples/s\n"
    monkeypatch.setattr("nice_np.training.progress.SECONDS_PER_LINE", 0.0)
    with redirect_stderr(closed):
        first, second = Progress(True), Progress(True)
        closed.close()
        first.update(0.5, 1, -2.0, 3.0, 100.0)
        second.close()
    assert (first.show, second.show) == (None, None)


def test_in_a_notebook_progress_is_a_bar():
    """There stderr is the kernel's stream; an import of ipykernel alone does not make a notebook."""
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    with redirect_stderr(stream):
        bar = Progress(True)
        bar.update(0.25, 1, -2.0, 3.0, 100.0)
        bar.close()
    assert "epoch 1  25%|##5" in stream.getvalue().replace("█", "#").replace("▌", "5")


def test_in_a_terminal_progress_is_a_bar(tmp_path):
    pty = pytest.importorskip("pty")
    import fcntl  # like pty, on Unix only
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
            code=WITHOUT_FIGURES,
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

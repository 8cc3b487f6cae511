"""Runs nice-np for the tests, in this process or in a child, and reads what it printed."""

import dataclasses
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from nice_np import cli
from nice_np.datasets import load

QUICK = ["--epochs", "1", "--batch-size", "5000", "--quiet"]
ROOT = Path(cli.__file__).parents[1]  # children find the package also from another folder
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "error", "PYTHONPATH": str(ROOT)}
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)  # with a buffer, what cannot be written shows late
# For `child`: the command, but it draws nothing; drawing takes longer than these trainings.
WITHOUT_FIGURES = """
import sys
from nice_np import cli
from nice_np.commands import train
train.draw = lambda *arguments: []
sys.exit(cli.main())
"""


def fewer(name, **settings):
    """In place of `load` in the command train: a tenth of the training data, so that an epoch is short."""
    data = load(name, **settings)
    few = {field: getattr(data, field) for field in ("train", "train_labels", "validation", "validation_labels")}
    return dataclasses.replace(data, **{field: array[: len(array) // 10] for field, array in few.items()})


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

"""Fixtures for every test."""

import contextlib
import dataclasses
import functools
import importlib.util
import logging
import os
import signal
import sys
from pathlib import Path

import command_line
import numpy as np
import pytest
import threadpoolctl


def pytest_configure():
    """The same process for all tests: one BLAS thread, and Ctrl-C as in a terminal.

    Several BLAS threads wait for each other awake on a busy machine; tests about threads set their own number.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for children and for a BLAS that is loaded later
    threadpoolctl.threadpool_limits(int(os.environ["OPENBLAS_NUM_THREADS"]), user_api="blas")
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts its background jobs
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def leave_no_trace():
    """No test changes what the next one finds, so any order gives the same result."""
    before = state_of_the_process()
    yield
    after = state_of_the_process()
    for name, value in before.items():
        assert after[name] == value, f"{name} is another one after the test"


# Other variables are set by other packages, when a test is the first to import them.
READ_BY_TESTS = ("NICE_NP_", "HOME", "PATH", "XDG_", "MPL", "NUMBA_", "COLUMNS", "LC_", "TZ")


def state_of_the_process():
    """What all tests of a process share, by name."""
    state = {
        "environment": {name: value for name, value in os.environ.items() if name.startswith(READ_BY_TESTS)},
        "current folder": os.getcwd(),
        "NumPy's handling of errors": np.geterr(),
        "signal handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "loggers": [
            (logger.level, logger.propagate, list(logger.handlers))
            for logger in (logging.getLogger(), logging.getLogger("nice_np"))
        ],
    }
    if "matplotlib" in sys.modules:
        settings = dict.items(sys.modules["matplotlib"].rcParams)
        state["Matplotlib's settings"] = {name: value for name, value in settings if name != "backend"}
    return state


@pytest.fixture
def rng():
    """The only source of randomness in tests: the same numbers every time."""
    return np.random.default_rng(20141030)


@pytest.fixture
def data_dir():
    """The folder with the original MNIST files, where the environment names one."""
    folder = os.environ.get("NICE_NP_DATA")
    if not folder or not Path(folder).exists():
        pytest.skip("set NICE_NP_DATA to a folder with the original MNIST files to run this test")
    return Path(folder)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No folder in the environment, an empty cache, tmp_path/cache, and a network that is down."""
    import pooch
    import requests

    def no_network(*args, **kwargs):
        raise requests.ConnectionError("the tests have no network")

    monkeypatch.delenv("NICE_NP_DATA", raising=False)
    monkeypatch.setattr("nice_np.datasets.download.PAUSE", 0.0)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setattr(requests.Session, "send", no_network)


@contextlib.contextmanager
def unchanged(folder):
    """Many tests read these files; none may write there."""
    before = contents(folder)
    yield
    after = contents(folder)
    assert [path for path in before | after if before.get(path) != after.get(path)] == []


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def moons(tmp_path_factory):
    """A finished run on two moons; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "moons"
    command_line.succeed("train", "two-moons", *command_line.QUICK, "--seed", "3", "--out", folder)
    with unchanged(folder):
        yield folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The folder and the result of the demo, cut short and with a small model."""
    from nice_np.runs.presets import PRESETS

    folder = tmp_path_factory.mktemp("runs") / "demo"
    preset = PRESETS["digits"]
    small = dataclasses.replace(preset, model=functools.partial(preset.model, steps=1, channels=4, dense=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "digits", small)
        answer = command_line.succeed("demo", "--time-limit", "0.3", "--quiet", "--json", "--out", folder)
    with unchanged(folder):
        yield folder, command_line.as_json(answer)


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """The folder and the result of a run with labels, cut short and without figures."""
    from nice_np.runs.presets import PRESETS

    folder = tmp_path_factory.mktemp("runs") / "labelled"
    preset = PRESETS["mnist-labels"]
    small = dataclasses.replace(preset, model=functools.partial(preset.model, couplings=4, hidden=(50,)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nice_np.commands.train.draw", lambda *arguments: [])
        patch.setattr("nice_np.commands.train.load", command_line.fewer)
        patch.setitem(PRESETS, "mnist-labels", small)
        words = ("train", "mnist-small", "--preset", "mnist-labels", "--epochs", "3", "--quiet", "--out", folder)
        answer = command_line.succeed(*words)
    with unchanged(folder):
        yield folder, answer


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_figures(monkeypatch):
    """Drawing takes longer than these trainings."""
    monkeypatch.setattr("nice_np.commands.train.draw", lambda *arguments: [])


@pytest.fixture
def script():
    """A program of scripts/ as a module, by its name; skipped in an unpacked source distribution, which has none."""

    def load(name):
        path = Path(__file__).parents[1] / "scripts" / f"{name}.py"
        if not path.exists():
            pytest.skip("scripts/ is only in the checkout")
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load

"""A read-only installation, a missing home folder, no Numba, nowhere to cache compiled code: everything works."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys

import numpy as np
import pytest
from faults import ENVIRONMENT, ROOT, is_one_line_error, linux, posix, run, small_disk, temporaries, without_privileges

pytestmark = posix
SCORE = """
import numpy as np
from nice_np import Adam, nice
x = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
flow, adam = nice(6, couplings=3, hidden=(8,), preprocess=(), rng=0), Adam()
for _ in range(3):
    _, grads = flow.nll_and_grad(x)
    adam.step(flow.params.values, grads, 1e-2)
print(flow.log_prob(x).sum().item())
"""
NO_NUMBA = "raise ModuleNotFoundError('there is no Numba here')\n"


def bare(installation, **others):
    """The environment of a user without a home folder; of ours only `installation`."""
    kept = {name: value for name, value in ENVIRONMENT.items() if name in ("PATH", "OPENBLAS_NUM_THREADS", "LANG")}
    return {**kept, "HOME": "/nonexistent/home", "PYTHONPATH": str(installation), **others}


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """A read-only copy of the package."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "nice_np", folder / "nice_np", ignore=shutil.ignore_patterns("__pycache__"))
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = sorted(paths)
    yield folder
    assert sorted([folder, *folder.rglob("*")]) == before, "something was written into the installation"
    for path in paths:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def scored(*, expected=None, **settings):
    child = run(code=SCORE, **settings)
    assert child.returncode == 0, child.stderr
    assert child.stderr == ""
    found = float(child.stdout)
    assert expected is None or found == pytest.approx(expected, rel=1e-4)
    return found


@linux
@pytest.mark.slow
def test_commands_of_a_read_only_installation(installation, tmp_path):
    settings = {"env": bare(installation), "cwd": tmp_path, "preexec_fn": without_privileges}
    probe = run(code="open('nice_np/probe', 'w')", **{**settings, "cwd": installation})
    assert "Permission denied" in probe.stderr, "this user may write anywhere: the test would prove nothing"
    for words in (
        ("demo", "--time-limit", 2, "--out", "demo"),
        ("train", "two-moons", "--epochs", 1, "--batch-size", 5000, "--out", "moons"),
        ("evaluate", "moons"),
        ("sample", "moons", "--out", "a.png"),
        ("gradcheck",),
        ("report", "moons", "--out", "report.html"),
    ):
        child = run(*words, **settings)
        assert child.returncode == 0, child.stderr
        assert "Traceback" not in child.stderr
    assert (tmp_path / "report.html").exists()


@linux
@pytest.mark.slow
def test_nowhere_to_keep_compiled_code(installation, tmp_path):
    expected = scored(cwd=tmp_path)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for cache in ({}, {"NUMBA_CACHE_DIR": str(locked)}, {"NUMBA_CACHE_DIR": "/nonexistent/cache"}):
        settings = {"env": bare(installation, **cache), "cwd": tmp_path, "preexec_fn": without_privileges}
        scored(expected=expected, **settings)
    assert os.listdir(locked) == []


def test_compiled_code_is_never_kept_beside_the_source(tmp_path):
    """It would outlive `pip uninstall`, and Python would import the folder that is left as an empty package."""
    package, home = tmp_path / "site" / "nice_np", tmp_path / "home"
    shutil.copytree(ROOT / "nice_np", package, ignore=shutil.ignore_patterns("__pycache__"))
    kept = {name: value for name, value in bare(package.parent).items() if not name.startswith("NUMBA")}
    scored(env={**kept, "HOME": str(home), "USERPROFILE": str(home), "XDG_CACHE_HOME": str(home)}, cwd=tmp_path)
    assert {path.suffix for path in package.rglob("*") if path.is_file()} <= {
        ".py",
        ".pyc",
        ".typed",
        ".html",
        ".npz",
        ".md",
    }
    assert any(path.suffix == ".nbi" for path in home.rglob("*"))


@linux
@pytest.mark.slow
def test_the_disk_of_the_compiled_code_is_full(installation, tmp_path):
    expected = scored(cwd=tmp_path)
    with small_disk(tmp_path / "disk", "16k") as disk:
        settings = {"env": bare(installation, NUMBA_CACHE_DIR=str(disk)), "preexec_fn": without_privileges}
        scored(expected=expected, cwd=tmp_path, **settings)
        assert shutil.disk_usage(disk).free < 8192, "the disk did not become full: the test would prove nothing"


@linux
@pytest.mark.slow
def test_damaged_compiled_code(tmp_path):
    """Code that another process left half written is compiled again."""
    settings = {"env": {**ENVIRONMENT, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}, "cwd": tmp_path}
    expected = scored(**settings)
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    scored(expected=expected, **settings)


@pytest.mark.slow
def test_without_numba(tmp_path):
    (tmp_path / "numba.py").write_text(NO_NUMBA)
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    scored(expected=scored(), env=environment)
    for words in (("gradcheck",), ("demo", "--time-limit", 2, "--out", tmp_path / "demo", "--quiet")):
        child = run(*words, env=environment, cwd=tmp_path)
        assert child.returncode == 0, child.stderr


CORE = ("test_contract", "flows/test_flow", "training/test_fit", "training/test_parallel", "training/test_optim")


@pytest.mark.slow
def test_the_core_of_the_suite_passes_without_numba(tmp_path):
    """The whole suite without the JIT, and under python -O, is run by .ci/run."""
    (tmp_path / "numba.py").write_text(NO_NUMBA)
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    environment.pop("PYTHONWARNINGS")
    paths = [str(ROOT / "tests" / f"{name}.py") for name in CORE]
    command = [sys.executable, "-m", "pytest", "-q", "-k", "not integrate and not doctest", "-p", "no:cacheprovider"]
    child = subprocess.run([*command, *paths], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", child.stdout)[1]) > 500


@linux
def test_folders_that_take_no_files(tmp_path):
    """Output is refused by name before any work; nothing is left over."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    settings = {"cwd": tmp_path, "preexec_fn": without_privileges}
    for words in (
        ("train", "rings", "--epochs", 1000, "--quiet", "--out", locked / "run"),
        ("train", "rings", "--epochs", 1000, "--quiet", "--out", locked),
    ):
        child = run(*words, **settings)
        assert child.returncode == 1
        assert is_one_line_error(child.stderr, str(locked)), child.stderr
        assert "Permission denied" in child.stderr
    assert os.listdir(locked) == []
    assert temporaries(tmp_path) == []


IMPORT = """
import json, os, sys, warnings
import numpy as np
before = np.geterr(), np.random.get_state()[1].tolist(), list(warnings.filters), np.get_printoptions()
environment = dict(os.environ)
import signal
handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
import nice_np
for name in nice_np.__all__:
    getattr(nice_np, name)
after = np.geterr(), np.random.get_state()[1].tolist(), list(warnings.filters), np.get_printoptions()
assert before == after, "global state was changed"
new = {name for name, value in os.environ.items() if environment.get(name) != value}
assert new <= {"OPENBLAS_THREAD_TIMEOUT", "KMP_DUPLICATE_LIB_OK"}, new  # how BLAS waits; the second is threadpoolctl's
assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
print(json.dumps(sorted({"matplotlib", "numba", "torch", "jax", "requests"} & set(sys.modules))))
"""


def test_an_import_leaves_the_process_as_it_was():
    child = run(code=IMPORT)
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout) == []


HEADLESS = """
import sys
import matplotlib
before = dict(dict.items(matplotlib.rcParams))  # dict(rcParams) alone would choose a backend
from nice_np import nice, plotting
flow = nice(2, hidden=(4,), rng=0)
plotting.save(plotting.density(flow, resolution=20), sys.argv[1])
plotting.bent_grid(flow), plotting.spectrum(flow), plotting.image_grid([[0.5] * 4] * 4)
assert dict(dict.items(matplotlib.rcParams)) == before
assert "matplotlib.pyplot" not in sys.modules, "it would choose a display"
"""


def test_figures_without_a_display(tmp_path):
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    child = run(tmp_path / "a.png", code=HEADLESS, env=environment)
    assert child.returncode == 0, child.stderr
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert np.frombuffer((tmp_path / "a.png").read_bytes()[:4], np.uint8).tolist() == [0x89, *b"PNG"]

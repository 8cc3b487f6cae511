"""Real faults: child processes with limits, without privileges, and killed; and a count of what was injected.

``NICE_NP_FAULTS=20`` makes every fault test do twenty times as many.  ``NICE_NP_TALLY=FILE`` collects the counts, which
scripts/reliability.py writes into docs/reliability.md.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nice_np

ROOT = Path(nice_np.__file__).parents[1]
HERE = Path(__file__).parent
ENVIRONMENT = {
    **os.environ,
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONWARNINGS": "error",
    "PYTHONPATH": os.pathsep.join(map(str, (ROOT, HERE, HERE.parent, HERE.parent / "datasets"))),
}
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals, limits and permissions")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
FAULTS = float(os.environ.get("NICE_NP_FAULTS", "1"))


def times(count):
    """`count` in an ordinary run of the tests, more in a long one."""
    return max(1, round(count * FAULTS))


def tally(what, count):
    """Note that `count` faults of a kind were injected, and that nothing was lost."""
    if file := os.environ.get("NICE_NP_TALLY"):
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(json.dumps({what: count}) + "\n")


def command(*words, code=None):
    """The command line of nice-np, or of Python code with arguments."""
    return [sys.executable, *(["-m", "nice_np"] if code is None else ["-c", code]), *map(str, words)]


def run(*words, code=None, **settings):
    """A finished child; text, captured, with SIGINT as an ordinary process has it."""
    settings = {
        "env": ENVIRONMENT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 300,
        "preexec_fn": ordinary_signals, **settings,
    }  # fmt: skip
    return subprocess.run(command(*words, code=code), check=False, **settings)


@contextlib.contextmanager
def started(*words, code=None, **settings):
    """A running child; it is killed at the end of the block."""
    settings = {
        "env": ENVIRONMENT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
        "preexec_fn": ordinary_signals, **settings,
    }  # fmt: skip
    child = subprocess.Popen(command(*words, code=code), **settings)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def ordinary_signals():
    """A shell starts its background jobs with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def without_privileges():
    """In a child before it starts: make file permissions apply to root, too (Linux)."""
    ordinary_signals()
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in range(64):
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: gone with the exec that follows


def files_limited_to(size):
    """In a child before it starts: no file can grow beyond `size` bytes."""

    def limit():
        import resource

        ordinary_signals()
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of `size` at `folder`, or the test is skipped."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    try:
        refused = subprocess.run(mount, capture_output=True, check=False).returncode
    except OSError:
        refused = True
    if refused:
        pytest.skip("mounting a small tmpfs is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def is_one_line_error(stderr, says=""):
    """Whether standard error is one line of nice-np that contains `says`, and no traceback."""
    return stderr.startswith("nice-np: error: ") and stderr.count("\n") == 1 and says in stderr


def wait_until(happened, child, seconds=60.0):
    """Wait for `happened()` while the child runs; return whether it happened."""
    give_up = time.monotonic() + seconds
    while not happened():
        if child.poll() is not None:
            return False
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.002)
    return True


def temporaries(folder):
    """Files that a save has left behind."""
    return [path.name for path in Path(folder).rglob(".nice-np-*")]

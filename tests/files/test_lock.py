"""The lock of a run: one process at a time, who it is, and nothing left of one that was killed."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nice_np import NiceFileError
from nice_np.files.lock import locked

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals, links and pipes")
HOLD = """
import sys, time
from pathlib import Path
from nice_np.files.lock import locked
with locked(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, tmp_path / "lock"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


def test_another_process_is_named(holder, tmp_path):
    host = os.uname().nodename if hasattr(os, "uname") else ".*"
    says = rf"^my run is in use by process {holder.pid} on {host} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d; wait until"
    before = (tmp_path / "lock").read_bytes()
    with pytest.raises(NiceFileError, match=says), locked(tmp_path / "lock", "my run"):
        pytest.fail("two processes hold it")
    assert (tmp_path / "lock").read_bytes() == before
    holder.communicate()  # it ends
    assert not (tmp_path / "lock").exists()
    with locked(tmp_path / "lock", "my run"):
        pass


@posix
def test_a_killed_process_leaves_no_lock(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert json.loads((tmp_path / "lock").read_text())["pid"] == holder.pid
    with locked(tmp_path / "lock", "my run"):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_block_releases_it(tmp_path):
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), locked(tmp_path / "lock", "it"):
            raise error
    assert list(tmp_path.iterdir()) == []


def test_threads_take_turns_and_never_share(tmp_path):
    """Also while the file is removed and made again by the others."""
    inside, most, turns = [0], [0], [0]

    def work():
        while turns[0] < 300:
            try:
                with locked(tmp_path / "lock", "it"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    turns[0] += 1
                    inside[0] -= 1
            except NiceFileError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["mine", "{}", "[]", '{"pid": 1}', "[" * 5000])
def test_a_file_of_somebody_else_is_left_alone(content, tmp_path):
    (tmp_path / "lock").write_text(content)
    with pytest.raises(OSError, match="lock there is not a lock file of nice_np"), locked(tmp_path / "lock", "it"):
        pytest.fail("it was taken for a lock")
    assert (tmp_path / "lock").read_text() == content


@posix
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_refused(kind, tmp_path):
    path = tmp_path / "lock"
    (tmp_path / "target").write_text("")
    {"link": lambda: path.symlink_to("target"), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    before = path.lstat()
    with pytest.raises(NiceFileError, match=r"cannot lock .*lock: it is a "), locked(path, "it"):
        pytest.fail("it was taken for a lock")
    assert path.lstat() == before


@posix
def test_a_file_system_without_locks(monkeypatch, tmp_path):
    import fcntl

    def unsupported(*args):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with locked(tmp_path / "lock", "it"):
        assert (tmp_path / "lock").exists()


@posix
def test_a_lock_on_a_file_that_has_just_been_removed_counts_for_nothing(monkeypatch, tmp_path):
    """Its last holder removed it between our opening and our locking it; the next process would make another file."""
    import fcntl

    flock, calls = fcntl.flock, []

    def removed_meanwhile(*args):
        calls.append(args)
        if len(calls) == 1:
            (tmp_path / "lock").unlink()
        flock(*args)

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)
    with locked(tmp_path / "lock", "it"):
        assert (tmp_path / "lock").exists()
        with pytest.raises(NiceFileError, match="it is in use by process"), locked(tmp_path / "lock", "it"):
            pytest.fail("two hold it")


@pytest.mark.skipif(sys.platform == "win32", reason="needs fcntl")
def test_a_browser_tab_has_no_locks_and_needs_none(tmp_path, monkeypatch):
    import fcntl

    monkeypatch.delattr(fcntl, "flock")  # Pyodide's kernel has a module without it
    entered = []
    with locked(tmp_path / "lock", "it"):
        entered.append(True)
    assert entered == [True]

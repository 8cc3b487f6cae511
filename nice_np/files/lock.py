"""One process at a time: a lock that names its holder, and that a killed process does not leave behind."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nice_np.errors import NiceFileError
from nice_np.files.atomic import naming, replaceable

if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl

BEYOND = 2**30  # a position in the lock file after its text: on Windows nobody else can read a locked byte


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` during the block; if the process is killed, the system releases it.

    The file is removed at the end.  One that a killed process has left is taken over.

    Raises
    ------
    NiceFileError
        If another process, or another thread, holds it; the message says that `what` is in use, by whom and since when.
    OSError
        If no lock file can be made there, or the file there is not one of nice_np's.
    """
    descriptor = _open_locked(path, what)
    try:
        holder = {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(holder).encode())
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file: it stays, and the next process takes it over
            path.unlink()
        os.close(descriptor)


def _open_locked(path: Path, what: str) -> int:
    while True:
        with naming(f"cannot lock {path}"):
            replaceable(path)  # raises for a link, a pipe, a device, ...
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            holder = _holder(path)
            if not _lock(descriptor):
                raise NiceFileError(f"{what} is in use by {holder}; wait until it has finished, or stop it")
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder has just removed the file: make a new one


def _holder(path: Path) -> str:
    """The process that the lock file names."""
    try:
        text = path.read_bytes()[:1000]
    except FileNotFoundError:
        text = b""
    if not text:  # it is locked, but not yet written
        return "another process"
    try:
        found = json.loads(text)
        return f"process {found['pid']} on {found['host']} since {found['since']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        raise OSError(f"{path.name} there is not a lock file of nice_np; move it away") from None


def _lock(descriptor: int) -> bool:
    """Whether this process now holds the lock; closing the descriptor, or the end of the process, releases it."""
    if sys.platform == "win32":  # pragma: no cover
        os.lseek(descriptor, BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (OSError, AttributeError):  # a file system without locks; a browser tab, whose fcntl has no flock
        return True
    return True

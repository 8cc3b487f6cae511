"""Files that are written whole or not at all, even if the process is killed or the disk is full.

The bytes go to a temporary file in the same folder, are flushed to disk, and the file is then renamed over the old one:
a reader sees either the whole old file or the whole new one.  Every file that nice_np writes passes through here.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from nice_np.errors import NiceError, NiceFileError

TEMPORARY = ".nice-np-"  # prefix of temporary files
MAX_TEXT = 2**24  # bytes of a text that is read: the history of 100,000 epochs has fewer
ABANDONED = 600.0  # seconds; no running process pauses that long during a save
OPEN_FILES = "/proc/self/fd"  # on Linux the process's open files, by number
KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a binary file to write, which replaces `path` when the block ends without an error.

    The new file has the mode of the old one and, as far as the system allows it, the same owner.  Of two processes that
    write one path, the last to end wins; neither's file is mixed with the other's.

    Raises
    ------
    NiceFileError
        Naming the path; what was there is untouched.  Raised before the block runs if nothing can be written there:
        only regular files are replaced, see `replaceable`.
    """
    with naming(f"cannot write {path}"):
        # Strict: for the system nothing is at "missing/../name", and without it the folder would be a different one.
        folder = Path(os.path.realpath(path.parent, strict=True))
        target = folder / path.name
        old = replaceable(target)
        temporary = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
        remove_abandoned(folder)
        file = _open_temporary(temporary, 0o666 if old is None else 0o600)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the bytes must reach the disk before the new name does
            _give_name(file, temporary)
            file.close()  # before the renaming, for Windows
            old = replaceable(target)  # the block may have taken hours
            if old is not None:
                _make_alike(temporary, old)
            os.replace(temporary, target)
            _flush_folder(folder)
        finally:
            with suppress(OSError):  # a disk that is full is reported once
                file.close()
            with suppress(OSError):  # after a successful rename it is gone
                temporary.unlink()


def replaceable(path: Path) -> os.stat_result | None:
    """The status of the regular file at `path`, or None if nothing is there.

    Raises
    ------
    OSError
        If `path` is a folder, a symbolic link (also one to a regular file), a pipe, a socket or a device.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    except ValueError as error:  # a NUL in the path
        raise OSError(error) from error
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise OSError(f"it is {KINDS.get(kind, 'something else')}, and only a regular file is replaced")
    return found


def write_text(path: Path, text: str) -> None:
    """Write a small text file in UTF-8, whole or not at all; NiceFileError names the path."""
    with replacing(path) as file:
        file.write(text.encode())


def open_to_read(path: Path) -> IO[bytes]:
    """Open a regular file, also behind a link; OSError for a pipe or a device, which could block, or never end."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OSError("it is not a regular file")
    return open(path, "rb")


def read_text(path: Path) -> str:
    """The text of a regular file in UTF-8; OSError or ValueError if it cannot be read, or is absurdly long."""
    with open_to_read(path) as file:
        text = file.read(MAX_TEXT + 1)
    if len(text) > MAX_TEXT:
        raise ValueError(f"more than {MAX_TEXT} bytes, far more than nice_np writes")
    return text.decode()


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Turn an OSError in the block into a NiceFileError that starts with `what`."""
    try:
        yield
    except NiceError:
        raise
    except OSError as error:
        raise NiceFileError(f"{what}: {error.strerror or error}") from error


def remove_abandoned(folder: Path) -> None:
    """Delete the temporary files of processes that were killed during a save."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):  # another process removed it first
            if leftover.stat().st_mtime < time.time() - ABANDONED:
                leftover.unlink()


def _open_temporary(name: Path, mode: int) -> IO[bytes]:
    """A new file; on Linux it has no name yet, so that nothing is left of it if the process is killed."""
    if os.path.isdir(OPEN_FILES):
        with suppress(AttributeError, OSError):  # not every system and file system can do this
            return os.fdopen(os.open(name.parent, os.O_TMPFILE | os.O_RDWR, mode), "wb")
    return _new_file(name, mode)


def _give_name(file: IO[bytes], name: Path) -> None:
    """Give a file its name, unless it has one."""
    unnamed = Path(OPEN_FILES, str(file.fileno()))
    if os.fstat(file.fileno()).st_nlink:
        return
    try:
        os.link(unnamed, name, src_dir_fd=file.fileno())  # any number: without one, Python would link the link itself
    except OSError:  # forbidden in some sandboxes and shared folders
        with open(unnamed, "rb") as source, _new_file(name, 0o600) as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        shutil.copymode(unnamed, name)


def _new_file(name: Path, mode: int) -> IO[bytes]:
    return open(name, "xb", opener=lambda path, flags: os.open(path, flags, mode))


def _make_alike(name: Path, old: os.stat_result) -> None:
    """Give a file the owner and the mode of the one that it replaces."""
    with suppress(AttributeError, OSError):  # only root may give files away; Windows has no chown
        os.chown(name, old.st_uid, old.st_gid)
    with suppress(OSError):
        os.chmod(name, old.st_mode & 0o777)


def _flush_folder(folder: Path) -> None:
    """Let the new name reach the disk, too; Windows and some network file systems cannot be asked to."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

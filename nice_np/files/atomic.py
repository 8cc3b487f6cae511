"""Files that are written whole or not at all, even if the process is killed or the disk is full.

The bytes go to a temporary file in the same folder, are flushed to disk, and the file is then renamed over the old one:
a reader sees either the whole old file or the whole new one.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nice_np.errors import NiceFileError

TEMPORARY = ".nice-np-"  # prefix of temporary files
ABANDONED = 600.0  # seconds; no running process pauses that long during a save


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file next to `path`, which replaces `path` when the block ends without an error.

    Raises
    ------
    NiceFileError
        Naming the path; the file that was there is untouched.  Raised before the block runs if nothing can be written
        there: a folder, a pipe or a device is refused.
    """
    with naming(f"cannot write {path}"):
        try:
            target = Path(os.path.realpath(path))  # a symbolic link stays a link; its target is replaced
            if target.exists() and not target.is_file():
                raise OSError("it is a folder" if target.is_dir() else "it is not a regular file")
            temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}{target.suffix}")
            remove_abandoned(target.parent)
            open(temporary, "xb").close()
        except ValueError as error:  # a NUL in the path
            raise OSError(error) from error
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())  # the bytes must reach the disk before the new name does
            os.replace(temporary, target)
        except NiceFileError as error:  # from a writer that knows only the temporary name
            raise NiceFileError(str(error).replace(str(temporary), str(path))) from error
        finally:
            with suppress(OSError):  # after a successful rename it is gone
                temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a small text file in UTF-8, whole or not at all; NiceFileError names the path."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Turn an OSError in the block into a NiceFileError that starts with `what`."""
    try:
        yield
    except NiceFileError:
        raise
    except OSError as error:
        raise NiceFileError(f"{what}: {error.strerror or error}") from error


def remove_abandoned(folder: Path) -> None:
    """Delete the temporary files of processes that were killed during a save."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):  # another process removed it first
            if leftover.stat().st_mtime < time.time() - ABANDONED:
                leftover.unlink()

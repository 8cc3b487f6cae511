"""Where data files are, and how they are opened: what the caller gives, then the environment, then the user's cache."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from nice_np.datasets.download import RemoteFile, fetch
from nice_np.errors import DatasetError
from nice_np.validation import as_path

log = logging.getLogger(__name__)

ENVIRONMENT_VARIABLE = "NICE_NP_DATA"
TO_DOWNLOAD = f"give no data_dir and unset {ENVIRONMENT_VARIABLE} to download them"


def given_folder(data_dir: str | os.PathLike[str] | None, owner: str) -> Path | None:
    """The folder that the caller or the environment gives, or None.

    Raises
    ------
    NiceTypeError
        If `data_dir` is not a path; `owner` is who asks.
    """
    if data_dir is None:
        from_environment = os.environ.get(ENVIRONMENT_VARIABLE)
        if not from_environment:
            return None
        log.info("%s names the folder of the data, %s", ENVIRONMENT_VARIABLE, from_environment)
        return Path(from_environment)
    return as_path(data_dir, owner, "data_dir")


def find(names: Sequence[str], folder: Path, subfolders: Sequence[str], cure: str) -> Path:
    """The first of `names` that there is, in `folder` itself before its subfolders.

    Raises
    ------
    DatasetError
        If there is none, or the folder may not be looked into; says where it was looked for, and `cure`, what to do.
    """
    places = [folder, *(folder / subfolder for subfolder in subfolders)]
    try:
        for path in (place / name for place in places for name in names):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null byte
                path.stat()  # where Path.exists, of Python 3.14, would hide that the folder may not be looked into
                return path
        remark = "" if folder.is_dir() else f"; {folder} is no folder"
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be looked into ({error.strerror or error}); {cure}") from None
    alternatives = f" (or {', '.join(names[1:])})" if len(names) > 1 else ""
    raise DatasetError(f"no {names[0]}{alternatives} in {' or '.join(map(str, places))}{remark}; {cure}")


def cached(remote: RemoteFile, subfolder: str, *, progress: bool, hint: str = "") -> Path:
    """A verified copy of `remote` in the user's cache, downloaded where there is none; see `fetch`.

    Raises
    ------
    DatasetError
        As `fetch` does; the message adds how to do without the download, and `hint`.
    """
    import pooch

    try:
        return fetch(remote, Path(pooch.os_cache("nice_np")) / subfolder, progress=progress)
    except DatasetError as error:
        raise DatasetError(
            f"{error}; where the files are on a disk already, name their folder by data_dir or {ENVIRONMENT_VARIABLE}"
            f"{hint}"
        ) from None


@contextlib.contextmanager
def open_file(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """A file to read from; whatever goes wrong with it is a DatasetError that names it.

    Parameters
    ----------
    path : Path
    kind : str
        What is expected there, "an IDX file".

    Raises
    ------
    DatasetError
        If the file is missing, not a file, or cannot be read, also later, in the body of the ``with``; and for what the
        readers of gzip and zlib streams raise there.
    """
    try:
        if not path.exists():
            raise DatasetError(f"{path}: no such file")
        if not path.is_file():  # opening a pipe or a device could wait for ever
            raise DatasetError(f"{path}: expected {kind}, found {'a folder' if path.is_dir() else 'a special file'}")
        with path.open("rb") as file:
            log.info("reading %s", path)
            yield file
    except EOFError:
        raise DatasetError(f"{path}: the gzip stream is truncated; fetch the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path}: the compressed stream is damaged ({error}); fetch the file again") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None

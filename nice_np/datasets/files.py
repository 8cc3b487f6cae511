"""Where data files are found and how they are opened: `data_dir` first, then NICE_NP_DATA, then the user's cache."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from nice_np.datasets.download import RemoteFile, fetch
from nice_np.errors import DatasetError, NiceImportError
from nice_np.validation import as_path

log = logging.getLogger(__name__)

ENVIRONMENT_VARIABLE = "NICE_NP_DATA"
DATA_DIR = "data_dir (on the command line --data-dir)"


def given_folder(data_dir: str | os.PathLike[str] | None, owner: str) -> Path | None:
    """The folder that the caller or the environment names, or None; NiceTypeError if `data_dir` is not a path."""
    if data_dir is not None:
        return as_path(data_dir, owner, "data_dir")
    from_environment = os.environ.get(ENVIRONMENT_VARIABLE)
    if not from_environment:
        return None
    log.info("reading data from %s, set by %s", from_environment, ENVIRONMENT_VARIABLE)
    return Path(from_environment)


def locate(remote: RemoteFile, folder: Path | None, dataset: str, what: str, *, progress: bool, hint: str = "") -> Path:
    """Where `remote` is: in `folder` or its subfolder named `dataset`; without a folder, in the cache.

    `what` names the files to put into the folder, for the message of the DatasetError; `hint` is as in `cached`.
    """
    if folder is None:
        return cached(remote, dataset, progress=progress, hint=hint)
    return find((remote.name,), folder, (dataset,), to_put(what))


def to_put(what: str) -> str:
    """The advice that ends a message about missing files."""
    return f"put {what} there, or give no {DATA_DIR} and unset {ENVIRONMENT_VARIABLE} to download them"


def find(names: Sequence[str], folder: Path, subfolders: Sequence[str], cure: str) -> Path:
    """The first of `names` that exists, in `folder` itself and then in its subfolders.

    Raises
    ------
    DatasetError
        If none exists or the folder cannot be searched; the message lists the places and ends in `cure`, what to do.
    """
    places = [folder, *(folder / subfolder for subfolder in subfolders)]
    try:
        for path in (place / name for place in places for name in names):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null byte
                path.stat()  # not Path.exists: since Python 3.14 it hides a missing permission
                return path
        remark = "" if folder.is_dir() else f"; {folder} is not a folder"
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be searched ({error.strerror or error}); {cure}") from None
    alternatives = f" (or {', '.join(names[1:])})" if len(names) > 1 else ""
    raise DatasetError(f"no {names[0]}{alternatives} in {' or '.join(map(str, places))}{remark}; {cure}")


def cached(remote: RemoteFile, dataset: str, *, progress: bool, hint: str = "") -> Path:
    """A verified copy of `remote` in the user's cache, downloaded if necessary; see `fetch`.

    Raises
    ------
    NiceImportError
        If the packages for downloads are not installed; names `dataset` and the extra.
    DatasetError
        In a browser tab, or as in `fetch`; the message adds how to do without the download, and `hint`.
    """
    instead = f"if you have the files, name their folder with {DATA_DIR} or {ENVIRONMENT_VARIABLE}{hint}"
    if sys.platform == "emscripten":  # Pyodide: a page may not read other sites' files
        raise DatasetError(
            f"the data set {dataset} cannot be downloaded in a browser tab; mnist-small and the densities in the plane "
            f"need no download, see datasets.names(); {instead}"
        )
    try:
        import pooch
        import requests  # noqa: F401 (needed by `fetch`)
        import urllib3  # noqa: F401
    except ImportError as error:
        raise NiceImportError(
            f"downloading the data set {dataset} needs pooch, requests and urllib3: "
            f'pip install "nice-np[download]"; {instead}'
        ) from error
    try:
        return fetch(remote, Path(pooch.os_cache("nice_np")) / dataset, progress=progress)
    except DatasetError as error:
        raise DatasetError(f"{error}; {instead}") from None


@contextlib.contextmanager
def open_file(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """Open a file for reading; any failure, also within the ``with`` block, is a DatasetError that names the file.

    `kind` says what is expected there, such as "an IDX file".  Errors of gzip and zlib streams on the file count too.
    """
    try:
        if not path.exists():
            raise DatasetError(f"{path}: no such file")
        if not path.is_file():  # opening a pipe or a device could block forever
            raise DatasetError(f"{path}: expected {kind}, found {'a folder' if path.is_dir() else 'a special file'}")
        with path.open("rb") as file:
            log.info("reading %s", path)
            yield file
    except DatasetError:
        raise
    except EOFError:
        raise DatasetError(f"{path}: the gzip stream is truncated; fetch the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path}: the compressed stream is damaged ({error}); fetch the file again") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise DatasetError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None

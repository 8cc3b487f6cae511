"""Safe downloads: a file gets its name once its SHA-256 is right.

Several mirrors, retries where they can help (a server's 5xx, a cut connection), one deadline for all of them, a size
limit, and no step from https down to http.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from nice_np.errors import DatasetError, NiceFileError
from nice_np.files.atomic import naming, replacing
from nice_np.validation import as_float, as_int, as_path

if TYPE_CHECKING:
    import requests

log = logging.getLogger(__name__)

CHUNK = 1 << 16  # bytes
TIMEOUT = 10.0  # the longest silence of a server, in seconds
SLOW = 50_000  # bytes per second: the slowest connection that the default deadline allows for
PAUSE = 0.5  # seconds before the first retry, doubled before each further one


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web: where it is, and how to recognise it."""

    name: str  # the local file name
    urls: Sequence[str]  # mirrors, in the order in which they are tried
    sha256: str  # of the content, 64 hexadecimal digits
    size: int  # in bytes; a longer download is cut off
    size_is_exact: bool = True  # False if `size` is only an upper bound


class _Failure(Exception):
    """Why a mirror did not deliver; the next one might."""


class _PassingFailure(_Failure):
    """This mirror may deliver a moment later."""


def fetch(
    remote: RemoteFile,
    folder: str | os.PathLike[str],
    *,
    progress: bool = False,
    deadline: float | None = None,
    attempts: int = 3,
    allow_http: bool = False,
) -> Path:
    """The path of a verified copy of `remote`, downloaded only if `folder` does not hold one.

    A copy with the right checksum is returned without network access or writing.  Otherwise a temporary file is
    downloaded and renamed once its checksum is right: a failure leaves an older file untouched, and several processes
    may do this at once.

    Parameters
    ----------
    remote : RemoteFile
    folder : path
        Created if it does not exist.
    progress : bool
        Show a progress bar on stderr.
    deadline : float, optional
        Seconds for all mirrors and retries together; by default five minutes plus 20 seconds per MB.
    attempts : int
        How often each mirror is tried, >= 1.
    allow_http : bool
        Allow unencrypted URLs and redirects; a redirect from https to http is always refused.

    Raises
    ------
    DatasetError
        If no mirror delivers the file in time or the folder cannot be written; names the folder and, for each URL, what
        went wrong.
    NiceTypeError, NiceValueError
        For a bad argument.
    """
    deadline = 300 + remote.size / SLOW if deadline is None else as_float(deadline, "fetch", "deadline", above=0)
    attempts = as_int(attempts, "fetch", "attempts", 1)
    give_up_at = time.monotonic() + deadline
    folder = as_path(folder, "fetch", "folder")
    path = folder / remote.name
    if _is_there(path, remote):
        log.info("%s is in %s, SHA-256 verified", remote.name, folder)
        return path
    failures: list[str] = []
    for url in remote.urls:
        if failures:
            log.warning("%s; trying the next mirror", failures[-1])
        for attempt in range(1, attempts + 1):
            try:
                with naming(f"cannot store {remote.name} in {folder}"):
                    folder.mkdir(parents=True, exist_ok=True)
                    _download(url, path, remote, give_up_at, progress, allow_http, attempt)
                log.info("%s is in %s, SHA-256 verified", remote.name, folder)
                return path
            except _Failure as failure:
                pause = PAUSE * 2 ** (attempt - 1)
                passing = isinstance(failure, _PassingFailure)
                if not passing or attempt == attempts or time.monotonic() + pause > give_up_at:
                    failures.append(f"{url}: {failure} (tried {attempt} times)" if attempt > 1 else f"{url}: {failure}")
                    break
                log.warning("%s: %s; trying again in %g s", url, failure, pause)
                time.sleep(pause)
            except NiceFileError as error:  # the disk's; network errors have become a _Failure
                raise DatasetError(str(error)) from None
    raise DatasetError(f"cannot download {remote.name} into {folder}: {'; '.join(failures)}; check the network")


def _is_there(path: Path, remote: RemoteFile) -> bool:
    """Whether the file is there, with the right checksum."""
    try:
        if not path.is_file() or path.stat().st_size > remote.size:
            return False
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest() == remote.sha256
    except OSError:  # it cannot be read, and may be replaced
        return False


def _download(
    url: str, path: Path, remote: RemoteFile, give_up_at: float, progress: bool, allow_http: bool, attempt: int
) -> None:
    """Write `path`, or raise a _Failure; an OSError is the disk's."""
    schemes = ("https", "http") if allow_http else ("https",)
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:  # such as an unmatched [
        raise _Failure(f"malformed ({error})") from None
    if scheme not in schemes:
        raise _Failure("refused, the address is not https")
    if time.monotonic() > give_up_at:
        raise _Failure("out of time")
    log.info("downloading %s (attempt %d)", url, attempt)
    with replacing(path) as file:
        transfer = _Transfer(url, file, remote, progress, schemes)
        transfer.start()
        while transfer.is_alive() and (left := give_up_at - time.monotonic()) > 0:
            transfer.join(min(left, 0.1))  # briefly: on Windows Ctrl-C waits for it
        if transfer.is_alive():
            raise _Failure(f"out of time after {transfer.received} of {remote.size} bytes")
        if transfer.errors:
            raise transfer.errors.pop()  # no reference is left behind, so its sockets are closed at once
        if transfer.digest.hexdigest() != remote.sha256:
            raise _Failure(f"the SHA-256 of the content is not {remote.sha256}")


class _Transfer(threading.Thread):
    """From a server into an open file, in a thread that can be left behind.

    A name server that is silent, or a server that sends its header byte by byte, delays a call for as long as it likes,
    whatever the socket's timeout: a deadline holds only for the one who waits.  A thread left behind ends when it finds
    the file closed, or with the process.
    """

    def __init__(self, url: str, file: IO[bytes], remote: RemoteFile, progress: bool, schemes: Sequence[str]) -> None:
        super().__init__(name="nice-np download", daemon=True)
        self.url, self.file, self.remote, self.progress, self.schemes = url, file, remote, progress, schemes
        self.received, self.digest = 0, hashlib.sha256()  # bytes, and their SHA-256
        self.errors: list[BaseException] = []  # at most one

    def run(self) -> None:
        try:
            self._get()
        except BaseException as error:
            if not self.file.closed:  # somebody waits, and will raise it
                self.errors.append(error)

    def _get(self) -> None:
        import urllib3.exceptions

        with _answer(self.url, self.schemes) as response:
            if response.status_code != 200:
                kind = _PassingFailure if response.status_code >= 500 else _Failure
                raise kind(f"the server answered {response.status_code} {response.reason}")
            try:
                self._copy(response)
            except urllib3.exceptions.HTTPError:  # cut off, or silent for too long
                raise _PassingFailure("the connection was cut") from None

    def _copy(self, response: requests.Response) -> None:
        """Copy the body in chunks, and no more of it than the file should have."""
        from tqdm import tqdm

        size, exact = self.remote.size, self.remote.size_is_exact
        total, quiet = size if exact else None, not self.progress
        with tqdm(total=total, unit="B", unit_scale=True, desc=self.remote.name, disable=quiet) as bar:
            while chunk := response.raw.read1(CHUNK):  # what has arrived; read would wait for a full chunk
                self.received += len(chunk)
                if self.received > size:
                    raise _Failure(f"the content is longer than {size} bytes")
                self.digest.update(chunk)
                self.file.write(chunk)
                bar.update(len(chunk))
        if exact and self.received < size:
            raise _PassingFailure(f"the connection was cut after {self.received} of {size} bytes")


def _answer(url: str, schemes: Sequence[str]) -> requests.Response:
    """The server's answer with its body unread.  The disk is not touched here, so every OSError is the network's."""
    import requests
    import urllib3.exceptions

    try:
        return requests.get(
            url,
            stream=True,
            timeout=TIMEOUT,
            headers={"Accept-Encoding": "identity"},  # the checksum is of the file as the server stores it
            hooks={"response": _redirect_guard(schemes)},
        )
    except requests.ConnectionError as error:
        # MaxRetryError: no connection was made (no network, unknown host), so another attempt is useless.
        if error.args and isinstance(error.args[0], urllib3.exceptions.MaxRetryError):
            raise _Failure(f"no connection ({type(error).__name__})") from None
        raise _PassingFailure("the connection was cut") from None
    except requests.RequestException as error:  # timeout, too many redirects
        raise _Failure(f"{type(error).__name__}") from None
    except (OSError, ValueError) as error:  # a missing certificate bundle; a malformed redirect
        raise _Failure(str(error)) from None


def _redirect_guard(schemes: Sequence[str]) -> Callable[..., None]:
    """A hook that checks each redirect before requests follows it."""

    def guard(response: requests.Response, *args: Any, **kwargs: Any) -> None:
        if response.is_redirect:
            target = urljoin(response.url, response.headers["location"])
            old, new = urlsplit(response.url).scheme, urlsplit(target).scheme
            if new not in schemes or (old == "https" and new != "https"):
                response.close()
                raise _Failure(f"refused, the server redirects from {old} to {new}: {target}")

    return guard

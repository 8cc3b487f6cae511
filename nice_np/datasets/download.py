"""Downloads that can be trusted: a thin layer on pooch, which verifies the SHA-256 before it renames into place.

What is added to pooch: several mirrors, retries only where they can help (a server's 5xx, a cut connection), one
deadline for everything, a limit of size, and the refusal to go from https to http.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from nice_np.errors import DatasetError
from nice_np.validation import as_float, as_int, as_path

if TYPE_CHECKING:
    import requests

log = logging.getLogger(__name__)

CHUNK = 1 << 16  # bytes
TIMEOUT = 10.0  # seconds of silence from a server, at most
SLOW = 50_000  # bytes in a second; the deadline allows a connection as slow as that
PAUSE = 0.5  # seconds before the first retry, twice as many before each further one


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web: where it is, and how to know that it is the right one.

    Parameters
    ----------
    name : str
        Its name in the folder that it is stored in.
    urls : sequence of str
        The mirrors, in the order in which they are tried.
    sha256 : str
        The SHA-256 of its content, 64 hexadecimal digits.
    size : int
        Its size in bytes; a download is cut off beyond it.
    size_is_exact : bool
        Whether `size` is the size itself, or only an upper limit where the size is not known.
    """

    name: str
    urls: Sequence[str]
    sha256: str
    size: int
    size_is_exact: bool = True


class _Unavailable(Exception):
    """This mirror cannot deliver; the next one might."""


class _TryAgain(Exception):
    """This mirror may well deliver a moment later."""


def fetch(
    remote: RemoteFile,
    folder: str | os.PathLike[str],
    *,
    progress: bool = False,
    deadline: float | None = None,
    attempts: int = 3,
    allow_http: bool = False,
) -> Path:
    """The path of a verified local copy of `remote`, downloaded only if `folder` does not have one already.

    A copy with the right checksum is returned as it is: no network, nothing written.  Otherwise the download goes to a
    temporary file and is renamed once its checksum is right, so that a file that was there before survives a failure
    and two processes may do this at once.

    Parameters
    ----------
    remote : RemoteFile
    folder : path
        Where the file is kept; made if it does not exist.
    progress : bool
        Show a progress bar on stderr.
    deadline : float, optional
        Seconds for everything, all mirrors and retries together; by default five minutes and 20 seconds for each MB.
    attempts : int
        How often each mirror is tried, >= 1.
    allow_http : bool
        Allow URLs and redirects that are not encrypted; from https to http it never goes.

    Returns
    -------
    Path

    Raises
    ------
    DatasetError
        If no mirror delivers the file in time, or the folder cannot be written; names the URLs, the folder and what
        went wrong with each.
    NiceTypeError, NiceValueError
        For a wrong argument.
    """
    import pooch

    deadline = 300 + remote.size / SLOW if deadline is None else as_float(deadline, "fetch", "deadline", above=0)
    attempts = as_int(attempts, "fetch", "attempts", 1)
    give_up_at = time.monotonic() + deadline
    folder = as_path(folder, "fetch", "folder")
    failures = []
    for url in remote.urls:
        for attempt in range(1, attempts + 1):
            try:
                with _silence(pooch.get_logger()):  # it would write to stderr unasked
                    path = pooch.retrieve(
                        url,
                        known_hash=f"sha256:{remote.sha256}",
                        fname=remote.name,
                        path=folder,
                        downloader=_downloader(remote, give_up_at, progress, allow_http, attempt),
                    )
                log.info("%s is in %s, and its SHA-256 is right", remote.name, folder)
                return Path(path)
            except _TryAgain as error:
                pause = PAUSE * 2 ** (attempt - 1)
                if attempt == attempts or time.monotonic() + pause > give_up_at:
                    failures.append(f"{url}: {error} (tried {attempt} times)" if attempt > 1 else f"{url}: {error}")
                    break
                log.warning("%s: %s; trying again in %g s", url, error, pause)
                time.sleep(pause)
            except _Unavailable as error:
                failures.append(f"{url}: {error}")
                break
            except ValueError:  # pooch's word for a wrong checksum; those of the address have become _Unavailable
                failures.append(f"{url}: the content has another SHA-256 than {remote.sha256}")
                break
            except OSError as error:  # the disk's; the network's have become one of the two above
                raise DatasetError(f"cannot store {remote.name} in {folder}: {error.strerror or error}") from None
        if url != remote.urls[-1]:
            log.warning("%s; trying the next mirror", failures[-1])
    raise DatasetError(
        f"cannot download {remote.name} into {folder}: {'; '.join(failures)}; check the network, or put the "
        "original file there by hand"
    )


@contextlib.contextmanager
def _silence(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _downloader(
    remote: RemoteFile, give_up_at: float, progress: bool, allow_http: bool, attempt: int
) -> Callable[[str, str, object], None]:
    """What pooch calls to bring `url` into `output_file`."""
    import urllib3.exceptions

    schemes = ("https", "http") if allow_http else ("https",)

    def download(url: str, output_file: str, _pooch: object) -> None:
        if _scheme(url) not in schemes:
            raise _Unavailable("refused, the address is not https")
        if time.monotonic() > give_up_at:
            raise _Unavailable("out of time")
        log.info("downloading %s (attempt %d)", url, attempt)
        with _answer(url, schemes, give_up_at) as response:
            _check_status(response)
            with open(output_file, "wb") as file:
                try:
                    _copy(response, file.write, remote, give_up_at, progress)
                except urllib3.exceptions.HTTPError:  # cut off, or silent for too long
                    raise _TryAgain("the connection was cut") from None

    return download


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError as error:  # such as a [ without its ]
        raise _Unavailable(f"malformed ({error})") from None


def _answer(url: str, schemes: Sequence[str], give_up_at: float) -> requests.Response:
    """The server's answer, its body still to be read; nothing here touches the disk that the file goes to."""
    import requests
    import urllib3.exceptions

    try:
        return requests.get(
            url,
            stream=True,
            timeout=max(0.1, min(TIMEOUT, give_up_at - time.monotonic())),
            headers={"Accept-Encoding": "identity"},  # the checksum is of the file as it lies on the server
            hooks={"response": _redirect_guard(schemes)},
        )
    except requests.ConnectionError as error:
        # MaxRetryError: no connection came about (no network, unknown host), so that trying again is in vain.
        if error.args and isinstance(error.args[0], urllib3.exceptions.MaxRetryError):
            raise _Unavailable(f"no connection ({type(error).__name__})") from None
        raise _TryAgain("the connection was cut") from None
    except requests.RequestException as error:  # too slow to answer, too many redirects
        raise _Unavailable(f"{type(error).__name__}") from None
    except (OSError, ValueError) as error:  # no certificates where the environment says; a malformed redirect
        raise _Unavailable(str(error)) from None


def _redirect_guard(schemes: Sequence[str]) -> Callable[..., None]:
    """A hook that looks at each answer before a redirect in it is followed."""

    def guard(response: requests.Response, *args: Any, **kwargs: Any) -> None:
        if response.is_redirect:
            target = urljoin(response.url, response.headers["location"])
            old, new = urlsplit(response.url).scheme, urlsplit(target).scheme
            if new not in schemes or (old == "https" and new != "https"):
                response.close()
                raise _Unavailable(f"refused, the server redirects from {old} to {new}: {target}")

    return guard


def _check_status(response: requests.Response) -> None:
    answer = f"the server answered {response.status_code} {response.reason}"
    if response.status_code >= 500:
        raise _TryAgain(answer)
    if response.status_code != 200:
        raise _Unavailable(answer)


def _copy(
    response: requests.Response, write: Callable[[bytes], int], remote: RemoteFile, give_up_at: float, progress: bool
) -> None:
    """Copy the body, chunk by chunk, within the limits of time and size."""
    received = 0
    with contextlib.ExitStack() as stack:
        bar = None
        if progress:
            from tqdm import tqdm

            total = remote.size if remote.size_is_exact else None
            bar = stack.enter_context(tqdm(total=total, unit="B", unit_scale=True, desc=remote.name))
        # read1 returns what has arrived; read would wait until a server that drips byte by byte has filled the chunk.
        while chunk := response.raw.read1(CHUNK):
            received += len(chunk)
            if received > remote.size:
                raise _Unavailable(f"the content is longer than {remote.size} bytes")
            if time.monotonic() > give_up_at:
                raise _Unavailable(f"out of time after {received} of {remote.size} bytes")
            write(chunk)
            if bar is not None:
                bar.update(len(chunk))
    if remote.size_is_exact and received < remote.size:
        raise _TryAgain(f"the connection was cut after {received} of {remote.size} bytes")

"""A fresh kernel with an empty home folder and no network, the same on every machine."""

from __future__ import annotations

import logging
import os
import site
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = "http://127.0.0.1:9"  # no server listens on this port
SILENT = logging.getLogger("tutorials")
SILENT.setLevel(logging.CRITICAL)


@contextmanager
def fresh_place(fast: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """An empty folder, and the environment of a kernel that runs in it."""
    with TemporaryDirectory() as folder:
        ours = dict.fromkeys(("HOME", "USERPROFILE", "MPLCONFIGDIR", "IPYTHONDIR"), folder)
        ours |= {
            "PYTHONUSERBASE": site.getuserbase(),
            "NICE_NP_FAST": "1",
        }  # pip install --user is below the home folder
        ours |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
        ours["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = os.environ | ours
        for name in ("NICE_NP_DATA", *(() if fast else ("NICE_NP_FAST",))):
            environment.pop(name, None)
        yield folder, environment


def new_client(notebook: NotebookNode, folder: str, timeout: float, allow_errors: bool) -> NotebookClient:
    """A client for one notebook; `timeout` is in seconds, for each cell."""
    return NotebookClient(
        notebook,
        timeout=timeout,
        allow_errors=allow_errors,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
        shutdown_kernel="immediate",
        resources={"metadata": {"path": folder}},
        log=SILENT,
    )


def execute(notebook: NotebookNode, timeout: float = 600, fast: bool = False, allow_errors: bool = False) -> None:
    """Run all cells and store their outputs in the notebook; without `allow_errors`, raise the first error."""
    with fresh_place(fast) as (folder, environment):
        new_client(notebook, folder, timeout, allow_errors).execute(env=environment)

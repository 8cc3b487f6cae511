"""A fresh kernel with an empty home folder and no network, the same on every machine."""

from __future__ import annotations

import logging
import os
import site
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
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


class Outcome(NamedTuple):
    """The result of running code: the class and message of its error, both empty if there was none."""

    error: str
    message: str


class Session:
    """A kernel that survives code that never ends or kills it: it restarts and reruns what succeeded.

    Use it as a context manager.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._done: list[str] = []  # what a new kernel has to rerun

    def __enter__(self) -> Session:
        self._stack = ExitStack()
        self._folder, self._environment = self._stack.enter_context(fresh_place(fast=True))
        self._start()
        return self

    def __exit__(self, *error: object) -> None:
        self._kernel.close()
        self._stack.close()

    def _start(self) -> None:
        self._client = new_client(nbformat.v4.new_notebook(), self._folder, self.timeout, allow_errors=True)
        self._kernel = ExitStack()
        self._kernel.enter_context(self._client.setup_kernel(env=self._environment))

    def run(self, source: str) -> Outcome:
        """Run one cell's source."""
        try:
            outcome = self._run(source)
        except (CellTimeoutError, DeadKernelError) as error:
            self._kernel.close()
            self._start()
            for earlier in self._done:
                self._run(earlier)
            stopped = isinstance(error, CellTimeoutError)
            return Outcome("Stopped", f"stopped after {self.timeout:g} seconds" if stopped else "the kernel died")
        self._done.append(source)
        return outcome

    def _run(self, source: str) -> Outcome:
        cells = self._client.nb.cells
        cells.append(nbformat.v4.new_code_cell(source))
        cell = self._client.execute_cell(cells[-1], len(cells) - 1)
        return next((Outcome(o.ename, o.evalue) for o in cell.outputs if o.output_type == "error"), Outcome("", ""))

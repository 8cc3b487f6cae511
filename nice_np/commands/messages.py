"""What nice-np prints on standard error while it works: the log of nice_np and Python's warnings, one line each."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from nice_np.files.text import printable

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)  # for no -v, -v and -vv


class Lines(logging.Handler):
    """Writes each record as a line on standard error, above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        say(f"{record.levelname.lower()}: {record.name}: {record.getMessage()}")


def say(line: str) -> None:
    """Write a line on standard error, above a progress bar; a full disk behind it must not stop the program."""
    line = printable(line)
    if sys.stderr is None:  # it was closed before Python started
        return
    with suppress(OSError, ValueError):
        if "tqdm" in sys.modules:  # otherwise there is no bar
            from tqdm import tqdm

            tqdm.write(line, file=sys.stderr)
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@contextmanager
def shown(verbose: int = 0, quiet: bool = False) -> Iterator[None]:
    """Show the log of nice_np, including warnings, on standard error during the block.

    With `verbose` 0 warnings are shown, with 1 also what is read, written and chosen, with 2 everything; with `quiet`
    only errors.
    """
    log, handler = logging.getLogger("nice_np"), Lines()
    level_before, show_before = log.level, warnings.showwarning

    def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        log.warning("%s", message)

    log.addHandler(handler)
    log.setLevel(logging.ERROR if quiet else LEVELS[min(verbose, 2)])
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = show_before
        log.setLevel(level_before)
        log.removeHandler(handler)

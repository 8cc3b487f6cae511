"""The progress of `fit` and of restoration: share done, loss or likelihood, speed, time left."""

from __future__ import annotations

import os
import sys
import time
import warnings
from typing import Any

SECONDS_PER_LINE = 10.0  # in a log file


class Progress:
    """A bar in a terminal or a notebook, a line every ten seconds in a log file, or nothing.

    Parameters
    ----------
    show : bool
    done : float
        The share already done, when a run is resumed.
    words : str
        How to write the score, see `nice_np.training.history.MEASURES`.
    """

    def __init__(self, show: bool, done: float = 0.0, words: str = "{:.2f} nats") -> None:
        self.words = words
        self.show: Any = None
        if show and sys.stderr is not None:  # None: it was closed before Python started
            self.show = _Bar(done) if _is_terminal() or _is_notebook() else _Lines()

    def update(
        self, done: float, epoch: int, score: float, bits: float | None, speed: float, unit: str = "bits/dim"
    ) -> None:
        """Show the state after a step: share done, epoch, running mean of the score, also in `unit`, samples/s."""
        parts = [self.words.format(score), *([] if bits is None else [f"{bits:.3f} {unit}"]), f"{speed:.0f} samples/s"]
        self.show_state(done, f"epoch {epoch}", ", ".join(parts))

    def show_state(self, done: float, where: str, state: str) -> None:
        """Show the share done, the place, such as "step 3", and anything else worth knowing."""
        self._try("update", min(100.0 * done, 100.0), where, state)

    def close(self) -> None:
        """Leave what was shown on lines of its own."""
        self._try("close")

    def _try(self, method: str, *args: Any) -> None:
        if self.show is not None:
            try:
                getattr(self.show, method)(*args)
            except (OSError, ValueError):  # a full disk, a closed pipe or stream: no reason to stop
                self.show = None


def _is_terminal() -> bool:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0  # some terminals report a width of 0
    except (OSError, ValueError, AttributeError):  # a file, a pipe, or a stream without a file descriptor
        return False


def _is_notebook() -> bool:
    # A kernel's stream, shown in the notebook; pyodide_kernel is the kernel in a browser tab.
    return type(sys.stderr).__module__.startswith(("ipykernel", "pyodide_kernel"))


class _Bar:
    def __init__(self, done: float) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # in a notebook without ipywidgets the bar is plain text
            from tqdm.auto import tqdm

        layout = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        self.bar = tqdm(total=100.0, initial=100.0 * done, bar_format=layout, mininterval=0.2, dynamic_ncols=True)

    def update(self, percent: float, where: str, state: str) -> None:
        self.bar.set_description_str(f"{where} ", refresh=False)
        self.bar.set_postfix_str(state, refresh=False)
        self.bar.update(percent - self.bar.n)

    def close(self) -> None:
        self.bar.close()


class _Lines:
    def __init__(self) -> None:
        self.line, self.printed_at = "", time.monotonic()

    def update(self, percent: float, where: str, state: str) -> None:
        self.line = f"{where} {percent:3.0f}% {state}\n"
        if time.monotonic() - self.printed_at >= SECONDS_PER_LINE:
            self.close()

    def close(self) -> None:
        sys.stderr.write(self.line)
        sys.stderr.flush()
        self.line, self.printed_at = "", time.monotonic()

"""SIGINT (Ctrl-C) and SIGTERM: finish the step and save, or stop at once."""

from __future__ import annotations

import os
import signal
import threading
from importlib.machinery import ExtensionFileLoader
from types import FrameType, TracebackType
from typing import Any

from nice_np.errors import TrainingInterrupted

_LATER = 0.02  # seconds


class StopSignals:
    """A context in which the first SIGINT or SIGTERM is only noted, and a second one raises TrainingInterrupted.

    Off the main thread, where Python allows no handlers, it notes nothing.  On leaving, the previous handlers are
    restored; they get a signal that was noted after the last look at `received`.

    Parameters
    ----------
    at_once : bool
        The first signal raises, too.

    Attributes
    ----------
    received : int
        The signal's number; 0 if there was none.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.at_once = at_once
        self.received = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._previous[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for signum, handler in self._previous.items():
            # None: the handler was not set from Python, and Python cannot set it again.
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
        if self._previous and self.received and error is None:
            signal.raise_signal(self.received)
        self._previous.clear()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if (self.at_once or self.received) and _in_an_extension(frame):
            # An exception there would end as an ImportError, or crash the interpreter: the signal comes once more.
            threading.Timer(_LATER, os.kill, (os.getpid(), signum)).start()
            return
        if self.at_once or self.received:
            again = " (the second signal)" if self.received else ""
            raise TrainingInterrupted(f"stopped at once by {signal.Signals(signum).name}{again}", signum)
        self.received = signum


def _in_an_extension(frame: FrameType | None) -> bool:
    """Whether a compiled module is being initialised."""
    while frame is not None:
        within = frame.f_code.co_name in {"create_module", "exec_module"}
        if within and isinstance(frame.f_locals.get("self"), ExtensionFileLoader):
            return True
        frame = frame.f_back
    return False

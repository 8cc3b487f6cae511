"""The course of a training as event files, which TensorBoard draws while it runs: ``tensorboard --logdir DIR``.

An event file is a sequence of records: a length, its checksum, a protocol buffer, and the checksum of that.  They are
written with tensorboardX, which needs protobuf alone: neither TensorFlow nor PyTorch nor TensorBoard itself.  Its
`SummaryWriter` is not used: it writes from another thread, where `fit` would not see the error of a full disk.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from nice_np.errors import NiceFileError, NiceImportError
from nice_np.files.atomic import open_to_read
from nice_np.training.history import History, score_columns
from nice_np.validation import as_path

log = logging.getLogger(__name__)


class TensorBoard:
    """A callback of `fit` that writes event files for TensorBoard, one point of each curve after each epoch.

    The curves, over steps: ``train/nats`` and ``valid/nats`` (the log-likelihood, or the bound of a VAE),
    ``valid/bits_per_dim`` in the unit of the model's `bin_width`, ``learning_rate``, and ``gradient_norm``, the
    Euclidean norm of the epoch's last gradient after clipping.

    A resumed run continues in the same folder.  Epochs that were trained twice, because the run was killed after its
    last checkpoint, are drawn once; epochs that are missing from the folder are added from the history, without their
    gradient norm.  Give each run a folder of its own.

    Parameters
    ----------
    folder : path
        Created if it does not exist.  Existing files are kept.

    Raises
    ------
    NiceImportError
        If tensorboardX is not installed.
    NiceFileError
        If the folder cannot be created or written.  A disk that fills up later stops the curves, with a warning in the
        log, but not the training.

    Examples
    --------
    ::

        fit(flow, x, validation=held_out, epochs=20, callbacks=[TensorBoard("runs/first/events")])
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = as_path(folder, "TensorBoard", "folder")
        self._history: History | None = None
        self._file: Any = None
        self._writer, self._event, self._session = _tensorboardx()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise NiceFileError(f"TensorBoard: cannot write into {self.folder}: {error.strerror or error}") from error

    def __call__(self, model: Any, history: History) -> None:
        """Write the last epoch; `fit` calls this after each."""
        try:
            if history is not self._history:
                self.close()
                self._history = history
                self._begin(history)
            if self._file is not None:
                norm = float(np.linalg.norm(model.params.grads.astype(np.float64)))
                self._write(history.rows[-1], history.measure, norm)
                self._file.flush()
        except OSError as error:  # a full disk: the training is worth more than its curves
            log.warning("no more events: cannot write into %s: %s", self.folder, error.strerror or error)
            self._close_file()

    def close(self) -> None:
        """Close the file; the next call opens another one."""
        self._close_file()
        self._history = None

    def _close_file(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._file = None

    def _begin(self, history: History) -> None:
        """Open a file; make TensorBoard forget the epochs that are trained again, and add those that it lacks."""
        here = sorted(self.folder.glob("events.out.tfevents.*"))
        *earlier, now = history.rows
        # TensorBoard reads the files in the order of their names: by the second, then by the number.
        path = self.folder.absolute() / f"events.out.tfevents.{time.time():.0f}.nice_np.{len(here):06d}"
        open(path, "xb").close()  # an OSError if another run, or a link, has that name
        self._file = self._writer(str(path))
        weakref.finalize(self, self._file.close)  # `fit` does not tell its callbacks when it ends
        log.info("events for TensorBoard go into %s", path)
        self._put(file_version="brain.Event:2")
        # A session that starts at a step invalidates everything from there on; a new run replaces an old one.
        self._put(step=now["step"] if earlier else 0, session_log={"status": self._session.START})
        known = self._steps(here)
        for row in earlier:
            if row["step"] not in known:
                self._write(row, history.measure)

    def _write(self, row: dict[str, Any], measure: str, gradient_norm: float | None = None) -> None:
        train, held_out = score_columns(measure)
        curves = {
            "train/nats": row[train],
            "valid/nats": row[held_out],
            "valid/bits_per_dim": row["validation_bits_per_dim"],
            "learning_rate": row["learning_rate"],
            "gradient_norm": gradient_norm,
        }
        values = [{"tag": tag, "simple_value": y} for tag, y in curves.items() if y is not None]
        self._put(step=row["step"], summary={"value": values})

    def _put(self, **event: Any) -> None:
        self._file.write(self._event(wall_time=time.time(), **event).SerializeToString())

    def _steps(self, paths: list[Path]) -> set[int]:
        """The steps that TensorBoard finds in the files of a run."""
        steps: set[int] = set()
        for event in (event for path in paths for event in self._events(path)):
            if event.HasField("session_log"):  # a later session began there
                steps = {step for step in steps if step < event.step}
            if any(value.tag == "train/nats" for value in event.summary.value):
                steps.add(int(event.step))
        return steps

    def _events(self, path: Path) -> Iterator[Any]:
        """The events in a file, up to the first that is damaged: a run that was killed may have left part of one."""
        from google.protobuf.message import DecodeError

        with open_to_read(path) as file:
            data, position = file.read(), 0
        with suppress(DecodeError):
            while position + 16 <= len(data):
                end = position + 12 + int.from_bytes(data[position : position + 8], "little")  # length, checksum, event
                if end + 4 > len(data):
                    return
                yield self._event.FromString(data[position + 12 : end])
                position = end + 4  # the event's checksum


def _tensorboardx() -> tuple[Any, Any, Any]:
    try:
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.record_writer import RecordWriter
    except ImportError:
        raise NiceImportError(
            'event files need tensorboardX, which is not installed: pip install "nice-np[tensorboard]"'
        ) from None
    return RecordWriter, Event, SessionLog

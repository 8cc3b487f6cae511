"""The course of a training as event files, which TensorBoard draws while it goes on: ``tensorboard --logdir DIR``.

An event file is a row of records, each a length, its checksum, a protocol buffer, and the checksum of that.  The writer
is tensorboardX's, the lightest: it needs protobuf alone, and neither TensorFlow nor PyTorch nor TensorBoard itself.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from nice_np.errors import NiceFileError, NiceImportError
from nice_np.training.history import History, score_columns
from nice_np.validation import as_path

log = logging.getLogger(__name__)


class TensorBoard:
    """A callback of `fit` that writes event files for TensorBoard, a point of each curve after each epoch.

    The curves, over steps: ``train/nats`` and ``valid/nats`` (the log-likelihood, or the bound of a VAE),
    ``valid/bits_per_dim``, ``learning_rate``, and ``gradient_norm``, the Euclidean norm of the epoch's last gradient
    after clipping.

    A run that is resumed goes on in the same folder: epochs that were trained twice, because the run was killed after
    its last checkpoint, are drawn once, and those that are not in the folder yet are added from the history, without
    their gradient.  Give each run a folder of its own.

    Parameters
    ----------
    folder : path
        Made if it does not exist.  What is there stays.

    Raises
    ------
    NiceImportError
        If tensorboardX is not installed.
    NiceFileError
        If the folder cannot be made or written.  A disk that is full later stops the curves, with a warning in the
        log, and not the training.

    Examples
    --------
    ::

        fit(flow, x, validation=held_out, epochs=20, callbacks=[TensorBoard("runs/first/events")])
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = as_path(folder, "TensorBoard", "folder")
        self._history: History | None = None
        self._file: Any = None
        _format()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise NiceFileError(f"TensorBoard: cannot write into {self.folder}: {error.strerror or error}") from error

    def __call__(self, model: Any, history: History) -> None:
        """Write what the last epoch brought; `fit` calls this after each."""
        try:
            if history is not self._history:
                self.close()
                self._history = history
                self._begin(history)
            if self._file is not None:
                norm = float(np.linalg.norm(model.params.grads.astype(np.float64)))
                self._write(history.rows[-1], history.measure, {"gradient_norm": norm})
                self._file.flush()
        except OSError as error:  # a full disk: the training is worth more than its picture
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
        """Open a file; let TensorBoard forget what is trained again, and add what it has not seen."""
        made_of = _format()
        here = sorted(self.folder.glob("events.out.tfevents.*"))
        *earlier, now = history.rows
        # They are read in the order of their names: by the second, and within it by their number.
        path = self.folder.absolute() / f"events.out.tfevents.{time.time():.0f}.nice_np.{len(here):06d}"
        self._file = made_of.RecordWriter(str(path))
        weakref.finalize(self, self._file.close)  # `fit` does not say when it has come to its end
        log.info("events for TensorBoard go into %s", path)
        self._put(made_of.Event(wall_time=time.time(), file_version="brain.Event:2"))
        # Where a session starts at a step, nothing from there on is valid any more; a new run replaces an old one.
        start = made_of.SessionLog(status=made_of.SessionLog.START)
        self._put(made_of.Event(wall_time=time.time(), step=now["step"] if earlier else 0, session_log=start))
        known = _steps(here)
        for row in earlier:
            if row["step"] not in known:
                self._write(row, history.measure, {})

    def _write(self, row: dict[str, Any], measure: str, more: dict[str, float]) -> None:
        train, held_out = score_columns(measure)
        curves = {
            "train/nats": row[train],
            "valid/nats": row[held_out],
            "valid/bits_per_dim": row["validation_bits_per_dim"],
            "learning_rate": row["learning_rate"],
            **more,
        }
        made_of = _format()
        values = [made_of.Summary.Value(tag=tag, simple_value=y) for tag, y in curves.items() if y is not None]
        self._put(made_of.Event(wall_time=time.time(), step=row["step"], summary=made_of.Summary(value=values)))

    def _put(self, event: Any) -> None:
        self._file.write(event.SerializeToString())


def _format() -> Any:
    """What an event file is made of."""
    try:
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary
        from tensorboardX.record_writer import RecordWriter
    except ImportError:
        raise NiceImportError(
            'event files need tensorboardX, which is not installed: pip install "nice-np[tensorboard]"'
        ) from None
    return SimpleNamespace(Event=Event, SessionLog=SessionLog, Summary=Summary, RecordWriter=RecordWriter)


def _steps(paths: Sequence[Path]) -> set[int]:
    """The steps that TensorBoard finds in the files of a run, one after the other."""
    steps: set[int] = set()
    for event in (event for path in paths for event in _events(path)):
        if event.HasField("session_log"):  # a later session began there
            steps = {step for step in steps if step < event.step}
        if any(value.tag == "train/nats" for value in event.summary.value):
            steps.add(int(event.step))
    return steps


def _events(path: Path) -> Iterator[Any]:
    """The events in a file, up to the first that is damaged: a run that was killed may have left half of one."""
    from google.protobuf.message import DecodeError

    parse = _format().Event.FromString
    data, position = path.read_bytes(), 0
    while position + 16 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 8], "little")  # length, checksum, record
        if end + 4 > len(data):
            return
        try:
            yield parse(data[position + 12 : end])
        except DecodeError:
            return
        position = end + 4  # the record's checksum

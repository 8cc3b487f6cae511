"""How to train: how long, in what steps, and where to save."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.training.history import History
from nice_np.training.optim import OPTIMIZERS, Optimizer
from nice_np.training.schedules import SCHEDULES, Schedule
from nice_np.training.state import TrainingState
from nice_np.validation import as_flag, as_float, as_int, as_tuple

Callback = Callable[[Any, History], None]  # the model comes first


@dataclass(kw_only=True)
class Plan:
    """The arguments of `fit` that say how to train, checked; `fit` documents them.

    Raises
    ------
    NiceValueError, NiceTypeError
        If one of them is out of range or of the wrong type.
    """

    optimizer: Optimizer
    schedule: Schedule
    epochs: int | None
    time_limit: float | None
    batch_size: int
    clip_norm: float | None
    average: int | None
    patience: int | None
    callbacks: Iterable[Callback]
    checkpoint: Path | None
    checkpoint_every: float
    resume: bool
    threads: int | None
    recompute: bool
    compiled: bool

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.time_limit is None):
            raise NiceValueError(
                "fit: give either epochs or time_limit, by name: fit(flow, x, epochs=20) goes through the data 20 "
                "times, time_limit=60 trains for 60 seconds"
            )
        self.batch_size = as_int(self.batch_size, "fit", "batch_size", 1)
        self.checkpoint_every = as_float(self.checkpoint_every, "fit", "checkpoint_every", minimum=0)
        for name in ("epochs", "average", "patience", "threads"):
            if (value := getattr(self, name)) is not None:
                setattr(self, name, as_int(value, "fit", name, 1))
        if sys.platform == "emscripten":
            self.threads = 1  # a browser tab has no second one
        for name in ("time_limit", "clip_norm"):
            if (value := getattr(self, name)) is not None:
                setattr(self, name, as_float(value, "fit", name, above=0))
        for name in ("resume", "recompute", "compiled"):
            setattr(self, name, as_flag(getattr(self, name), "fit", name))
        given: Any = self.callbacks
        self.callbacks = [given] if callable(given) else list(as_tuple(given, "fit: callbacks must be callables"))
        for callback in self.callbacks:
            if not callable(callback):
                raise NiceTypeError(f"fit: callbacks must be callables, got {callback!r}")

    def done(self, state: TrainingState, n_samples: int) -> float:
        """The share of the run that is done, from 0 to 1; it steers the schedule."""
        if self.time_limit is not None:
            return state.seconds / self.time_limit
        steps_per_epoch = -(-n_samples // self.batch_size)
        return state.step / (steps_per_epoch * (self.epochs or 1))

    def settings(self) -> dict[str, Any]:
        """What must not change when a run is resumed; the rest may, `epochs` in either direction."""
        return {
            "batch_size": self.batch_size,
            "optimizer": _named(self.optimizer, OPTIMIZERS.values()),
            "learning_rate": _named(self.schedule, SCHEDULES),
            "clip_norm": self.clip_norm,
            "average": self.average,
        }


def _named(part: Optimizer | Schedule, own: Iterable[type]) -> str:
    """Class and settings; a class of yours that has the name of one of ours is told apart by its module."""
    kind = type(part)
    theirs = any(cls.__name__ == kind.__name__ and cls.__module__ != kind.__module__ for cls in own)
    return f"{kind.__module__}.{part!r}" if theirs else repr(part)

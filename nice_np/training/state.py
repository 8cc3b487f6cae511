"""Everything that a resumed run needs to continue as if it had never stopped, and how it is saved; see `resume`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.files.checkpoint import save
from nice_np.flows.model import Model
from nice_np.training.history import History
from nice_np.training.optim import Optimizer
from nice_np.validation import Array


@dataclass
class LastGood:
    """The state of a run at the start of its epoch, to which it goes back if the epoch goes wrong; see `divergence`."""

    counters: dict[str, Any]  # those in REWOUND
    optimizer_steps: int
    rng: Any  # state of the generator, as JSON
    vectors: dict[str, Array]  # (P,) each: "values", "average" if there is one, and those of the optimiser


@dataclass
class TrainingState:
    """The state of a run between two steps."""

    rng: np.random.Generator  # shuffles the samples and draws their noise, and that of a VAE
    validation_seed: int  # of the noise on the validation data, the same in every epoch
    history: History = field(default_factory=History)
    epoch: int = 1  # the epoch under way
    step: int = 0  # steps taken
    position: int = 0  # samples of this epoch already used
    order: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # (N,), of this epoch
    seconds: float = 0.0  # spent on training, before and after a stop
    nats_sum: float = 0.0  # sum of the objective over the samples of this epoch so far
    first_nll: float | None = None  # loss of the first step
    best: float | None = None  # highest validation objective
    epochs_since_best: int = 0
    finished: str = ""  # why the run ended; "" while it goes on
    best_values: Array | None = None  # (P,), weights of the best epoch
    average: Array | None = None  # (P,), running average of the weights
    last_good: LastGood | None = None  # None only before the first step

    @classmethod
    def start(cls, rng: np.random.Generator, measure: str = "log_likelihood") -> TrainingState:
        """The state before the first step; `rng`, of any kind, seeds the run's own generator."""
        validation_seed, *seeds = rng.integers(2**63, size=5).tolist()
        return cls(np.random.default_rng(seeds), validation_seed, History(measure=measure))


# The counters of a state by their names in a file, and their types.
COUNTERS: dict[str, Any] = {
    "validation_seed": int, "epoch": int, "step": int, "position": int, "stale": int,
    "seconds": float, "nats_sum": float, "first_nll": float | None, "best": float | None, "finished": str,
}  # fmt: skip
REWOUND: dict[str, Any] = {"step": int, "position": int, "nats_sum": float}  # those that go back with the weights
ATTRIBUTES = {name: name for name in COUNTERS} | {"stale": "epochs_since_best"}


def save_state(path: Path, model: Model, optimizer: Optimizer, state: TrainingState, settings: dict[str, Any]) -> None:
    """Write a file of kind "checkpoint", atomically."""
    metadata = {
        "settings": settings,
        "counters": {name: getattr(state, attribute) for name, attribute in ATTRIBUTES.items()},
        "best_epoch": state.history.best_epoch,
        "optimizer_steps": optimizer.steps,
        "rng": state.rng.bit_generator.state,
        "setbacks": state.history.setbacks,
    }
    vectors = {"order": state.order, "best_values": state.best_values, "average": state.average}
    extra: dict[str, npt.NDArray[Any]] = {name: vector for name, vector in vectors.items() if vector is not None}
    # Not in the header, whose size is limited: a long run has many rows.
    extra["history"] = np.frombuffer(json.dumps(state.history.rows).encode(), np.uint8)
    extra.update({f"optimizer.{name}": vector for name, vector in optimizer.state().items()})
    if state.last_good is not None and state.position > 0:  # between two epochs it is what is saved anyway
        good = state.last_good
        metadata["last_good"] = {
            "counters": good.counters,
            "optimizer_steps": good.optimizer_steps,
            "rng": good.rng,
        }
        extra.update({f"last_good.{name}": vector for name, vector in good.vectors.items()})
    save(path, "checkpoint", model, metadata, extra)

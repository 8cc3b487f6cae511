"""Everything that a resumed run needs to go on as if it had never stopped, and its way into a file and back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import CheckpointError, NiceValueError
from nice_np.files.architecture import Arrays, describe
from nice_np.files.checkpoint import load, save
from nice_np.flows.model import Model
from nice_np.training.history import History, columns
from nice_np.training.optim import Optimizer
from nice_np.validation import Array

# The numbers of a state by the names that they have in a file.
COUNTERS = {
    name: {"stale": "epochs_since_best"}.get(name, name)
    for name in (
        "validation_seed", "epoch", "step", "position", "seconds", "nats_sum", "first_nll", "best", "stale", "finished"
    )
}  # fmt: skip


@dataclass
class TrainingState:
    """The state of a run between two steps.

    Attributes
    ----------
    rng : numpy.random.Generator
        Shuffles the samples and makes their noise, and that of a VAE.
    validation_seed : int
        Of the noise on the validation data, the same at every epoch.
    epoch, step : int
        Epoch under way (from 1), steps taken.
    position : int
        Samples of this epoch already used.
    order : ndarray of int, shape (N,)
        The epoch's order of the samples.
    seconds : float
        Time spent training, before a stop and after it.
    nats_sum : float
        Sum of the objective over this epoch's samples so far, in nats.
    first_nll : float or None
        Loss of the first step.
    best, epochs_since_best : float or None, int
        Highest validation objective, and the epochs since.
    finished : str
        Why the run ended; "" while it goes on.
    best_values, average : ndarray, shape (P,), or None
        Weights of the best epoch; running average of the weights.
    """

    rng: np.random.Generator
    validation_seed: int
    history: History = field(default_factory=History)
    epoch: int = 1
    step: int = 0
    position: int = 0
    order: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    seconds: float = 0.0
    nats_sum: float = 0.0
    first_nll: float | None = None
    best: float | None = None
    epochs_since_best: int = 0
    finished: str = ""
    best_values: Array | None = None
    average: Array | None = None

    @classmethod
    def start(cls, rng: np.random.Generator, measure: str = "log_likelihood") -> TrainingState:
        """The state before the first step; `rng`, of whatever kind, seeds the run's own generator."""
        validation_seed, *seeds = rng.integers(2**63, size=5).tolist()
        return cls(np.random.default_rng(seeds), validation_seed, History(measure=measure))


def save_state(path: Path, model: Model, optimizer: Optimizer, state: TrainingState, settings: dict[str, Any]) -> None:
    """Write a checkpoint of kind "checkpoint", atomically."""
    metadata = {
        "settings": settings,
        "counters": {name: getattr(state, attribute) for name, attribute in COUNTERS.items()},
        "best_epoch": state.history.best_epoch,
        "optimizer_steps": optimizer.steps,
        "rng": state.rng.bit_generator.state,
    }
    vectors = {"order": state.order, "best_values": state.best_values, "average": state.average}
    extra: dict[str, npt.NDArray[Any]] = {name: vector for name, vector in vectors.items() if vector is not None}
    # Not in the header, which has a limit of size: a long run has many rows.
    extra["history"] = np.frombuffer(json.dumps(state.history.rows).encode(), np.uint8)
    extra.update({f"optimizer.{name}": vector for name, vector in optimizer.state().items()})
    save(path, "checkpoint", model, metadata, extra)


def load_state(
    path: Path, model: Model, optimizer: Optimizer, settings: dict[str, Any], n_samples: int
) -> TrainingState:
    """Read a checkpoint into `model` and `optimizer`.

    Raises
    ------
    NiceValueError
        If the run that wrote it had another architecture, dtype, data set or setting; names the field and both values.
    CheckpointError
        If the file is damaged.
    """
    # The file may name the user's own layers: those of the model at hand are known to be fine.
    saved, metadata, extra = load(path, "checkpoint", [type(module) for _, module in model.modules()])
    _compare(path, "dtype", saved.dtype.name, model.dtype.name)
    then: Arrays = {}
    now: Arrays = {}
    _compare(path, "architecture", describe(saved, then, []), describe(model, now, []))
    try:
        _compare(path, "settings", metadata["settings"], settings)
        _compare_arrays(path, then, now)
        rng = np.random.default_rng()
        rng.bit_generator.state = metadata["rng"]
        history = History(_rows(extra["history"], model.measure), metadata["best_epoch"], measure=model.measure)
        counters = metadata["counters"]
        if set(counters) != set(COUNTERS):
            raise ValueError(f"the counters are {sorted(counters)}, expected {sorted(COUNTERS)}")
        state = TrainingState(rng, history=history, **{COUNTERS[name]: value for name, value in counters.items()})
        state.order = extra["order"]
        state.best_values, state.average = extra.get("best_values"), extra.get("average")
        _check_position(state, n_samples)
        if type(metadata["optimizer_steps"]) is not int or metadata["optimizer_steps"] < 0:
            raise ValueError("optimizer_steps is not a whole number")
        vectors = {name: extra[f"optimizer.{name}"] for name in optimizer.vectors if metadata["optimizer_steps"]}
        expected = {"order", "history", "best_values", "average", *(f"optimizer.{name}" for name in vectors)}
        if not set(extra) <= expected:
            raise ValueError(f"unexpected arrays {sorted(set(extra) - expected)}")
        _check_vectors(model, {name: vector for name, vector in extra.items() if name not in ("order", "history")})
        optimizer.restore(metadata["optimizer_steps"], vectors)
    except NiceValueError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{path}: the training state is incomplete: {error!r}") from None
    model.params.values[:] = saved.params.values
    return state


def _rows(text: npt.NDArray[Any], measure: str) -> list[dict[str, Any]]:
    rows = json.loads(text.tobytes())
    if not (
        isinstance(rows, list) and all(isinstance(row, dict) and set(row) == set(columns(measure)) for row in rows)
    ):
        raise ValueError("the history has other columns")
    if not all(value is None or type(value) in (int, float) for row in rows for value in row.values()):
        raise ValueError("the history has values that are no numbers")
    return rows


def _check_position(state: TrainingState, n_samples: int) -> None:
    numbers = (state.validation_seed, state.epoch, state.step, state.position, state.epochs_since_best)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("a counter is not a whole number")
    if not (isinstance(state.seconds, float) and isinstance(state.nats_sum, float) and isinstance(state.finished, str)):
        raise ValueError("a counter has the wrong type")
    if not all(score is None or type(score) is float for score in (state.first_nll, state.best)):
        raise ValueError("a score is not a number")
    if state.step and not np.array_equal(np.sort(state.order), np.arange(n_samples)):
        raise ValueError("the order of the samples is not a permutation")


def _check_vectors(model: Model, vectors: dict[str, Array]) -> None:
    for name, vector in vectors.items():
        if vector.shape != (len(model.params),) or vector.dtype != model.dtype or not np.isfinite(vector).all():
            raise ValueError(f"vector {name} is not a finite ({len(model.params)},) of {model.dtype}")


def _compare_arrays(path: Path, then: Arrays, now: Arrays) -> None:
    for name, array in then.items():
        if not np.array_equal(array, now[name]):
            raise NiceValueError(
                f"cannot resume from {path}: an array of the architecture (indices of a partition or permutation, a "
                f"mean or std), {name}, is {_short(now[name])} now and was {_short(array)} then"
            )


def _short(array: npt.NDArray[Any]) -> str:
    return np.array2string(array, threshold=8, edgeitems=2, precision=4)


def _compare(path: Path, field_name: str, saved: Any, given: Any) -> None:
    if isinstance(saved, dict) and isinstance(given, dict) and set(saved) == set(given):
        for key in saved:
            _compare(path, f"{field_name}.{key}", saved[key], given[key])
    elif isinstance(saved, list) and isinstance(given, list) and len(saved) == len(given):
        for i, (a, b) in enumerate(zip(saved, given, strict=True)):
            _compare(path, f"{field_name}.{i}", a, b)
    elif saved != given:
        raise NiceValueError(
            f"cannot resume from {path}: {field_name} is {json.dumps(given)} now and was {json.dumps(saved)} then"
        )

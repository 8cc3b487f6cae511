"""Everything that a resumed run needs to go on as if it had never stopped, and its way into a file and back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.checkpoint import architecture, load, save
from nice_np.checks import Array
from nice_np.errors import CheckpointError, NiceValueError
from nice_np.flow import Flow
from nice_np.history import History
from nice_np.optim import Optimizer

COUNTERS = ("epoch", "step", "position", "seconds", "nats_sum", "first_nll", "best", "stale", "finished")


@dataclass
class TrainingState:
    """The state of a run between two steps.

    Attributes
    ----------
    epoch, step : int
        Epoch under way (from 1), steps taken.
    position : int
        Samples of this epoch already used.
    order : ndarray of int, shape (N,)
        The epoch's order of the samples.
    seconds : float
        Time spent, earlier sessions included.
    nats_sum : float
        Sum of the log-likelihoods of this epoch's samples so far.
    first_nll : float or None
        Loss of the first step.
    best, stale : float or None, int
        Highest validation log-likelihood, and epochs since.
    finished : str
        Why the run ended; "" while it goes on.
    best_values, average : ndarray, shape (P,), or None
        Weights of the best epoch; running average of the weights.
    """

    rng: np.random.Generator
    history: History = field(default_factory=History)
    epoch: int = 1
    step: int = 0
    position: int = 0
    order: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    seconds: float = 0.0
    nats_sum: float = 0.0
    first_nll: float | None = None
    best: float | None = None
    stale: int = 0
    finished: str = ""
    best_values: Array | None = None
    average: Array | None = None


def save_state(
    path: Path, flow: Flow, optimizer: Optimizer, state: TrainingState, settings: dict[str, Any], validation_seed: int
) -> None:
    """Write a checkpoint of kind "checkpoint", atomically."""
    metadata = {
        "settings": settings,
        "counters": {name: getattr(state, name) for name in COUNTERS},
        "history": {"rows": state.history.rows, "best_epoch": state.history.best_epoch},
        "optimizer_steps": optimizer.steps,
        "validation_seed": validation_seed,
        "rng": state.rng.bit_generator.state,
    }
    vectors = {"order": state.order, "best_values": state.best_values, "average": state.average}
    extra = {name: vector for name, vector in vectors.items() if vector is not None}
    extra.update({f"optimizer.{name}": vector for name, vector in optimizer.state().items()})
    save(path, "checkpoint", flow, metadata, extra)


def load_state(path: Path, flow: Flow, optimizer: Optimizer, settings: dict[str, Any]) -> tuple[TrainingState, int]:
    """Read a checkpoint into `flow` and `optimizer`; returns the state and the seed of the validation noise.

    Raises
    ------
    NiceValueError
        If the run that wrote it had another architecture, dtype, data set or setting; names the field and both values.
    CheckpointError
        If the file is damaged.
    """
    # The file may name the user's own layers: those of the flow at hand are known to be fine.
    saved, metadata, extra = load(path, "checkpoint", [type(module) for _, module in flow.modules()])
    _compare(path, "dtype", saved.dtype.name, flow.dtype.name)
    _compare(path, "architecture", architecture(saved), architecture(flow))
    try:
        _compare(path, "settings", metadata["settings"], settings)
        rng = np.random.Generator(getattr(np.random, metadata["rng"]["bit_generator"])())
        rng.bit_generator.state = metadata["rng"]
        history = History(metadata["history"]["rows"], metadata["history"]["best_epoch"])
        state = TrainingState(rng, history, **metadata["counters"])
        state.order = extra["order"]
        state.best_values, state.average = extra.get("best_values"), extra.get("average")
        if state.position and state.order.shape != (int(settings["data"].split(" x ")[0]),):
            raise ValueError(f"order has shape {state.order.shape}")
        vectors = {name.removeprefix("optimizer."): extra[name] for name in extra if name.startswith("optimizer.")}
        _check_vectors(flow, optimizer, {**vectors, "best_values": state.best_values, "average": state.average})
        optimizer.restore(metadata["optimizer_steps"], vectors)
        seed = int(metadata["validation_seed"])
    except NiceValueError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: the training state is incomplete: {error!r}") from None
    flow.params.values[:] = saved.params.values
    return state, seed


def fingerprint(x: npt.NDArray[Any]) -> str:
    """Shape, dtype and SHA-256 of the values, to recognise a data set."""
    digest = hashlib.sha256(np.ascontiguousarray(x).view(np.uint8).data).hexdigest()[:16]
    return f"{x.shape[0]} x {x.shape[1]} {x.dtype} {digest}"


def _check_vectors(flow: Flow, optimizer: Optimizer, vectors: dict[str, Array | None]) -> None:
    for name, vector in vectors.items():
        if vector is not None and (vector.shape != (len(flow.params),) or not np.isfinite(vector).all()):
            raise ValueError(f"vector {name} has shape {vector.shape} or holds NaN, expected ({len(flow.params)},)")
        if vector is not None and name not in (*optimizer.vectors, "best_values", "average"):
            raise ValueError(f"vector {name} does not belong to {optimizer}")


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

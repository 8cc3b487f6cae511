"""Resuming a run: its state is read from the checkpoint, checked against the run that is to continue, and restored.

In a run given in epochs the end is then bit for bit the same as without the stop.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from nice_np.errors import CheckpointError, NiceFileError, NiceValueError
from nice_np.files.architecture import Arrays, describe
from nice_np.files.atomic import naming, replaceable
from nice_np.files.checkpoint import load
from nice_np.files.lock import locked
from nice_np.files.text import from_json
from nice_np.flows.model import Model
from nice_np.training.history import History, columns
from nice_np.training.optim import Optimizer
from nice_np.training.plan import Plan
from nice_np.training.ranks import Team
from nice_np.training.schedules import Constant
from nice_np.training.state import ATTRIBUTES, COUNTERS, REWOUND, LastGood, TrainingState

log = logging.getLogger(__name__)


def resumed(team: Team, model: Model, plan: Plan, n_samples: int, settings: dict[str, Any]) -> TrainingState:
    """The state in the checkpoint, with weights and optimiser set to it; rank 0 reads the file for all ranks."""
    path = cast(Path, plan.checkpoint)
    state, no_warmup = team.from_first(lambda: load_state(path, model, plan.optimizer, settings, n_samples))
    if no_warmup and isinstance(plan.schedule, Constant):
        plan.schedule = Constant(plan.schedule.rate)
    model.params.values[:] = team.share(model.params.values)
    model.bin_width = team.share(model.bin_width)
    plan.optimizer.restore(*team.share((plan.optimizer.steps, plan.optimizer.state())))
    if team.first:
        log.info("resuming from %s: epoch %d, step %d, %.1f s", path, state.epoch, state.step, state.seconds)
    out_of_patience = plan.patience is not None and state.epochs_since_best >= plan.patience
    if plan.done(state, n_samples) < 1 and not (state.finished == "patience" and out_of_patience):
        state.finished = ""  # it had ended, and now has more epochs, time or patience, or other callbacks
    return state


@contextmanager
def claimed(path: Path | None, resume: bool) -> Iterator[None]:
    """Hold the checkpoint during the block, and find out before whether it can be resumed from, or written.

    Raises
    ------
    NiceFileError
        If a checkpoint to resume from does not exist, or a new one exists already or cannot be written; if another
        process uses it.
    NiceValueError
        If there is no path to resume from.
    """
    if path is None:
        if resume:
            raise NiceValueError("fit: resume=True needs checkpoint=PATH")
        yield
        return
    with ExitStack() as held:
        with naming(f"fit: cannot write {path}"):
            replaceable(path)
            stem = os.fsdecode(os.fsencode(path.name)[:200])  # the name of the lock must not be too long
            held.enter_context(locked(path.with_name(f".{stem}.lock"), f"fit: {path}"))
            exists = replaceable(path) is not None
            if resume and not exists:
                raise NiceFileError(f"fit: nothing to resume: {path} does not exist")
            if exists and not resume:
                raise NiceFileError(f"fit: {path} exists; resume=True continues from it, or delete it first")
        yield


def load_state(
    path: Path, model: Model, optimizer: Optimizer, settings: dict[str, Any], n_samples: int
) -> tuple[TrainingState, bool]:
    """Read a checkpoint into `model` and `optimizer`; return the state, and whether the run lacks today's warm-up.

    Up to 0.1.0 a learning rate that was given as a number had none.

    Raises
    ------
    NiceValueError
        If the run that wrote it had another architecture, dtype, data set or setting; names the field and both values.
    CheckpointError
        If the file is damaged.
    """
    # The file may name the user's own layers: the classes of the given model are allowed.
    saved, metadata, extra = load(path, "checkpoint", [type(module) for _, module in model.modules()])
    _compare(path, "dtype", saved.dtype.name, model.dtype.name)
    then: Arrays = {}
    now: Arrays = {}
    _compare(path, "architecture", describe(saved, then, []), describe(model, now, []))
    try:
        before = metadata["settings"]
        no_warmup = settings["learning_rate"] == f"{before['learning_rate'][:-1]}, warmup={optimizer.warmup})"
        rate = before["learning_rate"] if no_warmup else settings["learning_rate"]
        _compare(path, "settings", before, {**settings, "learning_rate": rate})
        _compare_arrays(path, then, now)
        state, moments = _parse(metadata, extra, model, optimizer, settings, n_samples)
        optimizer.restore(metadata["optimizer_steps"], moments)
    except NiceValueError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path}: the training state is damaged: {type(error).__name__}: {error}") from None
    model.params.values[:] = saved.params.values
    model.bin_width = model.bin_width or saved.bin_width
    return state, no_warmup


def _parse(
    metadata: dict[str, Any],
    extra: Arrays,
    model: Model,
    optimizer: Optimizer,
    settings: dict[str, Any],
    n_samples: int,
) -> tuple[TrainingState, Arrays]:
    """The state, and the optimiser's vectors; any of the errors that `load_state` catches if they are damaged."""
    counters, best_epoch, steps = (metadata[name] for name in ("counters", "best_epoch", "optimizer_steps"))
    kinds = COUNTERS | {"best_epoch": int | None, "optimizer_steps": int}
    _check_counters({**counters, "best_epoch": best_epoch, "optimizer_steps": steps}, kinds)
    moments = {name: extra.pop(f"optimizer.{name}") for name in optimizer.vectors if steps}
    present = {"best_values": counters["best"] is not None, "average": bool(settings["average"] and counters["step"])}
    weights: dict[str, Any] = {name: extra.pop(name) for name in present if present[name]}
    _check_vectors({**moments, **weights}, model)
    last_good, setbacks = _last_good(metadata, extra, model, optimizer), metadata.get("setbacks", [])
    if not isinstance(setbacks, list) or not all(isinstance(text, str) for text in setbacks):
        raise ValueError(f"setbacks are {setbacks!r:.200}")
    order, rows = extra.pop("order"), from_json(extra.pop("history").tobytes())
    if extra:
        raise ValueError(f"unexpected arrays {sorted(extra)}")
    _check_place(counters, order, settings["batch_size"], n_samples)
    _check_rows(rows, counters["epoch"] - 1, model.measure)
    if best_epoch is not None and not 1 <= best_epoch <= len(rows):
        raise ValueError(f"best_epoch is {best_epoch}, after {len(rows)} epochs")
    rng = np.random.default_rng()
    rng.bit_generator.state = metadata["rng"]
    numbers = {ATTRIBUTES[name]: value for name, value in counters.items()}
    history = History(rows, best_epoch, measure=model.measure, setbacks=setbacks)
    return TrainingState(rng, history=history, order=order, last_good=last_good, **numbers, **weights), moments


def _check_place(counters: dict[str, Any], order: npt.NDArray[Any], batch_size: int, n_samples: int) -> None:
    """ValueError unless steps, position and order are those of a run between two steps."""
    step, position = counters["step"], counters["position"]
    if position >= n_samples or position % batch_size or position > step * batch_size or counters["seconds"] < 0:
        raise ValueError(
            f"position is {position} after {step} steps of {batch_size} and {counters['seconds']:.6g} s, "
            f"with {n_samples} samples"
        )
    if step and (order.dtype.kind not in "iu" or not np.array_equal(np.sort(order), np.arange(n_samples))):
        raise ValueError("the order of the samples is not a permutation")


def _check_rows(rows: Any, epochs: int, measure: str) -> None:
    """ValueError unless the history has one row for each epoch; a score without validation data is None."""
    if not isinstance(rows, list) or len(rows) != epochs:
        raise ValueError(f"the history is not a list of {epochs} rows, one for each epoch")
    for epoch, row in enumerate(rows, start=1):
        whole = isinstance(row, dict) and set(row) == set(columns(measure)) and row["epoch"] == epoch
        if not whole or not all(type(v) in (int, float) or (v is None and k[:3] == "val") for k, v in row.items()):
            raise ValueError(f"the history has a row {row!r:.200}")


def _last_good(metadata: dict[str, Any], extra: Arrays, model: Model, optimizer: Optimizer) -> LastGood | None:
    """The start of the epoch; None between two epochs, and in files of earlier versions."""
    if "last_good" not in metadata:
        return None
    counters, steps, rng = (metadata["last_good"][name] for name in ("counters", "optimizer_steps", "rng"))
    _check_counters(counters | {"optimizer_steps": steps}, REWOUND | {"optimizer_steps": int})
    later = metadata["counters"]
    if counters["step"] > later["step"] or counters["position"] > later["position"]:
        raise ValueError(f"the last good state is at {counters}, which is after the saved one")
    np.random.default_rng().bit_generator.state = rng  # raises if it is none
    names = ["values", *(optimizer.vectors if steps else ()), *(["average"] if "last_good.average" in extra else [])]
    vectors = {name: extra.pop(f"last_good.{name}") for name in names}
    _check_vectors(vectors, model)
    return LastGood(counters, steps, rng, vectors)


def _check_counters(counters: dict[str, Any], kinds: dict[str, Any]) -> None:
    if set(counters) != set(kinds):
        raise ValueError(f"the counters are {sorted(counters)}, expected {sorted(kinds)}")
    for name, value in counters.items():
        if (
            not isinstance(value, kinds[name])
            or isinstance(value, bool)
            or (isinstance(value, int) and not 0 <= value < 2**63)
        ):
            raise ValueError(f"{name} is {value!r:.200}")


def _check_vectors(vectors: Arrays, model: Model) -> None:
    for name, vector in vectors.items():
        if vector.shape != (len(model.params),) or vector.dtype != model.dtype or not np.isfinite(vector).all():
            raise ValueError(f"{name} is not a finite vector of {len(model.params)} x {model.dtype}")


def _compare_arrays(path: Path, then: Arrays, now: Arrays) -> None:
    for name, array in then.items():
        if not np.array_equal(array, now[name]):
            short = [np.array2string(a, threshold=8, edgeitems=2, precision=4) for a in (now[name], array)]
            raise NiceValueError(
                f"cannot resume from {path}: {name}, an array of the architecture (indices of a partition or "
                f"permutation, a mean or std), is {short[0]} now and was {short[1]} then"
            )


def _compare(path: Path, field_name: str, saved: Any, given: Any) -> None:
    if isinstance(saved, dict) and isinstance(given, dict) and set(saved) == set(given):
        for key in saved:
            if key != "init":  # where the weights started does not matter any more
                _compare(path, f"{field_name}.{key}", saved[key], given[key])
    elif isinstance(saved, list) and isinstance(given, list) and len(saved) == len(given):
        for i, (a, b) in enumerate(zip(saved, given, strict=True)):
            _compare(path, f"{field_name}.{i}", a, b)
    elif saved != given:
        raise NiceValueError(
            f"cannot resume from {path}: {field_name} is {json.dumps(given)} now and was {json.dumps(saved)} then"
        )

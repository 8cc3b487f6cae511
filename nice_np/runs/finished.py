"""Finished runs, read back from their folders: settings, scores, training history and figures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nice_np.datasets.base import SPLITS
from nice_np.errors import NiceFileError, NiceValueError
from nice_np.files.atomic import read_text
from nice_np.files.text import from_json, printable
from nice_np.runs.folder import FIGURES, finished
from nice_np.training.history import History

TEXTS = ("dataset", "preset")
NUMBERS = ("seed", "parameters", "epochs", "steps", "train_seconds")
SCORES = ("bits_per_dim", "standard_error")  # a number per split, besides one of history.MEASURES
LABEL_SCORES = ("log_likelihood_given_label", "accuracy")  # the same, if the flow is conditional


@dataclass(frozen=True)
class FinishedRun:
    """A run whose training is complete."""

    name: str  # one printable line
    folder: Path
    metrics: dict[str, Any]  # metrics.json; the fields above have the right types
    history: History
    figures: dict[str, Path]  # the figures that exist, in the order of `FIGURES`


def read_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    """Read finished runs, each named after its folder, or after its path if two folders have the same name.

    NiceValueError if a folder is given twice; NiceFileError if a run is not finished, or one of its files is missing or
    damaged; it names the file.
    """
    real = [os.path.realpath(folder) for folder in folders]
    twice = [folder for folder, path in zip(folders, real, strict=True) if real.count(path) > 1]
    if twice:
        raise NiceValueError(f"the run {twice[0]} is given twice; give each run once")
    names = [os.path.basename(path) for path in real]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    return [_read_run(folder, printable(name)) for folder, name in zip(folders, names, strict=True)]


def read_metrics(folder: Path) -> dict[str, Any]:
    """metrics.json of a finished run; NiceFileError if it is missing or damaged."""
    metrics: dict[str, Any] = _read(finished(folder, "metrics.json"), _as_metrics)
    return metrics


def _read_run(folder: Path, name: str) -> FinishedRun:
    metrics = read_metrics(folder)
    history = _read(folder / "history.csv", History.from_csv)
    if (history.measure == "elbo") != ("elbo" in metrics):
        raise NiceFileError(f"{folder / 'history.csv'} is damaged: it is of another model; train the run again")
    paths = {kind: folder / "figures" / f"{kind}.png" for kind in FIGURES}
    return FinishedRun(name, folder, metrics, history, {kind: path for kind, path in paths.items() if path.exists()})


def _read(path: Path, parse: Any) -> Any:
    try:
        return parse(read_text(path))
    except OSError as error:
        raise NiceFileError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise NiceFileError(f"{path} is damaged: {error!s:.300}; train the run again") from None


def _as_metrics(text: str) -> dict[str, Any]:
    metrics = from_json(text.encode())
    if not isinstance(metrics, dict):
        raise ValueError("expected a JSON object")
    for name in TEXTS:
        if not isinstance(metrics.get(name), str):
            raise ValueError(f"expected {name} to be a string, got {metrics.get(name)!r}")
    for name in NUMBERS:
        _check_number(metrics.get(name), name)
    measure = "elbo" if "elbo" in metrics else "log_likelihood"
    for name in (measure, *SCORES, *(name for name in LABEL_SCORES if name in metrics)):
        scores = metrics.get(name)
        if not isinstance(scores, dict):
            raise ValueError(f"expected {name} to have a number for each split, got {scores!r}")
        for split in SPLITS:
            _check_number(scores.get(split), f"{name} of {split}")
    return metrics


def _check_number(value: Any, name: str) -> None:
    if not isinstance(value, (int, float)):
        raise ValueError(f"expected {name} to be a number, got {value!r}")
    float(value)  # OverflowError for an integer with too many digits to print

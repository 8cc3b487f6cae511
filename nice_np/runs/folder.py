"""A run folder: settings.json, checkpoint.npz, model.npz, metrics.json, history.csv and figures/."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nice_np.errors import NiceFileError, NiceValueError
from nice_np.files.atomic import naming, write_text
from nice_np.files.text import to_json
from nice_np.flows.flow import Flow
from nice_np.flows.model import Model, load_model
from nice_np.training.history import History

FIGURES = (
    "training_curve", "samples", "reconstructions", "interpolation", "inpainting", "likelihoods", "nearest_neighbours",
    "density", "bent_grid", "spectrum",
)  # fmt: skip
RESULTS = ("model.npz", "checkpoint.npz", "metrics.json", "history.csv", *(f"figures/{name}.png" for name in FIGURES))


def check_folder(folder: Path, *, resume: bool, force: bool) -> None:
    """Refuse an unsuitable folder before any work is done; creates nothing.

    NiceFileError if there is nothing to resume, or if the folder holds a run that is neither resumed nor replaced.
    """
    with naming(f"cannot use {folder}"):
        present = [name for name in RESULTS if os.path.lexists(folder / name)]
        if folder.exists() and not folder.is_dir():
            raise NiceFileError(f"{folder} is not a folder; choose another one with --out DIR")
    if resume and "checkpoint.npz" not in present:
        raise NiceFileError(f"nothing to resume: {folder / 'checkpoint.npz'} does not exist; start without --resume")
    if present and not (resume or force):
        raise NiceFileError(
            f"{folder} already holds a run ({present[0]}); --resume continues it, --force replaces it, "
            "--out DIR puts the new one elsewhere"
        )


def open_folder(folder: Path, settings: dict[str, Any], *, resume: bool) -> None:
    """Make the folder for a new run and remove the results of an old one, or check the settings of a resumed run.

    `settings` identify the run, as JSON; they are kept in settings.json.  NiceFileError if the folder cannot be created
    or written, NiceValueError if the run to be resumed has other settings; it names the field and both values.
    """
    if resume:
        _compare(folder / "settings.json", settings)
    with naming(f"cannot write into {folder}"):
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        if not resume:
            for name in RESULTS:
                (folder / name).unlink(missing_ok=True)
    write_text(folder / "settings.json", to_json(settings, indent=2) + "\n")


def _compare(path: Path, settings: dict[str, Any]) -> None:
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(saved, dict):
            raise ValueError("expected a JSON object")
    except FileNotFoundError:
        return  # `fit` also compares data, architecture and training settings, though without their names
    except (OSError, ValueError, RecursionError) as error:
        raise NiceFileError(f"cannot read {path}: {error}; delete it to resume without this check") from None
    for name, given in settings.items():
        if name in saved and saved[name] != given:
            raise NiceValueError(f"cannot resume {path.parent}: {name} is {given} now and was {saved[name]} then")


def load_run(path: Path) -> tuple[Model, dict[str, Any]]:
    """The flow or VAE of a run folder or a model file, and its metadata."""
    return load_model(finished(path, "model.npz") if path.is_dir() else path)


def load_flow(path: Path) -> tuple[Flow, dict[str, Any]]:
    """`load_run` for flows only; NiceValueError for a VAE."""
    model, metadata = load_run(path)
    if not isinstance(model, Flow):
        raise NiceValueError(f"{path} holds a {type(model).__name__}, but this command works for flows only")
    return model, metadata


def finished(folder: Path, name: str) -> Path:
    """The path of a result in a run folder; NiceFileError if training has not produced it yet."""
    if not (folder / name).exists() and (folder / "checkpoint.npz").exists():
        raise NiceFileError(f"the run in {folder} is not finished, it has no {name} yet; continue with train --resume")
    return folder / name


def refuse_to_replace(force: bool, *paths: Path | None) -> None:
    """NiceFileError for the first of these files that exists, unless it may be replaced."""
    for path in paths:
        if path is not None and os.path.lexists(path) and not force:
            raise NiceFileError(f"{path} exists; --force replaces it")


def write_results(
    folder: Path, model: Model, metrics: dict[str, Any], history: History, metadata: dict[str, Any]
) -> None:
    """Write model.npz, metrics.json and history.csv."""
    model.save(folder / "model.npz", metadata)
    write_text(folder / "metrics.json", to_json(metrics, indent=2) + "\n")
    write_text(folder / "history.csv", history.to_csv())


def environment() -> dict[str, Any]:
    """Versions and threads, for metrics.json."""
    names = ("nice-np", "numpy", "scipy", "numba", "matplotlib")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = {k: os.environ[k] for k in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if k in os.environ}
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in names}},
        "threads": {"cores": cores, **limits},
        "machine": platform.machine(),
        "system": platform.system(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

"""A run folder: settings.json, checkpoint.npz, model.npz, metrics.json, history.csv and figures/."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nice_np._version import __version__
from nice_np.errors import NiceFileError, NiceValueError
from nice_np.files.atomic import naming, read_text, replaceable, write_text
from nice_np.files.lock import locked
from nice_np.files.text import from_json, to_json
from nice_np.flows.flow import Flow
from nice_np.flows.model import Model, load_model
from nice_np.training.history import History

FIGURES = (
    "training_curve", "samples", "reconstructions", "interpolation", "inpainting", "likelihoods", "nearest_neighbours",
    "density", "bent_grid", "spectrum",
)  # fmt: skip
RESULTS = ("model.npz", "checkpoint.npz", "metrics.json", "history.csv", *(f"figures/{name}.png" for name in FIGURES))
SETTINGS, LOCK = "settings.json", ".nice-np.lock"
MARK = "nice_np"  # in settings.json: the version that wrote it, by which a run's own file is known


def check_folder(folder: Path, *, resume: bool, force: bool) -> None:
    """Refuse an unsuitable folder before any work is done; creates nothing.

    NiceFileError if another process uses the folder; if there is nothing to resume; if the folder holds a run that is
    neither resumed nor replaced, or a settings.json of another program; and, also with `force`, if something that is
    not a regular file has the name of one that a run writes.
    """
    with naming(f"cannot use {folder}"):
        if upwards := [path for path in (folder, *folder.parents) if path.name == ".."]:
            upwards[0].stat()  # of missing/../run, mkdir would make both folders
        if folder.exists() and not folder.is_dir():
            raise NiceFileError(f"{folder} is not a folder; choose another one with --out DIR")
        if os.path.lexists(folder / LOCK):
            with locked(folder / LOCK, str(folder)):
                pass
    _check_files(folder, resume, force)


@contextmanager
def open_folder(folder: Path, settings: dict[str, Any], *, resume: bool, force: bool = False) -> Iterator[None]:
    """Hold a run folder during the block: made, or emptied, for a new run; checked for one that is resumed.

    `settings` identify the run, as JSON; they are kept in settings.json.  NiceFileError as in `check_folder`, or if the
    folder cannot be created or written; NiceValueError if the run to be resumed has other settings; it names the field
    and both values.
    """
    with ExitStack() as held:
        with naming(f"cannot write into {folder}"):
            (folder / "figures").mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(folder / LOCK, str(folder)))
            _check_files(folder, resume, force)  # once more: another run may have come and gone
            if resume:
                _compare(folder / SETTINGS, settings)
            else:
                for name in RESULTS:
                    (folder / name).unlink(missing_ok=True)
            if not (resume and (folder / SETTINGS).exists()):
                write_text(folder / SETTINGS, to_json({MARK: __version__, **settings}, indent=2) + "\n")
        yield


def _check_files(folder: Path, resume: bool, force: bool) -> None:
    present = []
    for name in (*RESULTS, SETTINGS):
        with naming(f"cannot write into {folder}: {name}"):
            if replaceable(folder / name) is not None:
                present.append(name)
    if (folder / "figures").is_symlink():
        raise NiceFileError(f"cannot write into {folder}: figures is a symbolic link")
    if resume and "checkpoint.npz" not in present:
        raise NiceFileError(f"nothing to resume: {folder / 'checkpoint.npz'} does not exist; start without --resume")
    if not present or resume or force:
        return
    if present != [SETTINGS]:
        raise NiceFileError(
            f"{folder} already holds a run ({present[0]}); --resume continues it, --force replaces it, "
            "--out DIR puts the new one elsewhere"
        )
    if not _is_ours(folder / SETTINGS):  # a run that was killed early leaves its own
        raise NiceFileError(
            f"{folder / SETTINGS} was not written by nice-np; --force replaces it, --out DIR puts the run elsewhere"
        )


def _is_ours(path: Path) -> bool:
    """Whether this is the settings.json of a run."""
    try:
        return MARK in _saved_settings(path)
    except (OSError, ValueError, RecursionError):
        return False


def _compare(path: Path, settings: dict[str, Any]) -> None:
    try:
        saved = _saved_settings(path)
    except FileNotFoundError:
        return  # `fit` also compares data, architecture and training settings, though without their names
    except (OSError, ValueError, RecursionError) as error:
        raise NiceFileError(f"cannot read {path}: {error}; delete it to resume without this check") from None
    for name, given in settings.items():
        if name in saved and saved[name] != given:
            raise NiceValueError(f"cannot resume {path.parent}: {name} is {given} now and was {saved[name]} then")


def _saved_settings(path: Path) -> dict[str, Any]:
    saved = from_json(read_text(path).encode())
    if not isinstance(saved, dict):
        raise ValueError("expected a JSON object")
    return saved


def load_run(path: Path) -> tuple[Model, dict[str, Any]]:
    """The flow or VAE of a run folder or a model file, and its metadata."""
    return load_model(finished(path, "model.npz") if os.path.isdir(path) else path)


def load_flow(path: Path) -> tuple[Flow, dict[str, Any]]:
    """`load_run` for flows only; NiceValueError for a VAE."""
    model, metadata = load_run(path)
    if not isinstance(model, Flow):
        raise NiceValueError(f"{path} holds a {type(model).__name__}, but this command works for flows only")
    return model, metadata


def finished(folder: Path, name: str) -> Path:
    """The path of a result in a run folder; NiceFileError if training has not produced it yet."""
    if not os.path.exists(folder / name) and os.path.exists(folder / "checkpoint.npz"):
        raise NiceFileError(f"the run in {folder} is not finished, it has no {name} yet; continue with train --resume")
    return folder / name


def refuse_to_replace(force: bool, *paths: Path | None) -> None:
    """NiceFileError for the first of these files that exists, unless it is a regular file and may be replaced."""
    for path in paths:
        if path is not None:
            with naming(f"cannot write {path}"):
                found = replaceable(path)
            if found is not None and not force:
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

"""A run folder: model.npz, checkpoint.npz, metrics.json, history.csv and figures/."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from nice_np.checks import Array, as_rng
from nice_np.datasets.base import Dataset
from nice_np.dequantize import dequantize
from nice_np.errors import NiceFileError
from nice_np.flow import Flow, to_bits_per_dim
from nice_np.history import History

CONTENTS = ("model.npz", "checkpoint.npz", "metrics.json", "history.csv", "figures")
SPLITS = ("train", "validation", "test")
NOISE_SEED = 1  # of the dequantisation noise under which a finished model is scored


def prepare_folder(folder: Path, *, keep: bool, force: bool) -> None:
    """Make the folder, or refuse before any work is done.

    Parameters
    ----------
    folder : path
    keep : bool
        A run is to be resumed: what is there stays.
    force : bool
        A run that is there may be replaced.

    Raises
    ------
    NiceFileError
        If the folder holds a run and neither was asked for, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        present = [name for name in CONTENTS if (folder / name).exists()]
    except OSError as error:
        raise NiceFileError(f"cannot write into {folder}: {error.strerror or error}") from error
    if present and not (keep or force):
        raise NiceFileError(
            f"{folder} already holds a run ({present[0]}); --resume goes on with it, --force replaces it, "
            "--out DIR puts this one elsewhere"
        )
    if force and not keep:
        for name in ("checkpoint.npz", "model.npz", "metrics.json", "history.csv"):
            (folder / name).unlink(missing_ok=True)


def as_density_input(x: Any, seed: int, dtype: Any = np.float32) -> Array:
    """Samples as a flow sees them: pixels dequantised with noise from `seed`, points of the plane as they are."""
    return dequantize(x, as_rng(seed, "seed"), dtype) if x.dtype == np.uint8 else x.astype(dtype)


def score(flow: Flow, dataset: Dataset, split: str, seed: int) -> dict[str, float]:
    """Mean log-likelihood in nats, its standard error, and bits/dim of one split."""
    log_prob = flow.log_prob(as_density_input(dataset.split(split), seed, flow.dtype)).astype(np.float64)
    mean = float(log_prob.mean())
    return {
        "log_likelihood": mean,
        "standard_error": float(log_prob.std() / np.sqrt(len(log_prob))),
        "bits_per_dim": to_bits_per_dim(mean, flow.dim, dataset.bin_width),
        "samples": len(log_prob),
    }


def environment() -> dict[str, Any]:
    """Versions and threads, for metrics.json."""
    names = ("nice-np", "numpy", "scipy", "numba", "matplotlib")
    versions = {"python": platform.python_version(), **{name: _version(name) for name in names}}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = {
        "cores": cores,
        **{k: os.environ[k] for k in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if k in os.environ},
    }
    return {"versions": versions, "threads": threads, "machine": platform.machine(), "system": platform.system()}


def write_text(path: Path, text: str) -> None:
    """Write a small text file, whole or not at all.

    Raises
    ------
    NiceFileError
        Naming the path.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise NiceFileError(f"cannot write {path}: {error.strerror or error}") from error


def write_results(
    folder: Path, flow: Flow, metrics: dict[str, Any], history: History, metadata: dict[str, Any]
) -> None:
    """model.npz, metrics.json and history.csv."""
    flow.save(folder / "model.npz", metadata)
    write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    write_text(folder / "history.csv", history.to_csv())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

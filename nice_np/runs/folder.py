"""A run folder: settings.json, checkpoint.npz, model.npz, metrics.json, history.csv and figures/."""

from __future__ import annotations

import json
import os
import platform
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from nice_np.datasets import load
from nice_np.datasets.base import SPLITS as SPLITS
from nice_np.datasets.base import Dataset, Labels
from nice_np.errors import NiceFileError, NiceValueError
from nice_np.files.npz import TEMPORARY, remove_stale
from nice_np.flows.conditional import log_prob_by_label, marginal_log_prob, one_hot
from nice_np.flows.flow import Flow, to_bits_per_dim
from nice_np.flows.model import Model, load_model
from nice_np.pixels.dequantize import dequantize
from nice_np.training.history import History
from nice_np.vae import VAE
from nice_np.validation import Array, as_rng

FIGURES = (
    "training_curve",
    "samples",
    "reconstructions",
    "interpolation",
    "inpainting",
    "likelihoods",
    "nearest_neighbours",
    "density",
    "bent_grid",
    "spectrum",
)
RESULTS = ("model.npz", "checkpoint.npz", "metrics.json", "history.csv", *(f"figures/{name}.png" for name in FIGURES))
NOISE_SEED = 1  # of the dequantisation noise under which a finished model is scored


def check_folder(folder: Path, *, resume: bool, force: bool) -> None:
    """Refuse a folder before any work is done; creates nothing.

    Parameters
    ----------
    folder : path
    resume : bool
        A run is to be resumed: it must have a checkpoint.
    force : bool
        A run that is there may be replaced.

    Raises
    ------
    NiceFileError
        If there is nothing to resume, or the folder holds a run and neither was asked for.
    """
    with _saying(f"cannot use {folder}"):
        present = [name for name in RESULTS if os.path.lexists(folder / name)]
        if folder.exists() and not folder.is_dir():
            raise NiceFileError(f"{folder} is not a folder; choose another one with --out DIR")
    if resume and "checkpoint.npz" not in present:
        raise NiceFileError(f"nothing to resume: {folder / 'checkpoint.npz'} does not exist; start without --resume")
    if present and not (resume or force):
        raise NiceFileError(
            f"{folder} already holds a run ({present[0]}); --resume goes on with it, --force replaces it, "
            "--out DIR puts this one elsewhere"
        )


def open_folder(folder: Path, settings: dict[str, Any], *, resume: bool) -> None:
    """Make the folder for a new run, without remains of an old one; or check that it belongs to the run to be resumed.

    Parameters
    ----------
    folder : path
        One that `check_folder` found fit.
    settings : dict
        What makes the run this run, as JSON; kept in settings.json.
    resume : bool

    Raises
    ------
    NiceFileError
        If the folder cannot be made or written.
    NiceValueError
        If the run to be resumed has other settings; names the field and both values.
    """
    if resume:
        _compare(folder / "settings.json", settings)
    with _saying(f"cannot write into {folder}"):
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
        return  # `fit` compares, too: data, architecture and settings of the training, though not their names
    except (OSError, ValueError, RecursionError) as error:
        raise NiceFileError(f"cannot read {path}: {error}; delete it to resume without its check") from None
    for name, given in settings.items():
        if name in saved and saved[name] != given:
            raise NiceValueError(f"cannot resume {path.parent}: {name} is {given} now and was {saved[name]} then")


def load_run(path: Path) -> tuple[Flow, dict[str, Any]]:
    """The flow of a run folder, or of a model file, and its metadata.

    Raises
    ------
    NiceValueError
        If there is a VAE in it; `load_any_run` reads that, too.
    """
    model, metadata = load_any_run(path)
    if not isinstance(model, Flow):
        raise NiceValueError(f"{path} holds a {type(model).__name__}, and this works for flows only")
    return model, metadata


def load_any_run(path: Path) -> tuple[Model, dict[str, Any]]:
    """The flow or VAE of a run folder, or of a model file, and its metadata."""
    return load_model(finished(path, "model.npz") if path.is_dir() else path)


def finished(folder: Path, name: str) -> Path:
    """The path of a result in a run folder; NiceFileError if training has not come to it yet."""
    if not (folder / name).exists() and (folder / "checkpoint.npz").exists():
        raise NiceFileError(f"the run in {folder} is not finished, it has no {name} yet; train goes on with --resume")
    return folder / name


def load_data(flow: Model, name: str, data_dir: str | os.PathLike[str] | None, seed: int) -> Dataset:
    """The data set of that name, with as many features as the model has."""
    dataset = load(name, data_dir=data_dir, seed=seed)
    if dataset.dim != flow.dim:
        raise NiceValueError(f"data set {name} has {dataset.dim} features, the model expects {flow.dim}")
    return dataset


def as_density_input(x: Any, seed: int, dtype: Any = np.float32) -> Array:
    """Samples as a flow sees them: pixels dequantised with noise from `seed`, points of the plane as they are."""
    return dequantize(x, as_rng(seed, "seed"), dtype) if x.dtype == np.uint8 else x.astype(dtype)


def score_bounds(model: VAE, dataset: Dataset, split: str, seed: int, k: int = 1) -> dict[str, float]:
    """Mean ELBO in nats over `k` draws, its standard error, bits/dim from it, and for k > 1 the bound of k draws.

    Pixels are binarised for a Bernoulli decoder and dequantised for a Gaussian one, with noise from `seed`, which draws
    the latents as well.  The standard errors are over the samples.
    """
    rng = np.random.default_rng(seed)
    raw = dataset.split(split)
    bounds = model.bounds(model.from_pixels(raw, rng) if raw.dtype == np.uint8 else raw, k, rng)
    summary = _summary(bounds.elbo, model.dim, model.pixel_width if raw.dtype == np.uint8 else dataset.bin_width)
    scores = {"elbo": summary.pop("log_likelihood"), **summary}
    if k > 1:
        tighter = _summary(bounds.iwae, model.dim, 1.0)
        scores |= {"k": k, "iwae": tighter["log_likelihood"], "iwae_standard_error": tighter["standard_error"]}
    return scores


def score(flow: Flow, dataset: Dataset, split: str, seed: int) -> dict[str, float]:
    """Mean log-likelihood in nats, its standard error, and bits/dim of one split.

    Of a flow with a context it is the likelihood without labels, log p(x) = log 1/C sum_k p(x | k), which compares with
    that of other flows.  Beside it stand the mean of log p(x | true label) as "log_likelihood_given_label", and
    "accuracy", how often the most likely label is the true one.
    """
    x = as_density_input(dataset.split(split), seed, flow.dtype)  # (N, D)
    if flow.context_dim == 0:
        return _summary(flow.log_prob(x), flow.dim, dataset.bin_width)
    by_label = log_prob_by_label(flow, x)  # (N, C)
    labels = true_labels(flow, dataset, split)  # (N,)
    return {
        **_summary(marginal_log_prob(by_label), flow.dim, dataset.bin_width),
        "log_likelihood_given_label": float(by_label[np.arange(len(x)), labels].mean(dtype=np.float64)),
        "accuracy": float((by_label.argmax(axis=1) == labels).mean()),
    }


def _summary(log_prob: Array, dim: int, bin_width: float) -> dict[str, float]:
    log_prob = log_prob.astype(np.float64)  # (N,)
    mean = float(log_prob.mean())
    return {
        "log_likelihood": mean,
        "standard_error": float(log_prob.std() / np.sqrt(len(log_prob))),
        "bits_per_dim": to_bits_per_dim(mean, dim, bin_width),
        "samples": len(log_prob),
    }


def true_labels(flow: Flow, dataset: Dataset, split: str) -> Labels:
    """The labels of a split, (N,), for a flow whose context is the label."""
    labels = dataset.labels(split)
    if labels is None:
        raise NiceValueError(f"data set {dataset.name} has no labels, which this flow needs as its context")
    if len(labels) and not (labels.min() >= 0 and labels.max() < flow.context_dim):
        raise NiceValueError(
            f"data set {dataset.name}: the flow knows the labels 0 .. {flow.context_dim - 1}, "
            f"{split} has {labels.min()} .. {labels.max()}"
        )
    return labels


def label_context(flow: Model, dataset: Dataset, split: str) -> Array | None:
    """The labels of a split as the context of a flow that takes them, (N, C); None for any other model."""
    if not isinstance(flow, Flow) or flow.context_dim == 0:
        return None
    return one_hot(true_labels(flow, dataset, split), flow.context_dim, flow.dtype)


def environment() -> dict[str, Any]:
    """Versions and threads, for metrics.json."""
    names = ("nice-np", "numpy", "scipy", "numba", "matplotlib")
    versions = {"python": platform.python_version(), **{name: _version(name) for name in names}}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = {k: os.environ[k] for k in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if k in os.environ}
    return {
        "versions": versions,
        "threads": {"cores": cores, **limits},
        "machine": platform.machine(),
        "system": platform.system(),
    }


def to_json(value: Any, indent: int | None = None) -> str:
    """As JSON that every reader accepts: what is not a finite number becomes null."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): finite(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [finite(item) for item in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return json.dumps(finite(value), indent=indent, allow_nan=False)


def printable(text: str) -> str:
    """One line that any terminal and any file can hold: a name may have line breaks, or escape sequences, in it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def refuse_to_replace(path: Path, force: bool) -> None:
    """NiceFileError for a file that is there, unless it may be replaced."""
    if os.path.lexists(path) and not force:
        raise NiceFileError(f"{path} exists; --force replaces it")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, renamed over it when the block has come to its end: whole or not at all.

    Raises
    ------
    NiceFileError
        Naming the path, and before the block if nothing can be written there.
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays one
    temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}{target.suffix}")
    with _saying(f"cannot write {path}"):
        if target.is_dir():
            raise NiceFileError(f"cannot write {path}: it is a folder")
        remove_stale(target.parent)
        try:
            open(temporary, "xb").close()
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())  # the rename must not reach the disk before the bytes do
            os.replace(temporary, target)
        except NiceFileError as error:  # of a writer that knows the temporary name only
            raise NiceFileError(str(error).replace(str(temporary), str(path))) from error
        finally:
            with suppress(OSError):  # already renamed, when all went well
                temporary.unlink()


@contextmanager
def _saying(what: str) -> Iterator[None]:
    """Turn what the system says about a file into a NiceFileError that begins with `what`."""
    try:
        yield
    except NiceFileError:
        raise
    except OSError as error:
        raise NiceFileError(f"{what}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Write a small text file, whole or not at all; NiceFileError names the path."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_results(
    folder: Path, model: Model, metrics: dict[str, Any], history: History, metadata: dict[str, Any]
) -> None:
    """model.npz, metrics.json and history.csv."""
    model.save(folder / "model.npz", metadata)
    write_text(folder / "metrics.json", to_json(metrics, indent=2) + "\n")
    write_text(folder / "history.csv", history.to_csv())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

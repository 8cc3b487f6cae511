"""What the commands of nice-np do: each takes the parsed arguments and returns (result for --json, text to read)."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np

from nice_np.base_model import Model
from nice_np.checks import Array
from nice_np.conditional import one_hot
from nice_np.datasets import Dataset, load
from nice_np.errors import NiceValueError, TrainingInterrupted
from nice_np.figures import draw
from nice_np.finished import read_runs
from nice_np.flow import Flow
from nice_np.gradcheck import check_gradients
from nice_np.history import History
from nice_np.inverse_problems import inpaint as inpaint
from nice_np.inverse_problems import restore as restore
from nice_np.presets import PRESETS, get_preset
from nice_np.report import make_report
from nice_np.runs import (
    NOISE_SEED,
    SPLITS,
    check_folder,
    environment,
    label_context,
    load_any_run,
    load_data,
    open_folder,
    refuse_to_replace,
    replacing,
    score,
    score_bounds,
    write_results,
    write_text,
)
from nice_np.small_models import small_models
from nice_np.training import fit
from nice_np.vae import VAE

Result = tuple[dict[str, Any], str]
CHECKPOINT_EVERY = 60.0  # seconds
DRAWS = 100  # of each sample's latents, for a VAE's tighter bound


def demo(arguments: argparse.Namespace) -> Result:
    """Train on the embedded digits for a minute."""
    settings = {
        "dataset": "mnist-small",
        "preset": None,
        "model": None,
        "epochs": None,
        "batch_size": None,
        "learning_rate": None,
    }
    others = {"data_dir": None, "checkpoint_every": CHECKPOINT_EVERY, "resume": False, "threads": 1}
    return train(argparse.Namespace(**vars(arguments), **settings, **others))


def train(arguments: argparse.Namespace) -> Result:
    """Train, score all splits, draw figures, fill the run folder."""
    if arguments.out is None:
        arguments.out = Path("runs") / arguments.dataset
    folder: Path = arguments.out
    check_folder(folder, resume=arguments.resume, force=arguments.force)
    dataset = load(arguments.dataset, data_dir=arguments.data_dir, seed=arguments.seed, progress=not arguments.quiet)
    try:
        return _train(arguments, folder, dataset)
    except TrainingInterrupted as stop:
        if not (folder / "checkpoint.npz").exists():
            raise
        raise TrainingInterrupted(f"{stop}; go on with: {resume_command(arguments)}", stop.signum) from None


def _train(arguments: argparse.Namespace, folder: Path, dataset: Dataset) -> Result:
    preset_name, preset = get_preset(arguments.preset, dataset, arguments.model)
    model_rng, fit_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(arguments.seed).spawn(2))
    model, seen = preset.build(dataset, model_rng), preset.training_set(dataset)
    training = preset.training(arguments.learning_rate, arguments.batch_size)
    length = {
        "epochs": None if arguments.time_limit is not None else arguments.epochs or preset.epochs,
        "time_limit": arguments.time_limit,
    }
    origin = {"dataset": dataset.name, "preset": preset_name, "seed": arguments.seed}
    settings = {**origin, **{name: _plain(value) for name, value in training.items()}}
    open_folder(folder, settings, resume=arguments.resume)
    if not arguments.quiet:
        span = (
            f"{arguments.time_limit:g} s (the clock steers the learning rate)"
            if length["epochs"] is None
            else f"{length['epochs']} epoch(s)"
        )
        say(f"training on {dataset.name} for {span}, run folder {folder} (Ctrl-C stops and keeps what was learned)")
    history = fit(
        model,
        seen.train,
        label_context(model, seen, "train"),
        validation=dataset.validation,
        validation_context=label_context(model, dataset, "validation"),
        checkpoint=folder / "checkpoint.npz",
        checkpoint_every=arguments.checkpoint_every,
        resume=arguments.resume,
        progress=not arguments.quiet,
        rng=fit_rng,
        threads=arguments.threads,
        **length,
        **training,
    )
    metrics = {
        "command": train_command(arguments),
        "configuration": {_kind(model): repr(model).splitlines(), **settings, **length},
        "parameters": len(model.params),
    }
    return _finish(model, dataset, history, folder, origin, metrics)


def _kind(model: Model) -> str:
    """ "flow" or "vae"."""
    return type(model).__name__.lower()


def _score(model: Model, dataset: Dataset, split: str, seed: int, k: int = 1) -> dict[str, float]:
    """Log-likelihood of a flow, bounds of a VAE."""
    if isinstance(model, VAE):
        return score_bounds(model, dataset, split, seed, k)
    return score(cast(Flow, model), dataset, split, seed)


def _finish(
    model: Model, dataset: Dataset, history: History, folder: Path, origin: dict[str, Any], metrics: dict[str, Any]
) -> Result:
    """Score and draw what was trained, and write it all down."""
    scores = {split: _score(model, dataset, split, NOISE_SEED) for split in SPLITS}
    metadata = {
        **origin,
        "bin_width": dataset.bin_width if dataset.image_shape is None else model.pixel_width,
        "image_shape": dataset.image_shape,
        "epochs": len(history.rows),
        **{name: {split: scores[split][name] for split in SPLITS} for name in scores["test"] if name != "samples"},
    }
    metrics = {
        **metadata,
        **metrics,
        "steps": history.rows[-1]["step"],
        "best_epoch": history.best_epoch,
        "train_seconds": history.rows[-1]["seconds"],
        **environment(),
    }
    write_results(folder, model, metrics, history, metadata)
    figures = draw(model, dataset, history, folder / "figures", origin["seed"])
    result = {**metrics, "out": str(folder), "figures": [str(path) for path in figures]}
    return result, _summary(result)


def _plain(value: Any) -> Any:
    """Numbers as they are, a schedule or an optimiser as text."""
    return value if value is None or isinstance(value, (int, float)) else repr(value)


def train_command(arguments: argparse.Namespace, *folders: str) -> str:
    """What to type to train the same once more; where the files are is part of it only for the `folders` named."""
    words = ["nice-np", "train", arguments.dataset]
    for name in ("model", "preset", "epochs", "time_limit", "batch_size", "learning_rate", "seed", "threads", *folders):
        value = getattr(arguments, name)
        if value is not None and (name, value) not in (("seed", 0), ("threads", 1)):
            words.append(f"--{name.replace('_', '-')}={value}")
    return shlex.join(words)


def resume_command(arguments: argparse.Namespace) -> str:
    """What to type to go on with a training that was stopped."""
    return f"{train_command(arguments, 'data_dir', 'out')} --resume"


def say(text: str) -> None:
    """A line on standard error, where somebody may look, for the time being."""
    with suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(f"{text}\n")


def evaluate(arguments: argparse.Namespace) -> Result:
    """Score one split of a data set."""
    model, metadata = load_any_run(arguments.model)
    _refuse_if(arguments.k is not None and not isinstance(model, VAE), "--k is for VAEs: a flow's likelihood is exact")
    name = arguments.data or metadata.get("dataset")
    if name is None:
        raise NiceValueError(f"{arguments.model} does not say what it was trained on; name a data set with --data")
    dataset = load_data(model, name, arguments.data_dir, metadata.get("seed", 0))
    result = {"model": str(arguments.model), "data": name, "split": arguments.split, "seed": arguments.seed}
    result.update(_score(model, dataset, arguments.split, arguments.seed, arguments.k or DRAWS))
    if isinstance(model, VAE):
        seen = "" if dataset.image_shape is None else ", binarised" if model.is_binary else ", dequantised"
        return result, _bounds_text(result, seen)
    text = (
        f"{name} {arguments.split}: {result['log_likelihood']:.2f} +- {result['standard_error']:.2f} nats, "
        f"{result['bits_per_dim']:.4f} bits/dim over {result['samples']} samples"
    )
    if "accuracy" in result:
        text += (
            f"\ngiven the label {result['log_likelihood_given_label']:.2f} nats; "
            f"the most likely label is right for {result['accuracy']:.2%}"
        )
    return result, text


def _bounds_text(result: dict[str, Any], seen: str) -> str:
    elbo = f"ELBO {result['elbo']:.2f} +- {result['standard_error']:.2f} nats, {result['bits_per_dim']:.4f} bits/dim"
    lines = [f"{result['data']} {result['split']}: {elbo}, over {result['samples']} samples{seen}"]
    if "iwae" in result:
        lines += [f"bound of {result['k']} draws: {result['iwae']:.2f} +- {result['iwae_standard_error']:.2f} nats"]
    return "\n".join(lines)


def _refuse_if(wrong: bool, message: str) -> None:
    if wrong:
        raise NiceValueError(message)


def _draw_samples(model: Model, arguments: argparse.Namespace) -> Array:
    """What `sample` shall draw: (n, D)."""
    if isinstance(model, VAE):
        _refuse_if(arguments.label is not None, "this model was trained without labels: leave out --label")
        _refuse_if(arguments.temperature != 1, "--temperature is for flows; leave it out")
        if arguments.means:
            return model.decode(model.sample_latents(arguments.n, arguments.seed))
        return model.sample(arguments.n, rng=arguments.seed)
    flow = cast(Flow, model)
    _refuse_if(arguments.means, "--means is for VAEs: a flow's decoder adds no noise")
    context = _labels_to_draw(flow, arguments.label, arguments.n)
    return flow.sample(arguments.n, rng=arguments.seed, temperature=arguments.temperature, context=context)


def sample(arguments: argparse.Namespace) -> Result:
    """Draw from a model into a picture or an array."""
    model, metadata = load_any_run(arguments.model)
    out: Path = arguments.out
    refuse_to_replace(out, arguments.force)
    picture, shape = out.suffix.lower() == ".png", metadata.get("image_shape")
    plane = shape is None and isinstance(model, Flow) and model.dim == 2
    if picture and shape is None and not plane:
        raise NiceValueError(f"{model.dim} features are neither an image nor a point of the plane; use --out FILE.npy")
    with replacing(out) as temporary:
        x = _draw_samples(model, arguments)
        if picture:
            from nice_np import plotting

            drawing = plotting.density(cast(Flow, model), samples=x) if shape is None else plotting.image_grid(x, shape)
            plotting.save(drawing, temporary)
        else:
            with open(temporary, "wb") as file:  # np.save would append .npy to a name that ends in .NPY
                np.save(file, x)
    result = {"model": str(arguments.model), "n": arguments.n, "out": str(out), "shape": list(x.shape)}
    return result, f"{arguments.n} samples written to {out}"


def _labels_to_draw(flow: Flow, label: int | None, n: int) -> Array | None:
    """The context of n samples: one label, or all labels in turn."""
    classes = flow.context_dim
    if classes == 0 and label is not None:
        raise NiceValueError("this flow was trained without labels: leave out --label")
    if label is not None and label >= classes:
        raise NiceValueError(f"the flow knows the labels 0 .. {classes - 1}, not {label}")
    if classes == 0:
        return None
    return one_hot(np.arange(n) % classes if label is None else np.full(n, label), classes)


def gradcheck(arguments: argparse.Namespace) -> Result:
    """Check one model, or small flows of every law and prior and a VAE of every form."""
    if arguments.model is not None:
        model, _ = load_any_run(arguments.model)
        models = {str(arguments.model): model}
    else:
        models = dict(small_models(arguments.seed))
    reports, texts = {}, []
    for name, model in models.items():
        rng = np.random.default_rng(arguments.seed)
        # At most 200 elements of an array one by one: a large model would keep us waiting for minutes.
        exact = model.astype(np.float64)
        context = _labels_to_draw(model, None, 4) if isinstance(model, Flow) else None
        x = exact.sample(4, rng, context=context) if isinstance(exact, Flow) else cast(VAE, exact).sample(4, rng)
        report = check_gradients(model, x, context=context, rng=rng, max_coordinates=200)
        reports[name] = report
        texts.append(f"{name}\n{report}\n")
    passed = all(report.passed for report in reports.values())
    texts.append("all gradients agree with finite differences" if passed else "some gradients are WRONG, see above")
    return {"passed": passed, "reports": {name: r.to_dict() for name, r in reports.items()}}, "\n".join(texts)


def presets(arguments: argparse.Namespace) -> Result:
    """All presets, with parameter count and source."""
    rows = {name: {"made_for": p.made_for, "parameters": p.parameters, "source": p.source, "epochs": p.epochs,
                   "description": p.description} for name, p in PRESETS.items()}  # fmt: skip
    lines = [f"{'preset':<19}{'data':<12}{'parameters':>11}  {'source':<19}what"]
    for name, row in rows.items():
        size = f"{row['parameters']:>11,}"
        lines.append(f"{name:<19}{row['made_for']:<12}{size}  {row['source']:<19}{row['description']}")
    return {"presets": rows}, "\n".join(lines)


def info(arguments: argparse.Namespace) -> Result:
    """Architecture and metadata of a model."""
    model, metadata = load_any_run(arguments.model)
    result = {
        "model": str(arguments.model),
        "parameters": len(model.params),
        _kind(model): repr(model).splitlines(),
        **metadata,
    }
    rows = [f"  {name:<16}{_readable(value)}" for name, value in metadata.items() if value is not None]
    return result, "\n".join([repr(model), "trained on", *rows] if rows else [repr(model)])


def report(arguments: argparse.Namespace) -> Result:
    """Put finished runs side by side on a page."""
    out, poster = arguments.out, arguments.poster
    for path in (out, poster):
        if path is not None:
            refuse_to_replace(path, arguments.force)
    runs = read_runs(arguments.runs)
    page = make_report(runs, arguments.data_dir)
    left_out = page.poster.left_out
    if poster is not None:
        if page.poster.png is None:
            reasons = "; ".join(left_out.values()) or "none of the runs is of images"
            raise NiceValueError(f"no picture of data and samples for {poster}: {reasons}; leave out --poster")
        with replacing(poster) as temporary:
            temporary.write_bytes(page.poster.png)
    write_text(out, page.html)
    result = {
        "out": str(out),
        "poster": None if poster is None else str(poster),
        "runs": {run.name: str(run.folder) for run in runs},
        "left_out": left_out,
    }
    lines = [
        f"{len(runs)} run(s) side by side in {out}",
        *([f"data and samples in {poster}"] if poster is not None else []),
        *(f"no samples beside data of {name}: {reason}" for name, reason in left_out.items()),
    ]
    return result, "\n".join(lines)


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(item)}" for name, item in value.items())
    return f"{value:.5g}" if isinstance(value, float) else json.dumps(value).strip('"')


def _summary(result: dict[str, Any]) -> str:
    measure = "elbo" if "elbo" in result else "log_likelihood"
    nats, bits = result[measure], result["bits_per_dim"]
    rows = [
        f"{result['dataset']}, preset {result['preset']}: {result['parameters']:,} parameters, "
        f"{result['epochs']} epoch(s), {result['steps']} steps, {result['train_seconds']:.1f} s",
        f"              {'ELBO' if measure == 'elbo' else 'log-likelihood':<14}     bits/dim",
        *(f"  {split:<12}{nats[split]:>10.2f} nats {bits[split]:>12.4f}" for split in SPLITS),
        *(["test labels found: {:.2%}".format(result["accuracy"]["test"])] if "accuracy" in result else []),
        *([f"a tighter bound: nice-np evaluate {result['out']}"] if measure == "elbo" else []),
        f"model and figures in {result['out']}:",
        *(f"  {path}" for path in result["figures"]),
    ]
    return "\n".join(rows)

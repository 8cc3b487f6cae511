"""What the commands of nice-np do: each takes the parsed arguments and returns (result for --json, text to read)."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from nice_np import bijectors as b
from nice_np.bijectors.scales import SCALES
from nice_np.checks import Array
from nice_np.conditional import one_hot
from nice_np.datasets import Dataset, load
from nice_np.errors import NiceFileError, NiceValueError, TrainingInterrupted
from nice_np.figures import draw
from nice_np.finished import read_runs
from nice_np.flow import Flow
from nice_np.gradcheck import check_gradients
from nice_np.history import History
from nice_np.mlp import MLP
from nice_np.presets import PRESETS, get_preset
from nice_np.priors import PRIORS
from nice_np.report import make_report
from nice_np.runs import (
    NOISE_SEED,
    SPLITS,
    check_folder,
    environment,
    label_context,
    load_data,
    load_run,
    open_folder,
    replacing,
    score,
    write_results,
    write_text,
)
from nice_np.training import fit

Result = tuple[dict[str, Any], str]
CHECKPOINT_EVERY = 60.0  # seconds


def demo(arguments: argparse.Namespace) -> Result:
    """Train on the embedded digits for a minute."""
    settings = {"dataset": "mnist-small", "preset": None, "epochs": None, "batch_size": None, "learning_rate": None}
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
    preset_name, preset = get_preset(arguments.preset, dataset)
    model_rng, fit_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(arguments.seed).spawn(2))
    flow, seen = preset.build(dataset, model_rng), preset.training_set(dataset)
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
        flow,
        seen.train,
        label_context(flow, seen, "train"),
        validation=dataset.validation,
        validation_context=label_context(flow, dataset, "validation"),
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
        "configuration": {"flow": repr(flow).splitlines(), **settings, **length},
        "parameters": len(flow.params),
    }
    return _finish(flow, dataset, history, folder, origin, metrics)


def _finish(
    flow: Flow, dataset: Dataset, history: History, folder: Path, origin: dict[str, Any], metrics: dict[str, Any]
) -> Result:
    """Score and draw what was trained, and write it all down."""
    scores = {split: score(flow, dataset, split, NOISE_SEED) for split in SPLITS}
    metadata = {
        **origin,
        "bin_width": dataset.bin_width,
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
    write_results(folder, flow, metrics, history, metadata)
    figures = draw(flow, dataset, history, folder / "figures", origin["seed"])
    result = {**metrics, "out": str(folder), "figures": [str(path) for path in figures]}
    return result, _summary(result)


def _plain(value: Any) -> Any:
    """Numbers as they are, a schedule or an optimiser as text."""
    return value if value is None or isinstance(value, (int, float)) else repr(value)


def train_command(arguments: argparse.Namespace, *folders: str) -> str:
    """What to type to train the same once more; where the files are is part of it only for the `folders` named."""
    words = ["nice-np", "train", arguments.dataset]
    for name in ("preset", "epochs", "time_limit", "batch_size", "learning_rate", "seed", "threads", *folders):
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
    flow, metadata = load_run(arguments.model)
    name = arguments.data or metadata.get("dataset")
    if name is None:
        raise NiceValueError(f"{arguments.model} does not say what it was trained on; name a data set with --data")
    dataset = load_data(flow, name, arguments.data_dir, metadata.get("seed", 0))
    result = {"model": str(arguments.model), "data": name, "split": arguments.split, "seed": arguments.seed}
    result.update(score(flow, dataset, arguments.split, arguments.seed))
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


def sample(arguments: argparse.Namespace) -> Result:
    """Draw from a model into a picture or an array."""
    flow, metadata = load_run(arguments.model)
    out: Path = arguments.out
    _refuse_to_replace(out, arguments.force)
    context = _labels_to_draw(flow, arguments.label, arguments.n)
    picture, shape = out.suffix.lower() == ".png", metadata.get("image_shape")
    if picture and shape is None and flow.dim != 2:
        raise NiceValueError(f"{flow.dim} features are neither an image nor a point of the plane; use --out FILE.npy")
    with replacing(out) as temporary:
        x = flow.sample(arguments.n, rng=arguments.seed, temperature=arguments.temperature, context=context)
        if picture:
            from nice_np import plotting

            drawing = plotting.density(flow, samples=x) if shape is None else plotting.image_grid(x, shape)
            plotting.save(drawing, temporary)
        else:
            with open(temporary, "wb") as file:  # np.save would append .npy to a name that ends in .NPY
                np.save(file, x)
    result = {"model": str(arguments.model), "n": arguments.n, "out": str(out), "shape": list(x.shape)}
    return result, f"{arguments.n} samples written to {out}"


def _refuse_to_replace(path: Path, force: bool) -> None:
    if os.path.lexists(path) and not force:
        raise NiceFileError(f"{path} exists; --force replaces it")


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
    """Check one model, or small flows of every law and prior."""
    if arguments.model is not None:
        flow, _ = load_run(arguments.model)
        flows = {str(arguments.model): flow}
    else:
        flows = dict(small_flows(arguments.seed))
    reports, texts = {}, []
    for name, flow in flows.items():
        rng = np.random.default_rng(arguments.seed)
        # At most 200 elements of an array one by one: a large model would keep us waiting for minutes.
        context = _labels_to_draw(flow, None, 4)
        x = flow.astype(np.float64).sample(4, rng, context=context)
        report = check_gradients(flow, x, context=context, rng=rng, max_coordinates=200)
        reports[name] = report
        texts.append(f"{name}\n{report}\n")
    passed = all(report.passed for report in reports.values())
    texts.append("all gradients agree with finite differences" if passed else "some gradients are WRONG, see above")
    return {"passed": passed, "reports": {name: r.to_dict() for name, r in reports.items()}}, "\n".join(texts)


def small_flows(seed: int) -> Any:
    """Pairs (name, flow) for each law, scale and prior, with random weights."""
    rng = np.random.default_rng(seed)
    laws: list[tuple[str, type[b.Coupling], dict[str, Any]]] = [("AdditiveCoupling", b.AdditiveCoupling, {})]
    for scale in SCALES:
        laws.append((f"MultiplicativeCoupling, scale {scale}", b.MultiplicativeCoupling, {"scale": scale}))
        laws.append((f"AffineCoupling, scale {scale}", b.AffineCoupling, {"scale": scale}))
    for name, law, settings in laws:
        for prior in PRIORS:
            part, layers = b.Partition.odd_even(5), []
            for _ in range(3):
                sizes = (len(part.idx_a), 8, law.thetas_per_feature * len(part.idx_b))
                layers.append(law(part, MLP(sizes, rng=rng), **settings))
                part = part.swapped()
            flow = Flow(prior, b.Chain([b.Standardize(rng.normal(size=5), np.ones(5)), *layers, b.DiagonalScaling(5)]))
            flow.params.values[:] = rng.normal(0, 0.3, len(flow.params))
            yield f"{name}, {prior} prior", flow


def presets(arguments: argparse.Namespace) -> Result:
    """All presets, with parameter count and source."""
    rows = {name: {"made_for": p.made_for, "parameters": p.parameters, "source": p.source, "epochs": p.epochs,
                   "description": p.description} for name, p in PRESETS.items()}  # fmt: skip
    lines = [f"{'preset':<17}{'data':<12}{'parameters':>11}  {'source':<19}what"]
    for name, row in rows.items():
        size = f"{row['parameters']:>11,}"
        lines.append(f"{name:<17}{row['made_for']:<12}{size}  {row['source']:<19}{row['description']}")
    return {"presets": rows}, "\n".join(lines)


def info(arguments: argparse.Namespace) -> Result:
    """Architecture and metadata of a model."""
    flow, metadata = load_run(arguments.model)
    result = {
        "model": str(arguments.model),
        "parameters": len(flow.params),
        "flow": repr(flow).splitlines(),
        **metadata,
    }
    rows = [f"  {name:<16}{_readable(value)}" for name, value in metadata.items() if value is not None]
    return result, "\n".join([repr(flow), "trained on", *rows] if rows else [repr(flow)])


def report(arguments: argparse.Namespace) -> Result:
    """Put finished runs side by side on a page."""
    out, poster = arguments.out, arguments.poster
    for path in (out, poster):
        if path is not None:
            _refuse_to_replace(path, arguments.force)
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
    nats, bits = result["log_likelihood"], result["bits_per_dim"]
    rows = [
        f"{result['dataset']}, preset {result['preset']}: {result['parameters']:,} parameters, "
        f"{result['epochs']} epoch(s), {result['steps']} steps, {result['train_seconds']:.1f} s",
        "              log-likelihood     bits/dim",
        *(f"  {split:<12}{nats[split]:>10.2f} nats {bits[split]:>12.4f}" for split in SPLITS),
        *(["test labels found: {:.2%}".format(result["accuracy"]["test"])] if "accuracy" in result else []),
        f"model and figures in {result['out']}:",
        *(f"  {path}" for path in result["figures"]),
    ]
    return "\n".join(rows)

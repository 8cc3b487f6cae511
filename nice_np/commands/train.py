"""nice-np train: train a model on a data set, score it, draw figures, and keep everything in a run folder."""

from __future__ import annotations

import logging
import shlex
import textwrap
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nice_np import datasets
from nice_np.commands.messages import say
from nice_np.commands.options import add_data_dir, add_force, add_seed
from nice_np.commands.parsing import Arguments, OneOf, Parser, UsageError, number, path, whole
from nice_np.commands.shared import Result, kind_of
from nice_np.datasets import Dataset, load
from nice_np.datasets.base import SPLITS
from nice_np.errors import DivergenceError, NiceFileError, NiceValueError, TrainingInterrupted
from nice_np.files.atomic import write_text
from nice_np.flows.flow import bits_unit
from nice_np.flows.model import Model
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.runs.figures import draw
from nice_np.runs.folder import check_folder, environment, open_folder, write_results
from nice_np.runs.presets import MODELS, PRESETS, get_preset
from nice_np.runs.scoring import label_context, score_model
from nice_np.training.data import TrainingData
from nice_np.training.fit import fit
from nice_np.training.history import History
from nice_np.training.plan import Callback
from nice_np.training.tensorboard import TensorBoard

log = logging.getLogger(__name__)

CHECKPOINT_EVERY = 60.0  # seconds


def _choices() -> str:
    """The data sets and presets, for the help."""
    toys = textwrap.fill(", ".join(datasets.TOYS), 76, initial_indent="  ", subsequent_indent="  ")
    rows = [f"  {name:<18} {preset.description}" for name, preset in PRESETS.items()]
    images = f"  {', '.join(datasets.IMAGES)}, and densities in the plane:"
    return "\n".join(["data sets:", images, toys, "", "presets:", *rows])


EPILOG = f"""{_choices()}

examples:
  nice-np train two-moons --epochs 20
  nice-np train mnist --model vae-nice-prior
  nice-np train mnist -v --tensorboard runs/mnist/events
  nice-np train mnist --time-limit 300 --data-dir ~/mnist --out runs/first
  nice-np train mnist --time-limit 300 --data-dir ~/mnist --out runs/first --resume
"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    add, length = parser.add_argument, parser.add_mutually_exclusive_group()
    preset = "one of those below (default: the one made for the data set)"
    add("dataset", type=OneOf(datasets.names(), "data set"), metavar="DATASET", help="one of those below")
    add("--preset", type=OneOf(tuple(PRESETS), "preset"), metavar="NAME", help=preset)
    models = f"{MODELS[0]} (default), {', '.join(MODELS[1:])}"
    add("--model", type=OneOf(MODELS, "model"), metavar="NAME", help=models)
    epochs = "passes through the data (default: the preset's)"
    length.add_argument("--epochs", type=whole(1), metavar="N", help=epochs)
    limit = "seconds of training, instead of epochs"
    length.add_argument("--time-limit", type=number(above=0), metavar="S", help=limit)
    add("--batch-size", type=whole(1), metavar="N", help="samples per step (default: the preset's)")
    add("--learning-rate", type=number(above=0), metavar="R", help="default: the preset's")
    threads = "threads that share a batch; the same number gives the same bits (default: 1, and BLAS follows the load)"
    add("--threads", type=whole(1, 1000), metavar="N", help=threads)
    add("--out", "-o", type=path, metavar="DIR", help="run folder (default: runs/DATASET)")
    add("--tensorboard", type=path, metavar="DIR", help="folder for event files for TensorBoard (needs an extra)")
    add("--resume", action="store_true", help="continue from the checkpoint in the run folder")
    every = "seconds between checkpoints (default: 60)"
    add("--checkpoint-every", type=number(above=0), default=CHECKPOINT_EVERY, metavar="S", help=every)
    add_seed(parser)
    add_data_dir(parser)
    add_force(parser)


def run(arguments: Arguments) -> Result:
    """Train, score all splits, draw figures and fill the run folder."""
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
        raise TrainingInterrupted(f"{stop}; resume with: {resume_command(arguments)}", stop.signum) from None


def _train(arguments: Arguments, folder: Path, dataset: Dataset) -> Result:
    preset_name, preset = get_preset(arguments.preset, dataset, arguments.model)
    try:
        training = preset.training(arguments.learning_rate, arguments.batch_size)
    except NiceValueError as error:  # the preset's own rate fits its schedule
        raise UsageError(f"argument --learning-rate: does not fit preset {preset_name}; {error}") from None
    model_rng, fit_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(arguments.seed).spawn(2))
    model, seen = preset.build(dataset, model_rng), preset.training_set(dataset)
    length = {
        "epochs": None if arguments.time_limit is not None else arguments.epochs or preset.epochs,
        "time_limit": arguments.time_limit,
    }
    origin = {"dataset": dataset.name, "preset": preset_name, "seed": arguments.seed}
    settings = {**origin, **{name: _plain(value) for name, value in training.items()}}
    # Everything that can be refused comes before open_folder, which deletes the results of an older run with --force.
    callbacks: list[Callback] = [partial(_write_history, folder / "history.csv")]
    if arguments.tensorboard is not None:
        callbacks.append(TensorBoard(arguments.tensorboard))
    context = label_context(model, seen, "train")
    TrainingData.checked(model, seen.train, context, "x")
    with open_folder(folder, settings, resume=arguments.resume, force=arguments.force):
        if not arguments.quiet:
            span = _span(**length)
            say(f"training on {dataset.name} for {span}, run folder {folder} (Ctrl-C stops and keeps a checkpoint)")
        try:
            history = fit(
                model,
                seen.train,
                context,
                validation=dataset.validation,
                validation_context=label_context(model, dataset, "validation"),
                callbacks=callbacks,
                checkpoint=folder / "checkpoint.npz",
                checkpoint_every=arguments.checkpoint_every,
                resume=arguments.resume,
                progress=not arguments.quiet,
                rng=fit_rng,
                threads=arguments.threads,
                **length,
                **training,
            )
        except DivergenceError as error:
            slower = Arguments(**vars(arguments))
            slower.learning_rate = (arguments.learning_rate or preset.learning_rate) / 10
            raise _best_kept(error, model, dataset, folder, origin, f"{_command(slower)} --force") from None
        metrics = {
            "command": train_command(arguments),
            "configuration": {kind_of(model): repr(model).splitlines(), **settings, **length},
            "parameters": len(model.params),
        }
        return _finish(model, dataset, history, folder, origin, metrics)


def _span(epochs: int | None, time_limit: float | None) -> str:
    return f"{time_limit:g} s (the learning rate follows the clock)" if epochs is None else f"{epochs} epoch(s)"


def _best_kept(
    error: DivergenceError, model: Model, dataset: Dataset, folder: Path, origin: dict[str, Any], again: str
) -> DivergenceError:
    """The error of a training that diverged, with its best model saved; `again` is the command that starts again."""
    saved = ""
    if error.history is not None and error.history.rows:
        about = {"bin_width": model.bin_width, "image_shape": dataset.image_shape, "epochs": len(error.history.rows)}
        model.save(folder / "model.npz", {**origin, **about})
        saved = f"; the best model so far, of epoch {error.history.best_epoch}, is {folder / 'model.npz'}"
    return DivergenceError(f"{error}{saved}; start again with: {again}", error.history)


def _write_history(path: Path, model: Model, history: History) -> None:
    """After each epoch, so that a long run can be watched."""
    try:
        write_text(path, history.to_csv())
    except NiceFileError as error:  # it is written again at the end, where an error counts
        log.warning("%s", error)


def _finish(
    model: Model, dataset: Dataset, history: History, folder: Path, origin: dict[str, Any], metrics: dict[str, Any]
) -> Result:
    """Score the trained model, draw figures and write the results."""
    scores = {split: score_model(model, dataset, split, NOISE_SEED) for split in SPLITS}
    metadata = {
        **origin,
        "bin_width": model.bin_width,
        "image_shape": dataset.image_shape,
        "epochs": len(history.rows),
        **{
            name: {split: scores[split][name] for split in SPLITS}
            for name in scores["test"]
            if name not in ("samples", "bin_width")
        },
    }
    metrics = {
        **metadata,
        **metrics,
        "steps": history.rows[-1]["step"],
        "best_epoch": history.best_epoch,
        "setbacks": history.setbacks,
        "train_seconds": history.rows[-1]["seconds"],
        **environment(),
    }
    write_results(folder, model, metrics, history, metadata)
    figures = draw(model, dataset, history, folder / "figures", origin["seed"])
    result = {**metrics, "out": str(folder), "figures": [str(path) for path in figures]}
    return result, _summary(result)


def _plain(value: Any) -> Any:
    """Numbers unchanged, a schedule or an optimiser as text."""
    return value if value is None or isinstance(value, (int, float)) else repr(value)


def train_command(arguments: Arguments, *about_files: str) -> str:
    """The command that repeats this training; options about files are included only if they are named.

    It does not repeat a run that was resumed with another length, whose schedule has seen both.
    """
    words = ["nice-np", "train", arguments.dataset]
    usual = {"seed": 0, "checkpoint_every": CHECKPOINT_EVERY}
    options = ("model", "preset", "epochs", "time_limit", "batch_size", "learning_rate", "seed", "threads")
    for name in (*options, *about_files):
        value = getattr(arguments, name)
        if value is not None and value != usual.get(name):
            words.append(f"--{name.replace('_', '-')}={value}")
    return shlex.join(words)


def resume_command(arguments: Arguments) -> str:
    """The command that continues a training that was stopped."""
    return f"{_command(arguments)} --resume"


def _command(arguments: Arguments) -> str:
    """`train_command` with all options about files."""
    return train_command(arguments, "data_dir", "out", "tensorboard", "checkpoint_every")


def _summary(result: dict[str, Any]) -> list[str]:
    measure = "elbo" if "elbo" in result else "log_likelihood"
    nats, bits = result[measure], result["bits_per_dim"]
    return [
        f"{result['dataset']}, preset {result['preset']}: {result['parameters']:,} parameters, "
        f"{result['epochs']} epoch(s), {result['steps']} steps, {result['train_seconds']:.1f} s",
        f"              {'ELBO' if measure == 'elbo' else 'log-likelihood':<14}     {bits_unit(result['bin_width'])}",
        *(f"  {split:<12}{nats[split]:>10.2f} nats {bits[split]:>12.4f}" for split in SPLITS),
        *(["test label accuracy: {:.2%}".format(result["accuracy"]["test"])] if "accuracy" in result else []),
        *([f"for a tighter bound: nice-np evaluate {result['out']}"] if measure == "elbo" else []),
        f"model and figures in {result['out']}:",
        *(f"  {path}" for path in result["figures"]),
    ]

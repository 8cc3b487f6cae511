"""Results of the commands inpaint and restore: images, compared, listed, drawn and written."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nice_np.commands.parsing import Arguments
from nice_np.commands.restoration_inputs import ImageModel, Images
from nice_np.commands.shared import Result
from nice_np.files.atomic import replacing
from nice_np.flows.flow import to_bits_per_dim
from nice_np.restoration import Posterior
from nice_np.restoration.scores import psnr
from nice_np.validation import Array

SHOWN = 20  # images in a figure, and rows of a table
COLUMNS = {  # of the table: heading and format of each score
    "psnr_before": ("dB before", "{:.2f}"),
    "psnr": ("dB after", "{:.2f}"),
    "psnr_of_mean": ("dB mean", "{:.2f}"),
    "log_likelihood_of_original": ("nats original", "{:.1f}"),
    "log_likelihood": ("nats restored", "{:.1f}"),
    "bits_per_dim": ("bits/dim", "{:.3f}"),
    "acceptance": ("accepted", "{:.2f}"),
}


class Seen(NamedTuple):
    """The measurements as images, for the figure."""

    images: Array  # (N, D')
    shape: tuple[int, ...]  # (height, width) or (3, height, width)
    name: str
    hidden: npt.NDArray[np.bool_] | None = None  # (D,), missing pixels


class Problem(NamedTuple):
    """A model, images and what was asked."""

    model: ImageModel
    images: Images  # the originals if `known`, else the measurements
    known: bool
    seen: Seen
    guess: tuple[Array, str] | None  # a baseline without a flow, (N, D), and its name
    title: str
    settings: dict[str, Any]  # for the result


def answer(
    arguments: Arguments, problem: Problem, solve: Callable[[], Array], draw: Callable[[int], Posterior]
) -> Result:
    """Compare, draw and write the most probable images, solve() of shape (N, D), and draw(K), K samples per image."""
    paths = {kind: getattr(arguments, kind) for kind in ("out", "save") if getattr(arguments, kind) is not None}
    with ExitStack() as stack:
        files = {kind: stack.enter_context(replacing(path)) for kind, path in paths.items()}
        start = time.perf_counter()
        x = solve()
        drawn = None if arguments.samples is None else draw(arguments.samples)
        seconds = time.perf_counter() - start
        scores = _scores(problem, x, drawn)
        _picture(problem, x, drawn, files["out"])
        if "save" in files:
            np.save(files["save"], x if drawn is None else drawn.samples)
    result = {
        "model": str(arguments.model),
        "data": problem.images.source,
        "images": len(x),
        **problem.settings,
        "steps": arguments.steps,
        "samples": arguments.samples,
        "seed": arguments.seed,
        "seconds": seconds,
        "mean": {name: float(values.mean()) for name, values in scores.items()},
        **{name: values.tolist() for name, values in scores.items()},
        **{kind: str(path) for kind, path in paths.items()},
    }
    return result, _text(result, scores, problem)


def _scores(problem: Problem, x: Array, drawn: Posterior | None) -> dict[str, Array]:
    """PSNR in dB, log-likelihood in nats and bits/dim of each image, as far as they can be known."""
    flow, images, bin_width = problem.model.flow, problem.images, problem.model.bin_width
    scores: dict[str, Array] = {}
    if problem.known:
        if problem.guess is not None:
            scores["psnr_before"] = psnr(problem.guess[0], images.x)
        scores["psnr"] = psnr(x, images.x)
        if drawn is not None:
            scores["psnr_of_mean"] = psnr(drawn.mean, images.x)
        scores["log_likelihood_of_original"] = flow.log_prob(images.x, images.context).astype(np.float64)
    scores["log_likelihood"] = flow.log_prob(x, images.context).astype(np.float64)
    scores["bits_per_dim"] = np.array([to_bits_per_dim(v, flow.dim, bin_width) for v in scores["log_likelihood"]])
    if drawn is not None:
        scores["acceptance"] = drawn.acceptance.mean(axis=1, dtype=np.float64)
    return scores


def _text(result: dict[str, Any], scores: dict[str, Array], problem: Problem) -> list[str]:
    draws = f", then {result['samples']} samples per image" if result["samples"] else ""
    columns = [COLUMNS[name] for name in scores]

    def row(label: str, values: Any) -> str:
        cells = [form.format(v).rjust(len(heading)) for (heading, form), v in zip(columns, values, strict=True)]
        return "  ".join([f"{label:>7}", *cells])

    count = result["images"]
    return [
        f"{problem.images.source}, {problem.title}",
        "  ".join(["  image", *(heading for heading, _ in columns)]),
        *(row(str(k), [values[k] for values in scores.values()]) for k in range(min(count, SHOWN))),
        *([f"    ... and {count - SHOWN} more: --json lists all"] if count > SHOWN else []),
        row("mean", [values.mean() for values in scores.values()]),
        *([f"dB: PSNR; before: {problem.guess[1]}"] if problem.guess is not None else []),
        "{space} space, {optimizer}, at most {steps} steps{draws}: {seconds:.1f} s".format(**result, draws=draws),
        *(f"written to {result[kind]}" for kind in ("out", "save") if kind in result),
    ]


def _picture(problem: Problem, x: Array, drawn: Posterior | None, file: IO[bytes]) -> None:
    from nice_np import plotting

    seen, few = problem.seen, slice(SHOWN)
    drawing = plotting.restorations(
        problem.images.x[few] if problem.known else None,
        seen.images[few],
        x[few],
        problem.model.image_shape,
        degraded_shape=seen.shape,
        hidden=seen.hidden,
        draws=None if drawn is None else drawn.samples[few],
        mean=None if drawn is None else drawn.mean[few],
        names=("original", seen.name, "restored"),
        decibels=problem.known,
        title=problem.title + (f" (the first {SHOWN} of {len(x)})" if len(x) > SHOWN else ""),
    )
    plotting.save(drawing, file)

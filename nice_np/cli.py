"""The command nice-np: its arguments, and how errors and signals end it.  What the commands do is in `commands`.

Exit codes: 0 fine, 1 run-time error, 2 wrong usage, 130 SIGINT, 143 SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from math import inf, isfinite
from pathlib import Path
from typing import Any, NoReturn, TextIO

from nice_np import commands, datasets
from nice_np._version import __version__
from nice_np.commands import CHECKPOINT_EVERY, DRAWS
from nice_np.errors import NiceError, NiceFileError, TrainingInterrupted
from nice_np.inverse_problems import MASKS, SPACES, TASKS
from nice_np.presets import MODELS, PRESETS
from nice_np.runs import SPLITS, printable, to_json
from nice_np.signals import StopSignals

EXAMPLES = """examples:
  nice-np demo                                   train on the digits that come with the package, draw pictures
  nice-np train mnist --time-limit 300           all of MNIST, five minutes
  nice-np train two-moons --epochs 20            a density in the plane
  nice-np evaluate runs/mnist --split test       likelihood of a split
  nice-np sample runs/mnist -n 64 --out new.png  draw from the model
  nice-np train mnist --model vae-nice-prior     a variational autoencoder with NICE as its prior
  nice-np inpaint runs/mnist --mask left --out a.png   draw what is missing
  nice-np restore runs/mnist --task denoise --sigma 0.2 --out b.png
  nice-np report runs/mnist --out report.html    numbers, curves and figures of runs on one page
  nice-np gradcheck                              every hand-derived gradient against finite differences
"""

FILES = """
files: FIG shows the originals, what was left of them and what was restored.  Images come as .npy, floats from
0 (black) to 1 (white) or uint8, of shape (N, D), (N, height, width) or (N, 3, height, width); or one image as
.png.  Like test images they get the noise below a grey level that the flow was trained with."""
INPAINT_HELP = f"""spaces:
  latent   latents move, to the most probable image with some noise (--sigma) on what is seen; the default
  image    the missing pixels alone move, up the likelihood log p(x)
  proxy    latent without the log-determinant; the default for flows that see pixels through a logit

The pixels of --images that the mask hides are not looked at, and may be NaN.
{FILES}

examples:
  nice-np inpaint runs/mnist --mask left --out left.png
  nice-np inpaint runs/mnist --mask scratch.png --images digit.png --out whole.png --save whole.npy
"""
RESTORE_HELP = f"""y = A x + noise, with A x for each task:
  denoise     x itself
  superres    means of F x F pixels
  deblur      a Gaussian blur
  compressed  M = round(Q D) random projections of D pixels: nice_np.RandomProjection(D, M, rng=SEED)

Images are degraded first, with noise from the seed.  --measured brings a y of your own instead, and --sigma,
--factor and the like say how it came about: a file as below, of superres with fewer pixels, of compressed a
.npy of shape (N, M).

spaces:
  latent   latents move, to the most probable image; the default
  image    the same, but pixels move
  proxy    latent without the log-determinant; the default for flows that see pixels through a logit
{FILES}

examples:
  nice-np restore runs/mnist --task denoise --sigma 0.2 --out denoised.png
  nice-np restore runs/mnist --task superres --factor 2 --sigma 0.05 -n 5 --out larger.png
  nice-np restore runs/mnist --task deblur --blur 1.5 --sigma 0.02 --measured blurred.npy --out sharp.png
"""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line and whose flags cannot be abbreviated."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is not None or sys.stderr is not None:  # Python 3.10 would write to None where both are closed
            super()._print_message(message, file)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


class UsageError(Exception):
    """The command line cannot be understood."""


def whole(minimum: int, maximum: int = 10**9) -> Callable[[str], int]:
    """An argument type: a whole number within bounds."""

    def parse(text: str) -> int:
        with suppress(ValueError):
            if minimum <= (value := int(text)) <= maximum:
                return value
        raise argparse.ArgumentTypeError(f"expected a whole number from {minimum} to {maximum:,}, got {text!r}")

    return parse


seed = whole(0, 2**63 - 1)


def number(above: float = -inf, minimum: float = -inf, maximum: float = inf) -> Callable[[str], float]:
    """An argument type: a finite number within bounds."""

    def parse(text: str) -> float:
        with suppress(ValueError):
            if isfinite(value := float(text)) and value > above and minimum <= value <= maximum:
                return value
        bound = f"> {above:g}" if above > -inf else f">= {minimum:g}"
        bound += f" and <= {maximum:g}" if maximum < inf else ""
        raise argparse.ArgumentTypeError(f"expected a number {bound}, got {text!r}")

    return parse


def one_of(names: Sequence[str], what: str) -> Callable[[str], str]:
    """An argument type: one of some names; unlike argparse's `choices` it guesses what was meant."""

    def parse(text: str) -> str:
        if text in names:
            return text
        raise argparse.ArgumentTypeError(
            f"unknown {what} {text!r}{did_you_mean(text, names)}; choose one of {', '.join(names)}"
        )

    return parse


def ending_in(*suffixes: str) -> Callable[[str], Path]:
    """An argument type: a path with one of some endings, such as ".png"."""

    def parse(text: str) -> Path:
        if Path(text).suffix.lower() in suffixes:
            return Path(text)
        raise argparse.ArgumentTypeError(f"expected a file that ends in {' or '.join(suffixes)}, got {text!r}")

    return parse


def did_you_mean(text: str, names: Iterable[str]) -> str:
    """A question about the name nearest to the text, or nothing."""
    import difflib  # only those who mistype wait for it

    near = difflib.get_close_matches(text.lower().replace("_", "-"), list(names), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def build_parser() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the whole command line, and those of the commands."""
    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    seeded = Parser(add_help=False)
    seeded.add_argument("--seed", type=seed, default=0, metavar="S", help="of all randomness (default: 0)")
    writes = Parser(add_help=False)
    writes.add_argument("--force", action="store_true", help="replace what is already there")
    files = Parser(add_help=False)
    files.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where the files of the data set are (default: $NICE_NP_DATA, else downloaded)",
    )
    bar = Parser(add_help=False)
    bar.add_argument("--quiet", action="store_true", help="no progress bar")
    trained = Parser(add_help=False)
    trained.add_argument("model", type=Path, metavar="MODEL", help="run folder or model.npz")
    dataset = one_of(datasets.names(), "data set")

    parser = Parser(
        prog="nice-np", description="Normalizing flows in NumPy with hand-written gradients.", epilog=EXAMPLES
    )
    parser.add_argument("--version", action="version", version=f"nice-np {__version__}")
    # required=False: what argparse says about a missing command helps nobody.
    commands = parser.add_subparsers(dest="command", required=False, metavar="COMMAND")
    by_name: dict[str, Parser] = {}

    def add(name: str, summary: str, *parents: Parser, epilog: str | None = None) -> Parser:
        by_name[name] = commands.add_parser(
            name, help=summary, description=f"{summary.capitalize()}.", parents=[*parents, common], epilog=epilog
        )
        return by_name[name]

    demo = add("demo", "train a small NICE on real digits and draw what it learned", seeded, writes, bar)
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="default: runs/demo")
    demo.add_argument(
        "--time-limit", type=number(above=0), default=60.0, metavar="S", help="seconds of training (default: 60)"
    )

    train = add("train", "train a flow or a VAE on a data set", seeded, writes, files, bar, epilog=_train_epilog())
    train.add_argument("dataset", type=dataset, metavar="DATASET", help="one of those below")
    train.add_argument(
        "--preset",
        type=one_of(tuple(PRESETS), "preset"),
        metavar="NAME",
        help="one of those below (default: made for the data set)",
    )
    train.add_argument(
        "--model", type=one_of(MODELS, "model"), metavar="NAME", help=f"{MODELS[0]} (default), {', '.join(MODELS[1:])}"
    )
    length = train.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=whole(1), metavar="N", help="passes through the data (default: the preset's)")
    length.add_argument(
        "--time-limit", type=number(above=0), metavar="S", help="seconds of training, instead of epochs"
    )
    train.add_argument("--batch-size", type=whole(1), metavar="N", help="samples a step (default: the preset's)")
    train.add_argument("--learning-rate", type=number(above=0), metavar="R", help="default: the preset's")
    train.add_argument(
        "--threads", type=whole(1, 1000), default=1, metavar="N", help="to share the rows of a batch (default: 1)"
    )
    train.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/DATASET)")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in the run folder")
    train.add_argument(
        "--checkpoint-every",
        type=number(above=0),
        default=CHECKPOINT_EVERY,
        metavar="S",
        help="seconds between checkpoints (default: 60)",
    )

    evaluate = add("evaluate", "compute a flow's likelihood of a data set, or a VAE's bounds on it", trained, files)
    evaluate.add_argument("--data", type=dataset, metavar="NAME", help="default: what the model was trained on")
    evaluate.add_argument(
        "--split", type=one_of(SPLITS, "split"), default="test", metavar="NAME", help=f"{', '.join(SPLITS)} (default)"
    )
    evaluate.add_argument("--seed", type=seed, default=1, metavar="S", help="of the noise on the pixels (default: 1)")
    evaluate.add_argument(
        "--k", type=whole(1), metavar="K", help=f"draws of latents for a VAE's tighter bound (default: {DRAWS})"
    )

    sample = add("sample", "draw from a trained flow or VAE", trained, seeded, writes)
    sample.add_argument("-n", type=whole(1), default=64, metavar="N", help="how many (default: 64)")
    sample.add_argument(
        "--out",
        type=ending_in(".png", ".npy"),
        required=True,
        metavar="FILE",
        help="a picture (.png) or the numbers (.npy)",
    )
    sample.add_argument(
        "--temperature", type=number(minimum=0), default=1.0, metavar="T", help="factor on the latents (default: 1)"
    )

    sample.add_argument(
        "--label",
        type=whole(0),
        metavar="K",
        help="what a flow trained with labels shall draw (default: all in turn)",
    )

    sample.add_argument("--means", action="store_true", help="of a VAE: the mean image of each draw of latents")

    gradcheck = add("gradcheck", "compare hand-derived gradients with finite differences", seeded)
    gradcheck.add_argument(
        "model",
        type=Path,
        nargs="?",
        metavar="MODEL",
        help="run folder or model.npz (default: small models of every kind)",
    )
    add("presets", "list the presets of train with their number of parameters and their source")
    report = add(
        "report",
        "put finished runs side by side on one HTML page",
        files,
        writes,
        epilog="example:\n  nice-np report runs/mnist runs/mnist-affine --out report.html --poster samples.png",
    )
    report.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a finished run")
    report.add_argument(
        "--out", type=ending_in(".html"), required=True, metavar="FILE", help="the page (.html), everything inside it"
    )
    report.add_argument(
        "--poster", type=ending_in(".png"), metavar="FILE", help="its picture of data and samples as a file, too (.png)"
    )
    _add_restoring(add, trained, seeded, writes, files, bar)
    add("info", "show the architecture and origin of a trained model", trained)
    return parser, by_name


def _add_restoring(add: Callable[..., Parser], *parents: Parser) -> None:
    """The commands of inverse_problems."""
    inpaint = add("inpaint", "fill in the missing pixels of images", *parents, epilog=INPAINT_HELP)
    inpaint.add_argument(
        "--mask",
        type=mask,
        required=True,
        metavar="M",
        help=f"what is missing: {', '.join(MASKS)}, or the black pixels of a picture FILE.png of the images' size",
    )
    restore = add("restore", "restore noisy, blurred, small or compressed images", *parents, epilog=RESTORE_HELP)
    restore.add_argument(
        "--task", type=one_of(tuple(TASKS), "task"), required=True, metavar="NAME", help=", ".join(TASKS)
    )
    restore.add_argument(
        "--sigma", type=number(above=0), required=True, metavar="S", help="of the noise, where white is 1 and black 0"
    )
    restore.add_argument(
        "--factor", type=whole(2, 1000), metavar="F", help="superres: F x F pixels to one (default: 2)"
    )
    restore.add_argument("--blur", type=number(above=0), metavar="W", help="deblur: width in pixels (default: 1)")
    restore.add_argument(
        "--measurements",
        type=number(above=0, maximum=1),
        metavar="Q",
        help="compressed: random projections for each pixel of the image, up to 1 (default: 0.25)",
    )
    inpaint.add_argument(
        "--sigma",
        type=number(above=0),
        metavar="S",
        help="over latents: noise granted to what is seen (default: 0.01, of samples 0.05)",
    )
    for command, optimizers in ((inpaint, ("adam", "lbfgs", "annealed")), (restore, ("adam", "lbfgs"))):
        source = command.add_mutually_exclusive_group()
        image_file = ending_in(".npy", ".png")
        source.add_argument("--images", type=image_file, metavar="FILE", help="your own, instead of test images")
        if command is restore:
            source.add_argument(
                "--measured", type=image_file, metavar="FILE", help="your own y, to be restored as it is"
            )
        command.add_argument(
            "-n", type=whole(1), metavar="N", help="how many, from the first on (default: 10 test images, all of FILE)"
        )
        command.add_argument(
            "--label", type=whole(0), metavar="K", help="what is shown, for a flow with labels (test images: their own)"
        )
        command.add_argument("--out", type=ending_in(".png"), required=True, metavar="FIG", help="figure (.png)")
        command.add_argument(
            "--save", type=ending_in(".npy"), metavar="FILE", help="restored images (N, D), or samples (N, K, D) (.npy)"
        )
        command.add_argument(
            "--space",
            type=one_of(SPACES, "space"),
            metavar="NAME",
            help=f"in which to search: {', '.join(SPACES)} (default: see below)",
        )
        command.add_argument(
            "--optimizer",
            type=one_of(optimizers, "optimizer"),
            metavar="NAME",
            help=f"{', '.join(optimizers)} (default: adam for --space image, else lbfgs)",
        )
        command.add_argument("--steps", type=whole(1), default=500, metavar="S", help="at most (default: 500)")
        command.add_argument(
            "--samples", type=whole(1, 1000), metavar="K", help="then also K random answers for each, and their mean"
        )


def mask(text: str) -> str:
    """An argument type: the name of a mask, or a picture."""
    if text in MASKS or Path(text).suffix.lower() == ".png":
        return text
    raise argparse.ArgumentTypeError(
        f"unknown mask {text!r}{did_you_mean(text, MASKS)}; choose one of {', '.join(MASKS)}, or a picture FILE.png"
    )


def _train_epilog() -> str:
    rows = [f"  {name:<18} {preset.description}" for name, preset in PRESETS.items()]
    toys = textwrap.fill(", ".join(datasets.TOYS), 76, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(
        [
            "data sets:",
            f"  {', '.join(datasets.IMAGES)}, and densities in the plane:",
            toys,
            "",
            "presets:",
            *rows,
            "",
            "examples:",
            "  nice-np train two-moons --epochs 20",
            "  nice-np train mnist --time-limit 300 --data-dir ~/mnist --out runs/first",
            "  nice-np train mnist --time-limit 300 --data-dir ~/mnist --out runs/first --resume",
        ]
    )


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line as a namespace; UsageError if it cannot be understood."""
    parser, by_name = build_parser()
    # The first word that is no flag is the command.
    first = next((word for word in argv if not word.startswith("-")), None)
    if first is not None and first not in by_name:
        parser.error(f"unknown command {first!r}{did_you_mean(first, by_name)}; choose one of {', '.join(by_name)}")
    arguments, unknown = parser.parse_known_args(argv)
    if arguments.command is None:
        parser.error(f"expected a command: {', '.join(by_name)}")
    command = by_name[arguments.command]
    if unknown:
        flags = re.findall(r"--[a-z-]+", command.format_help())
        flag = unknown[0].split("=")[0]
        hint = f"; write it after {arguments.command}" if flag in flags else did_you_mean(flag, flags)
        command.error(f"unknown argument {unknown[0]!r}{hint}")
    if getattr(arguments, "resume", False) and arguments.force:
        command.error("--resume goes on with a run and --force replaces it: give one of them")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a file's name still gets a line
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        with StopSignals(at_once=True):
            return _run(words)
    except TrainingInterrupted as stop:
        return _fail(str(stop), 128 + stop.signum)
    except KeyboardInterrupt:  # off the main thread, where nobody tells which signal it was
        return _fail("interrupted", 128 + signal.SIGINT)
    finally:
        if sys.stderr is not None:
            try:
                sys.stderr.flush()
            except OSError:
                _abandon(sys.stderr)


def _run(words: Sequence[str]) -> int:
    debug = "--debug" in words
    try:
        try:
            arguments = parse(words)
        except SystemExit:  # --help and --version have been answered
            _print("")
            return 0
        result, text = getattr(commands, arguments.command)(arguments)
        _print((to_json(result) if arguments.json else text) + "\n")
        return 0 if result.get("passed", True) else 1
    except UsageError as error:
        return _fail(str(error), 2)
    except Exception as error:
        if debug:
            raise
        return _fail(_explain(error), 1)


def _explain(error: Exception) -> str:
    if isinstance(error, NiceError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory ({error})" if str(error) else "out of memory"
    return f"{type(error).__name__}: {error} (--debug shows where)"


def _print(text: str) -> None:
    """Print all of it now: at exit nobody could say any more that standard output is full."""
    if sys.stdout is None:  # it was closed before Python started
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        _abandon(sys.stdout)
        if not isinstance(error, BrokenPipeError):  # there the reader, such as head, has seen enough
            raise NiceFileError(f"cannot write to standard output: {error.strerror or error}") from error


def _abandon(stream: TextIO) -> None:
    """Let what could not be written vanish: Python flushes once more at exit, and would complain again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _fail(message: str, code: int) -> int:
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(f"nice-np: error: {printable(message)}\n")
    return code

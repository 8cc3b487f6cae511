"""The command nice-np: its arguments, and how errors and signals end it.  What the commands do is in `commands`.

Exit codes: 0 fine, 1 run-time error, 2 wrong usage, 130 SIGINT, 143 SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf, isfinite
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from nice_np._version import __version__
from nice_np.errors import NiceError, TrainingInterrupted

EXAMPLES = """examples:
  nice-np demo                                   train on the digits that come with the package, draw pictures
  nice-np train mnist --time-limit 300           all of MNIST, five minutes
  nice-np train two-moons --epochs 20            a density in the plane
  nice-np evaluate runs/mnist --split test       likelihood of a split
  nice-np sample runs/mnist -n 64 --out new.png  draw from the model
  nice-np gradcheck                              every hand-derived gradient against finite differences
"""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line and whose flags cannot be abbreviated."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"nice-np: error: {message} (see {self.prog} --help)\n")


def whole(minimum: int) -> Callable[[str], int]:
    """An argument type: a whole number >= minimum."""

    def parse(text: str) -> int:
        with suppress(ValueError):
            if (value := int(text)) >= minimum:
                return value
        raise argparse.ArgumentTypeError(f"expected a whole number >= {minimum}, got {text!r}")

    return parse


def number(above: float = -inf, minimum: float = -inf) -> Callable[[str], float]:
    """An argument type: a finite number within bounds."""

    def parse(text: str) -> float:
        with suppress(ValueError):
            if isfinite(value := float(text)) and value > above and value >= minimum:
                return value
        bound = f"> {above:g}" if above > -inf else f">= {minimum:g}"
        raise argparse.ArgumentTypeError(f"expected a number {bound}, got {text!r}")

    return parse


def dataset_name(text: str) -> str:
    """An argument type: a data set that exists."""
    from nice_np.datasets import names

    return _one_of(text, names(), "data set")


def preset_name(text: str) -> str:
    """An argument type: a preset that exists."""
    from nice_np.presets import PRESETS

    return _one_of(text, tuple(PRESETS), "preset")


def _one_of(text: str, names: Sequence[str], what: str) -> str:
    import difflib

    if text in names:
        return text
    near = difflib.get_close_matches(text, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise argparse.ArgumentTypeError(f"unknown {what} {text!r}{hint} Choose one of {', '.join(names)}")


def build_parser() -> Parser:
    """All commands and their arguments."""
    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    seeded = Parser(add_help=False)
    seeded.add_argument("--seed", type=whole(0), default=0, metavar="S", help="default: 0")
    writes = Parser(add_help=False)
    writes.add_argument("--force", action="store_true", help="replace what is already there")
    files = Parser(add_help=False)
    files.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where the MNIST files are (default: $NICE_NP_DATA, else downloaded)",
    )
    bar = Parser(add_help=False)
    bar.add_argument("--quiet", action="store_true", help="no progress bar")

    parser = Parser(
        prog="nice-np", description="Normalizing flows in NumPy with hand-written gradients.", epilog=EXAMPLES
    )
    parser.add_argument("--version", action="version", version=f"nice-np {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help: str, *parents: Parser) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help, description=help.capitalize() + ".", parents=[*parents, common])

    demo = add("demo", "train a small NICE on real digits and draw what it learned", seeded, writes, bar)
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="default: runs/demo")
    demo.add_argument(
        "--time-limit", type=number(above=0), default=60.0, metavar="S", help="seconds of training (default: 60)"
    )

    train = add("train", "train a flow on a data set", seeded, writes, files, bar)
    train.add_argument(
        "dataset",
        type=dataset_name,
        metavar="DATASET",
        help="mnist-small, mnist, or a density in the plane such as two-moons",
    )
    train.add_argument(
        "--preset",
        type=preset_name,
        metavar="NAME",
        help="architecture and training settings (default: made for the data set)",
    )
    length = train.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=whole(1), metavar="N", help="passes through the data (default: the preset's)")
    length.add_argument(
        "--time-limit", type=number(above=0), metavar="S", help="seconds of training, instead of epochs"
    )
    train.add_argument("--batch-size", type=whole(1), metavar="N")
    train.add_argument("--learning-rate", type=number(above=0), metavar="R")
    train.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/DATASET)")
    train.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    train.add_argument(
        "--checkpoint-every", type=number(above=0), default=60.0, metavar="S", help="seconds (default: 60)"
    )

    evaluate = add("evaluate", "likelihood of a data set under a trained flow", files)
    evaluate.add_argument("model", type=Path, metavar="MODEL", help="run folder or model.npz")
    evaluate.add_argument("--data", type=dataset_name, metavar="NAME", help="default: what the model was trained on")
    evaluate.add_argument("--split", choices=("train", "validation", "test"), default="test", help="default: test")
    evaluate.add_argument(
        "--seed", type=whole(0), default=1, metavar="S", help="of the dequantisation noise (default: 1)"
    )

    sample = add("sample", "draw from a trained flow", seeded, writes)
    sample.add_argument("model", type=Path, metavar="MODEL", help="run folder or model.npz")
    sample.add_argument("-n", type=whole(1), default=64, metavar="N", help="how many (default: 64)")
    sample.add_argument(
        "--out", type=picture_or_array, required=True, metavar="FILE", help="a picture (.png) or the numbers (.npy)"
    )
    sample.add_argument(
        "--temperature", type=number(minimum=0), default=1.0, metavar="T", help="factor on the latents (default: 1)"
    )

    gradcheck = add("gradcheck", "compare hand-derived gradients with finite differences", seeded)
    gradcheck.add_argument(
        "model",
        type=Path,
        nargs="?",
        metavar="MODEL",
        help="run folder or model.npz (default: small flows of every kind)",
    )

    info = add("info", "show the architecture and origin of a trained flow")
    info.add_argument("model", type=Path, metavar="MODEL", help="run folder or model.npz")
    return parser


def picture_or_array(text: str) -> Path:
    """An argument type: a path that ends in .png or .npy."""
    if Path(text).suffix.lower() not in (".png", ".npy"):
        raise argparse.ArgumentTypeError(f"expected a file that ends in .png or .npy, got {text!r}")
    return Path(text)


class _Terminated(BaseException):
    """SIGTERM outside training."""


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise _Terminated


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a file's name still gets a line
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        arguments = build_parser().parse_args(argv)
        return _run(arguments)
    except (KeyboardInterrupt, _Terminated) as stop:
        signum = signal.SIGTERM if isinstance(stop, _Terminated) else getattr(stop, "signum", signal.SIGINT)
        return _fail(str(stop) if isinstance(stop, TrainingInterrupted) else "interrupted", 128 + int(signum))
    finally:
        signal.signal(signal.SIGTERM, previous)


def _run(arguments: argparse.Namespace) -> int:
    from nice_np import commands

    try:
        result, text = getattr(commands, arguments.command)(arguments)
        print(json.dumps(result) if arguments.json else text)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        _silence()
        return 0
    except (NiceError, OSError, MemoryError) as error:
        if arguments.debug:
            raise
        if not isinstance(error, NiceError):
            _silence()
        return _fail(str(error) or type(error).__name__, 1)
    return 0 if result.get("passed", True) else 1


def _fail(message: str, code: int) -> int:
    with suppress(OSError, ValueError):
        print(f"nice-np: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _silence() -> None:
    # Python flushes standard output once more at exit, and would complain again.
    if sys.stdout is not None:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""``python -m benchmarks``: measure nice_np side by side with PyTorch and JAX, and with what the machine could do.

Each case runs in a process of its own, in which all contenders take turns.  Before anything is timed they must agree
on loss and gradients.  Without PyTorch or JAX the rest is measured, and a line says what is missing; all of them are
installed by  pip install -e ".[bench]".
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from benchmarks import child, machine, report
from benchmarks.cases import CASES
from benchmarks.child import ChildError
from benchmarks.contenders import CONTENDERS
from benchmarks.options import Options
from benchmarks.result import Result

QUICK_REPEATS = 2
IN_PARENT = ("startup", "memory")  # they only start processes themselves
INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended


class Parser(argparse.ArgumentParser):
    """One whose errors are one line, without the list of all options in front."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns its exit code."""
    given = parser().parse_args(arguments)
    try:
        return run(given.cases, options_of(given), given.out)
    except KeyboardInterrupt:
        print(f"\nInterrupted; cases that were done are in {given.out}.", file=sys.stderr)
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """The command line."""
    summaries = "\n".join(f"  {name:<14} {case.summary}" for name, case in CASES.items())
    people = "\n".join(f"  {name:<14} {what}" for name, what in CONTENDERS.items())
    parser = Parser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"cases:\n{summaries}\n\ncontenders:\n{people}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cases", type=names_in(CASES), default=tuple(CASES), help="such as paper,toy (default: all)")
    parser.add_argument(
        "--only", type=names_in(CONTENDERS), default=tuple(CONTENDERS), help="such as nice_np,jax (default: all)"
    )
    parser.add_argument("--repeats", type=positive, default=Options.repeats, help="rounds (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_REPEATS} rounds, to see that the program works")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder (default: %(default)s)")
    return parser


def names_in(allowed: dict[str, Any]) -> Callable[[str], tuple[str, ...]]:
    """The type of an argument that lists some of these names."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(","))
        for name in names:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(allowed)}")
        return names

    return parse


def positive(text: str) -> int:
    """The type of a number of rounds."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds, 1 or more")
    return int(text)


def options_of(given: argparse.Namespace) -> Options:
    return Options(QUICK_REPEATS if given.quick else given.repeats, given.only, given.quick)


def run(cases: tuple[str, ...], options: Options, folder: Path) -> int:
    """Measure the cases; the files are written anew after each, so that an interruption loses only one."""
    description, results, failed = machine.describe(), {}, False
    print(report.sentence(description))
    for name in cases:
        print(f"\n{name} ...", file=sys.stderr, flush=True)
        try:
            results[name] = measure(name, options)
        except ChildError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
            continue
        print(f"\n{report.table(results[name])}", flush=True)
        report.write(folder, description, asdict(options), results)
    if results:
        from benchmarks.chart import draw

        draw(results, folder / "benchmarks.png")
        print(f"\nWritten: benchmarks.json, benchmarks.md and benchmarks.png in {folder}")
    return 1 if failed else 0


def measure(name: str, options: Options) -> Result:
    """A case, in a process of its own."""
    if name in IN_PARENT:
        return CASES[name].measure(options)
    return Result.from_dict(child.run("-m", "benchmarks.worker", name, json.dumps(asdict(options))))


if __name__ == "__main__":
    sys.exit(main())

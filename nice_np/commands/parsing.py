"""Building blocks of the command line: a parser with one-line errors, and argument types with bounds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from math import inf, isfinite
from pathlib import Path
from typing import Any, NoReturn

from nice_np.suggestions import nearest

Arguments = argparse.Namespace


class UsageError(Exception):
    """The command line cannot be understood."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line and whose flags cannot be abbreviated."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is not None or sys.stderr is not None:  # Python 3.10 writes to None if both are closed
            super()._print_message(message, file)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def whole(minimum: int, maximum: int = 10**9) -> Callable[[str], int]:
    """An argument type: a whole number within bounds."""

    def parse(text: str) -> int:
        with suppress(ValueError):
            if minimum <= (value := int(text)) <= maximum:
                return value
        raise argparse.ArgumentTypeError(f"expected a whole number from {minimum} to {maximum:,}, got {text!r}")

    return parse


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


class OneOf:
    """An argument type: one of the `names` of a `what`, or a file FILE.png if `or_picture`.

    Unlike argparse's `choices`, it suggests the nearest name.
    """

    def __init__(self, names: Sequence[str], what: str, or_picture: bool = False) -> None:
        self.names, self.what, self.or_picture = tuple(names), what, or_picture

    def __call__(self, text: str) -> str:
        if text in self.names or (self.or_picture and Path(text).suffix.lower() == ".png"):
            return text
        raise argparse.ArgumentTypeError(
            f"unknown {self.what} {text!r}{did_you_mean(text, self.names)}; choose one of {', '.join(self.names)}"
            + (", or a picture FILE.png" if self.or_picture else "")
        )


def path(text: str) -> Path:
    """An argument type: a path; an empty one would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got ''; the current folder is .")
    return Path(text)


def ending_in(*suffixes: str) -> Callable[[str], Path]:
    """An argument type: a path with one of these endings, such as ".png"."""

    def parse(text: str) -> Path:
        if Path(text).suffix.lower() in suffixes:
            return Path(text)
        raise argparse.ArgumentTypeError(f"expected a file ending in {' or '.join(suffixes)}, got {text!r}")

    return parse


def did_you_mean(text: str, names: Iterable[str]) -> str:
    """A suggestion of the name nearest to the text, or an empty string."""
    names = list(names)
    initials = [name for name in names if text == "--" + "".join(part[0] for part in name[2:].split("-") if part)]
    near = initials[0] if initials else nearest(text, names)  # --lr: --learning-rate
    return f" (did you mean {near}?)" if near else ""

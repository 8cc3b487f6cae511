"""What the command line asks of every case."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.contenders import CONTENDERS


@dataclass(frozen=True)
class Options:
    """How much to measure, and of whom."""

    repeats: int = 11
    only: tuple[str, ...] = tuple(CONTENDERS)
    quick: bool = False  # as little as shows that the program works

    def among(self, names: tuple[str, ...]) -> list[str]:
        """Those of the names that are asked for."""
        return [name for name in names if name in self.only]

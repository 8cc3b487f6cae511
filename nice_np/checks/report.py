"""What the checks report: a table with one row per array, a verdict, and one line on each row that did not pass."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from nice_np.checks.cause import nearest_to_the_mistake
from nice_np.errors import NiceError
from nice_np.notebook import table

MENTIONED = 3  # of the rows that are wrong together with the one to look at


class CheckError(NiceError, AssertionError):
    """A check failed or could not decide; the message is the report."""

    longest = sys.maxsize


class GradientError(CheckError):
    """A hand-derived gradient disagrees with finite differences or could not be checked; the message is the report."""


@dataclass(frozen=True, repr=False)
class Report:
    """Rows and a verdict: true when everything is right, and printed as a table.

    Otherwise it begins with the likely mistake, and shows the one row that is nearest to it.
    """

    title: str
    rows: tuple[Any, ...]
    notes: tuple[str, ...] = ()  # remarks for the reader, such as "no parameters found"
    columns: ClassVar[dict[str, int]]  # the headings of the rows' `cells`, and their widths in print
    error: ClassVar[type[CheckError]] = CheckError

    @property
    def verdict(self) -> str:
        """``"passed"``, ``"failed"`` or ``"undecided"``; a check that found nothing to check has failed."""
        statuses = {row.status for row in self.rows}
        if "failed" in statuses or not statuses:
            return "failed"
        return "undecided" if "undecided" in statuses else "passed"

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"

    @property
    def failures(self) -> tuple[Any, ...]:
        """The rows that did not pass."""
        return tuple(row for row in self.rows if not row.passed)

    def __bool__(self) -> bool:
        return self.passed

    def raise_if_failed(self) -> None:
        """Raise the whole report as a CheckError if the verdict is "failed" or "undecided"."""
        if not self.passed:
            raise self.error(str(self))

    def to_dict(self) -> dict[str, Any]:
        """The report as strings, numbers, lists and None, for JSON; NaN and inf become strings."""
        rows = [{key: _json_value(value) for key, value in asdict(row).items()} for row in self.rows]
        return {
            "title": self.title, "verdict": self.verdict, "cause": self.cause, "rows": rows, "notes": list(self.notes)
        }  # fmt: skip

    def heading(self) -> str:
        return self.title

    def summary(self) -> str:
        return f"{len(self.rows) - len(self.failures)} of {len(self.rows)} arrays right"

    @property
    def cause(self) -> str:
        """The likely mistake in one line; empty if all is right."""
        return self._nearest()[1] if self.failures else ""

    def _nearest(self) -> tuple[Any, str]:
        """Of the rows that did not pass: the one to look at, and the mistake in one line."""
        row = self.failures[0]
        return row, f"{row.name}: {row.hint}"

    def __str__(self) -> str:
        end = [*self._remarks(), f"{self.verdict.upper()}: {self.summary()}"]
        if self.failures:
            return "\n".join([f"most likely: {self.cause}", self.heading(), *end])
        width = max(len(name) for name in ["array", *(row.name for row in self.rows)])
        lines = [self.heading()]
        for name, *cells, verdict in [("array", *self.columns, "verdict"), *map(_line, self.rows)]:
            columns = (f"{cell:>{room}}" for cell, room in zip(cells, self.columns.values(), strict=True))
            lines.append("  ".join([f"{name:<{width}}", *columns, verdict]))
        return "\n".join([*lines, *end])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The report as a table, rows that did not pass first, which a notebook shows."""
        rows = map(_line, sorted(self.rows, key=lambda row: bool(row.passed)))
        foot = "\n".join([f"{self.verdict.upper()}: {self.summary()}", *self._remarks()])
        head = f"most likely: {self.cause}\n{self.heading()}" if self.failures else self.heading()
        return table(head, ["array", *self.columns, "verdict"], rows, foot)

    def _remarks(self) -> list[str]:
        remarks = [f"note: {note}" for note in self.notes]
        if self.failures:
            nearest = self._nearest()[0]
            others = [row.name for row in self.failures if row is not nearest]
            more = f" and {len(others) - MENTIONED} more, see .failures" if len(others) > MENTIONED else ""
            if others:
                remarks.insert(0, f"not right either: {'; '.join(others[:MENTIONED])}{more}")
            if nearest.numbers():
                remarks.insert(0, nearest.numbers())
        return remarks


def _line(row: Any) -> tuple[str, ...]:
    return row.name, *row.cells(), row.status if row.passed else row.status.upper()


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


class _Status:
    status: str  # "passed", "failed" or "undecided"

    @property
    def passed(self) -> bool:
        return self.status == "passed"


@dataclass(frozen=True)
class Row(_Status):
    """The gradient of one array, checked in one pass."""

    name: str  # the pass and the array, for example "forward: layers.0.W"
    shape: tuple[int, ...]
    checked: int = 0  # derivatives that were compared
    set_aside: int = 0  # derivatives that were not, because the function has a kink there
    max_error: float = math.nan  # the largest |numeric - analytic|
    max_relative: float = math.nan  # the same, relative to the array's largest numerical derivative
    worst_index: tuple[int, ...] | None = None  # where the error exceeds its tolerance most; None: a random direction
    numeric: float = math.nan  # the two derivatives there ...
    analytic: float = math.nan
    tolerance: float = math.nan  # ... and how much they may differ
    status: str = "failed"
    hint: str = ""  # the likely mistake; empty for a row that passed
    columns: tuple[int, ...] = ()  # the columns (elements of a vector) with an error; empty if all have, or unknown
    volume_alone: bool = False  # whether the log-det term explains all of the error

    @property
    def place(self) -> str:
        """The worst place in words: an index, or a random direction."""
        return "a random direction" if self.worst_index is None else str(list(self.worst_index))

    def cells(self) -> tuple[str, ...]:
        counts = str(self.checked), str(self.set_aside)
        return str(self.shape), *counts, f"{self.max_error:.1e}", f"{self.max_relative:.1e}"

    def numbers(self) -> str:
        """The two derivatives at the worst place; empty if none could be compared."""
        if not self.checked:
            return ""
        ratio = self.analytic / self.numeric if self.numeric else math.nan
        return (
            f"{self.name} at {self.place}: numerical {self.numeric:.8g}, analytical {self.analytic:.8g}"
            f"{f', ratio {ratio:.6g}' if ratio and math.isfinite(ratio) else ''} "
            f"(off by {abs(self.numeric - self.analytic):.3g}, allowed {self.tolerance:.2g})"
        )


class GradientReport(Report):
    """What `check_gradients` found: a `Row` for each array and pass; `title` is the class of the object."""

    columns: ClassVar = {"shape": 12, "checked": 7, "kinks": 5, "max error": 9, "relative": 8}
    error = GradientError

    def _nearest(self) -> tuple[Row, str]:
        return nearest_to_the_mistake(self.rows)

    def heading(self) -> str:
        return f"Gradients of {self.title} against central differences"

    def summary(self) -> str:
        if not any(row.checked for row in self.rows):
            return "nothing else was checked"
        checked, aside = sum(row.checked for row in self.rows), sum(row.set_aside for row in self.rows)
        return f"{super().summary()}, {checked} derivatives checked, {aside} set aside at kinks"


@dataclass(frozen=True)
class MapRow(_Status):
    """One array computed by an invertible map, compared with what it should be."""

    name: str  # what was computed, for example "inverse(forward(x))"
    shape: tuple[int, ...]
    max_error: float  # the largest |got - expected|
    allowed: float  # at `worst_index`
    worst_index: tuple[int, ...]  # where the error exceeds what is allowed most
    expected: float  # the two numbers there
    got: float
    status: str
    hint: str = ""  # the likely mistake; empty for a row that passed

    def cells(self) -> tuple[str, ...]:
        return str(self.shape), f"{self.max_error:.1e}", f"{self.allowed:.1e}"

    def numbers(self) -> str:
        """The two numbers at the worst place."""
        return (
            f"{self.name} at {list(self.worst_index)}: expected {self.expected:.8g}, got {self.got:.8g} "
            f"(off by {abs(self.got - self.expected):.3g}, allowed {self.allowed:.1g})"
        )


class MapReport(Report):
    """What `check_inverse` or `check_log_det` found: a `MapRow` for each comparison."""

    columns: ClassVar = {"shape": 12, "max error": 9, "allowed": 8}

"""What a check of an invertible map found: one row a comparison, a verdict, and a hint for each failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from nice_np.checks.report import Report
from nice_np.validation import Array


@dataclass(frozen=True)
class MapRow:
    """One array beside what it should be.

    Attributes
    ----------
    name : str
        What was computed, for example ``"inverse(forward(x))"``.
    shape : tuple of int
    max_error, allowed : float
        The largest \\|got - expected\\|, and how much was allowed there.
    worst_index : tuple of int
        Where the error is largest in units of what is allowed.
    expected, got : float
        The two numbers there.
    status : str
        ``"passed"``, ``"failed"`` or ``"undecided"``.
    hint : str
        What to look at; empty for a row that passed.
    """

    name: str
    shape: tuple[int, ...]
    max_error: float
    allowed: float
    worst_index: tuple[int, ...]
    expected: float
    got: float
    status: str
    hint: str = ""

    @property
    def passed(self) -> bool:
        """Whether the array is right."""
        return self.status == "passed"

    def explain(self) -> str:
        """One line on a row that did not pass: where, how far off, both values and the hint."""
        if not self.worst_index:
            return f"{self.status.upper()} {self.name}: {self.hint}"
        place = ", ".join(map(str, self.worst_index))
        return (
            f"{self.status.upper()} {self.name} at [{place}]: off by {abs(self.got - self.expected):.3g} "
            f"(allowed {self.allowed:.1g}); expected {self.expected:.8g}, got {self.got:.8g}; {self.hint}"
        )


@dataclass(frozen=True, repr=False)
class MapReport(Report):
    """All rows of `check_inverse` or `check_log_det`; true when all are right.

    Attributes
    ----------
    title : str
        What was checked.
    rows : tuple of MapRow
    notes : tuple of str
    """

    title: str
    rows: tuple[MapRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[MapRow, ...]:
        """The rows that did not pass."""
        return tuple(row for row in self.rows if not row.passed)

    def _lines(self) -> Iterator[str]:
        width = max(len(row.name) for row in self.rows)
        yield self.title
        yield f"{'array':<{width}}  {'shape':>12}  {'max error':>9}  {'allowed':>8}  verdict"
        for row in self.rows:
            mark = row.status if row.passed else row.status.upper()
            yield f"{row.name:<{width}}  {row.shape!s:>12}  {row.max_error:>9.1e}  {row.allowed:>8.1e}  {mark}"
        yield from (row.explain() for row in self.failures)
        yield from (f"note: {note}" for note in self.notes)
        yield f"{self.verdict.upper()}: {len(self.rows) - len(self.failures)} of {len(self.rows)} arrays right"


def compare(name: str, expected: Array, got: Array, allowed: Array | float) -> MapRow:
    """`got` beside `expected`, element by element; what is not finite is wrong."""
    allowed = np.broadcast_to(allowed, expected.shape)
    errors = np.abs(got - expected)
    errors = np.where(np.isfinite(errors), errors, np.inf)
    worst = np.unravel_index(int(np.argmax(errors / np.maximum(allowed, 1e-300))), errors.shape)
    return MapRow(
        name=name,
        shape=expected.shape,
        max_error=float(errors.max()),
        allowed=float(allowed[worst]),
        worst_index=tuple(int(k) for k in worst),
        expected=float(expected[worst]),
        got=float(got[worst]),
        status="passed" if (errors <= allowed).all() else "failed",
    )


def with_hint(row: MapRow, *hints: tuple[bool, str]) -> MapRow:
    """The row with the first hint whose condition holds, if the row has failed."""
    return row if row.passed else replace(row, hint=next(hint for condition, hint in hints if condition))

"""What a case returns: rows of numbers for the table, the chart and the JSON file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.timing import Timing

MS = 1e3  # in a second


@dataclass
class Row:
    """One line of the table: a number with its quartiles, or the reason why there is none."""

    name: str
    median: float | None = None
    q1: float | None = None
    q3: float | None = None
    rounds: int = 0
    calls: int = 0
    note: str = ""

    @classmethod
    def of(cls, name: str, timing: Timing, note: str = "", unit: float = MS) -> Row:
        """A timing, by default in milliseconds."""
        quartiles = (timing.median * unit, timing.q1 * unit, timing.q3 * unit)
        return cls(name, *quartiles, timing.rounds, timing.calls, note)


@dataclass
class Result:
    """The rows of a case.

    Attributes
    ----------
    title : str
    unit : str
    rows : list of Row
    ideal : float or None
        What the machine could do at best, in the same unit.
    facts : dict
        What the ideal is made of, ratios, sizes.
    notes : list of str
        Sentences to read below the table.
    """

    title: str
    unit: str = "ms"
    rows: list[Row] = field(default_factory=list)
    ideal: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Result:
        return cls(**{**data, "rows": [Row(**row) for row in data["rows"]]})

"""What every check of a student's work reports: rows, each with a status, and a verdict on all of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, ClassVar

from nice_np.errors import NiceError


class CheckError(NiceError, AssertionError):
    """A check failed, or could not decide; the message is the report."""


class Report(ABC):
    """Rows and a verdict; true when all is right, and printed as a table.

    A subclass is a dataclass with `title`, `rows` (each a dataclass with a `status`) and `notes`, and writes its lines.
    """

    title: str
    rows: tuple[Any, ...]
    notes: tuple[str, ...]
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
        """Whether everything is right."""
        return self.verdict == "passed"

    def __bool__(self) -> bool:
        return self.passed

    def raise_if_failed(self) -> None:
        """Do nothing if everything is right.

        Raises
        ------
        CheckError
            If the verdict is "failed" or "undecided"; the message is the whole report.
        """
        if not self.passed:
            raise self.error(str(self))

    def to_dict(self) -> dict[str, Any]:
        """The report as strings, numbers, lists and None, for JSON; NaN and inf become strings."""
        rows = [{key: _json_value(value) for key, value in asdict(row).items()} for row in self.rows]
        return {"title": self.title, "verdict": self.verdict, "rows": rows, "notes": list(self.notes)}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def __repr__(self) -> str:
        return str(self)

    @abstractmethod
    def _lines(self) -> Iterator[str]: ...


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value

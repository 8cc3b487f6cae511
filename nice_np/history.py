"""What happened during training: one row an epoch."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

from nice_np.checks import as_choice
from nice_np.errors import NiceValueError

COLUMNS = (
    "epoch",
    "step",
    "learning_rate",
    "train_log_likelihood",
    "validation_log_likelihood",
    "validation_bits_per_dim",
    "seconds",
)


@dataclass
class History:
    """The course of a training run.

    Attributes
    ----------
    rows : list of dict
        One an epoch, with the keys of `COLUMNS`.  train_log_likelihood is the mean over the epoch's batches, each
        scored by the weights of its own step; validation_log_likelihood is that of the weights that would be kept,
        on fixed noise; both in nats.  None where there was no validation.
    best_epoch : int or None
        Epoch with the highest validation likelihood, whose weights the flow has at the end.
    stopped : str
        Why training ended: "epochs", "time limit", "patience" or "callback".
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    stopped: str = ""

    def column(self, name: str) -> list[Any]:
        """One column as a list."""
        as_choice(name, COLUMNS, "History", "column")
        return [row[name] for row in self.rows]

    def to_csv(self) -> str:
        """All rows as CSV text with a header line."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> History:
        """Read what `to_csv` wrote; best epoch and why training ended are not in it.

        Raises
        ------
        NiceValueError
            If the text is no such table.
        """
        try:
            header, *table = csv.reader(io.StringIO(text), strict=True)
            if tuple(header) != COLUMNS:
                raise ValueError(f"expected the columns {', '.join(COLUMNS)}")
            rows = [dict(zip(COLUMNS, map(_number, row), strict=True)) for row in table]
        except (ValueError, csv.Error) as error:
            raise NiceValueError(f"History: this is no table of a training: {error}") from None
        return cls(rows)

    def __eq__(self, other: object) -> bool:
        # Two runs are the same when everything but the clock is.
        if not isinstance(other, History):
            return NotImplemented

        def timeless(history: History) -> list[dict[str, Any]]:
            return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]

        return timeless(self) == timeless(other) and self.best_epoch == other.best_epoch

    def __repr__(self) -> str:
        if not self.rows:
            return "History(no epochs)"
        last = self.rows[-1]
        return (
            f"History({last['epoch']} epochs, {last['step']} steps, {last['seconds']:.1f} s, "
            f"train {last['train_log_likelihood']:.2f} nats, best epoch {self.best_epoch}, stopped by {self.stopped})"
        )


def _number(text: str) -> float | None:
    if text == "":
        return None
    return int(text) if text.isdecimal() else float(text)

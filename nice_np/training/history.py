"""What happened during training: one row an epoch."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.validation import as_choice

MEASURES = ("log_likelihood", "elbo")  # what a model's score is


def score_columns(measure: str) -> tuple[str, str]:
    """The names of the two columns of scores."""
    return f"train_{measure}", f"validation_{measure}"


def columns(measure: str) -> tuple[str, ...]:
    """All columns of a history whose scores are log-likelihoods, or bounds on them."""
    return ("epoch", "step", "learning_rate", *score_columns(measure), "validation_bits_per_dim", "seconds")


COLUMNS = columns("log_likelihood")


@dataclass
class History:
    """The course of a training run.

    Attributes
    ----------
    rows : list of dict
        One an epoch, with the keys of `COLUMNS`.  train_log_likelihood is the mean over the epoch's batches, each
        scored by the weights of its own step; validation_log_likelihood is that of the weights that would be kept,
        on fixed noise; both in nats.  None where there was no validation.  The scores of a VAE are bounds and called
        so, train_elbo and validation_elbo; its bits/dim are then a bound from above.
    best_epoch : int or None
        Epoch with the highest validation score, whose weights the model has at the end.
    stopped : str
        Why training ended: "epochs", "time limit", "patience" or "callback"; "divergence" in the history that a
        `DivergenceError` brings.
    measure : {"log_likelihood", "elbo"}
        What the scores are.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    stopped: str = ""
    measure: str = MEASURES[0]

    def column(self, name: str) -> list[Any]:
        """One column as a list."""
        as_choice(name, columns(self.measure), "History", "column")
        return [row[name] for row in self.rows]

    def to_csv(self) -> str:
        """All rows as CSV text with a header line."""
        text = io.StringIO()
        writer = csv.DictWriter(text, columns(self.measure), lineterminator="\n")
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
        NiceTypeError
            If it is no str.
        """
        if not isinstance(text, str):
            raise NiceTypeError(f"History: text must be a str, got {type(text).__name__}")
        try:
            if not text:
                raise ValueError("it is empty")
            header, *table = csv.reader(io.StringIO(text), strict=True)
            found = [measure for measure in MEASURES if columns(measure) == tuple(header)]
            if not found:
                raise ValueError(f"expected the columns {', '.join(COLUMNS)}")
            rows = [dict(zip(header, map(_number, row), strict=True)) for row in table]
        except (ValueError, csv.Error) as error:
            raise NiceValueError(f"History: this is no table of a training: {error}") from None
        return cls(rows, measure=found[0])

    def __eq__(self, other: object) -> bool:
        # Two runs are the same when they went the same way, whatever the clock said and whyever one of them ended.
        if not isinstance(other, History):
            return NotImplemented

        def timeless(history: History) -> list[dict[str, Any]]:
            return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]

        mine, theirs = ((history.best_epoch, history.measure) for history in (self, other))
        return timeless(self) == timeless(other) and mine == theirs

    def __repr__(self) -> str:
        if not self.rows:
            return "History(no epochs)"
        last, before = self.rows[-1], "ELBO " if self.measure == "elbo" else ""
        stopped = f", stopped by {self.stopped}" if self.stopped else ""  # not while the training goes on
        return (
            f"History({last['epoch']} epochs, {last['step']} steps, {last['seconds']:.1f} s, "
            f"train {before}{last[score_columns(self.measure)[0]]:.2f} nats, "
            f"best epoch {self.best_epoch}{stopped})"
        )


def _number(text: str) -> float | None:
    if text == "":
        return None
    return int(text) if text.isdecimal() else float(text)

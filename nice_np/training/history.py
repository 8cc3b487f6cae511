"""What happened during training: one row per epoch."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.notebook import picture, table
from nice_np.validation import as_choice

# What a model's score is, and how to write it: nats, or a number without a unit.
MEASURES = {
    "log_likelihood": "{:.2f} nats",
    "elbo": "ELBO {:.2f} nats",
    "flow_matching": "{:.4f}, minus the squared error",
    "labelled": "{:.2f}, log p(x|y) + w log p(y|x)",
}


def score_columns(measure: str) -> tuple[str, str]:
    """The names of the two columns of scores."""
    return f"train_{measure}", f"validation_{measure}"


def columns(measure: str) -> tuple[str, ...]:
    """All columns of a history, for any measure."""
    return ("epoch", "step", "learning_rate", *score_columns(measure), "validation_bits_per_dim", "seconds")


COLUMNS = columns("log_likelihood")


@dataclass
class History:
    """The course of a training run.

    Attributes
    ----------
    rows : list of dict
        One per epoch, with the keys in `COLUMNS`.  train_log_likelihood is the mean over the epoch's batches, each
        scored with the weights of its own step; validation_log_likelihood is that of the weights that would be kept,
        on fixed noise; both in nats.  None without validation.  validation_bits_per_dim is that score in the unit of
        the model's `bin_width`.  For a VAE the scores are lower bounds, train_elbo and validation_elbo, and bits/dim
        are an upper bound.  For flow matching they are minus the squared error, train_flow_matching and
        validation_flow_matching, for a `LabelledFlow` what it raises, train_labelled and validation_labelled; for both
        bits/dim are None.
    best_epoch : int or None
        Epoch with the highest validation score, whose weights the model has in the end.
    stopped : str
        Why training ended: "epochs", "time limit", "patience" or "callback"; "divergence" in the history of a
        `DivergenceError`.
    measure : {"log_likelihood", "elbo", "flow_matching", "labelled"}
        What the scores are.
    setbacks : list of str
        Where the training went wrong and began an epoch again with half the learning rate, and why.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    stopped: str = ""
    measure: str = "log_likelihood"
    setbacks: list[str] = field(default_factory=list)

    def column(self, name: str) -> list[Any]:
        """One column as a list."""
        name = as_choice(name, columns(self.measure), "History", "column")
        return [row[name] for row in self.rows]

    def __len__(self) -> int:
        """The number of epochs."""
        return len(self.rows)

    def __getitem__(self, key: str | int | slice) -> Any:
        """A column by its name, an epoch's row by its place, or several rows."""
        return self.column(key) if isinstance(key, str) else self.rows[key]

    def plot(self, ax: Any = None) -> Any:
        """The curves of this run, drawn by `nice_np.plotting.training_curve`, on the given Matplotlib Axes if any."""
        # Looked up when it is called: plotting builds on this file, and Matplotlib is not loaded before.
        return import_module("nice_np.plotting").training_curve(self, ax)

    def _repr_html_(self) -> str:
        """The first, the best and the last epoch as a table, and the curves, which a notebook shows."""
        marked = [*self.rows[:1], *(row for row in self.rows if row["epoch"] == self.best_epoch), *self.rows[-1:]]
        rows = {row["epoch"]: [_short(row[name]) for name in columns(self.measure)] for row in marked}  # each once
        curve = picture(self.plot()._repr_png_()) if rows else ""
        return table(repr(self), columns(self.measure), rows.values()) + curve

    def to_csv(self) -> str:
        """All rows as CSV text with a header line."""
        text = io.StringIO()
        writer = csv.DictWriter(text, columns(self.measure), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> History:
        """Read what `to_csv` wrote; it does not contain `best_epoch`, `stopped` and `setbacks`.

        Raises
        ------
        NiceValueError
            If the text is not such a table.
        NiceTypeError
            If it is not a str.
        """
        if not isinstance(text, str):
            raise NiceTypeError(f"History: text must be a str, got {type(text).__name__}")
        try:
            header, *table = csv.reader(io.StringIO(text), strict=True) if text else [[]]
            found = [measure for measure in MEASURES if columns(measure) == tuple(header)]
            if not found:
                raise ValueError(f"expected the columns {', '.join(COLUMNS)}; got {', '.join(header) or 'none'}")
            rows = [dict(zip(header, map(_number, row), strict=True)) for row in table]
        except (ValueError, csv.Error) as error:
            raise NiceValueError(f"History: not a training history: {error}") from None
        return cls(rows, measure=found[0])

    def __eq__(self, other: object) -> bool:
        """Whether both runs went the same way, apart from the seconds and the reason why they ended."""
        return isinstance(other, History) and self._timeless() == other._timeless()

    def _timeless(self) -> tuple[Any, ...]:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in self.rows]
        return rows, self.best_epoch, self.measure

    def __repr__(self) -> str:
        if not self.rows:
            return "History(no epochs)"
        last = self.rows[-1]
        train = MEASURES[self.measure].format(last[score_columns(self.measure)[0]])
        stopped = f", stopped by {self.stopped}" if self.stopped else ""  # not while the training goes on
        setbacks = f", {len(self.setbacks)} setback(s)" if self.setbacks else ""
        return (
            f"History({last['epoch']} epochs, {last['step']} steps, {last['seconds']:.1f} s, "
            f"train {train}, best epoch {self.best_epoch}{setbacks}{stopped})"
        )


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def _number(text: str) -> float | None:
    if text == "":
        return None
    return int(text) if text.isdecimal() else float(text)

"""Which of many wrong rows is the mistake: one wrong term spoils every array that its gradient reaches.

A backward pass goes from the outputs to the input, and an error travels with it.  So the row nearest to the outputs is
nearest to the mistake: the last parameter that is wrong, and the input only where all parameters are right.  The last
bias of a conditioner is worth most, since its gradient is the sum over the batch of the gradient that the conditioner
was given: its wrong elements are the wrong columns of that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

METHODS = {
    "forward": "backward",
    "inverse": "inverse_backward",
    "nll": "nll_and_grad",
    "loss": "loss_and_grad",
    "log_prob": "grad_log_prob",
    "cancellation": "inverse_backward after backward",
}
LAST_BIAS = re.compile(r"(.+)\.layers\.\d+\.b$")  # of an MLP that is part of the object


def nearest_to_the_mistake(rows: Sequence[Any]) -> tuple[Any, str]:
    """Of the rows of a gradient check that did not pass: the one to look at, and the mistake in one line."""
    wrong = [row for row in rows if row.status == "failed"]
    if not wrong:
        first = next(row for row in rows if not row.passed)
        return first, f"{first.name}: {first.hint}"
    for row in wrong:
        if not row.checked:  # nothing could be compared: a wrong shape, a changed input
            return row, f"{row.name}: {row.hint}"
    passing = min((_pass_of(row) for row in wrong), key=list(METHODS).index)
    group = [row for row in wrong if _pass_of(row) == passing]
    volume = [row for row in group if _of_volume(row)]
    whole = [row for row in group if not _of_volume(row)]
    by_volume = bool(volume) and all(row.volume_alone for row in whole)
    chosen = volume if by_volume else whole
    row = next((row for row in reversed(chosen) if _array(row) != "input"), chosen[-1])
    what = "the part of dlog_det in " if by_volume else ""
    return row, f"{what}{METHODS[passing]}: {_place(row, rows)}: {row.hint}"


def _pass_of(row: Any) -> str:
    return str(row.name).split(":")[0].removesuffix(" log_det")


def _of_volume(row: Any) -> bool:
    return str(row.name).split(":")[0].endswith(" log_det")


def _array(row: Any) -> str:
    return str(row.name).split(": ", 1)[-1]


def _place(row: Any, rows: Sequence[Any]) -> str:
    """The array and its wrong columns, in words."""
    array = _array(row)
    columns = f"column{'s' * (len(row.columns) > 1)} {list(row.columns)} of " if row.columns else ""
    if array in ("input", "x", "z"):
        return f"{columns}its result"
    last_bias = LAST_BIAS.match(array)
    siblings = [_array(other) for other in rows if last_bias and _array(other).startswith(f"{last_bias[1]}.layers.")]
    if last_bias and _pass_of(row) in ("forward", "inverse") and array == siblings[-1]:
        return f"{columns}the gradient that it gives to {last_bias[1]}.backward"
    path, _, name = array.rpartition(".")
    return f"{columns}d{name}{f' of {path}' if path else ''}"

"""What a gradient check found: one row an array, a verdict, and for each failure a hint where to look."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nice_np.checks.report import CheckError, Report
from nice_np.validation import Array

MOST_SET_ASIDE = 0.05  # the share of an array's derivatives that may lie on kinks


class GradientError(CheckError):
    """A hand-derived gradient disagrees with finite differences, or could not be checked; the message is the report."""


@dataclass(frozen=True)
class Row:
    """The result for one array.

    Attributes
    ----------
    name : str
        Which pass and which array, for example ``"forward: layers.0.W"``.
    shape : tuple of int
        The array's shape.
    checked, set_aside : int
        How many derivatives were compared, and how many were not because the function has a kink there.
    max_error, max_relative : float
        The largest ``|numeric - analytic|``, absolute and in units of the array's largest numerical derivative.
    worst_index : tuple of int or None
        Where the error is largest in units of its tolerance; None when that was a random direction.
    numeric, analytic, tolerance : float
        The two derivatives there, and how much they may differ.
    status : str
        ``"passed"``, ``"failed"``, or ``"undecided"`` when too many derivatives were set aside.
    hint : str
        What a failure looks like; empty for a row that passed.
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    set_aside: int
    max_error: float
    max_relative: float
    worst_index: tuple[int, ...] | None
    numeric: float
    analytic: float
    tolerance: float
    status: str
    hint: str = ""

    @property
    def passed(self) -> bool:
        """Whether the gradient is right, as far as finite differences can tell."""
        return self.status == "passed"

    @property
    def place(self) -> str:
        """The worst place in words: an index, or a random direction."""
        if self.worst_index is None:
            return "a random direction"
        return "[" + ", ".join(map(str, self.worst_index)) + "]"

    def explain(self) -> str:
        """One line on a row that did not pass: how far off, where, both values, their ratio and the hint."""
        if self.status == "undecided":
            return (
                f"UNDECIDED {self.name}: {self.set_aside} of {self.set_aside + self.checked} derivatives lie on a kink "
                "and were set aside; choose another x (without exact zeros), or give the biases small random values"
            )
        if not self.checked:
            return f"FAILED {self.name}: {self.hint}"
        ratio = self.analytic / self.numeric if self.numeric else math.nan
        return (
            f"FAILED {self.name} at {self.place}: off by {abs(self.numeric - self.analytic):.3g}; "
            f"numerical {self.numeric:.8g}, analytical {self.analytic:.8g} "
            f"(ratio {ratio:.6g}, allowed difference {self.tolerance:.2g}); {self.hint}"
        )


@dataclass(frozen=True, repr=False)
class GradientReport(Report):
    """All rows of a gradient check; true when every gradient is right.

    Attributes
    ----------
    title : str
        The class of the object that was checked.
    rows : tuple of Row
        One row for each array and pass.
    notes : tuple of str
        What the reader should know besides, such as "no parameters found".
    """

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    error: ClassVar[type[CheckError]] = GradientError

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that did not pass."""
        return tuple(row for row in self.rows if not row.passed)

    def _lines(self) -> Iterator[str]:
        width = max([len(row.name) for row in self.rows] + [len("array")])
        yield f"Gradients of {self.title} against central differences"
        yield (
            f"{'array':<{width}}  {'shape':>12}  {'checked':>7}  {'kinks':>5}  "
            f"{'max error':>9}  {'relative':>8}  verdict"
        )
        for row in self.rows:
            mark = row.status if row.passed else row.status.upper()
            yield (
                f"{row.name:<{width}}  {row.shape!s:>12}  {row.checked:>7}  {row.set_aside:>5}  "
                f"{row.max_error:>9.1e}  {row.max_relative:>8.1e}  {mark}"
            )
        for row in self.failures:
            yield row.explain()
        for note in self.notes:
            yield f"note: {note}"
        checked, aside = sum(row.checked for row in self.rows), sum(row.set_aside for row in self.rows)
        yield (
            f"{self.verdict.upper()}: {len(self.rows) - len(self.failures)} of {len(self.rows)} arrays right, "
            f"{checked} derivatives checked, {aside} set aside at kinks"
        )


def impossible(name: str, shape: tuple[int, ...], reason: str) -> Row:
    """The row of an array whose gradient cannot even be compared."""
    nan = math.nan
    return Row(name, shape, 0, 0, nan, nan, None, nan, nan, nan, "failed", reason)


def summarise(
    name: str,
    shape: tuple[int, ...],
    *,
    numeric: Array,
    analytic: Array,
    allowed: Array,
    index_of: Callable[[int], tuple[int, ...] | None],
    set_aside: int,
    n_samples: int,
) -> Row:
    """All comparisons of one array, `numeric`, `analytic` and `allowed` of shape (K,), as one row."""
    if not numeric.size:
        return replace(impossible(name, shape, ""), set_aside=set_aside, status="undecided")
    errors = np.abs(numeric - analytic)  # (K,)
    wrong = ~(errors <= allowed)  # (K,), also true where something is NaN
    worst = int(np.argmax(np.where(np.isfinite(errors), errors / (allowed + 1e-300), np.inf)))
    largest = float(np.abs(numeric).max())
    undecided = set_aside > MOST_SET_ASIDE * (set_aside + numeric.size)
    return Row(
        name=name,
        shape=shape,
        checked=numeric.size,
        set_aside=set_aside,
        max_error=float(errors.max()),
        max_relative=float(errors.max()) / largest if largest else float(errors.max()),
        worst_index=index_of(worst),
        numeric=float(numeric[worst]),
        analytic=float(analytic[worst]),
        tolerance=float(allowed[worst]),
        status="failed" if wrong.any() else "undecided" if undecided else "passed",
        hint=diagnose(numeric, analytic, shape, n_samples) if wrong.any() else "",
    )


def diagnose(numeric: Array, analytic: Array, shape: tuple[int, ...], n_samples: int) -> str:
    """Guess from all comparisons of one array, `numeric` and `analytic` (K,), what kind of mistake was made."""
    if not np.isfinite(numeric).all():
        return "the function is not finite here (NaN or inf), so it has no derivative"
    if not np.isfinite(analytic).all():
        return "the gradient contains NaN or inf"
    if not analytic.any():
        return "the gradient is zero: a term is missing, or backward does not store it"
    large = np.abs(numeric) > 1e-3 * np.abs(numeric).max()  # (K,)
    if np.abs(numeric).max() < 1e-6 * np.abs(analytic).max():
        return "the function does not depend on this array, its gradient should be zero"
    ratios = analytic[large] / numeric[large]
    factor = float(np.median(ratios))
    if np.abs(ratios - factor).max() <= min(1e-3 * abs(factor), 0.1 * abs(factor - 1)):
        return _explain_factor(factor, n_samples)
    square = len(shape) == 2 and shape[0] == shape[1] and numeric.size == math.prod(shape)
    if square and np.allclose(numeric.reshape(shape).T, analytic.reshape(shape), rtol=1e-4, atol=1e-7):
        return "the gradient is right but transposed"
    if large.size > 2 and np.mean(np.abs(ratios - 1) < 1e-5) > 0.5:
        return "most elements are right: look at the index named here and at how it is special"
    return "no simple factor: a term is missing or wrong, derive this gradient again"


def _explain_factor(factor: float, n_samples: int) -> str:
    if math.isclose(factor, -1, rel_tol=1e-3):
        return "every element has the wrong sign"
    if n_samples > 1 and math.isclose(factor, n_samples, rel_tol=1e-3):
        return f"every element is N = {n_samples} times too large: mean and sum mixed up, a 1/N is missing"
    if n_samples > 1 and math.isclose(factor, 1 / n_samples, rel_tol=1e-3):
        return f"every element is N = {n_samples} times too small: mean and sum mixed up, a 1/N too many"
    return f"every element is off by the same factor {factor:.6g}"

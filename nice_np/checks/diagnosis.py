"""From numbers to a row of a report: the worst element, the verdict, and a guess at the mistake."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from nice_np.checks.report import MapRow, Row
from nice_np.validation import Array

MOST_SET_ASIDE = 0.05  # the fraction of an array's derivatives that may lie on kinks
NO_GUESS = "no simple factor: a term is missing or wrong, derive this gradient again"
Place = tuple[int, ...] | None  # as `Row.worst_index`


def compare_gradients(
    name: str,
    shape: tuple[int, ...],
    compared: Iterable[Array],
    n: int,
    places: Sequence[Place] = (),
    set_aside: int = 0,
    passed_on: Array | None = None,
) -> Row:
    """The row of one array, for a batch of `n` samples.

    `compared` are the numerical gradient, the analytical one and how much they may differ: three arrays of the given
    shape, or of shape (K,) for derivatives at K `places`.  `passed_on` is the gradient that came in, of the given
    shape: an input that is also an output, such as x_a, takes it over.
    """
    numeric, analytic, allowed = compared
    on_kinks = (
        f"{set_aside} of {set_aside + numeric.size} derivatives lie on a kink and were set aside; choose another x "
        "(without exact zeros), or give the biases small random values"
    )
    if not numeric.size:
        return Row(name, shape, set_aside=set_aside, status="undecided", hint=on_kinks)
    errors = np.abs(numeric - analytic)
    worst = worst_place(errors, allowed)
    status, hint, columns = "passed", "", ()
    wrong = ~(errors <= allowed)  # also where something is NaN
    if wrong.any():
        status = "failed"
        column = _columns(shape, places)  # of each derivative
        columns = tuple(np.unique(column[wrong.ravel()]).tolist())
        among = np.isin(column, columns)
        if columns == tuple(range(shape[-1] if shape else 0)) or -1 in columns:
            columns = ()
        right, claimed = numeric.ravel()[among], analytic.ravel()[among]
        if passed_on is None or among.size != passed_on.size:
            passed_on = np.zeros(among.size)
        came_in = passed_on.ravel()[among]
        hint = _explain_passed_on(right, claimed, came_in) or diagnose(right, claimed, shape if among.all() else (), n)
        hint = hint or _explain_direct_path(right, claimed, came_in) or NO_GUESS
    elif set_aside > MOST_SET_ASIDE * (set_aside + numeric.size):
        status, hint = "undecided", on_kinks
    return Row(
        name,
        shape,
        checked=numeric.size,
        set_aside=set_aside,
        max_error=float(errors.max()),
        max_relative=float(errors.max() / (np.abs(numeric).max() or 1.0)),
        worst_index=places[worst[0]] if places else worst,
        numeric=float(numeric[worst]),
        analytic=float(analytic[worst]),
        tolerance=float(allowed[worst]),
        status=status,
        hint=hint,
        columns=columns,
    )


def _columns(shape: tuple[int, ...], places: Sequence[Place]) -> Array:
    """The last index of each derivative, (K,); -1 for a random direction, or where there is none."""
    if not places:
        places = list(np.ndindex(shape))
    return np.array([place[-1] if place else -1 for place in places])


def compare_arrays(name: str, expected: Array, got: Array, allowed: Array | float) -> MapRow:
    """The row of `got`, compared with `expected` element by element; NaN and inf are wrong."""
    allowed = np.broadcast_to(allowed, expected.shape)
    errors = np.nan_to_num(np.abs(got - expected), nan=np.inf, posinf=np.inf)
    worst = worst_place(errors, allowed)
    return MapRow(
        name,
        expected.shape,
        max_error=float(errors.max()),
        allowed=float(allowed[worst]),
        worst_index=worst,
        expected=float(expected[worst]),
        got=float(got[worst]),
        status="passed" if (errors <= allowed).all() else "failed",
    )


def with_hint(row: MapRow, *hints: tuple[bool, str]) -> MapRow:
    """A failed row with the first hint whose condition holds; others as they are."""
    return row if row.passed else replace(row, hint=next(hint for condition, hint in hints if condition))


def worst_place(errors: Array, allowed: Array) -> tuple[int, ...]:
    """The index where an error is largest relative to what is allowed; NaN and inf are the worst."""
    ratios = np.where(np.isfinite(errors), errors / (allowed + 1e-300), np.inf)
    return tuple(int(k) for k in np.unravel_index(np.argmax(ratios), ratios.shape))


def diagnose(numeric: Array, analytic: Array, shape: tuple[int, ...], n: int) -> str:
    """Guess the mistake, or "", from all comparisons of one array, `numeric` and `analytic` of shape (K,)."""
    if not np.isfinite(numeric).all():
        return "the function is not finite here (NaN or inf), so it has no derivative"
    if not np.isfinite(analytic).all():
        return "the gradient contains NaN or inf"
    if np.abs(analytic).max() <= 1e-12 * np.abs(numeric).max():
        return "the gradient is zero: a term is missing, or backward does not store it"
    if np.abs(numeric).max() < 1e-6 * np.abs(analytic).max():
        return "the function does not depend on this array, so its gradient should be zero"
    large = np.abs(numeric) > 1e-3 * np.abs(numeric).max()  # (K,)
    ratios = analytic[large] / numeric[large]
    factor = float(np.median(ratios))
    if factor and np.abs(ratios - factor).max() <= min(1e-3 * abs(factor), 0.1 * abs(factor - 1)):
        return _explain_factor(factor, n)
    square = len(shape) == 2 and shape[0] == shape[1] and numeric.size == math.prod(shape)
    if square and np.allclose(numeric.reshape(shape).T, analytic.reshape(shape), rtol=1e-4, atol=1e-7):
        return "the gradient is right but transposed"
    if numeric.size == math.prod(shape) and shape:
        turned = (np.roll(numeric.reshape(shape), k, axis=-1) for k in range(1, shape[-1]))
        if any(np.allclose(columns, analytic.reshape(shape), rtol=1e-4, atol=1e-7) for columns in turned):
            return "the two parts of the columns are exchanged: [dr, dt], in the order of [r, t]"
    if large.size > 2 and np.mean(np.abs(ratios - 1) < 1e-5) > 0.5:
        return "most elements are right: what is special about this one?"
    return ""


def _explain_passed_on(numeric: Array, analytic: Array, passed_on: Array) -> str:
    """Whether a right gradient lacks, or has too much of, the gradient that came in; where that is 0, nobody knows."""
    if not passed_on.any():
        return ""
    for times, what in (
        (1, "the incoming gradient itself is missing: an input that is also an output passes it on, dx = dz + ..."),
        (-1, "the incoming gradient is added once too often"),
        (2, "the incoming gradient has the wrong sign"),
    ):
        if np.allclose(analytic + times * passed_on, numeric, rtol=1e-4, atol=1e-7):
            return what
    return ""


def _explain_direct_path(numeric: Array, analytic: Array, passed_on: Array) -> str:
    """Whether what is missing has in every element the sign of the gradient that came in, as dz exp(s) has."""
    if numeric.size >= 8 and ((numeric - analytic) * passed_on > 0).all():  # by chance once in 2^8
        return (
            "the incoming gradient times something positive is missing: z depends on x directly, too, not only through "
            "the network: dx = dz * dz/dx + ..."
        )
    return ""


def _explain_factor(factor: float, n: int) -> str:
    if math.isclose(factor, -1, rel_tol=1e-3):
        return "every element has the wrong sign"
    if n > 1 and math.isclose(factor, n, rel_tol=1e-3):
        return f"every element is N = {n} times too large: mean and sum mixed up, a 1/N is missing"
    if n > 1 and math.isclose(factor, 1 / n, rel_tol=1e-3):
        return f"every element is N = {n} times too small: mean and sum mixed up, a 1/N too many"
    return f"every element is off by the same factor {factor:.6g}"

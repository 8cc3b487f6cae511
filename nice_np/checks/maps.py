"""Check an invertible map from outside: does inverse undo forward, and does log_det belong to the Jacobian?

Works on any object with ``forward(x) -> (z, log_det, cache)`` and ``inverse(z) -> (x, log_det, cache)``, even one that
does not use nice_np.  Gradients are checked by `nice_np.check_gradients`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.checks.diagnosis import compare_arrays, with_hint
from nice_np.checks.jacobian import one_sided
from nice_np.checks.objects import (
    as_points,
    explain_edge,
    find_numbers,
    find_parameters,
    float64_copy,
    has_methods,
    is_exact,
    refuse_wrong_dim,
    run_pass,
)
from nice_np.checks.purity import find_changes
from nice_np.checks.report import MapReport, MapRow
from nice_np.errors import NiceTypeError
from nice_np.validation import Array, as_float

__all__ = ["MapReport", "MapRow", "check_inverse", "check_log_det"]

PROTOCOL = "forward(x) -> (z, log_det, cache) and inverse(z) -> (x, log_det, cache)"
EPS = float(np.finfo(np.float64).eps)
STEPS = (1e-5, 1e-6, 1e-7)  # of the differences: a ReLU's kink within one step lies outside a smaller one
MOST_DRIFT = 1e-6  # of the largest number: a round trip that is off by more proves nothing
LARGEST_JACOBIAN = 64  # features up to which check_inverse itself asks which of two log-determinants is right
NUDGE = 1e-7  # how far the latents are moved to see how much the inverse amplifies errors


def check_inverse(obj: Any, x: npt.ArrayLike, *, rtol: float = 100 * EPS, atol: float = 1e-7) -> MapReport:
    """Does ``inverse`` undo ``forward``, and ``forward`` undo ``inverse``?

    Parameters
    ----------
    obj : bijector or Flow
        Recognised by its methods ``forward`` and ``inverse`` alone, or a flow's ``bijector``.
    x : array_like, shape (N, D)
        Where to check: at least one sample.
    rtol : float
        A round trip may be off by `rtol` times the largest number on the way, amplified as the inverse amplifies an
        error of that size.
    atol : float
        How much the sum of the two log-determinants of a point may differ from zero.

    Returns
    -------
    MapReport
        True if all is right; prints the largest error of each array, its place and the likely cause.  It has the same
        attributes and methods as the report of `nice_np.check_gradients`.

    Raises
    ------
    NiceTypeError
        If `obj` does not have the two methods, they return something else, or it cannot be copied.
    NiceValueError
        If `x` is not a finite (N, D) array with N >= 1, or a setting is out of range.

    Notes
    -----
    The second round trip starts between the latents of `x`, and so tests other points.  The row "log_det" compares the
    two log-determinants; `check_log_det` checks each.  A map that returns x itself proves nothing: the
    verdict is "undecided".  The check works on a deep copy in float64.

    Examples
    --------
    >>> class Double:
    ...     def forward(self, x):
    ...         return 2 * x, np.full(len(x), x.shape[1] * np.log(2)), None
    ...     def inverse(self, z):
    ...         return z - 2, np.full(len(z), -z.shape[1] * np.log(2)), None
    >>> report = check_inverse(Double(), [[0.5, -1.0], [2.0, 3.0]])
    >>> report.passed, report.failures[0].name
    (False, 'inverse(forward(x))')
    """
    owner, title = "check_inverse", f"Inverse of {type(obj).__name__}"
    layer, x = _prepare(obj, x, owner)
    rtol, atol = as_float(rtol, owner, "rtol", minimum=0.0), as_float(atol, owner, "atol", minimum=0.0)
    with np.errstate(all="ignore"):  # what is not finite is reported
        z, log_det, _ = run_pass(layer, "forward", x, owner)
        back, back_log_det, _ = run_pass(layer, "inverse", z, owner)
        if changes := _changes(layer, x):
            return MapReport(title, changes)
        between = (z + np.roll(z, 1, axis=0)) / 2  # (N, D)
        there, _, _ = run_pass(layer, "inverse", between, owner)
        again, _, _ = run_pass(layer, "forward", there, owner)
        allowed = _rounding(layer.inverse, x, z, back, rtol)  # (N,)
        allowed_again = _rounding(layer.forward, between, there, again, rtol)  # (N,)
    first = _round_trip("inverse(forward(x))", x, z, back, allowed)
    if np.array_equal(z, x) and first.passed:
        hint = "forward returned x itself, which proves nothing"
        if find_parameters(layer, find_numbers(layer)):
            hint += "; give the parameters random values first"
        first = replace(first, status="undecided", hint=hint)
    second = _round_trip("forward(inverse(z))", between, there, again, allowed_again)
    allowed_volume = atol + 10 * allowed  # the inverse takes its own log_det at the x that came back
    volume = _opposite(layer, x, log_det, back_log_det, allowed_volume)
    return MapReport(title, (first, second, volume), _notes(layer))


def check_log_det(obj: Any, x: npt.ArrayLike, *, atol: float = 1e-7) -> MapReport:
    """Is ``log_det`` the logarithm of \\|det J\\|, for forward and for inverse?

    J is the Jacobian by central differences, and its log-determinant comes from NumPy's ``slogdet``: 2 D passes and
    N D^3 operations, so this is for small D.

    Parameters
    ----------
    obj : bijector or Flow
        As for `check_inverse`.
    x : array_like, shape (N, D)
        Where to check: at least one sample.  ``inverse`` is checked at ``forward(x)``.
    atol : float
        How much log_det may differ, in nats.

    Returns
    -------
    MapReport
        One row for each direction; "undecided" where differences cannot tell (a kink at x, or a Jacobian so
        ill-conditioned that rounding hides its determinant).

    Raises
    ------
    NiceTypeError, NiceValueError
        As `check_inverse`.

    Examples
    --------
    >>> class Double:
    ...     def forward(self, x):
    ...         return 2 * x, np.full(len(x), np.log(2)), None
    ...     def inverse(self, z):
    ...         return z / 2, np.full(len(z), -np.log(2)), None
    >>> print(check_log_det(Double(), [[0.5, -1.0, 1.0]]).failures[0].hint)
    every log_det is 0.333333 of what it should be: 1/3; sum over the features, do not take their mean
    """
    owner, title = "check_log_det", f"Log-determinants of {type(obj).__name__} against numerical Jacobians"
    layer, x = _prepare(obj, x, owner)
    atol = as_float(atol, owner, "atol", minimum=0.0)
    with np.errstate(all="ignore"):
        z, log_det, _ = run_pass(layer, "forward", x, owner)
        _, back_log_det, _ = run_pass(layer, "inverse", z, owner)
        if changes := _changes(layer, x):
            return MapReport(title, changes)
        forward = _measured("forward: log_det", layer.forward, x, log_det, atol)
        inverse = _measured("inverse: log_det", layer.inverse, z, back_log_det, atol)
    return MapReport(title, (forward, inverse), _notes(layer))


def _notes(layer: Any) -> tuple[str, ...]:
    steps = "the solution is numerical, with an error of its own (exact = False): take more steps, or rtol= and atol="
    return () if is_exact(layer) else (steps,)


def _prepare(obj: Any, x: npt.ArrayLike, owner: str) -> tuple[Any, Array]:
    """A float64 copy of the layer, and of the points."""
    points = as_points(x, owner)
    inner = obj if has_methods(obj, "forward", "inverse") else getattr(obj, "bijector", None)
    if not has_methods(inner, "forward", "inverse"):
        cure = "; pass an instance, not the class" if isinstance(obj, type) else ""
        raise NiceTypeError(f"{owner}: expected an object with {PROTOCOL}, got {obj!r}{cure}")
    if inner is not obj and getattr(obj, "context_dim", None):
        raise NiceTypeError(f"{owner}: this flow has a context; check flow.bijector, with the context appended to x")
    copied = float64_copy(obj, owner)
    layer = copied if inner is obj else copied.bijector
    refuse_wrong_dim(layer, points, owner)
    return layer, points


def _changes(layer: Any, x: Array) -> tuple[MapRow, ...]:
    """What the passes write into, a row each; nothing else can be told before that is mended."""
    changes = find_changes(float64_copy(layer, "find_changes"), x, gradients=False)
    return tuple(replace(compare_arrays(c.name, c.before, c.after, 0.0), hint=c.hint) for c in changes)


def _rounding(last: Callable[[Array], Any], start: Array, middle: Array, end: Array, rtol: float) -> Array:
    """How far `end` = last(middle) may be from `start`, (N,): rounding of the largest number, amplified by `last`."""
    largest = np.maximum(np.abs(start).max(axis=1), np.abs(middle).max(axis=1))  # (N,)
    step = NUDGE * largest[:, None] * np.where(np.arange(start.shape[1]) % 2, 1, -1)  # (N, D)
    with explain_edge("a point of x, or one between its latents,", NUDGE, "check_inverse"):
        moved = last(middle + step)[0]
    growth = np.abs(moved - end).max(axis=1) / NUDGE  # (N,), what an error of size `largest` becomes
    allowed: Array = rtol * np.maximum(largest, np.where(np.isfinite(growth), growth, 0.0))
    return allowed


def _round_trip(name: str, start: Array, middle: Array, end: Array, allowed: Array) -> MapRow:
    """`start` compared with what came back."""
    row = compare_arrays(name, start, end, allowed[:, None])
    size = float(np.abs(start).max())
    if row.passed and row.max_error > MOST_DRIFT * size:
        hint = "the map amplifies rounding errors so much that a right inverse cannot be told from a wrong one"
        return replace(row, status="undecided", hint=hint)
    wrong = ~(np.abs(end - start) <= allowed[:, None])  # (N, D), true where it is NaN
    features = np.flatnonzero(wrong.any(axis=0)).tolist()
    return with_hint(
        row,
        (not np.isfinite(end).all(), "NaN or inf: a division by zero, or a logarithm of a negative number?"),
        (np.array_equal(end, middle), "the second pass changes nothing"),
        (
            len(features) < start.shape[1],
            f"only features {features} are wrong: look at how they are mapped, the others come back",
        ),
        (row.max_error < 1e-6 * size, "nearly right: is something computed in float32, or rounded?"),
        (
            True,
            "no feature comes back: wrong sign, wrong order of the steps, or not the parameters of forward?",
        ),
    )


def _opposite(layer: Any, x: Array, log_det: Array, back: Array, allowed: Array) -> MapRow:
    row = compare_arrays("log_det of inverse", -log_det, back, allowed)
    if row.passed:
        return row
    if (np.abs(back - log_det) <= allowed).all():
        return replace(row, hint="the sign: inverse returns the log-det of its own map, -log_det")
    if x.shape[1] > LARGEST_JACOBIAN:
        return replace(row, hint="it must be minus that of forward; check_log_det says which of the two is wrong")
    with np.errstate(all="ignore"):
        right, left = one_sided(layer.forward, x, STEPS[0])  # (N, D, D) each
        measured = np.linalg.slogdet((right + left) / 2)[1]  # (N,)
    of_inverse = np.allclose(log_det, measured, rtol=1e-5, atol=1e-6)
    claimed, measured = (back, -measured) if of_inverse else (log_det, measured)
    hint = next(hint for holds, hint in _log_det_hints(claimed, measured, x.shape[1], 1e-6) if holds)
    return replace(row, hint=f"that of {'inverse' if of_inverse else 'forward'} is wrong: {hint}")


def _measured(name: str, function: Callable[[Array], Any], x: Array, claimed: Array, atol: float) -> MapRow:
    """The claimed log_det (N,) compared with that of the Jacobian, at the step where the two are nearest."""
    jacobians: list[Array] = []  # (N, D, D) each
    numeric: list[Array] = []  # (N,) each
    for step in STEPS:
        right, left = one_sided(function, x, step)  # (N, D, D) each
        jacobians.append((right + left) / 2)
        numeric.append(np.linalg.slogdet(jacobians[-1])[1])
        if (np.abs(numeric[-1] - claimed) <= atol).all():
            break
    measured = np.array(numeric)  # (steps, N)
    distances = np.abs(measured - claimed)
    closest = np.where(np.isnan(distances), np.inf, distances).argmin(axis=0)  # (N,), argmin itself prefers NaN
    nearest = np.take_along_axis(measured, closest[None], axis=0)[0]
    row = compare_arrays(name, nearest, claimed, atol)
    if row.passed:
        return row
    # The jump at a kink stays; the difference of the two slopes of a smooth map shrinks with the step.
    kink = np.abs(right - left).max(axis=(1, 2)) > 1e-3 * max(1.0, float(np.abs(x).max()))  # (N,)
    explained = np.abs(nearest - claimed) <= np.maximum(atol, _doubt(jacobians))  # (N,)
    if explained.all():
        hint = "the Jacobian is so ill-conditioned here that differences cannot measure its determinant"
        return replace(row, status="undecided", hint=hint)
    if (explained | kink).all():
        hint = "the map has a kink here (a ReLU at zero); choose another x, without exact zeros"
        return replace(row, status="undecided", hint=hint)
    return with_hint(row, *_log_det_hints(claimed, nearest, x.shape[1], atol))


def _doubt(jacobians: list[Array]) -> Array:
    """How far the measured log-determinants may be off, (N,), judging by how the Jacobians change with the step."""
    doubts = np.zeros(len(jacobians[0]))
    for before, J in pairwise(jacobians):
        # d log|det J| = trace(J^-1 dJ) <= D |dJ| / (smallest singular value of J)
        change = np.abs(J - before).max(axis=(1, 2))  # (N,)
        smallest = [np.linalg.svd(j, compute_uv=False)[-1] if np.isfinite(j).all() else 0.0 for j in J]
        doubts = np.maximum(doubts, J.shape[1] * change / np.maximum(smallest, 1e-300))
    return doubts


def _log_det_hints(claimed: Array, nearest: Array, dim: int, atol: float) -> list[tuple[bool, str]]:
    """Conditions and the mistakes they point to; the first that holds wins."""

    def same(a: Array, b: Array) -> bool:
        return bool(np.allclose(a, b, rtol=1e-5, atol=10 * atol))

    finite = np.isfinite(nearest).all()
    ratio = float(claimed @ nearest / (nearest @ nearest)) if finite and nearest.any() else 0.0
    parts = round(1 / ratio) if 0 < ratio < 0.75 else 0  # the number of features of which it may be the mean
    share = f": 1/{parts}; sum over the features, do not take their mean" if np.isclose(ratio * parts, 1, 1e-4) else ""
    return [
        (not np.isfinite(claimed).all(), "log_det is NaN or inf: the logarithm of zero or of a negative number?"),
        (not finite, "the Jacobian is singular: two inputs give the same output, the map has no inverse here"),
        (not claimed.any(), "log_det is zero, but the map changes volume: a term is missing"),
        (same(claimed, -nearest), "the sign is wrong: log_det belongs to the map that returns it"),
        (same(claimed, np.exp(nearest)), "this is the determinant itself: take its logarithm"),
        (ratio != 0.0 and same(claimed, ratio * nearest), f"every log_det is {ratio:.6g} of what it should be{share}"),
        (same(claimed, np.full_like(claimed, nearest.sum())), "this is the sum over all samples: sum over axis=1 only"),
        (
            bool(np.ptp(claimed) == 0 and np.ptp(nearest) > atol),
            "it is the same for all samples, but should not be: sum over axis=1, separately for each row",
        ),
        (True, "no simple factor: write down J for one sample; for a triangular J it is the sum of log |diagonal|"),
    ]

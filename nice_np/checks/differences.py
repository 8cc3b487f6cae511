"""One gradient against central differences, with kinks told apart from mistakes: the mathematics of `check_gradients`.

Write f(t) for the function L along a line (one coordinate, or a random direction) and a for the derivative f'(0) that
was derived by hand.  With a step h,

    right(h) = (f(h) - f(0)) / h,    left(h) = (f(0) - f(-h)) / h,    central(h) = (right + left) / 2.

Where f is smooth, central(h) = f'(0) + O(h^2) must agree with a.  At the kink of a ReLU the slope jumps by J:

- A kink at 0 < |t| < h changes central(h) by up to J/2.  A smaller step leaves it outside, and then central agrees with
  a right gradient and disagrees with a wrong one.  Nothing is excused.
- With a kink at 0 there is no derivative to compare with.  Then right(h) - left(h) is J for every h, while for a smooth
  function it is h f''(0) and shrinks with h.  Only such a coordinate is set aside, and it is counted.

Steps shrink until rounding, about 1e-16 |f| / h, would hide a gradient that is 0.05 % wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np

from nice_np._blas import BLAS
from nice_np.checks.diagnosis import compare_gradients
from nice_np.checks.objects import explain_edge
from nice_np.checks.report import Row
from nice_np.validation import Array

SMALLER_STEPS = (0.1, 0.01, 0.001)  # tried in turn, in units of eps


class Settings(NamedTuple):
    """How a gradient is compared; see `nice_np.checks.gradients.check_gradients`."""

    rng: np.random.Generator
    max_coordinates: int
    directions: int
    eps: float
    atol: float
    rtol: float
    n_samples: int


class Line(NamedTuple):
    """The line ``values[where] + t * unit``: one element with unit 1, or all elements along a direction."""

    values: Array
    where: Any  # an element's index; ... for a direction
    unit: Any
    scale: float  # steps are scale * h, so that rounding of a large value does not swallow them


class Slopes(NamedTuple):
    """What is measured at one step h, and the rounding error it may carry."""

    central: float  # (right + left) / 2
    jump: float  # |right - left|
    rounding: float


def measure(terms: Callable[[], Array], here: Array, line: Line, step: float) -> Slopes:
    """The slopes of ``L = terms().sum()`` along `line`; `here` is ``terms()`` at t = 0."""
    step = step * line.scale
    start = np.copy(line.values[line.where])
    try:
        line.values[line.where] = start + step * line.unit
        ahead = terms()  # (M,)
        line.values[line.where] = start - step * line.unit
        behind = terms()  # (M,)
    finally:
        line.values[line.where] = start
    # Term by term: what does not depend on the step cancels exactly and adds no rounding.
    right, left = float((ahead - here).sum()) / step, float((here - behind).sum()) / step
    size = np.linalg.norm((np.abs(ahead) + np.abs(behind))[ahead != behind])
    return Slopes((right + left) / 2, abs(right - left), float(np.finfo(np.float64).eps * size) / step)


class Tolerance(NamedTuple):
    """How far a measured derivative may be from a right one: rtol |numeric| + an absolute part of at most atol.

    The absolute part shrinks with the array's largest derivative (down to a thousandth) as far as rounding allows.
    Otherwise gradients around 1e-4, common in deep nets, could be 0.05 % wrong unseen.  It is relative to |L| where
    that is above 1.
    """

    rtol: float
    atol: float
    largest: float  # of the array's derivatives
    size: float  # of L, at least 1

    @property
    def floor(self) -> float:
        return self.atol * min(max(self.largest, 1e-3), 1.0)

    def at(self, slopes: Slopes) -> float:
        return self.rtol * abs(slopes.central) + min(self.atol * self.size, self.floor + slopes.rounding)

    def resolves(self, slopes: Slopes, claimed: float) -> bool:
        """Whether rounding is small enough at this step to tell a right gradient from one that is 0.05 % wrong."""
        steepest = max(abs(slopes.central) + slopes.jump / 2, abs(claimed))
        return slopes.rounding <= self.floor + 1e-4 * steepest


def examine(steps: Iterable[Slopes], claimed: float, tolerance: Tolerance) -> tuple[float, float] | None:
    """The measured derivative and how far the claimed one may be from it; None at a kink.

    `steps` are the slopes at ever smaller steps, measured only when asked for.
    """
    tried: list[Slopes] = []
    for slopes in steps:
        if tried and not tolerance.resolves(slopes, claimed):
            break
        if not (math.isfinite(slopes.central) and math.isfinite(claimed)):
            return slopes.central, 0.0
        if abs(slopes.central - claimed) <= tolerance.at(slopes):
            return slopes.central, tolerance.at(slopes)
        tried.append(slopes)
    allowed = tolerance.at(tried[-1])
    return None if is_kink(tried, allowed) else (tried[-1].central, allowed)


def is_kink(tried: list[Slopes], tolerance: float) -> bool:
    """Whether the one-sided slopes still differ at the smallest step, by a jump that did not shrink with the step."""
    if tried[-1].jump <= max(tolerance, 10 * tried[-1].rounding):
        return False  # the two sides meet: there is a derivative, and it is not the claimed one
    return any(
        0.5 < small.jump / large.jump < 2 and small.jump > 10 * small.rounding  # 1 at a kink, 0.1 where f is smooth
        for large, small in pairwise(tried)
        if large.jump > 0
    )


def choose_lines(values: Array, settings: Settings) -> list[Line]:
    """Every element of a small array; of a large one a sample of its elements, and random directions of length 1."""
    rng = settings.rng
    directions: list[Array] = []
    if values.size <= settings.max_coordinates:
        indices = list(np.ndindex(values.shape))
    else:
        picked = rng.choice(values.size, max(1, settings.max_coordinates // 10), replace=False)
        indices = [tuple(int(i) for i in np.unravel_index(flat, values.shape)) for flat in np.sort(picked)]
        directions = [rng.standard_normal(values.shape) for _ in range(settings.directions)]
    lines = [Line(values, index, 1.0, max(1.0, abs(float(values[index])))) for index in indices]
    return lines + [Line(values, ..., d / np.linalg.norm(d), 1.0) for d in directions]


def compare(
    name: str,
    terms: Callable[[], Array],
    values: Array,
    gradient: Any,
    settings: Settings,
    passed_on: Array | None = None,
) -> Row:
    """Check the claimed `gradient` of ``L = terms().sum()`` with respect to `values`, which `terms` depends on.

    `values` is changed in place while measuring, and put back; for `passed_on` see `compare_gradients`.
    """
    problem = _problem(terms, values, gradient)
    if problem:
        return Row(name, values.shape, hint=problem)
    BLAS.look()  # here and not between two terms, whose rounding must be the same
    here, eps = terms(), settings.eps  # (M,)
    lines = choose_lines(values, settings)
    with explain_edge(name, eps, "check_gradients"):
        firsts = [measure(terms, here, line, eps) for line in lines]
    largest = max(abs(slopes.central) for slopes in firsts)
    tolerance = Tolerance(settings.rtol, settings.atol, largest, max(1.0, float(np.linalg.norm(here))))
    places, compared = [], []
    for line, first in zip(lines, firsts, strict=True):
        claimed = float((gradient[line.where] * line.unit).sum())
        smaller = (measure(terms, here, line, eps * shrink) for shrink in SMALLER_STEPS)
        found = examine(chain([first], smaller), claimed, tolerance)
        if found:
            places.append(None if line.where is ... else line.where)
            compared.append((found[0], claimed, found[1]))
    columns = np.reshape(compared, (-1, 3)).T  # (3, K)
    aside = len(lines) - len(places)
    return compare_gradients(name, values.shape, columns, settings.n_samples, places, aside, passed_on)


def compare_exactly(name: str, expected: Array, got: Any, settings: Settings) -> Row:
    """Compare two arrays that are equal by algebra; no differences are taken."""
    if not isinstance(got, np.ndarray) or got.shape != expected.shape:
        return Row(name, expected.shape, hint=f"expected an array of shape {expected.shape}, got {np.shape(got)}")
    allowed = settings.atol + settings.rtol * np.abs(expected)
    return compare_gradients(name, expected.shape, (expected, got, allowed), settings.n_samples)


def _problem(terms: Callable[[], Array], values: Array, gradient: Any) -> str:
    """What makes a comparison impossible; empty if nothing does."""
    if not isinstance(gradient, np.ndarray):
        return f"the gradient is {type(gradient).__name__}, expected an array of shape {values.shape}"
    if gradient.shape != values.shape:
        return f"the gradient has shape {gradient.shape}, expected {values.shape}"
    if not np.allclose(terms(), terms(), rtol=1e-12, atol=1e-12, equal_nan=True):
        return "two calls with the same input give different values; a gradient can only be checked without randomness"
    return ""

"""One gradient against central differences, with kinks told apart from errors: the mathematics of `check_gradients`.

Write f(t) for the function L along a line (one coordinate, or a random direction), a for the derivative f'(0) that
somebody derived by hand, and with a step h

    right(h) = (f(h) - f(0)) / h,    left(h) = (f(0) - f(-h)) / h,    central(h) = (right + left) / 2.

Where f is smooth, central(h) = f'(0) + O(h^2): it must agree with a.  A ReLU has a kink, where the slope jumps by J:

- A kink near 0, at 0 < |t| < h, spoils central(h) by up to J/2.  With a smaller step it lies outside, and central
  agrees with a right gradient and still disagrees with a wrong one.  Nothing is excused.
- A kink at 0 leaves no derivative to compare with.  Then right(h) - left(h) stays J for every h, while for a smooth
  function it is h f''(0) and falls tenfold with h.  Only such a coordinate is set aside, and it is counted.

Smaller steps stop where rounding, about 1e-16 |f| / h, would drown a gradient that is 0.05 % wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from nice_np.checks.gradient_report import Row, impossible, summarise
from nice_np.errors import NiceValueError
from nice_np.validation import Array

SMALLER_STEPS = (1.0, 0.1, 0.01, 0.001)  # tried in turn, in units of eps


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
    scale: float  # the step is scale * h, so that it is not lost in a large value's rounding


class Slopes(NamedTuple):
    """The one-sided slopes at one step, and the rounding error they may carry."""

    left: float
    right: float
    rounding: float

    @property
    def central(self) -> float:
        return (self.left + self.right) / 2

    @property
    def jump(self) -> float:
        return abs(self.right - self.left)


class Finding(NamedTuple):
    """One comparison: the measured derivative, how far the claimed one may be from it, and whether f has a kink."""

    numeric: float
    tolerance: float
    kink: bool


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
    # Subtract summand by summand: what the step does not touch cancels exactly and adds no rounding.
    right, left = float((ahead - here).sum()) / step, float((here - behind).sum()) / step
    size = np.linalg.norm((np.abs(ahead) + np.abs(behind))[ahead != behind])
    return Slopes(left, right, float(np.finfo(np.float64).eps * size) / step)


class Tolerance(NamedTuple):
    """How far a measured derivative may be from a right one: rtol |numeric| + an absolute part of at most atol.

    The absolute part shrinks with the array's largest derivative (down to a thousandth), as far as rounding allows:
    otherwise gradients around 1e-4, common in deep nets, could be 0.05 % wrong unseen.  It is in units of |L| where
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
        """Whether rounding is small enough at this step to tell a right gradient from one 0.05 % wrong."""
        slope = max(abs(slopes.left), abs(slopes.right), abs(claimed))
        return slopes.rounding <= self.floor + 1e-4 * slope


def examine(slopes_at: Callable[[float], Slopes], first: Slopes, claimed: float, tolerance: Tolerance) -> Finding:
    """Compare one claimed derivative with the measured one; `slopes_at` measures at a multiple of eps."""
    if not (math.isfinite(first.central) and math.isfinite(claimed)):
        return Finding(first.central, 0.0, kink=False)
    tried: list[Slopes] = []
    for shrink in SMALLER_STEPS:
        slopes = slopes_at(shrink) if tried else first
        if tried and not tolerance.resolves(slopes, claimed):
            break
        if abs(slopes.central - claimed) <= tolerance.at(slopes):
            return Finding(slopes.central, tolerance.at(slopes), kink=False)
        tried.append(slopes)
    last = tried[-1]
    return Finding(last.central, tolerance.at(last), kink=is_kink(tried, tolerance.at(last)))


def is_kink(tried: list[Slopes], tolerance: float) -> bool:
    """Whether the one-sided slopes still disagree at the smallest step, by a jump that did not shrink with the step."""
    if tried[-1].jump <= max(tolerance, 10 * tried[-1].rounding):
        return False  # the two sides meet: there is a derivative, and it is not the claimed one
    return any(
        0.5 < small.jump / large.jump < 2 and small.jump > 10 * small.rounding  # 1 at a kink, 0.1 where f is smooth
        for large, small in pairwise(tried)
        if large.jump > 0
    )


def choose_lines(values: Array, settings: Settings) -> list[Line]:
    """Every element of a small array; of a large one random directions of length 1, and a sample of its elements."""
    rng = settings.rng
    if values.size <= settings.max_coordinates:
        indices = list(np.ndindex(values.shape))
        directions: list[Array] = []
    else:
        picked = rng.choice(values.size, max(1, settings.max_coordinates // 10), replace=False)
        indices = [tuple(int(i) for i in np.unravel_index(flat, values.shape)) for flat in np.sort(picked)]
        directions = [rng.standard_normal(values.shape) for _ in range(settings.directions)]
    lines = [Line(values, index, 1.0, max(1.0, abs(float(values[index])))) for index in indices]
    return lines + [Line(values, ..., d / np.linalg.norm(d), 1.0) for d in directions]


def compare(name: str, terms: Callable[[], Array], values: Array, gradient: Any, settings: Settings) -> Row:
    """Check the claimed `gradient` of ``L = terms().sum()`` with respect to `values`, which `terms` depends on.

    `values` is changed in place while measuring, and put back.
    """
    problem = _problem(terms, values, gradient)
    if problem:
        return impossible(name, values.shape, problem)
    here = terms()  # (M,)
    lines = choose_lines(values, settings)
    try:
        firsts = [measure(terms, here, line, settings.eps) for line in lines]
    except NiceValueError as error:  # the pass took the values that these are one step from
        raise NiceValueError(
            f"check_gradients: {name} lies within the step, eps = {settings.eps:g}, of the end of what is allowed "
            "there; choose an x further inside"
        ) from error
    claims = [float((gradient[line.where] * line.unit).sum()) for line in lines]
    largest = max(abs(slopes.central) for slopes in firsts)
    tolerance = Tolerance(settings.rtol, settings.atol, largest, max(1.0, float(np.linalg.norm(here))))
    findings = []
    for line, first, claimed in zip(lines, firsts, claims, strict=True):

        def slopes_at(shrink: float, line: Line = line) -> Slopes:
            return measure(terms, here, line, settings.eps * shrink)

        findings.append(examine(slopes_at, first, claimed, tolerance))
    kept = [i for i, finding in enumerate(findings) if not finding.kink]
    return summarise(
        name,
        values.shape,
        numeric=np.array([findings[i].numeric for i in kept]),
        analytic=np.array([claims[i] for i in kept]),
        allowed=np.array([findings[i].tolerance for i in kept]),
        index_of=lambda i: None if lines[kept[i]].where is ... else lines[kept[i]].where,
        set_aside=len(lines) - len(kept),
        n_samples=settings.n_samples,
    )


def compare_exactly(name: str, expected: Array, got: Any, settings: Settings) -> Row:
    """Compare two arrays that are equal by algebra; no differences are taken."""
    if not isinstance(got, np.ndarray) or got.shape != expected.shape:
        return impossible(name, expected.shape, f"expected an array of shape {expected.shape}, got {np.shape(got)}")
    return summarise(
        name,
        expected.shape,
        numeric=expected.ravel(),
        analytic=got.ravel(),
        allowed=(settings.atol + settings.rtol * np.abs(expected)).ravel(),
        index_of=lambda i: tuple(int(k) for k in np.unravel_index(i, expected.shape)),
        set_aside=0,
        n_samples=settings.n_samples,
    )


def _problem(terms: Callable[[], Array], values: Array, gradient: Any) -> str:
    """What makes a comparison impossible; empty if nothing does."""
    if not isinstance(gradient, np.ndarray):
        return f"the gradient is {type(gradient).__name__}, expected an array of shape {values.shape}"
    if gradient.shape != values.shape:
        return f"the gradient has shape {gradient.shape}, expected {values.shape}"
    once, again = terms(), terms()
    if not np.allclose(once, again, rtol=1e-12, atol=1e-12, equal_nan=True):
        return "two calls with the same input give different values; a gradient can only be checked without randomness"
    return ""

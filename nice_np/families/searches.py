"""Two searches, neither of which is ever differentiated: the root of an increasing function, and a fixed point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nice_np.errors import NiceOverflowError
from nice_np.validation import Array

STEPS = 200  # Newton needs about six; halving a bracket of float64 down to neighbouring numbers some 60


def root_of_increasing(function: Callable[[Array], tuple[Array, Array]], y: Array) -> Array:
    """x with function(x) = y, element by element, for an increasing function from the whole real line onto itself.

    A bracket around each root is found by doubling.  Then Newton's steps are taken, or the middle of the bracket where
    a step would leave it, until only rounding moves x.

    Parameters
    ----------
    function : callable
        x -> (value, slope), arrays of x's shape; the slope is not negative.
    y : ndarray

    Returns
    -------
    x : ndarray
        Of y's shape and dtype.

    Raises
    ------
    NiceOverflowError
        If the function has not reached y when x overflows.
    """
    with np.errstate(all="ignore"):  # far out the function may overflow; where it is flat a Newton step is infinite
        low, high = _bracket(function, y)
        x, eps = 0.5 * (low + high), np.finfo(y.dtype).eps
        found, last = np.zeros(y.shape, bool), np.full_like(y, np.inf)
        for _ in range(STEPS):
            value, slope = function(x)
            low, high = np.where(value <= y, x, low), np.where(value >= y, x, high)
            newton = x - (value - y) / slope
            inside = (newton >= low) & (newton <= high)
            moved = np.where(inside, newton, 0.5 * (low + high))
            # Newton's steps shrink until only rounding is left.
            step = np.abs(moved - x)
            rounding = inside & (step >= last) & (step <= np.sqrt(eps) * np.maximum(np.abs(x), 1))
            closed = high - low <= 2 * eps * np.abs(x)
            x, last = np.where(found, x, moved), step
            found |= rounding | closed | (np.abs(value - y) <= 2 * eps * np.abs(y))
            if found.all():
                break
    return x


def _bracket(function: Callable[[Array], tuple[Array, Array]], y: Array) -> tuple[Array, Array]:
    """low and high with function(low) <= y <= function(high)."""
    ends = []
    for away in (-1.0, 1.0):
        width = np.ones_like(y)
        while (outside := away * (function(y + away * width)[0] - y) < 0).any():
            width = np.where(outside, 2 * width, width)
            if not np.isfinite(width).all():
                raise NiceOverflowError("inverse: no finite x has this z")
        ends.append(y + away * width)
    return ends[0], ends[1]


def fixed_point(step: Callable[[Array], Array], x: Array) -> Array:
    """x with x = step(x) for a contraction, row by row: (N, D) -> (N, D).

    Steps are taken until rounding keeps them from getting smaller.
    """
    shortest = np.full(len(x), np.inf)  # of the steps so far, row by row
    while True:
        new = step(x)
        length = np.sqrt(((new - x) ** 2).sum(axis=1))  # (N,)
        x = new
        if not (length < shortest).any():
            return x
        shortest = np.minimum(shortest, length)

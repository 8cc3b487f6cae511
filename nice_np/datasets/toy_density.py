"""The true densities of the toys, by integration: what no model can beat on average.

A toy with normal noise around a curve c(t), or around points, is a mixture: p(x) is the mean of N(x; c(t), noise^2 I)
over t. An even grid of t that is finer than the noise turns the integral into a sum without visible error.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceOverflowError
from nice_np.validation import Array, as_choice, as_samples

CHUNK = 1000  # rows at a time, so that (rows, centres) stays small
CENTRES = 1000  # of a curve: at most a third of the noise apart
ARMS, RADIAL, TANGENTIAL, TWIST = 5, 0.6, 0.2, 0.25  # of the pinwheel


def toy_log_prob(toy: str, x: npt.ArrayLike) -> Array:
    """log p(x) of a toy with its default noise.

    Parameters
    ----------
    toy : str
        "two-moons", "two-circles", "rings", "checkerboard", "eight-gaussians", "pinwheel", "two-spirals", "swiss-roll"
        or "grid".
    x : array_like, shape (N, 2)

    Returns
    -------
    ndarray, shape (N,)
        In nats; -inf outside the checkerboard's squares, and where the pinwheel's density is below 1e-323.

    Raises
    ------
    NiceValueError, NiceTypeError
        For another name, or an `x` that is not a finite (N, 2) array.
    NiceOverflowError
        Where log p is too large for float64.

    Examples
    --------
    >>> toy_log_prob("checkerboard", [[-3.0, -3.0], [-1.0, -3.0]])  # -log 32 in a dark square
    array([-3.4657359,       -inf])
    """
    density = DENSITIES[as_choice(toy, DENSITIES, "toy_log_prob", "toy")]
    points = as_samples(x, 2, owner="toy_log_prob", dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # looked for below
        parts = [density(points[start : start + CHUNK]) for start in range(0, len(points), CHUNK)]
    log_p = np.concatenate(parts) if parts else np.zeros(0)
    if np.isnan(log_p).any():
        raise NiceOverflowError(f"toy_log_prob: row {np.isnan(log_p).argmax()} of x is so far out that log p overflows")
    return log_p


def _around(centres: Array, noise: float) -> Callable[[Array], Array]:
    """The log-density of centres (M, 2), all equally probable, with normal noise."""

    def log_density(x: Array) -> Array:
        squares = ((x[:, None] - centres) ** 2).sum(axis=2) / (-2 * noise**2)  # (N, M)
        largest = squares.max(axis=1)
        sums = np.log(np.exp(squares - largest[:, None]).mean(axis=1))  # (N,)
        answer: Array = largest + sums - log(2 * pi * noise**2)
        return answer

    return log_density


def _polar(radius: Array | float, angle: Array) -> Array:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)  # (M, 2)


def _checkerboard(x: Array) -> Array:
    column, row = np.floor((x.T + 4) / 2)
    dark = (np.abs(x) <= 4).all(axis=1) & ((column + row) % 2 == 0)
    return np.where(dark, -log(32), -np.inf)


def _pinwheel(x: Array) -> Array:
    """x = R(angle(a)) (a, b).  Every a with a = first coordinate of R(-angle(a)) x is a way to reach x.

    The Jacobian of (a, b) -> x has the determinant 1 - b angle'(a).
    """
    a = np.linspace(2 - 7 * RADIAL, 2 + 7 * RADIAL, CENTRES)
    total = np.zeros(len(x))
    for arm in range(ARMS):
        angle = 2 * pi * arm / ARMS + TWIST * np.exp(a / 2)
        gap = x[:, :1] * np.cos(angle) + x[:, 1:] * np.sin(angle) - a  # (N, M), 0 at a way to reach x
        row, k = np.nonzero(np.signbit(gap[:, :-1]) != np.signbit(gap[:, 1:]))
        share = gap[row, k] / (gap[row, k] - gap[row, k + 1])
        root = a[k] + share * (a[1] - a[0])
        angle = 2 * pi * arm / ARMS + TWIST * np.exp(root / 2)
        b = x[row, 1] * np.cos(angle) - x[row, 0] * np.sin(angle)
        size = np.abs(1 - b * TWIST / 2 * np.exp(root / 2))
        density = np.exp(-0.5 * ((root - 2) / RADIAL) ** 2 - 0.5 * (b / TANGENTIAL) ** 2) / size
        np.add.at(total, row, density / (2 * pi * RADIAL * TANGENTIAL * ARMS))
    with np.errstate(divide="ignore"):
        return np.log(total)


_u = (np.arange(CENTRES) + 0.5) / CENTRES  # an even grid of [0, 1]
_moon, _spiral, _roll = _polar(2.0, pi * _u) - [1.0, 0.5], 3 * pi * np.sqrt(_u), pi * (1.5 + 3 * _u)
_circle, _side = _polar(1.0, 2 * pi * _u), np.linspace(-3, 3, 5)
DENSITIES: dict[str, Callable[[Array], Array]] = {
    "two-moons": _around(np.concatenate([_moon, -_moon]), 0.15),
    "two-circles": _around(np.concatenate([1.5 * _circle, 3 * _circle]), 0.15),
    "rings": _around(np.concatenate([r * _circle for r in (0.75, 1.5, 2.25, 3.0)]), 0.08),
    "checkerboard": _checkerboard,
    "eight-gaussians": _around(_polar(3.0, np.arange(8) * pi / 4), 0.25),
    "pinwheel": _pinwheel,
    "two-spirals": _around(np.concatenate([_polar(s * _spiral / 3, _spiral) for s in (1.0, -1.0)]), 0.1),
    "swiss-roll": _around((_polar(_roll, _roll) - [2, 2 / (3 * pi)]) / 4, 0.1),
    "grid": _around(np.array([(a, b) for a in _side for b in _side]), 0.12),
}

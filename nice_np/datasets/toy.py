"""Densities in the plane: hard enough to show what a flow can and cannot learn, quick to train on.

Each function draws n points, shape (n, 2), float64, centred at the origin and roughly within [-4, 4] x [-4, 4].
U[a, b] is the uniform distribution, N(0, s) the normal one with standard deviation s in both coordinates.  Most shapes
are those in the figures of FFJORD (Grathwohl et al. 2019) and earlier papers, with formulas of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceOverflowError, NiceValueError
from nice_np.suggestions import suggests
from nice_np.validation import Rng, as_float, as_int, as_rng, as_tuple

Points = npt.NDArray[np.float64]  # (n, 2)


def _begin(owner: str, n: int, rng: Rng, **scales: float) -> tuple[int, np.random.Generator]:
    """Check the arguments common to all densities: the number of points, the generator, and scales >= 0."""
    for name, scale in scales.items():
        as_float(scale, owner, name, minimum=0)
    return as_int(n, owner, "n", 0), as_rng(rng, owner)


def _polar(radius: Points | float, angle: Points) -> Points:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)  # (n, 2)


def _blur(owner: str, points: Points, noise: float, rng: np.random.Generator) -> Points:
    with np.errstate(over="ignore"):
        return _finite(owner, points + noise * rng.standard_normal(points.shape))  # (n, 2)


def _finite(owner: str, points: Points) -> Points:
    if not np.isfinite(points).all():
        raise NiceOverflowError(f"{owner}: a point is not finite; use smaller arguments")
    return points


@suggests
def two_moons(n: int = 1000, rng: Rng = None, *, noise: float = 0.15) -> Points:
    """Two interleaved half circles of radius 2.

    With t ~ U[0, pi]: (2 cos t - 1, 2 sin t - 1/2) or, with probability 1/2, its reflection through the origin; plus
    N(0, noise).

    Parameters
    ----------
    n : int
        The number of points, >= 0.
    rng : Generator or seed
    noise : float
        The standard deviation of the noise, >= 0.

    Returns
    -------
    ndarray of float64, shape (n, 2)

    Raises
    ------
    NiceValueError, NiceTypeError
        For a bad argument, in every function of this module.
    NiceOverflowError
        For arguments so large that a point overflows.

    Examples
    --------
    >>> two_moons(1000, rng=0).shape
    (1000, 2)
    """
    n, rng = _begin("two_moons", n, rng, noise=noise)
    upper = _polar(2.0, rng.uniform(0, np.pi, n)) - [1.0, 0.5]  # (n, 2)
    sign = rng.choice([-1.0, 1.0], size=(n, 1))
    return _blur("two_moons", sign * upper, noise, rng)


@suggests
def rings(
    n: int = 1000, rng: Rng = None, *, radii: Sequence[float] = (0.75, 1.5, 2.25, 3.0), noise: float = 0.08
) -> Points:
    """Concentric circles, all equally probable.

    r (cos t, sin t) + N(0, noise) with r one of `radii` and t ~ U[0, 2 pi].

    Parameters
    ----------
    n, rng, noise
        As in `two_moons`.
    radii : sequence of float
        Each >= 0, at least one.

    Returns
    -------
    ndarray of float64, shape (n, 2)
    """
    n, rng = _begin("rings", n, rng, noise=noise)
    given = as_tuple(radii, "rings: radii must be a sequence of numbers")
    radius = np.array([as_float(r, "rings", "radii", minimum=0) for r in given])
    if len(radius) == 0:
        raise NiceValueError("rings: radii is empty, expected at least one radius")
    return _blur("rings", _polar(rng.choice(radius, n), rng.uniform(0, 2 * np.pi, n)), noise, rng)


@suggests
def two_circles(n: int = 1000, rng: Rng = None, *, noise: float = 0.15) -> Points:
    """Two concentric circles, of radius 1.5 and 3: `rings` with two radii.

    Parameters
    ----------
    n, rng, noise
        As in `two_moons`.

    Returns
    -------
    ndarray of float64, shape (n, 2)
    """
    n, rng = _begin("two_circles", n, rng, noise=noise)
    return rings(n, rng, radii=(1.5, 3.0), noise=noise)


@suggests
def checkerboard(n: int = 1000, rng: Rng = None) -> Points:
    """The eight dark squares of a 4 x 4 checkerboard on [-4, 4] x [-4, 4], each of side 2.

    (2 i - 4 + u, 2 j - 4 + v) with column i in 0..3 and row j in 0..3 such that i + j is even, and u, v ~ U[0, 2].  The
    density is 1/32 on the dark squares and 0 elsewhere, so the entropy is exactly log 32 = 3.466 nats: no model has a
    lower expected negative log-likelihood.

    Parameters
    ----------
    n, rng
        As in `two_moons`.

    Returns
    -------
    ndarray of float64, shape (n, 2)
    """
    n, rng = _begin("checkerboard", n, rng)
    column = rng.integers(4, size=n)
    row = 2 * rng.integers(2, size=n) + column % 2
    return 2.0 * np.stack([column, row], axis=1) - 4 + rng.uniform(0, 2, (n, 2))


@suggests
def eight_gaussians(n: int = 1000, rng: Rng = None, *, noise: float = 0.25) -> Points:
    """Eight Gaussians on a circle of radius 3.

    3 (cos k pi/4, sin k pi/4) + N(0, noise), k in 0..7.

    Parameters
    ----------
    n, rng, noise
        As in `two_moons`.

    Returns
    -------
    ndarray of float64, shape (n, 2)
    """
    n, rng = _begin("eight_gaussians", n, rng, noise=noise)
    return _blur("eight_gaussians", _polar(3.0, rng.integers(8, size=n) * np.pi / 4), noise, rng)


@suggests
def grid(n: int = 1000, rng: Rng = None, *, n_side: int = 5, noise: float = 0.12) -> Points:
    """A square grid of Gaussians over [-3, 3] x [-3, 3].

    (c_i, c_j) + N(0, noise) with c_0, ..., c_{n_side - 1} evenly spaced from -3 to 3.

    Parameters
    ----------
    n, rng, noise
        As in `two_moons`.
    n_side : int
        The number of Gaussians per side, >= 2.

    Returns
    -------
    ndarray of float64, shape (n, 2)
    """
    n, rng = _begin("grid", n, rng, noise=noise)
    centres = np.linspace(-3, 3, as_int(n_side, "grid", "n_side", 2))
    return _blur("grid", rng.choice(centres, (n, 2)), noise, rng)


@suggests
def pinwheel(
    n: int = 1000,
    rng: Rng = None,
    *,
    n_arms: int = 5,
    radial_noise: float = 0.6,
    tangential_noise: float = 0.2,
    twist: float = 0.25,
) -> Points:
    """Arms of a pinwheel: stretched Gaussians beside the origin, rotated further at larger radii.

    With a = 2 + radial_noise N(0, 1) and b = tangential_noise N(0, 1): the point (a, b) is rotated about the origin by
    the angle 2 pi k / n_arms + twist exp(a / 2), k in 0..n_arms - 1 (Johnson et al. 2016, at twice their scale).

    Parameters
    ----------
    n, rng
        As in `two_moons`.
    n_arms : int
        The number of arms, >= 2.
    radial_noise, tangential_noise : float
        Standard deviations along and across an arm, >= 0.
    twist : float
        Strength of the twist, >= 0; 0 gives straight arms.

    Returns
    -------
    ndarray of float64, shape (n, 2)
    """
    n, rng = _begin("pinwheel", n, rng, radial_noise=radial_noise, tangential_noise=tangential_noise, twist=twist)
    arm = rng.integers(as_int(n_arms, "pinwheel", "n_arms", 2), size=n)
    with np.errstate(over="ignore", invalid="ignore"):
        a = 2 + radial_noise * rng.standard_normal(n)
        b = tangential_noise * rng.standard_normal(n)
        angle = 2 * np.pi * arm / n_arms + twist * np.exp(a / 2)
        cos, sin = np.cos(angle), np.sin(angle)
        return _finite("pinwheel", np.stack([cos * a - sin * b, sin * a + cos * b], axis=1))  # (n, 2)


@suggests
def two_spirals(n: int = 1000, rng: Rng = None, *, noise: float = 0.1) -> Points:
    """Two interleaved spirals of one and a half turns.

    +-(t / 3) (cos t, sin t) + N(0, noise) with t = 3 pi sqrt(u), u ~ U[0, 1]: the square root spreads the points evenly
    along the spiral, whose length grows as t^2.

    Parameters
    ----------
    n, rng, noise
        As in `two_moons`.

    Returns
    -------
    ndarray of float64, shape (n, 2)
    """
    n, rng = _begin("two_spirals", n, rng, noise=noise)
    t = 3 * np.pi * np.sqrt(rng.uniform(0, 1, n))
    sign = rng.choice([-1.0, 1.0], size=n)
    return _blur("two_spirals", _polar(sign * t / 3, t), noise, rng)


@suggests
def swiss_roll(n: int = 1000, rng: Rng = None, *, noise: float = 0.1) -> Points:
    """A rolled-up sheet in cross-section.

    ((t cos t, t sin t) - (2, 2 / (3 pi))) / 4 + N(0, noise) with t ~ U[3 pi / 2, 9 pi / 2]; the subtracted point is the
    exact mean of (t cos t, t sin t).

    Parameters
    ----------
    n, rng, noise
        As in `two_moons`.

    Returns
    -------
    ndarray of float64, shape (n, 2)
    """
    n, rng = _begin("swiss_roll", n, rng, noise=noise)
    t = rng.uniform(1.5 * np.pi, 4.5 * np.pi, n)
    return _blur("swiss_roll", (_polar(t, t) - [2, 2 / (3 * np.pi)]) / 4, noise, rng)


TOYS: dict[str, Callable[[int, Rng], Points]] = {
    toy.__name__.replace("_", "-"): toy
    for toy in (two_moons, two_circles, rings, checkerboard, eight_gaussians, pinwheel, two_spirals, swiss_roll, grid)
}

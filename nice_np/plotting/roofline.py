"""The roofline: the best possible speed of a computation, given its operations per byte moved."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from nice_np.errors import NiceValueError
from nice_np.plotting.style import COLOURS, annotate, escape, new_axes, refuse_other
from nice_np.validation import as_float, as_real_array

MARKERS = "osD^vPX*"
GIGA = 1e9


def roofline(
    peak: float,
    bandwidth: float,
    points: Mapping[str, tuple[float, float]],
    ax: Axes | None = None,
    title: str = "Roofline",
) -> Axes:
    """Draw the roof min(peak, bandwidth * intensity) (Williams et al. 2009) and measured computations below it.

    A point above the slanted part is no mistake: its arrays came from a cache, not from memory.

    Parameters
    ----------
    peak : float
        The processor's best rate, in FLOP/s.
    bandwidth : float
        Of the memory, in bytes/s.
    points : mapping of a name to (intensity, rate)
        Intensity in FLOP per byte moved, rate in FLOP/s; both above 0.
    ax : Axes, optional
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    peak = as_float(peak, "roofline", "peak", above=0)
    bandwidth = as_float(bandwidth, "roofline", "bandwidth", above=0)
    refuse_other(points, Mapping, "roofline", "points")
    for name, point in points.items():
        numbers = as_real_array(point, "roofline", repr(name))
        if numbers.shape != (2,) or not ((numbers > 0) & (numbers < np.inf)).all():
            raise NiceValueError(f"roofline: {name!r} must be (intensity, rate), two numbers above 0; got {point}")
    ax = new_axes(ax, "roofline")
    ridge = peak / bandwidth  # FLOP per byte from which memory is fast enough
    ends = [ridge, *(intensity for intensity, _ in points.values())]
    x = np.array([min(ends) / 3, ridge, max(ends) * 3])
    ax.plot(x, np.minimum(peak, bandwidth * x) / GIGA, color="0.3", linestyle="-", linewidth=1.5)
    ax.axvline(ridge, color="0.7", linestyle=":", linewidth=1)
    for k, (name, (intensity, rate)) in enumerate(points.items()):
        marker, colour = MARKERS[k % len(MARKERS)], COLOURS[k % len(COLOURS)]
        ax.plot(intensity, rate / GIGA, marker, color=colour, markersize=6, linestyle="", label=escape(name))
    ax.set(xscale="log", yscale="log")
    ax.grid(alpha=0.3)
    roof = f"peak {peak / GIGA:.3g} GFLOP/s, memory {bandwidth / GIGA:.3g} GB/s, ridge at {ridge:.3g} FLOP/byte"
    annotate(ax, f"{escape(title)}\n{roof}", "intensity (FLOP per byte moved)", "rate (GFLOP/s)")
    if points:
        ax.legend(fontsize=8, loc="lower right")
    return ax

"""What checks measure: the numerical Jacobian as an image, and the errors of a gradient check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, SymLogNorm
from matplotlib.ticker import MaxNLocator

from nice_np.checks import as_float, as_real_array
from nice_np.errors import NiceValueError
from nice_np.plotting.style import BLUE, VERMILION, annotate, new_axes
from nice_np.plotting.tiles import escape

if TYPE_CHECKING:
    from nice_np.gradcheck import GradientReport

ZERO = "#D9D9D9"  # grey: in none of the colours of the map
SMALLEST = 1e-13  # errors below are drawn here; the logarithm of 0 has no place


def jacobian_image(
    jacobian: npt.ArrayLike, ax: Axes | None = None, title: str = "Jacobian", zero: float = 1e-8, log: bool = False
) -> Axes:
    """Draw a Jacobian as an image, with its zeros in grey, so that one sees what depends on what.

    Parameters
    ----------
    jacobian : array_like, shape (M, D)
        Rows are outputs, columns inputs, for example ``numerical_jacobian(layer.forward, x)[0]``.
    ax : Axes, optional
    title : str
        The share of zeros is written below it.
    zero : float
        Entries up to this size count as zero: differences leave rounding errors of some 1e-11.
    log : bool
        Whether colours grow with the logarithm of an entry, which shows small ones beside large ones.
    """
    matrix = as_real_array(jacobian, "jacobian_image", "jacobian").astype(np.float64)
    zero = as_float(zero, "jacobian_image", "zero", minimum=0.0)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        cure = "; take that of one sample, J[0]" if matrix.ndim == 3 else ""
        raise NiceValueError(f"jacobian_image: expected a finite matrix (M, D), got shape {matrix.shape}{cure}")
    ax = new_axes(ax, "jacobian_image")
    zeros = np.abs(matrix) <= zero
    largest = float(np.abs(matrix).max()) or 1.0
    norm = SymLogNorm(largest / 100) if log else Normalize()
    norm.vmin, norm.vmax = -largest, largest  # zero in the middle of the colours
    ax.set_facecolor(ZERO)
    image = ax.imshow(np.ma.array(matrix, mask=zeros), cmap="PuOr", norm=norm, interpolation="nearest")
    bar = ax.figure.colorbar(image, ax=ax, label=r"$\partial y_i / \partial x_j$", shrink=0.8)
    bar.ax.tick_params(labelsize=8)
    annotate(ax, f"{title}\n{zeros.mean():.0%} zeros (grey)", "input $j$", "output $i$")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return ax


def gradient_check(report: GradientReport, ax: Axes | None = None) -> Axes:
    """Draw the largest error of each array of a gradient check, relative to its largest derivative.

    Parameters
    ----------
    report : GradientReport
        What `check_gradients` returned.
    ax : Axes, optional
        A right gradient is off by rounding alone, some 1e-10; a wrong one by 1e-4 to 1.
    """
    rows = report.rows
    if not rows:
        raise NiceValueError("gradient_check: the report has no rows")
    errors = np.nan_to_num([row.max_relative for row in rows], nan=1.0, posinf=1.0)
    ax = new_axes(ax, "gradient_check", height=1.2 + 0.22 * len(rows))
    right = np.array([row.passed for row in rows])
    places = np.arange(len(rows))
    for which, colour, marker, label in ((right, BLUE, "o", "passed"), (~right, VERMILION, "X", "did not pass")):
        if which.any():
            size = np.maximum(errors[which], SMALLEST)
            ax.hlines(places[which], SMALLEST / 10, size, color=colour, linewidth=1.5)
            ax.plot(size, places[which], marker, color=colour, markersize=6, linestyle="", label=label)
    ax.set_xscale("log")
    ax.set_yticks(places, [escape(row.name) for row in rows])
    ax.set(xlim=(SMALLEST / 2, max(10.0, 3 * errors.max())), ylim=(len(rows) - 0.5, -0.5))
    ax.grid(axis="x", alpha=0.3)
    annotate(
        ax, f"{escape(report.title)}: errors of the gradients", "largest error / largest derivative of the array", ""
    )
    ax.legend(fontsize=8, loc="lower right")
    return ax

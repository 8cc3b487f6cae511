"""What checks measure: a Jacobian as an image, the errors of a gradient check, and which check catches which bug."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize, SymLogNorm
from matplotlib.ticker import MaxNLocator

from nice_np.checks.gradients import GradientReport
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.plotting.style import BLUE, VERMILION, annotate, escape, new_axes, refuse_other
from nice_np.validation import as_float, as_real_array

ZERO = "#D9D9D9"  # a grey that is not in the colour map
PALE = "#F4F4F4"  # a cell in which a check caught nothing
SMALLEST = 1e-13  # smaller errors are drawn here: the axis is logarithmic


def jacobian_image(
    jacobian: npt.ArrayLike, ax: Axes | None = None, title: str = "Jacobian", zero: float = 1e-8, log: bool = False
) -> Axes:
    """Draw a Jacobian as an image with its zeros in grey: which output depends on which input.

    Parameters
    ----------
    jacobian : array_like, shape (M, D)
        Rows are outputs, columns inputs, such as ``numerical_jacobian(layer.forward, x)[0]``.
    ax : Axes, optional
    title : str
        The share of zeros is written below it.
    zero : float
        Entries up to this size count as zero: finite differences leave rounding errors of about 1e-11.
    log : bool
        Whether the colour scale is logarithmic, which shows small entries next to large ones.

    Returns
    -------
    matplotlib.axes.Axes
    """
    matrix = as_real_array(jacobian, "jacobian_image", "jacobian").astype(np.float64)
    zero = as_float(zero, "jacobian_image", "zero", minimum=0.0)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        cure = "; give the Jacobian of one sample, J[0]" if matrix.ndim == 3 else ""
        raise NiceValueError(f"jacobian_image: expected a finite matrix (M, D), got shape {matrix.shape}{cure}")
    ax = new_axes(ax, "jacobian_image")
    zeros = np.abs(matrix) <= zero
    largest = float(np.abs(matrix).max()) or 1.0
    norm = SymLogNorm(largest / 100) if log else Normalize()
    norm.vmin, norm.vmax = -largest, largest  # zero at the centre of the colour map
    ax.set_facecolor(ZERO)
    image = ax.imshow(np.ma.array(matrix, mask=zeros), cmap="PuOr", norm=norm, interpolation="nearest")
    bar = ax.figure.colorbar(image, ax=ax, label=r"$\partial y_i / \partial x_j$", shrink=0.8)
    bar.ax.tick_params(labelsize=8)
    if log:  # ticks for smaller entries would overlap that of zero
        bar.set_ticks([tick for tick in bar.get_ticks() if tick == 0 or abs(tick) >= largest / 50])
    annotate(ax, f"{title}\n{zeros.mean():.1%} zeros (grey)", "input $j$", "output $i$")
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
        A correct gradient is off by rounding only, about 1e-10; a wrong one by 1e-4 to 1.

    Returns
    -------
    matplotlib.axes.Axes
    """
    refuse_other(report, GradientReport, "gradient_check", "report")
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


def check_matrix(
    caught: npt.ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    marked: npt.ArrayLike | None = None,
    ax: Axes | None = None,
    title: str = "Which check sees which mistake",
) -> Axes:
    """Draw which check (a column) catches which planted bug (a row), as a cross in a coloured cell.

    Parameters
    ----------
    caught : array_like of bool, shape (R, C)
        True where the check fails with this bug planted.
    rows, columns : sequence of str
        Names of the R bugs and the C checks.
    marked : array_like of bool, shape (R, C), optional
        Cells to frame, such as the check that is meant to catch a bug.
    ax : Axes, optional
    title : str

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    NiceValueError, NiceTypeError
        If an array is not of booleans, or does not fit the names.
    """
    cells = _as_cells(caught, "caught", len(rows), len(columns))
    frames = np.zeros_like(cells) if marked is None else _as_cells(marked, "marked", len(rows), len(columns))
    ax = new_axes(ax, "check_matrix", 2.0 + 0.42 * len(columns), 1.6 + 0.3 * len(rows))
    ax.imshow(cells, cmap=ListedColormap([PALE, VERMILION]), vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    where = np.argwhere(cells)  # (K, 2), row and column
    ax.plot(where[:, 1], where[:, 0], "x", color="white", markersize=6, markeredgewidth=1.8, linestyle="")
    framed = np.argwhere(frames)
    ax.plot(framed[:, 1], framed[:, 0], "s", color="black", markersize=15, markeredgewidth=1.5, fillstyle="none", ls="")
    for k in range(1, len(rows)):
        ax.axhline(k - 0.5, color="white", linewidth=2)
    for k in range(1, len(columns)):
        ax.axvline(k - 0.5, color="white", linewidth=2)
    annotate(ax, escape(title), "", "")
    ax.set_yticks(range(len(rows)), [escape(name) for name in rows])
    ax.set_xticks(range(len(columns)), [escape(name) for name in columns], rotation=40, ha="right")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def _as_cells(values: npt.ArrayLike, name: str, n_rows: int, n_columns: int) -> npt.NDArray[np.bool_]:
    cells = np.asarray(values)
    if cells.dtype != np.bool_:
        raise NiceTypeError(f"check_matrix: {name} must be an array of True and False, got dtype {cells.dtype}")
    if cells.shape != (n_rows, n_columns) or not cells.size:
        raise NiceValueError(
            f"check_matrix: {name} has shape {cells.shape}, expected ({n_rows}, {n_columns}), a cell per row and column"
        )
    return cells

"""The training steps as one picture: a panel a case, a bar a contender, dashed what the machine could do at best.

The other cases are tables only, unless nothing else was run: more than four panels are too small to read.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report import number
from benchmarks.result import Result, Row
from nice_np.plotting.style import BLUE, VERMILION

OTHER = "#9AA5B1"  # grey: nice_np is what the eye should find
COLUMNS = 2
WIDE = 50  # a longest bar so many times the shortest asks for a logarithmic axis
THIN: dict[str, Any] = {"lw": 0.8, "ecolor": "#333333"}
LABEL: dict[str, Any] = {  # readable also where the line of the ideal passes behind it
    "fontsize": 11,
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.5},
}
BAR_HEIGHT, PANEL_MARGIN, PANEL_WIDTH = 0.34, 0.9, 6.0  # inches


def draw(results: dict[str, Result], path: Path) -> None:
    """Write the picture."""
    drawable = [result for result in results.values() if measured(result)]
    panels = [result for result in drawable if result.title.startswith("Training step")] or drawable
    if not panels:
        return
    columns = min(COLUMNS, len(panels))
    n_rows = ceil(len(panels) / columns)
    bars = [len(measured(result)) for result in panels]
    heights = [PANEL_MARGIN + BAR_HEIGHT * max(bars[k * columns : (k + 1) * columns]) for k in range(n_rows)]
    figure = Figure(figsize=(PANEL_WIDTH * columns, sum(heights)), dpi=120, layout="constrained")
    axes = list(figure.subplots(n_rows, columns, squeeze=False, height_ratios=heights).flat)
    for ax, result in zip(axes, panels, strict=False):
        panel(ax, result)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    figure.savefig(path)


def measured(result: Result) -> list[Row]:
    return [row for row in result.rows if row.median is not None]


def panel(ax: Axes, result: Result) -> None:
    """Horizontal bars, since the names are long, with the quartiles as a thin line and the median as a number."""
    rows = measured(result)
    lows, medians, highs = (np.array([getattr(row, name) for row in rows]) for name in ("q1", "median", "q3"))
    colours = [BLUE if is_ours(row) else OTHER for row in rows]
    ax.barh(range(len(rows)), medians, xerr=(medians - lows, highs - medians), color=colours, error_kw=THIN)
    unit = result.unit
    if result.ideal is not None:
        ax.axvline(result.ideal, color=VERMILION, linestyle="--", linewidth=1.2)
        unit += f"; dashed: ideal, {number(result.ideal)}"
    if medians.max() > WIDE * medians.min():
        ax.set_xscale("log")
        ax.set_xlim(0.5 * medians.min(), 3 * highs.max())
        unit += ", logarithmic"
    else:
        ax.set_xlim(0, 1.15 * highs.max())
    for k, (median, high) in enumerate(zip(medians, highs, strict=True)):
        ax.annotate(number(median), (high, k), xytext=(5, 0), textcoords="offset points", va="center", **LABEL)
    ax.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=11)
    ax.invert_yaxis()  # the first row on top
    ax.set_title(result.title, fontsize=12, loc="left")
    ax.set_xlabel(unit, fontsize=11)
    ax.tick_params(axis="x", labelsize=10)
    ax.spines[["top", "right"]].set_visible(False)


def is_ours(row: Row) -> bool:
    """Whether nice_np was measured: by its name, or the compiled form of one of its kernels."""
    return "nice_np" in row.name or row.name.endswith(", compiled")

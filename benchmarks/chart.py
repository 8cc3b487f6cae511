"""The results as one picture: a panel a case, a bar a contender, a dashed line at what the machine could do at best."""

from __future__ import annotations

from math import ceil
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report import number
from benchmarks.result import Result, Row
from nice_np.plotting.style import BLUE, VERMILION

OTHER = "#9AA5B1"  # grey: nice_np is what the eye should find
COLUMNS = 2
BAR_HEIGHT, PANEL_MARGIN, PANEL_WIDTH = 0.24, 0.75, 6.5  # inches


def draw(results: dict[str, Result], path: Path) -> None:
    """Write the picture."""
    panels = [(name, result) for name, result in results.items() if measured(result)]
    if not panels:
        return
    columns = min(COLUMNS, len(panels))
    n_rows = ceil(len(panels) / columns)
    heights = [
        PANEL_MARGIN + BAR_HEIGHT * max(len(measured(result)) for _, result in panels[k * columns : (k + 1) * columns])
        for k in range(n_rows)
    ]
    figure = Figure(figsize=(PANEL_WIDTH * columns, sum(heights)), dpi=120, layout="constrained")
    axes = figure.subplots(n_rows, columns, squeeze=False, height_ratios=heights).flat
    for ax, (_, result) in zip(axes, panels, strict=False):
        panel(ax, result)
    for ax in list(axes)[len(panels) :]:
        ax.set_axis_off()
    figure.savefig(path)


def measured(result: Result) -> list[Row]:
    return [row for row in result.rows if row.median is not None]


def panel(ax: Axes, result: Result) -> None:
    """Horizontal bars: the names are long."""
    rows = measured(result)
    medians = [row.median for row in rows if row.median is not None]
    spread = [[m - (row.q1 or m) for m, row in zip(medians, rows, strict=True)],
              [(row.q3 or m) - m for m, row in zip(medians, rows, strict=True)]]  # fmt: skip
    colours = [BLUE if row.name.startswith("nice_np") else OTHER for row in rows]
    ax.barh(range(len(rows)), medians, xerr=spread, color=colours, ecolor="#333333", error_kw={"lw": 0.8})
    ax.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    ax.invert_yaxis()  # the first row on top
    right = max(row.q3 or m for m, row in zip(medians, rows, strict=True))
    for k, (median, row) in enumerate(zip(medians, rows, strict=True)):
        ax.text((row.q3 or median) + 0.015 * right, k, number(median), va="center", fontsize=8)
    if result.ideal is not None:
        ax.axvline(result.ideal, color=VERMILION, linestyle="--", linewidth=1.2, label=f"ideal {number(result.ideal)}")
        ax.legend(loc="lower right", fontsize=8)
    ax.set_xlim(0, 1.15 * right)
    ax.set_title(result.title, fontsize=9, loc="left")
    ax.set_xlabel(result.unit, fontsize=8)
    ax.tick_params(axis="x", labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)

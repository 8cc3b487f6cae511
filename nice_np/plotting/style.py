"""What all figures share: colours, Axes, labels, lines, and how they are written to a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.files.atomic import replacing
from nice_np.validation import Array

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"  # Okabe & Ito: distinct for colour-blind readers too
COLOURS = (BLUE, VERMILION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # without their yellow, pale on white
DASHES = ("-", "--", ":", "-.")
DPI = 100
STYLE: dict[str, Any] = {  # for a notebook's own figures: plt.rcParams.update(plotting.STYLE)
    "axes.prop_cycle": cycler(color=COLOURS, linestyle=[DASHES[k % len(DASHES)] for k in range(len(COLOURS))]),
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "figure.constrained_layout.use": True,
    "figure.dpi": DPI,
    "font.size": 9,
    "image.cmap": "viridis",
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


class Picture(Figure):
    """A figure that a notebook shows; of an ordinary one outside ``pyplot`` it prints the class and the size."""

    def _repr_png_(self) -> bytes:
        return png(self)


class Panel(Axes):
    """Axes whose figure a notebook shows where they are the last line of a cell."""

    def _repr_png_(self) -> bytes:
        return png(self)


class Panels(tuple[Axes, ...]):
    """The Axes of one figure, which a notebook shows."""

    __slots__ = ()

    def _repr_png_(self) -> bytes:
        return png(self[0])


def png(drawing: Axes | Figure) -> bytes:
    """What `save` writes to a .png file."""
    written = BytesIO()
    save(drawing, written)
    return written.getvalue()


def new_axes(ax: Axes | None, owner: str, width: float = 5.5, height: float = 4.2) -> Axes:
    """The Axes given, or those of a new figure of `width` x `height` inches."""
    if ax is None:
        return Picture(figsize=(width, height), dpi=DPI, layout="constrained").add_subplot(axes_class=Panel)
    if not isinstance(ax, Axes):
        raise NiceTypeError(f"{owner}: expected a matplotlib Axes, got {type(ax).__name__}")
    return ax


def new_panels(
    axes: Sequence[Axes] | None, owner: str, count: int, rows: int, size: tuple[float, float], **layout: Any
) -> tuple[Axes, ...]:
    """The `count` Axes given, or those of a new figure: `rows` rows, each panel `size` inches wide and high."""
    if axes is None:
        columns = -(-count // rows)
        figure = Picture(figsize=(size[0] * columns, size[1] * rows), dpi=DPI, layout="constrained")
        cells = figure.add_gridspec(rows, columns, **layout)
        return Panels(figure.add_subplot(cells[k], axes_class=Panel) for k in range(count))
    given = np.ravel(np.asarray(axes, dtype=object))
    if len(given) != count:
        raise NiceValueError(f"{owner}: expected {count} axes, one per panel, got {len(given)}")
    return tuple(new_axes(ax, owner) for ax in given)


def refuse_other(value: object, kind: type[Any], owner: str, name: str) -> None:
    """NiceTypeError unless `value` is a `kind`: for arguments that NumPy does not check."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise NiceTypeError(f"{owner}: {name} must be {article} {kind.__name__}, got {type(value).__name__}")


def line_style(k: int) -> dict[str, Any]:
    """Colour and dashes of the k-th line: neighbours differ in both and stay distinct in a grey print."""
    return {"color": COLOURS[k % len(COLOURS)], "linestyle": DASHES[k % len(DASHES)]}


def annotate(ax: Axes, title: str, xlabel: str, ylabel: str) -> None:
    """Title and axis labels."""
    ax.set_title(title, fontsize=10)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.tick_params(labelsize=8)


def bare(ax: Axes, title: str | None) -> None:
    """Images have no ticks and no frame."""
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0, labelsize=9)
    ax.spines[:].set_visible(False)
    if title is not None:
        ax.set_title(title, fontsize=10)


def escape(name: str) -> str:
    """A name shown literally: in Matplotlib $ starts mathematics, and labels that start with _ are not in legends."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def draw_line(ax: Axes, x: npt.NDArray[Any], y: Array, **style: Any) -> None:
    """A line over a pale grid, with a dot at each of up to 50 points."""
    ax.plot(x, y, marker="o" if len(x) <= 50 else "", markersize=3, **style)  # a single point has no line to see
    ax.grid(alpha=0.3)


def legend_above(ax: Axes, fontsize: float = 8) -> None:
    """A legend in the upper left corner, with the upper limit of y raised so that it covers no data."""
    legend = ax.legend(fontsize=fontsize, loc="upper left")
    share = 1.05 * legend.get_window_extent().height / ax.get_window_extent().height  # of the Axes' height
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, bottom + (top - bottom) / (1 - min(share, 0.7)))


def save(drawing: Axes | Figure, path: str | os.PathLike[str] | IO[bytes], dpi: int = DPI) -> None:
    """Write a figure, or the figure of an Axes; the extension selects the format (.png, .pdf, .svg, ...).

    The file is written whole or not at all.

    Parameters
    ----------
    drawing : Axes or Figure
    path : path or binary file
        A file, or a path without an extension, gets a .png.
    dpi : int
        Dots per inch.

    Raises
    ------
    NiceFileError
        If the path cannot be written.  The errors of an open file are its own.
    NiceValueError, NiceTypeError
        For an unknown extension; for another drawing.
    """
    if not isinstance(drawing, (Axes, Figure)):
        raise NiceTypeError(f"save: expected an Axes or a Figure, got {type(drawing).__name__}")
    figure = drawing if isinstance(drawing, Figure) else drawing.figure.figure  # of a SubFigure: the whole figure
    settings: dict[str, Any] = {"dpi": dpi, "bbox_inches": "tight"}
    try:
        if isinstance(path, (str, os.PathLike)):
            path = Path(path) if Path(path).suffix else Path(f"{os.fspath(path)}.png")
            with replacing(path) as file:
                figure.savefig(file, format=path.suffix[1:], **settings)
        else:
            figure.savefig(path, format="png", **settings)
    except ValueError as error:  # an unknown format
        raise NiceValueError(f"save: cannot write {str(path)!r}: {error}") from error

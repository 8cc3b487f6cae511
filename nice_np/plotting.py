"""Pictures of data and flows with Matplotlib: image grids, training curves, spectra, densities and bent grids.

Each function draws on the Axes it is given, or on those of a new Figure (made without ``pyplot``: no display is needed,
nothing stays open), and returns the Axes.  Wrong arguments raise NiceValueError or NiceTypeError.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nice_np.bijectors import DiagonalScaling, Standardize
from nice_np.checks import Array, as_int, as_real_array, as_samples
from nice_np.errors import NiceFileError, NiceOverflowError, NiceTypeError, NiceValueError

if TYPE_CHECKING:
    from nice_np.flow import Flow
    from nice_np.history import History

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"  # Okabe & Ito's colours: apart for colour-blind eyes too
SEPARATOR = "#C6D7E8"  # a pale blue: no grey of a picture looks like it
DPI = 100


def image_grid(
    images: npt.ArrayLike,
    image_shape: Sequence[int] | None = None,
    columns: int | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    value_range: Sequence[float] = (0, 1),
) -> Axes:
    """Draw grey images as tiles, row by row from the top left.

    Parameters
    ----------
    images : array_like, shape (N, D) or (N, H, W)
        At least one image, all finite; uint8 counts as 0..255 and is divided by 255 first.
    image_shape : (H, W), optional
        Needed for (N, D), unless the images are square.
    columns : int, optional
        Tiles in a row, by default about as many as there are rows.
    ax : Axes, optional
        A new figure shows each pixel as a square of whole screen pixels.
    title : str, optional
    value_range : (black, white)
        Values outside are drawn as black or white.
    """
    tiles = _as_images(images, image_shape, "image_grid", "images")  # (N, H, W)
    columns = math.ceil(math.sqrt(len(tiles))) if columns is None else as_int(columns, "image_grid", "columns", 1)
    return _draw_tiles([tiles], columns, ax, title, value_range, "image_grid")


def reconstructions(
    real: npt.ArrayLike,
    rebuilt: npt.ArrayLike,
    image_shape: Sequence[int] | None = None,
    ax: Axes | None = None,
    value_range: Sequence[float] = (0, 1),
) -> Axes:
    """Draw each image above its reconstruction, ten pairs in a row; the title tells the largest difference.

    Parameters
    ----------
    real, rebuilt : array_like, shape (N, D) or (N, H, W)
        Equal in shape; the difference is taken before values are clipped to `value_range`.
    image_shape, ax, value_range
        As for `image_grid`.
    """
    above = _as_images(real, image_shape, "reconstructions", "real")  # (N, H, W)
    below = _as_images(rebuilt, image_shape, "reconstructions", "rebuilt")
    if above.shape != below.shape:
        raise NiceValueError(f"reconstructions: real is {above.shape} but rebuilt {below.shape}; expected equal shapes")
    columns = min(len(above), 10)
    title = f"max|difference| = {np.abs(above - below).max():.2g}"
    ax = _draw_tiles([above, below], columns, ax, title, value_range, "reconstructions")
    step = above.shape[1] + 1  # a tile and a line
    n_rows = 2 * math.ceil(len(above) / columns)
    ax.set_yticks(step * (np.arange(n_rows) + 0.5), labels=["real", "rebuilt"] * (n_rows // 2))
    return ax


def training_curve(history: History, ax: Axes | None = None) -> Axes:
    """Draw the log-likelihood of training and validation data in nats, and mark the best validation.

    Parameters
    ----------
    history : History
        One row an epoch; one without a value (say, no validation in that epoch) is left out of that curve.
    ax : Axes, optional
    """
    keys = {"train": "train_log_likelihood", "validation": "validation_log_likelihood"}
    points = {
        name: [(row["epoch"], row[key]) for row in history.rows if row.get(key) is not None]
        for name, key in keys.items()
    }
    if not any(points.values()):
        raise NiceValueError("training_curve: the history holds no log-likelihood yet; train for an epoch first")
    ax = _axes(ax, "training_curve")
    for name, colour in (("train", BLUE), ("validation", VERMILION)):
        if points[name]:
            _draw_line(ax, *np.array(points[name], dtype=np.float64).T, color=colour, label=name)
    if points["validation"]:
        epoch, best = max(points["validation"], key=lambda point: point[1])
        label = f"best: {best:.2f} nats, epoch {epoch}"
        ax.plot(epoch, best, color=GREEN, marker="*", markersize=13, linestyle="", label=label)
    _annotate(ax, "Training", "epoch", "log-likelihood (nats)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.legend(fontsize=9)
    return ax


def spectrum(flow: Flow, ax: Axes | None = None) -> Axes:
    """Draw sigma_d = exp(-s_d) of the flow's last DiagonalScaling in descending order (Dinh et al. 2014).

    A small sigma_d marks a direction that the model treats as unused.
    """
    layers = flow.layers
    scalings = [layer for layer in layers if isinstance(layer, DiagonalScaling)]
    if not scalings:
        names = ", ".join(type(layer).__name__ for layer in layers)
        raise NiceValueError(f"spectrum: the flow has no DiagonalScaling layer, only {names}")
    sigma = np.exp(-np.sort(scalings[-1].log_scale.astype(np.float64)))  # (D,)
    ax = _axes(ax, "spectrum")
    _draw_line(ax, np.arange(1, len(sigma) + 1), sigma, color=BLUE)
    ax.set_yscale("log")
    # Standardize divides each feature by its std, so the scaling above it never sees the data's own units.
    unit = "\nin standardised coordinates" if any(isinstance(layer, Standardize) for layer in layers) else ""
    _annotate(ax, "Spectrum", "rank of the latent dimension $d$", rf"scale $\sigma_d = \exp(-s_d)${unit}")
    return ax


def density(
    flow: Flow,
    ax: Axes | None = None,
    samples: npt.ArrayLike | None = None,
    extent: Sequence[float] = (-4, 4, -4, 4),
    resolution: int = 200,
) -> Axes:
    """Draw the density p(x) of a flow over the plane, with a colour bar, and points on top.

    Parameters
    ----------
    flow : Flow
        Of dimension 2.  A density too large for a float64 raises NiceOverflowError.
    ax : Axes, optional
    samples : array_like, shape (M, 2), optional
    extent : (left, right, bottom, top)
        The part of the plane to show.
    resolution : int
        Pixels along each side; each shows the density at its middle.
    """
    left, right, bottom, top = _as_extent(flow, extent, "density")
    middles = np.arange(0.5, as_int(resolution, "density", "resolution", 2)) / resolution  # in units of the whole side
    grid = np.stack(np.meshgrid(left + (right - left) * middles, bottom + (top - bottom) * middles), axis=-1)
    log_prob = flow.log_prob(grid.reshape(-1, 2)).reshape(grid.shape[:2]).astype(np.float64)  # [i, j] at (x1_j, x2_i)
    if log_prob.max() > np.log(np.finfo(np.float64).max):
        raise NiceOverflowError(f"density: log p(x) reaches {log_prob.max():g}, and its exp does not fit into float64")
    points = None if samples is None else as_samples(samples, 2, owner="density", name="samples")
    ax = _axes(ax, "density")
    image = ax.imshow(np.exp(log_prob), origin="lower", extent=(left, right, bottom, top), cmap="viridis", vmin=0)
    bar = ax.figure.colorbar(image, ax=ax, label="density $p(x)$")
    bar.ax.tick_params(labelsize=8)
    _annotate(ax, "Density", "$x_1$", "$x_2$")
    if points is not None:
        _draw_points(ax, points)
        ax.legend(fontsize=9, loc="upper right", markerscale=2)
    ax.set(xlim=(left, right), ylim=(bottom, top))
    return ax


def bent_grid(
    flow: Flow,
    axes: Sequence[Axes] | None = None,
    samples: npt.ArrayLike | None = None,
    extent: Sequence[float] = (-3, 3, -3, 3),
    lines: int = 13,
) -> tuple[Axes, ...]:
    """Draw how a flow bends a regular grid of the latent plane, layer by layer, on its way to data space.

    The first panel is the latent grid, coloured by z_1; each further one comes after one more layer's inverse.

    Parameters
    ----------
    flow : Flow
        Of dimension 2.
    axes : sequence of Axes, optional
        One a stage: one more than the flow has layers.  They are returned, latent plane first.
    samples : array_like, shape (M, 2), optional
        Data points, drawn as they are in the last panel and encoded layer by layer towards the first.
    extent : (left, right, bottom, top)
        The part of the latent plane that the grid covers.
    lines : int
        Grid lines in each direction.
    """
    left, right, bottom, top = _as_extent(flow, extent, "bent_grid")
    at = np.linspace(0, 1, as_int(lines, "bent_grid", "lines", 2))
    upright = np.stack(np.meshgrid(at, np.linspace(0, 1, 101), indexing="ij"), axis=-1)  # (lines, P, 2): P points each
    unit = np.concatenate([upright, upright[..., ::-1]])  # (L, P, 2): the level lines are the upright ones mirrored
    grid = unit * [right - left, top - bottom] + [left, bottom]
    layers = flow.layers
    names = [f"{k}. {type(layer).__name__}$^{{-1}}$" for k, layer in enumerate(layers, start=1)]
    titles = ["latent $z$", *names[:0:-1], f"{names[0]}: data $x$"]
    symbols = ["z"] + ["h"] * (len(layers) - 1) + ["x"]
    stages = [grid.reshape(-1, 2)]  # (L P, 2) each, latent first
    for layer in reversed(layers):
        stages.append(layer.inverse(stages[-1])[0])
    clouds = [np.empty((0, 2)) if samples is None else as_samples(samples, 2, owner="bent_grid", name="samples")]
    for layer in layers:
        clouds.insert(0, layer.forward(clouds[0])[0])  # (M, 2) each, latent first
    panels = _panels(axes, len(stages))
    for ax, stage, cloud, title, symbol in zip(panels, stages, clouds, titles, symbols, strict=True):
        path = stage.reshape(grid.shape)  # (L, P, 2)
        pieces = np.stack([path[:, :-1], path[:, 1:]], axis=2).reshape(-1, 2, 2)  # (pieces, start | end, 2)
        colours = grid[:, :-1, 0].ravel()  # z_1 where each piece starts
        ax.add_collection(LineCollection(list(pieces), array=colours, cmap="viridis", linewidths=1, capstyle="round"))
        _draw_points(ax, cloud)
        ax.autoscale_view()
        ax.set_aspect("equal", adjustable="datalim")
        _annotate(ax, title, f"${symbol}_1$", f"${symbol}_2$")
    if samples is not None:
        panels[0].legend(fontsize=8, loc="upper right", markerscale=2)
    return panels


def save(drawing: Axes | Figure, path: str | os.PathLike[str], dpi: int = DPI) -> None:
    """Write a figure, or the figure of an Axes, to a file; the ending chooses the format (.png, .pdf, .svg, ...).

    A path that cannot be written raises NiceFileError, an unknown ending NiceValueError.
    """
    figure = drawing if isinstance(drawing, Figure) else drawing.figure.figure  # of a SubFigure: the whole figure
    try:
        figure.savefig(path, dpi=dpi, bbox_inches="tight")
    except (OSError, ValueError) as error:
        kind = NiceFileError if isinstance(error, OSError) else NiceValueError
        raise kind(f"save: cannot write {os.fspath(path)!r}: {error}") from error


def _axes(ax: Axes | None, owner: str) -> Axes:
    if ax is None:
        return Figure(figsize=(5.5, 4.2), dpi=DPI, layout="constrained").add_subplot()
    if not isinstance(ax, Axes):
        raise NiceTypeError(f"{owner}: expected a matplotlib Axes, got {type(ax).__name__}")
    return ax


def _panels(axes: Sequence[Axes] | None, count: int) -> tuple[Axes, ...]:
    """The `count` Axes given, or new ones, up to five in a row."""
    if axes is None:
        rows = math.ceil(count / 5)
        columns = math.ceil(count / rows)
        figure = Figure(figsize=(2.9 * columns, 3.1 * rows), dpi=DPI, layout="constrained")
        return tuple(figure.add_subplot(rows, columns, k + 1) for k in range(count))
    given = np.ravel(np.asarray(axes, dtype=object))
    if len(given) != count:
        raise NiceValueError(f"bent_grid: expected {count} axes (latent plane + one a layer), got {len(given)}")
    return tuple(_axes(ax, "bent_grid") for ax in given)


def _annotate(ax: Axes, title: str, xlabel: str, ylabel: str) -> None:
    ax.set_title(title, fontsize=10)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.tick_params(labelsize=8)


def _draw_line(ax: Axes, x: npt.NDArray[Any], y: Array, **style: Any) -> None:
    ax.plot(x, y, marker="o" if len(x) <= 50 else "", markersize=3, **style)  # a single point has no line to see
    ax.grid(alpha=0.3)


def _draw_points(ax: Axes, points: Array) -> None:
    ax.scatter(points[:, 0], points[:, 1], s=7, color=VERMILION, edgecolors="white", linewidths=0.3, label="samples")


def _as_extent(flow: Flow, extent: Any, owner: str) -> tuple[float, float, float, float]:
    if flow.dim != 2:
        raise NiceValueError(f"{owner}: expected a flow of dimension 2, got dimension {flow.dim}")
    values = as_real_array(extent, owner, "extent")
    if values.shape != (4,) or not np.isfinite(values).all() or not (values[::2] < values[1::2]).all():
        raise NiceValueError(f"{owner}: extent must be left < right, bottom < top, four numbers; got {extent}")
    left, right, bottom, top = values.tolist()
    return left, right, bottom, top


def _as_images(images: Any, image_shape: Any, owner: str, name: str) -> Array:
    """What a caller may bring, as (N, H, W) in float64; uint8 comes out as 0..1."""
    raw = as_real_array(images, owner, name)
    if raw.ndim not in (2, 3) or raw.size == 0:
        raise NiceValueError(f"{owner}: {name} must have shape (N, D) or (N, H, W), N >= 1; got {raw.shape}")
    if image_shape is None:
        image_shape = raw.shape[1:] if raw.ndim == 3 else [math.isqrt(raw.shape[1])] * 2
    shape = tuple(as_int(side, owner, "each side of image_shape", 1) for side in np.ravel(image_shape))
    if len(shape) != 2 or raw.shape[1:] not in [shape, (shape[0] * shape[1],)]:
        raise NiceValueError(f"{owner}: {name} {raw.shape} are not grey images of {shape}; give image_shape=(H, W)")
    flat = as_samples(raw.reshape(len(raw), -1), None, owner=owner, name=name, dtype=np.float64)  # (N, H W)
    return flat.reshape(-1, *shape) / (255 if raw.dtype == np.uint8 else 1)


def _draw_tiles(
    bands: list[Array], columns: int, ax: Axes | None, title: str | None, value_range: Any, owner: str
) -> Axes:
    """Draw the k-th images of all bands, each (N, H, W), one above the other, with lines one pixel wide around all."""
    levels = as_real_array(value_range, owner, "value_range")
    if levels.shape != (2,) or not levels[0] < levels[1]:
        raise NiceValueError(f"{owner}: value_range must be two numbers, black < white; got {value_range}")
    count, height, width = bands[0].shape
    n_rows = len(bands) * math.ceil(count / columns)
    sheet = np.full((n_rows * (height + 1) + 1, columns * (width + 1) + 1), np.nan)  # NaN: a line or an empty place
    for b, band in enumerate(bands):
        for k, image in enumerate(band):
            top, left = (k // columns * len(bands) + b) * (height + 1) + 1, k % columns * (width + 1) + 1
            sheet[top : top + height, left : left + width] = image
    if ax is None:
        zoom = max(1, 600 // max(sheet.shape))  # whole, so that all pixels look equal
        up, across = (zoom * side + 120 for side in sheet.shape)  # 60 around for the title and the names of rows
        figure = Figure(figsize=(across / DPI, up / DPI), dpi=DPI)
        ax = figure.add_axes((60 / across, 60 / up, 1 - 120 / across, 1 - 120 / up))
    ax = _axes(ax, owner)
    grey = matplotlib.colormaps["gray"].with_extremes(bad=SEPARATOR)
    ax.imshow(sheet, cmap=grey, vmin=levels[0], vmax=levels[1], interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0, labelsize=9)
    ax.spines[:].set_visible(False)
    if title is not None:
        ax.set_title(title, fontsize=10)
    return ax

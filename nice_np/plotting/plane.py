"""Flows of the plane: the density p(x), and a regular latent grid, bent layer by layer into data space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.image import AxesImage

from nice_np.errors import NiceOverflowError, NiceValueError
from nice_np.flows.flow import Flow
from nice_np.plotting.style import VERMILION, annotate, new_axes, new_panels, refuse_other
from nice_np.validation import Array, as_float, as_int, as_real_array, as_samples

Extent = tuple[float, float, float, float]  # left, right, bottom, top


def density(
    flow: Flow,
    ax: Axes | None = None,
    samples: npt.ArrayLike | None = None,
    extent: Sequence[float] = (-4, 4, -4, 4),
    resolution: int = 200,
    top: float | None = None,
) -> Axes:
    """Draw the density p(x) of a flow over the plane, with a colour bar, and points on top.

    Parameters
    ----------
    flow : Flow
        Of dimension 2.  A density too large for float64 raises NiceOverflowError.
    ax : Axes, optional
    samples : array_like, shape (M, 2), optional
    extent : (left, right, bottom, top)
        The part of the plane to show.
    resolution : int
        Pixels along each side; each shows the density at its centre.
    top : float, optional
        The density of the brightest colour, in 1 / area, so that several panels can share it; by default the highest.

    Returns
    -------
    matplotlib.axes.Axes
    """
    values = density_on_grid(flow, extent, resolution, "density")
    points = None if samples is None else as_samples(samples, 2, owner="density", name="samples")
    brightest = None if top is None else as_float(top, "density", "top", above=0)
    ax = new_axes(ax, "density")
    draw_density(ax, values, as_extent(flow, extent, "density"), brightest)
    if points is not None:
        _draw_points(ax, points)
        ax.legend(fontsize=9, loc="upper right", markerscale=2)
    return ax


def draw_density(
    ax: Axes, values: Array, extent: Extent, brightest: float | None, title: str = "Density", colours: Any = "viridis"
) -> AxesImage:
    """Densities on a grid as an image with a colour bar, from 0 to `brightest`."""
    image = ax.imshow(values, origin="lower", extent=extent, cmap=colours, vmin=0, vmax=brightest)
    ax.figure.colorbar(image, ax=ax, label="density $p(x)$").ax.tick_params(labelsize=8)
    annotate(ax, title, "$x_1$", "$x_2$")
    ax.set(xlim=extent[:2], ylim=extent[2:])  # fixed: points drawn later do not change them
    return image


def density_on_grid(flow: Flow, extent: Sequence[float], resolution: int, owner: str) -> npt.NDArray[np.float64]:
    """p(x) at the centres of resolution x resolution equal cells of the plane; [i, j] is the point (x1_j, x2_i)."""
    points = cell_middles(as_extent(flow, extent, owner), as_int(resolution, owner, "resolution", 2))
    log_prob = flow.log_prob(points).reshape(resolution, resolution).astype(np.float64)
    if log_prob.max() > np.log(np.finfo(np.float64).max):
        raise NiceOverflowError(f"{owner}: log p(x) reaches {log_prob.max():g}, and its exp does not fit into float64")
    values: npt.NDArray[np.float64] = np.exp(log_prob)
    return values


def cell_middles(extent: Extent, resolution: int) -> npt.NDArray[np.float64]:
    """The centres of resolution x resolution equal cells of the plane, (resolution^2, 2), row by row from below."""
    left, right, bottom, top = extent
    middles = np.arange(0.5, resolution) / resolution  # in units of the whole side
    grid = np.stack(np.meshgrid(left + (right - left) * middles, bottom + (top - bottom) * middles), axis=-1)
    return grid.reshape(-1, 2)


def grid_lines(extent: Extent, lines: int, points: int = 101) -> npt.NDArray[np.float64]:
    """Points along the lines of a regular grid, (2 lines, points, 2): first the vertical lines, then the horizontal."""
    left, right, bottom, top = extent
    at = np.linspace(0, 1, lines)
    vertical = np.stack(np.meshgrid(at, np.linspace(0, 1, points), indexing="ij"), axis=-1)  # (lines, points, 2)
    unit = np.concatenate([vertical, vertical[..., ::-1]])  # mirrored, they are the horizontal lines
    grid: npt.NDArray[np.float64] = unit * [right - left, top - bottom] + [left, bottom]
    return grid


def bent_grid(
    flow: Flow,
    axes: Sequence[Axes] | None = None,
    samples: npt.ArrayLike | None = None,
    extent: Sequence[float] = (-3, 3, -3, 3),
    lines: int = 13,
) -> tuple[Axes, ...]:
    """Draw how the layers of a flow bend a regular grid of the latent plane on its way to data space.

    The first panel is the latent grid, coloured by z_1; each further one applies one more layer's inverse.

    Parameters
    ----------
    flow : Flow
        Of dimension 2.
    axes : sequence of Axes, optional
        One per stage: one more than the flow has layers.
    samples : array_like, shape (M, 2), optional
        Data points, drawn as they are in the last panel and encoded layer by layer towards the first.
    extent : (left, right, bottom, top)
        The part of the latent plane that the grid covers.
    lines : int
        Grid lines in each direction.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        Latent plane first.
    """
    grid = grid_lines(as_extent(flow, extent, "bent_grid"), as_int(lines, "bent_grid", "lines", 2))  # (L, P, 2)
    layers = flow.layers
    names = [f"{k}. {type(layer).__name__}$^{{-1}}$" for k, layer in enumerate(layers, start=1)]
    titles = ["latent $z$", *names[:0:-1], f"{names[0]}: data $x$"]
    symbols = ["z"] + ["h"] * (len(layers) - 1) + ["x"]
    stages: list[Array] = [grid.reshape(-1, 2)]  # (L P, 2) each, latent first
    for layer in reversed(layers):
        stages.append(layer.inverse(stages[-1])[0])
    clouds = [np.empty((0, 2)) if samples is None else as_samples(samples, 2, owner="bent_grid", name="samples")]
    for layer in layers:
        clouds.insert(0, layer.forward(clouds[0])[0])  # (M, 2) each, latent first
    rows = -(-len(stages) // 5)  # up to five panels in each
    panels = new_panels(axes, "bent_grid", len(stages), rows, size=(2.9, 3.1))
    for ax, stage, cloud, title, symbol in zip(panels, stages, clouds, titles, symbols, strict=True):
        path = stage.reshape(grid.shape)  # (L, P, 2)
        pieces = np.stack([path[:, :-1], path[:, 1:]], axis=2).reshape(-1, 2, 2)  # (pieces, start | end, 2)
        colours = grid[:, :-1, 0].ravel()  # z_1 where each piece starts
        ax.add_collection(LineCollection(list(pieces), array=colours, cmap="viridis", linewidths=1, capstyle="round"))
        _draw_points(ax, cloud)
        ax.autoscale_view()
        ax.set_aspect("equal", adjustable="datalim")
        annotate(ax, title, f"${symbol}_1$", f"${symbol}_2$")
    if samples is not None:
        panels[0].legend(fontsize=8, loc="upper right", markerscale=2)
    return panels


def _draw_points(ax: Axes, points: Array) -> None:
    ax.scatter(points[:, 0], points[:, 1], s=7, color=VERMILION, edgecolors="white", linewidths=0.3, label="samples")


def as_extent(flow: Flow, extent: Any, owner: str) -> Extent:
    """(left, right, bottom, top), checked together with the flow and its dimension."""
    refuse_other(flow, Flow, owner, "flow")
    if flow.dim != 2:
        raise NiceValueError(f"{owner}: expected a flow of dimension 2, got dimension {flow.dim}")
    values = as_real_array(extent, owner, "extent")
    if values.shape != (4,) or not np.isfinite(values).all() or not (values[::2] < values[1::2]).all():
        raise NiceValueError(f"{owner}: extent must be left < right, bottom < top, four numbers; got {extent}")
    left, right, bottom, top = values.tolist()
    return left, right, bottom, top

"""The three pictures of the playground: density, bent grid and log-determinant, with one point in all of them.

Only what a slider moves is redrawn, over a saved picture of the rest (axes, ticks, colour bars): Matplotlib's
"blitting", which is fast enough to follow the mouse.  `moving` lists the artists that are redrawn.
"""

from __future__ import annotations

from math import ceil, floor, log10
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from nice_np.bijectors import AdditiveCoupling, Coupling, MultiplicativeCoupling
from nice_np.flows.flow import Flow
from nice_np.plotting.plane import cell_middles, density_on_grid, grid_lines
from nice_np.plotting.style import BLUE, VERMILION, annotate
from nice_np.validation import Array

RESOLUTION = 80  # cells along each side
LINES = 13
BOTTOM, SIDE, WIDTH = 0.5, 0.4, 0.225  # of a panel, in units of the figure's size
LEFTS = (0.05, 0.385, 0.7)
FORMULA = r"$\log p(x) = \log p_Z(z) + \log|\det\,\partial z / \partial x|$"


class Panels:
    """Density, bent grid and log-determinant side by side in the upper half of a figure, below a line of numbers.

    `density` is p(x) in 1 / area, `upright` and `level` are images of lines with constant z_1 and z_2, `numbers` are
    log-likelihood, x and z of the point.
    """

    def __init__(self, figure: Figure) -> None:
        self.axes = tuple(figure.add_axes((left, BOTTOM, WIDTH, SIDE)) for left in LEFTS)
        first, second, third = self.axes
        self.density = _image(first, "viridis", "density $p(x)$")
        self.log_det = _image(third, "RdBu_r", r"$\log|\det \partial z / \partial x|$ (nats)")
        self.upright = LineCollection([], colors=BLUE, linewidths=1, label="$z_1$ constant")
        self.level = LineCollection([], colors=VERMILION, linewidths=1, label="$z_2$ constant")
        for lines in (self.upright, self.level):
            second.add_collection(lines, autolim=False)
        second.legend(
            fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1.02, 0.99), frameon=False, handlelength=1
        )
        self.points = [_marker(ax) for ax in self.axes]
        for ax, title in zip(self.axes, ("Density", "", "Change of volume"), strict=True):
            annotate(ax, title, "$x_1$", "$x_2$")
        second.set_title("Latent grid", fontsize=10, loc="left")
        figure.text(0.41, 0.985, FORMULA, ha="right", va="top", fontsize=11)
        place: dict[str, Any] = {"transform": figure.transFigure, "va": "top", "fontsize": 11}
        self.numbers = first.text(0.416, 0.985, "", **place)  # in an Axes: a figure does not save its own animated text
        self.moving: list[Artist] = [self.density, self.upright, self.level, self.log_det, *self.points, self.numbers]
        self.moving += [first.title, *(spine for ax in (first, third) for spine in ax.spines.values())]
        self._frame: tuple[float, ...] = ()

    def show(self, flow: Flow, x: Array, width: float) -> bool:
        """Show the current flow on the square from -width to width, and the point x (2,).

        Returns whether the rest has changed too: the square, or the range of the colours.
        """
        extent = (-width, width, -width, width)
        p = density_on_grid(flow, extent, RESOLUTION, "play")  # (R, R)
        log_det = flow.bijector.forward(cell_middles(extent, RESOLUTION))[1].reshape(p.shape)  # (R, R)
        mass = p.sum() * (2 * width / RESOLUTION) ** 2
        self.density.set_data(p)
        self.log_det.set_data(log_det)
        self.axes[0].set_title(f"Density: {mass:.1%} of the mass in the window", fontsize=10)
        grid = grid_lines(extent, LINES)  # (2 LINES, P, 2)
        bent = flow.decode(grid.reshape(-1, 2)).reshape(grid.shape)
        self.upright.set_segments(list(bent[:LINES]))
        self.level.set_segments(list(bent[LINES:]))
        self.show_point(flow, x)
        frame = (width, _rounded_up(p.max()), float(max(1, ceil(np.abs(log_det).max()))))
        changed = frame != self._frame
        if changed:
            self._set_frame(*frame)
        return changed

    def _set_frame(self, width: float, brightest: float, deepest: float) -> None:
        self._frame = (width, brightest, deepest)
        self.density.set_clim(0, brightest)
        self.log_det.set_clim(-deepest, deepest)
        for image in (self.density, self.log_det):
            image.set_extent((-width, width, -width, width))
        for ax in self.axes:
            ax.set(xlim=(-width, width), ylim=(-width, width))

    def show_point(self, flow: Flow, x: Array) -> None:
        """Move only the point, and update its numbers."""
        z, log_det, _ = flow.bijector.forward(x[None])
        prior, log_prob = flow.prior.log_prob(z)[0], flow.log_prob(x[None])[0]
        for point in self.points:
            point.set_data(x[:1], x[1:])
        self.numbers.set_text(  # no mathtext, which is slow to render
            f"= {prior:.2f} {'+' if log_det[0] >= 0 else '-'} {abs(log_det[0]):.2f} = {log_prob:.2f} nats"
            f"     at x = ({x[0]:.2f}, {x[1]:.2f}), z = ({z[0, 0]:.2f}, {z[0, 1]:.2f})"
        )


class ConditionerCurves:
    """Shift and log-scale of a coupling as curves over the feature u that it keeps.

    At v = 0 a coupling's output is its shift t(u), and its log-determinant is log s(u), whatever its law and
    conditioner.
    """

    def __init__(self, ax: Axes, coupling: Coupling, width: float) -> None:
        self.coupling, self.width = coupling, width
        u, v = (indices[0] + 1 for indices in (coupling.partition.idx_a, coupling.partition.idx_b))
        shift, log_scale = rf"shift $t(x_{u})$ of $x_{v}$", rf"log-scale $\log s(x_{u})$ of $x_{v}$"
        self.shift = ax.plot([], [], color=BLUE, label=shift)[0]
        self.log_scale = ax.plot([], [], color=VERMILION, linestyle="--", label=log_scale)[0]
        self.moving: list[Artist] = [self.shift, self.log_scale]
        always_zero = {AdditiveCoupling: self.log_scale, MultiplicativeCoupling: self.shift}.get(type(coupling))
        if always_zero is not None:
            always_zero.remove()
            self.moving.remove(always_zero)
        ax.axhline(0, color="black", linewidth=0.5)
        ax.set(xlim=(-width, width), ylim=(-3.3, 3.3), xticks=(-width, 0, width), yticks=(-3, 0, 3))
        ax.tick_params(labelsize=7)
        ax.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False, handlelength=1.5)
        self.show()

    def show(self) -> None:
        """Draw the current coupling."""
        u = np.linspace(-self.width, self.width, 61)
        points = np.zeros((len(u), 2))
        points[:, self.coupling.partition.idx_a[0]] = u
        y, log_s, _ = self.coupling.forward(points)
        self.shift.set_data(u, y[:, self.coupling.partition.idx_b[0]])
        self.log_scale.set_data(u, log_s)


def _rounded_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7 times a power of ten, so that small moves of a slider keep the colour bar."""
    unit = 10.0 ** floor(log10(value)) if value > 0 else 1.0
    return unit * next((step for step in (1, 1.5, 2, 3, 5, 7) if value <= step * unit), 10)


def _image(ax: Axes, colours: str, label: str) -> AxesImage:
    image = ax.imshow(np.zeros((2, 2)), origin="lower", cmap=colours, interpolation="bilinear", extent=(-1, 1, -1, 1))
    box = ax.get_position()
    bar_axes = ax.figure.add_axes((box.x1 + 0.006, box.y0, 0.008, box.height))
    bar = ax.figure.colorbar(image, cax=bar_axes)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return image


def _marker(ax: Axes) -> Line2D:
    style: dict[str, Any] = {"markersize": 8, "markerfacecolor": "white", "markeredgecolor": "black", "zorder": 5}
    return ax.plot([], [], "o", **style)[0]

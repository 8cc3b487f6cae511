"""Rows of images of any size and colour, each drawn one unit high, with room for captions below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nice_np.checks import Array
from nice_np.errors import NiceValueError
from nice_np.plotting.style import DPI, new_axes
from nice_np.plotting.tiles import as_images, bare, escape, to_colours

GAP = 0.06  # between images, in units of their height
TILE = 96  # screen pixels: a multiple of 32 and 48, the sides of CIFAR-10 and TFD


def sample_rows(
    groups: Mapping[str, npt.ArrayLike],
    ax: Axes | None = None,
    title: str | None = None,
    value_range: Sequence[float] = (0, 1),
) -> Axes:
    """Draw one row of images for each data set, with its name at the left: samples of several models side by side.

    Parameters
    ----------
    groups : mapping of a name to images
        Each (N, H, W) for grey or (N, 3, H, W) for colour, or (N, D) of grey squares; uint8 or in `value_range`.
        Groups may differ in number, size and colour: all images are drawn equally high.
    ax : Axes, optional
    title : str, optional
    value_range : (black, white)

    Examples
    --------
    >>> import numpy as np
    >>> ax = sample_rows({"digits": np.zeros((10, 28, 28)), "photographs": np.ones((10, 3, 32, 32))})
    """
    if not groups:
        raise NiceValueError("sample_rows: expected at least one group of images, got none")
    rows = [
        to_colours(as_images(images, None, "sample_rows", f"{name!r}"), value_range, "sample_rows")
        for name, images in groups.items()
    ]  # (N, H, W, 3) each
    return draw_rows(rows, list(groups), GAP, ax, title, "sample_rows")


def draw_rows(
    rows: Sequence[Array], names: Sequence[str], gap: float, ax: Axes | None, title: str | None, owner: str
) -> Axes:
    """Draw each row of RGB images, (N, H, W, 3), one unit high with `gap` below it, and its name at the left.

    The k-th image of row r fills x from `left_edge(images, k)` on, and y from r (1 + gap) to one more, downwards.
    """
    width = max(left_edge(images, len(images)) for images in rows) - GAP
    height = len(rows) * (1 + gap) - min(gap, GAP)
    if ax is None:
        across, up = TILE * width + 120, TILE * height + 60  # room for names and title
        figure = Figure(figsize=(across / DPI, up / DPI), dpi=DPI)
        ax = figure.add_axes((110 / across, 10 / up, TILE * width / across, TILE * height / up))
    ax = new_axes(ax, owner)
    for r, images in enumerate(rows):
        for k, image in enumerate(images):
            left, top = left_edge(images, k), r * (1 + gap)
            right = left_edge(images, k + 1) - GAP
            ax.imshow(image, extent=(left, right, top + 1, top), interpolation="antialiased")
    bare(ax, title)
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.set_yticks([r * (1 + gap) + 0.5 for r in range(len(rows))], labels=[escape(name) for name in names])
    return ax


def left_edge(images: Array, k: int) -> float:
    """Where the k-th of a row of images (N, H, W, 3) begins, when each is one unit high."""
    height, width = images.shape[1:3]
    return k * (float(width / height) + GAP)

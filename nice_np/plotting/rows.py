"""Rows of images of any size and colour, each drawn one unit high, with room for captions below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from nice_np.errors import NiceValueError
from nice_np.plotting.style import DPI, Panel, Picture, bare, escape, new_axes, refuse_other
from nice_np.plotting.tiles import as_images, to_colours
from nice_np.validation import Array

GAP = 0.06  # between images, in units of their height
APART = 0.3  # between data sets
TILE = 96  # screen pixels: a multiple of 32 and 48, the image sizes of CIFAR-10 and TFD


def sample_rows(
    groups: Mapping[str, npt.ArrayLike],
    ax: Axes | None = None,
    title: str | None = None,
    value_range: Sequence[float] = (0, 1),
) -> Axes:
    """Draw one row of images per group, with its name on the left: samples of several models side by side.

    Parameters
    ----------
    groups : mapping of a name to images
        Each (N, H, W) for grey, (N, 3, H, W) for colour, or (N, D) for grey squares; uint8 or in `value_range`.  Groups
        may differ in number, size and colour: all images are drawn equally high.
    ax, title, value_range
        As in `image_grid`.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np
    >>> ax = sample_rows({"digits": np.zeros((10, 28, 28)), "photographs": np.ones((10, 3, 32, 32))})
    """
    refuse_other(groups, Mapping, "sample_rows", "groups")
    if not groups:
        raise NiceValueError("sample_rows: expected at least one group of images, got none")
    rows = [_row(images, name, value_range, "sample_rows") for name, images in groups.items()]
    return draw_rows(rows, list(groups), [*[GAP] * (len(rows) - 1), 0], ax, title, "sample_rows")


def data_and_samples(
    data: Mapping[str, npt.ArrayLike],
    samples: Mapping[str, npt.ArrayLike],
    ax: Axes | None = None,
    title: str | None = None,
    value_range: Sequence[float] = (0, 1),
) -> Axes:
    """Draw, for each data set, a row of its images and below it a row of samples from its model.

    Parameters
    ----------
    data, samples : mapping of a data set's name to images
        With the same names, drawn in the order of `data`; images as in `sample_rows`.
    ax, title, value_range
        As in `image_grid`.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np
    >>> ax = data_and_samples({"digits": np.zeros((10, 28, 28))}, {"digits": np.ones((10, 28, 28))})
    """
    owner = "data_and_samples"
    for name, images in (("data", data), ("samples", samples)):
        refuse_other(images, Mapping, owner, name)
    if not data or set(data) != set(samples):
        raise NiceValueError(
            f"{owner}: expected data and samples of the same names, at least one; "
            f"got {', '.join(data) or 'none'} and {', '.join(samples) or 'none'}"
        )
    rows = [_row(images[name], name, value_range, owner) for name in data for images in (data, samples)]
    names = [text for name in data for text in (f"{name}: data", "model")]
    return draw_rows(rows, names, [*([GAP, APART] * len(data))[:-1], 0], ax, title, owner)


def _row(images: npt.ArrayLike, name: str, value_range: Sequence[float], owner: str) -> Array:
    return to_colours(as_images(images, None, owner, f"{name!r}"), value_range, owner)  # (N, H, W, 3)


def draw_rows(
    rows: Sequence[Array], names: Sequence[str], room: Sequence[float], ax: Axes | None, title: str | None, owner: str
) -> Axes:
    """Draw each row of RGB images, (N, H, W, 3), one unit high with `room` below it, and its name on the left.

    The k-th image of a row starts at x = `left_edge(images, k)`; y grows downwards.
    """
    width = max(left_edge(images, len(images)) for images in rows) - GAP
    tops = np.concatenate([[0], np.cumsum(np.add(room, 1))])  # of the rows, and the end of the last one's room
    height = float(tops[-1])
    if ax is None:
        across, up = TILE * width + 120, TILE * height + 60  # room for names and title
        figure = Picture(figsize=(across / DPI, up / DPI), dpi=DPI)
        ax = figure.add_axes((110 / across, 10 / up, TILE * width / across, TILE * height / up), axes_class=Panel)
    ax = new_axes(ax, owner)
    for images, top in zip(rows, tops, strict=False):
        for k, image in enumerate(images):
            left, right = left_edge(images, k), left_edge(images, k + 1) - GAP
            ax.imshow(image, extent=(left, right, top + 1, top), interpolation="antialiased")
    bare(ax, title)
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.set_yticks(tops[:-1] + 0.5, labels=[escape(name) for name in names])
    return ax


def left_edge(images: Array, k: int) -> float:
    """Where the k-th of a row of images (N, H, W, 3), each one unit high, starts."""
    height, width = images.shape[1:3]
    return k * (float(width / height) + GAP)

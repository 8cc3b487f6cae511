"""Images in a grid: samples, reconstructions below their originals, and one row a class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from nice_np.errors import NiceValueError
from nice_np.plotting.style import refuse_other
from nice_np.plotting.tiles import as_images, draw_sheet, name_rows
from nice_np.validation import as_int


def image_grid(
    images: npt.ArrayLike,
    image_shape: Sequence[int] | None = None,
    columns: int | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    value_range: Sequence[float] = (0, 1),
) -> Axes:
    """Draw images as tiles, row by row from the top left.

    Parameters
    ----------
    images : array_like, shape (N, D), (N, H, W) or (N, 3, H, W)
        At least one image, all finite; uint8 counts as 0..255 and is divided by 255 first.
    image_shape : (H, W) for grey or (3, H, W) for colour, optional
        Needed for (N, D), unless the images are grey and square.  A row of colour holds the red plane, then the green
        one, then the blue one, as CIFAR-10 has it.
    columns : int, optional
        Tiles in a row, by default about as many as there are rows.
    ax : Axes, optional
        A new figure shows each pixel as a square of whole screen pixels.
    title : str, optional
    value_range : (black, white)
        Values outside are drawn as black or white, in colour those of each plane by itself.

    Returns
    -------
    matplotlib.axes.Axes
    """
    tiles = as_images(images, image_shape, "image_grid", "images")  # (N, H, W, C)
    columns = math.ceil(math.sqrt(len(tiles))) if columns is None else as_int(columns, "image_grid", "columns", 1)
    return draw_sheet([tiles], columns, ax, title, value_range, "image_grid")


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
    real, rebuilt : array_like, shape (N, D), (N, H, W) or (N, 3, H, W)
        Equal in shape; the difference is taken before values are clipped to `value_range`.
    image_shape, ax, value_range
        As for `image_grid`.

    Returns
    -------
    matplotlib.axes.Axes
    """
    above = as_images(real, image_shape, "reconstructions", "real")  # (N, H, W, C)
    below = as_images(rebuilt, image_shape, "reconstructions", "rebuilt")
    if above.shape != below.shape:
        raise NiceValueError(
            f"reconstructions: real is {np.shape(real)} but rebuilt {np.shape(rebuilt)}; expected equal shapes"
        )
    columns = min(len(above), 10)
    title = f"max|difference| = {np.abs(above - below).max():.2g}"
    ax = draw_sheet([above, below], columns, ax, title, value_range, "reconstructions")
    name_rows(ax, ["real", "rebuilt"] * math.ceil(len(above) / columns), above.shape[1])
    return ax


def label_grid(
    images_by_label: Mapping[Any, npt.ArrayLike],
    image_shape: Sequence[int] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    value_range: Sequence[float] = (0, 1),
) -> Axes:
    """Draw one row of images for each label, with the label at its left: what a class-conditional flow was asked for.

    Parameters
    ----------
    images_by_label : mapping of a label to images
        Each as in `image_grid`, with the same number of images of the same shape for every label.
    image_shape, ax, title, value_range
        As for `image_grid`.

    Returns
    -------
    matplotlib.axes.Axes
    """
    refuse_other(images_by_label, Mapping, "label_grid", "images_by_label")
    rows = [
        as_images(images, image_shape, "label_grid", f"images of {label!r}")  # (N, H, W, C)
        for label, images in images_by_label.items()
    ]
    if len({row.shape for row in rows}) != 1:
        found = ", ".join(f"{label!r}: {np.shape(images)}" for label, images in images_by_label.items()) or "no label"
        raise NiceValueError(f"label_grid: expected images of equal number and shape for every label, got {found}")
    ax = draw_sheet([np.concatenate(rows)], len(rows[0]), ax, title, value_range, "label_grid")
    name_rows(ax, [str(label) for label in images_by_label], rows[0].shape[1])
    return ax

"""Images as tiles of one sheet, with thin lines between them: samples, reconstructions, and one row per class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from nice_np.errors import NiceValueError
from nice_np.plotting.style import DPI, Panel, Picture, bare, escape, new_axes, refuse_other
from nice_np.validation import Array, as_int, as_real_array, as_samples, is_pixels

SHEET = 700  # screen pixels on the longer side of a sheet; more only if its images have more
SEPARATOR = "#C6D7E8"  # pale blue, distinct from every grey of an image


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
        N >= 1, all finite; uint8 is divided by 255 first.
    image_shape : (H, W) for grey or (3, H, W) for colour, optional
        Needed for (N, D), unless the images are grey and square.  A colour row is the red plane, then the green, then
        the blue one, as in CIFAR-10.
    columns : int, optional
        Tiles per row; by default about as many as there are rows.
    ax : Axes, optional
        A new figure shows each pixel as a square of whole screen pixels.
    title : str, optional
    value_range : (black, white)
        Values outside are clipped; in colour, each plane by itself.

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
    """Draw each image above its reconstruction, ten pairs per row; the title gives the largest difference.

    Parameters
    ----------
    real, rebuilt : array_like, shape (N, D), (N, H, W) or (N, 3, H, W)
        Of equal shape; the difference is taken before values are clipped to `value_range`.
    image_shape, ax, value_range
        As in `image_grid`.

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
    """Draw one row of images per label, with the label on its left, such as samples of a class-conditional flow.

    Parameters
    ----------
    images_by_label : mapping of a label to images
        Each as in `image_grid`; equal in number and shape for every label.
    image_shape, ax, title, value_range
        As in `image_grid`.

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


# -- shared with other figures of images ------------------------------------------------------------------------------


def as_images(images: Any, image_shape: Any, owner: str, name: str) -> Array:
    """Images of any layout that `image_grid` accepts, as float64 (N, H, W, C), C = 1 for grey and 3 for colour.

    Raises
    ------
    NiceValueError, NiceTypeError
        If images and shape do not fit together, or the images are not finite real numbers; `owner` is the function and
        `name` its argument, for the message.
    """
    raw = as_real_array(images, owner, name)
    if raw.ndim not in (2, 3, 4) or raw.size == 0:
        raise NiceValueError(
            f"{owner}: {name} must have shape (N, D), (N, H, W) or (N, 3, H, W), N >= 1; got {raw.shape}"
        )
    if image_shape is None:
        image_shape = raw.shape[1:] if raw.ndim > 2 else [math.isqrt(raw.shape[1])] * 2
    shape = tuple(as_int(side, owner, "each side of image_shape", 1) for side in np.ravel(image_shape))
    is_image = len(shape) == 2 or (len(shape) == 3 and shape[0] == 3)
    if not is_image or raw.shape[1:] not in [shape, (math.prod(shape),)]:
        raise NiceValueError(
            f"{owner}: {name} {raw.shape} are not images of {shape}; "
            "give image_shape=(H, W) for grey or (3, H, W) for colour"
        )
    rows = as_rows(raw.reshape(len(raw), -1), None, owner, name)  # (N, D)
    return np.moveaxis(rows.reshape(len(rows), -1, *shape[-2:]), 1, -1)


def as_rows(x: npt.ArrayLike, n_features: int | None, owner: str, name: str) -> Array:
    """Finite samples (N, D) as float64; uint8 is divided by 255."""
    raw = as_real_array(x, owner, name)
    return as_samples(raw / 255 if is_pixels(raw) else raw, n_features, owner=owner, name=name, dtype=np.float64)


def to_colours(images: Array, value_range: Any, owner: str) -> Array:
    """(..., H, W, C) as RGB from 0 to 1, (..., H, W, 3): `value_range` are the values of black and white."""
    levels = as_real_array(value_range, owner, "value_range")
    if levels.shape != (2,) or not np.isfinite(levels).all() or not levels[0] < levels[1]:
        raise NiceValueError(f"{owner}: value_range must be two numbers, black < white; got {value_range}")
    black, white = levels.astype(np.float64)
    grey = np.clip((images - black) / (white - black), 0, 1)
    return np.broadcast_to(grey, (*grey.shape[:-1], 3))


def draw_sheet(
    bands: list[Array], columns: int, ax: Axes | None, title: str | None, value_range: Any, owner: str
) -> Axes:
    """Draw the k-th images of all bands, each (N, H, W, C), one above the other, with lines of one pixel around all."""
    count, height, width = bands[0].shape[:3]
    n_rows = len(bands) * math.ceil(count / columns)
    sheet = np.full((n_rows * (height + 1) + 1, columns * (width + 1) + 1, 3), to_rgb(SEPARATOR))
    for b, band in enumerate(bands):
        for k, image in enumerate(to_colours(band, value_range, owner)):
            top, left = (k // columns * len(bands) + b) * (height + 1) + 1, k % columns * (width + 1) + 1
            sheet[top : top + height, left : left + width] = image
    if ax is None:
        zoom = max(1, SHEET // max(sheet.shape))  # an integer, so that all pixels look equal
        up, across = (zoom * side + 120 for side in sheet.shape[:2])  # 60 around for the title and the names of rows
        figure = Picture(figsize=(across / DPI, up / DPI), dpi=DPI)
        ax = figure.add_axes((60 / across, 60 / up, 1 - 120 / across, 1 - 120 / up), axes_class=Panel)
    ax = new_axes(ax, owner)
    ax.imshow(sheet, interpolation="nearest")
    bare(ax, title)
    return ax


def name_rows(ax: Axes, names: list[str], height: int) -> None:
    """Write a name on the left of each row of a sheet of tiles `height` pixels high."""
    middles = (height + 1) * (np.arange(len(names)) + 0.5)  # a tile and a line each
    ax.set_yticks(middles, labels=[escape(name) for name in names])

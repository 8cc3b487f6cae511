"""Images as tiles of one picture: what a caller may bring, made RGB, and put side by side with thin lines between."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from nice_np.errors import NiceValueError
from nice_np.plotting.style import DPI, new_axes
from nice_np.validation import Array, as_int, as_real_array, as_samples

SHEET = 700  # screen pixels of a sheet's longer side, at most, unless its images have more
SEPARATOR = "#C6D7E8"  # a pale blue: no grey of a picture looks like it


def as_images(images: Any, image_shape: Any, owner: str, name: str) -> Array:
    """Images of any layout as (N, H, W, C) in float64, C = 1 for grey and 3 for colour.

    Parameters
    ----------
    images : array_like, shape (N, D), (N, H, W) or (N, 3, H, W)
        N >= 1, all finite; uint8 comes out divided by 255.
    image_shape : (H, W), (3, H, W) or None
        A colour image is three planes, red, green and blue, one after the other (as in the files of CIFAR-10).  None
        takes the shape of `images`, or square grey images.
    owner, name : str
        Who draws which argument, for the message.

    Raises
    ------
    NiceValueError, NiceTypeError
        If the two do not fit, or `images` are not finite real numbers.
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
    flat = as_samples(raw.reshape(len(raw), -1), None, owner=owner, name=name, dtype=np.float64)  # (N, D)
    planes = flat.reshape(len(flat), -1, *shape[-2:])  # (N, C, H, W)
    return np.moveaxis(planes, 1, -1) / (255 if raw.dtype == np.uint8 else 1)


def to_colours(images: Array, value_range: Any, owner: str) -> Array:
    """(..., H, W, C) as RGB from 0 to 1, (..., H, W, 3): the two numbers of `value_range` become black and white."""
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
        zoom = max(1, SHEET // max(sheet.shape))  # whole, so that all pixels look equal
        up, across = (zoom * side + 120 for side in sheet.shape[:2])  # 60 around for the title and the names of rows
        figure = Figure(figsize=(across / DPI, up / DPI), dpi=DPI)
        ax = figure.add_axes((60 / across, 60 / up, 1 - 120 / across, 1 - 120 / up))
    ax = new_axes(ax, owner)
    ax.imshow(sheet, interpolation="nearest")
    bare(ax, title)
    return ax


def name_rows(ax: Axes, names: list[str], height: int) -> None:
    """Write a name at the left of each row of a sheet of tiles `height` pixels high."""
    middles = (height + 1) * (np.arange(len(names)) + 0.5)  # a tile and a line each
    ax.set_yticks(middles, labels=[escape(name) for name in names])


def bare(ax: Axes, title: str | None) -> None:
    """Pictures need no axes."""
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0, labelsize=9)
    ax.spines[:].set_visible(False)
    if title is not None:
        ax.set_title(title, fontsize=10)


def escape(name: str) -> str:
    """A name as it is: to Matplotlib dollar signs begin mathematics, and what begins with _ is left out of legends."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")

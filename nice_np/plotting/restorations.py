"""Restored images below the degraded ones, and these below the originals, if known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.plotting.rows import GAP, draw_rows, left_edge
from nice_np.plotting.tiles import as_images, to_colours
from nice_np.restoration.scores import psnr
from nice_np.validation import Array, as_real_array

HOLE = "#8DB4D8"  # hidden pixels: blue, since any grey could be a pixel's value
CAPTION = 0.24  # room for a line of text below an image, in units of its height


def restorations(
    original: npt.ArrayLike | None,
    degraded: npt.ArrayLike,
    restored: npt.ArrayLike,
    image_shape: Sequence[int] | None = None,
    *,
    degraded_shape: Sequence[int] | None = None,
    hidden: npt.ArrayLike | None = None,
    draws: npt.ArrayLike | None = None,
    mean: npt.ArrayLike | None = None,
    names: Sequence[str] = ("original", "degraded", "restored"),
    decibels: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
    value_range: Sequence[float] = (0, 1),
) -> Axes:
    """Draw a column per image: the original, what was left of it, and what a flow restored from that.

    Parameters
    ----------
    original : array_like, shape (N, D), (N, H, W) or (N, 3, H, W), or None
        None if it is unknown: its row is left out.
    degraded : array_like, with any number of pixels
        Drawn as large as the others.  Measurements that are not images, such as random projections y = A x, can be
        shown as their back-projection A^T y; say so in `names`.
    restored : array_like, as `original`
    image_shape : (H, W) for grey or (3, H, W) for colour, optional
        As in `image_grid`.
    degraded_shape : (H', W') or (3, H', W'), optional
        Of `degraded`, if different.
    hidden : array_like of bool, shape (H, W), (3, H, W) or (D,), optional
        True for pixels that were not observed: they are blue in `degraded`.
    draws : array_like, shape (N, K, D), optional
        K alternative answers per image, such as `Posterior.samples`: one row for each k.
    mean : array_like, as `original`, optional
        Their mean, drawn between `restored` and the draws.
    names : (original, degraded, restored)
        Of the rows.
    decibels : bool
        Write the PSNR below images of the original's size, except draws and images with hidden pixels.
    ax : Axes, optional
    title : str, optional
    value_range : (black, white)

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    NiceValueError, NiceTypeError
        If the images do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.full((5, 4, 4), 0.5)
    >>> ax = restorations(x, x + 0.1, x, decibels=True, title="noise of 0.1")
    """
    owner = "restorations"
    if isinstance(names, str) or not isinstance(names, Sequence) or len(names) != 3:
        raise NiceValueError(f"{owner}: expected three names, of original, degraded and restored; got {names!r}")
    if decibels and original is None:
        raise NiceValueError(f"{owner}: decibels need the originals; give them, or leave out decibels")
    found = as_images(restored, image_shape, owner, "restored")  # (N, H, W, C)
    seen = as_images(degraded, degraded_shape or image_shape, owner, "degraded")
    if len(seen) != len(found):
        raise NiceValueError(
            f"{owner}: expected equal numbers of images, got {len(seen)} degraded and {len(found)} restored"
        )
    known = None if original is None else _like(found, original, image_shape, "original")

    def as_row(name: str, images: Array, compared: bool = True) -> Row:
        colours = to_colours(images, value_range, owner)  # also checks `value_range`
        compared = compared and decibels and images.shape == found.shape
        return Row(name, colours, _decibels(images, known, value_range) if compared and known is not None else [])

    rows = [] if known is None else [as_row(names[0], known, compared=False)]
    rows.append(as_row(names[1], seen, compared=hidden is None))
    if hidden is not None:
        holes = _as_holes(hidden, seen.shape[1:])
        rows[-1] = rows[-1]._replace(images=np.where(holes, to_rgb(HOLE), rows[-1].images))
    rows.append(as_row(names[2], found))
    if mean is not None:
        rows.append(as_row("mean of draws", _like(found, mean, image_shape, "mean")))
    if draws is not None:
        raw = as_real_array(draws, owner, "draws")
        if raw.ndim != 3 or raw.shape[1] == 0:
            raise NiceValueError(f"{owner}: draws must have shape (N, K, D), K >= 1; got {raw.shape}")
        for k in range(raw.shape[1]):
            rows.append(as_row(f"draw {k + 1}", _like(found, raw[:, k], image_shape, f"draws[:, {k}]"), compared=False))
    room = [CAPTION if row.captions else GAP for row in rows]
    room[-1] = CAPTION if rows[-1].captions else 0
    ax = draw_rows([row.images for row in rows], [row.name for row in rows], room, ax, title, owner)
    tops = np.cumsum([0, *np.add(room, 1)])  # of the rows, and the end of the last
    for row, top in zip(rows, tops[:-1], strict=True):
        _write_captions(ax, row, top)
    return ax


class Row(NamedTuple):
    """A row of RGB images (N, H, W, 3), with its name and a caption below each image, or none."""

    name: str
    images: Array
    captions: list[str]


def _like(found: Array, images: npt.ArrayLike, image_shape: Any, name: str) -> Array:
    """Images of the number and size of `found`, (N, H, W, C)."""
    others = as_images(images, image_shape, "restorations", name)
    if others.shape != found.shape:
        raise NiceValueError(
            f"restorations: {name} is {others.shape}, restored {found.shape} (number, height, width, channels); "
            "expected equal shapes"
        )
    return others


def _as_holes(hidden: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """(H, W, 1), True where no channel of a pixel was observed."""
    holes = as_real_array(hidden, "restorations", "hidden")
    if holes.dtype != bool:
        raise NiceTypeError(f"restorations: hidden must be True or False for every pixel, got dtype {holes.dtype}")
    height, width, channels = shape
    if holes.size not in (height * width, height * width * channels):
        raise NiceValueError(f"restorations: hidden has shape {holes.shape}, degraded are images of {height} x {width}")
    return np.asarray(holes.reshape(-1, height, width).all(axis=0))[:, :, None]


def _write_captions(ax: Axes, row: Row, top: float) -> None:
    for k, text in enumerate(row.captions):
        centre = (left_edge(row.images, k) + left_edge(row.images, k + 1) - GAP) / 2
        ax.text(centre, top + 1.03, text, fontsize=8, ha="center", va="top")


def _decibels(images: Array, originals: Array, value_range: Sequence[float]) -> list[str]:
    """The PSNR of each image in words."""
    black, white = value_range
    values = psnr(images.reshape(len(images), -1), originals.reshape(len(images), -1), white - black)
    return ["equal" if np.isinf(value) else f"{value:.1f} dB" for value in values]

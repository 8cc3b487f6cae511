"""Is the model memorising?  Each sample next to its nearest training images, by |s - t|_2 in pixel space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from nice_np.errors import NiceOverflowError, NiceValueError
from nice_np.plotting.rows import draw_rows, left_edge
from nice_np.plotting.style import VERMILION
from nice_np.plotting.tiles import as_images, as_rows, to_colours
from nice_np.validation import as_int, as_real_array

CHUNK = 1000  # training images converted to float64 at once
OWNER = "nearest_neighbours"
CAPTION = 0.3  # room below an image, in units of its height


def nearest_neighbours(
    samples: npt.ArrayLike,
    train: npt.ArrayLike,
    image_shape: Sequence[int] | None = None,
    k: int = 5,
    ax: Axes | None = None,
    title: str = "samples (framed), their nearest training images and the distance",
    value_range: Sequence[float] = (0, 1),
) -> Axes:
    """Draw each sample and, to its right, the `k` nearest training images with their distances below.

    Distances mean something by comparison: samples of a model that does not copy are about as far from the training
    images as other real images are.

    Parameters
    ----------
    samples : array_like, shape (n, D)
        At least one.
    train : array_like, shape (N, D)
        In the same units, or uint8, which is divided by 255.
    image_shape, ax, value_range
        As in `image_grid`.
    k : int
        1 to N.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    index, distance = nearest(samples, train, k)  # (n, k) each
    chosen = np.asarray(train)[index.ravel()]  # (n k, D)
    own = as_images(samples, image_shape, OWNER, "samples")  # (n, H, W, C)
    others = as_images(chosen, image_shape, OWNER, "train").reshape(*index.shape, *own.shape[1:])
    rows = to_colours(np.concatenate([own[:, None], others], axis=1), value_range, OWNER)
    ax = draw_rows(list(rows), [""] * len(rows), [CAPTION] * len(rows), ax, title, OWNER)
    lefts = [left_edge(rows[0], column) for column in range(1, rows.shape[1])]  # of the neighbours
    width = rows.shape[3] / rows.shape[2]
    for r, row in enumerate(distance):
        top = r * (1 + CAPTION)
        ax.add_patch(Rectangle((0, top), width, 1, fill=False, color=VERMILION, linewidth=2, clip_on=False))
        for left, value in zip(lefts, row, strict=True):
            ax.text(left + width / 2, top + 1.05, f"{value:#.3g}", fontsize=9, ha="center", va="top")
    return ax


def nearest(
    samples: npt.ArrayLike, train: npt.ArrayLike, k: int = 5
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.float64]]:
    """The k nearest rows of `train` for each row of `samples`.

    Parameters
    ----------
    samples : array_like, shape (n, D)
    train : array_like, shape (N, D)
        uint8 is divided by 255, in both.
    k : int
        1 to N.

    Returns
    -------
    index : ndarray of int, shape (n, k)
        Rows of `train`, nearest first.
    distance : ndarray, shape (n, k)
        sqrt(sum_d (s_d - t_d)^2), in the units of `samples`.

    Raises
    ------
    NiceValueError, NiceTypeError
        If the arrays are not finite real numbers or do not fit together, or `train` has fewer than k rows.
    NiceOverflowError
        If the square of a distance does not fit into float64.
    """
    from scipy.spatial.distance import cdist

    s = as_rows(samples, None, OWNER, "samples")  # (n, D)
    rows = as_real_array(train, OWNER, "train")
    if rows.ndim != 2 or len(rows) == 0:
        raise NiceValueError(f"{OWNER}: train must have shape (N, D), N >= 1; got {rows.shape}")
    k = as_int(k, OWNER, "k", 1, len(rows))
    chunks = (  # floats of a few images at a time
        as_rows(rows[start : start + CHUNK], s.shape[1], OWNER, f"train[{start}:]")  # (c, D)
        for start in range(0, len(rows), CHUNK)
    )
    distances = np.concatenate([cdist(s, t) for t in chunks], axis=1)  # (n, N)
    index = np.argsort(distances, axis=1, kind="stable")[:, :k]
    nearest_ones: npt.NDArray[np.float64] = np.take_along_axis(distances, index, axis=1)
    if not np.isfinite(nearest_ones).all():
        raise NiceOverflowError(f"{OWNER}: the square of a distance does not fit into float64; check the scale of both")
    return index, nearest_ones

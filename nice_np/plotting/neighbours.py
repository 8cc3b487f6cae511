"""Is the model memorising?  Each sample beside the training images nearest to it, by |s - t|_2 in pixel space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from nice_np.errors import NiceOverflowError, NiceValueError
from nice_np.plotting.rows import draw_rows, left_edge
from nice_np.plotting.style import VERMILION
from nice_np.plotting.tiles import as_images, to_colours
from nice_np.validation import Array, as_int, as_real_array, as_samples

CHUNK = 1000  # training images looked at together
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
    """Draw each sample and, right of it, the `k` training images nearest to it, with their distances below.

    Distances mean something when compared: real images that were not trained on are about as far from the training
    images as samples of a model that does not copy them.

    Parameters
    ----------
    samples : array_like, shape (n, D)
        At least one.
    train : array_like, shape (N, D)
        In the same units, or uint8, which counts as 0..255 and is divided by 255.
    image_shape, ax, value_range
        As for `image_grid`.
    k : int
        1 to N.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    index, distance = nearest(samples, train, k)  # (n, k) each
    chosen = np.asarray(train)[index.ravel()]  # (n k, D)
    own = as_images(samples, image_shape, "nearest_neighbours", "samples")  # (n, H, W, C)
    others = as_images(chosen, image_shape, "nearest_neighbours", "train").reshape(*index.shape, *own.shape[1:])
    rows = to_colours(np.concatenate([own[:, None], others], axis=1), value_range, "nearest_neighbours")
    ax = draw_rows(list(rows), [""] * len(rows), [CAPTION] * len(rows), ax, title, "nearest_neighbours")
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
        If the arrays are not finite real numbers or do not fit together, or there are fewer than k rows.
    NiceOverflowError
        If the square of a distance does not fit into float64.

    Notes
    -----
    |s - t|^2 = |s|^2 + |t|^2 - 2 s.t is a matrix product for a chunk of `train` at a time: memory grows with n + N
    and never with n N D.  It loses digits where s is close to t, so only the choice rests on it; the distances of
    those chosen are computed anew from s - t.
    """
    owner = "nearest_neighbours"
    s = _as_rows(samples, None, owner, "samples")  # (n, D)
    rows = as_real_array(train, owner, "train")
    if rows.ndim != 2 or len(rows) == 0:
        raise NiceValueError(f"{owner}: train must have shape (N, D), N >= 1; got {rows.shape}")
    k = as_int(k, owner, "k", 1, len(rows))
    best = np.empty((len(s), 0))  # squares, up to |s|^2
    index = np.empty((len(s), 0), dtype=np.intp)
    with np.errstate(over="ignore", invalid="ignore"):  # looked for below
        for start in range(0, len(rows), CHUNK):
            t = _as_rows(rows[start : start + CHUNK], s.shape[1], owner, f"train[{start}:]")  # (c, D)
            best = np.concatenate([best, (t * t).sum(axis=1) - 2 * s @ t.T], axis=1)  # (n, k + c)
            here = np.broadcast_to(np.arange(start, start + len(t)), (len(s), len(t)))
            index = np.concatenate([index, here], axis=1)
            kept = np.argsort(best, axis=1, kind="stable")[:, :k]
            best, index = np.take_along_axis(best, kept, axis=1), np.take_along_axis(index, kept, axis=1)
        distance = np.empty(index.shape)
        for row, (one, chosen) in enumerate(zip(s, index, strict=True)):
            distance[row] = np.linalg.norm(_as_rows(rows[chosen], None, owner, "train") - one, axis=1)
    if not np.isfinite(distance).all():
        raise NiceOverflowError(f"{owner}: the square of a distance does not fit into float64; check the scale of both")
    order = np.lexsort((index, distance), axis=1)
    return np.take_along_axis(index, order, axis=1), np.take_along_axis(distance, order, axis=1)


def _as_rows(x: npt.ArrayLike, n_features: int | None, owner: str, name: str) -> Array:
    raw = as_real_array(x, owner, name)
    return as_samples(raw, n_features, owner=owner, name=name, dtype=np.float64) / (255 if raw.dtype == np.uint8 else 1)

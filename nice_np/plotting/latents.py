"""Paths between images in latent space: decode w_1 z_1 + w_2 z_2, with (w_1, w_2) from (1, 0) to (0, 1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from nice_np.errors import NiceValueError
from nice_np.flows.flow import Flow
from nice_np.plotting.style import VERMILION, refuse_other
from nice_np.plotting.tiles import as_images, draw_sheet
from nice_np.validation import Array, as_choice, as_int

PATHS = ("spherical", "straight")


def interpolation(
    flow: Flow,
    x: npt.ArrayLike,
    steps: int = 8,
    image_shape: Sequence[int] | None = None,
    ax: Axes | None = None,
    path: str = "spherical",
    value_range: Sequence[float] = (0, 1),
    context: npt.ArrayLike | None = None,
) -> Axes:
    """Draw what a flow decodes between pairs of real images: one row per pair, the real ends framed.

    Parameters
    ----------
    flow : Flow
    x : array_like, shape (2 P, D)
        Real images as the flow sees them (dequantised): x[0] and x[1] are the ends of the first row, and so on.
    steps : int
        The number of images between the two ends.
    image_shape, ax, value_range
        As in `image_grid`.
    path : {"spherical", "straight"}
        See `latent_path`.
    context : array_like, shape (2 P, C) or (C,)
        Of the real images, for a flow with a context; it is interpolated along a straight line.

    Returns
    -------
    matplotlib.axes.Axes
    """
    refuse_other(flow, Flow, "interpolation", "flow")
    z = flow.encode(x, context)  # (2 P, D)
    if len(z) == 0 or len(z) % 2:
        raise NiceValueError(f"interpolation: expected an even number of images, one pair per row; got {len(z)}")
    walk = latent_path(z[::2].astype(np.float64), z[1::2].astype(np.float64), steps, path)  # (P, S + 2, D)
    if context is not None:
        ends = np.broadcast_to(np.asarray(context, dtype=np.float64), (len(z), flow.context_dim))
        context = latent_path(ends[::2], ends[1::2], steps, "straight").reshape(-1, flow.context_dim)
    pictures = flow.decode(walk.reshape(-1, flow.dim), context)  # (P (S + 2), D); the ends are x up to rounding
    tiles = as_images(pictures, image_shape, "interpolation", "x")  # (P (S + 2), H, W, C)
    columns = walk.shape[1]
    title = f"between two real images (framed): {path} path through the latent space"
    ax = draw_sheet([tiles], columns, ax, title, value_range, "interpolation")
    height, width = tiles.shape[1] + 1, tiles.shape[2] + 1  # a tile and a line
    for row in range(len(walk)):
        for column in (0, columns - 1):
            frame = Rectangle((column * width, row * height), width, height, fill=False, color=VERMILION, linewidth=2)
            ax.add_patch(frame)
    return ax


def latent_path(start: Array, end: Array, steps: int, path: str = "spherical") -> Array:
    """Points from `start` to `end`, (P, D) each, both included: (P, S + 2, D) with S = `steps` points in between.

    With t = 0, 1/(S+1), ..., 1 and theta the angle between z_1 and z_2,

    - spherical: z_t = [sin((1-t) theta) z_1 + sin(t theta) z_2] / sin(theta)
    - straight:  z_t = (1-t) z_1 + t z_2

    To a perfect flow two images are independent draws from the prior: for large D they have almost exactly length
    sqrt(D Var z) and are orthogonal.  Half way along the straight line the length is 1/sqrt(2) of that, where samples
    almost never lie; it is what `sample` decodes at temperature 0.7.  For orthogonal ends the arc has
    w_1^2 + w_2^2 = 1 and keeps the variance of each latent, for every prior with independent dimensions
    (Shoemake 1985; White 2016).
    """
    t = np.linspace(0, 1, as_int(steps, "interpolation", "steps", 1) + 2)  # (S + 2,)
    if as_choice(path, PATHS, "interpolation", "path") == "straight":
        w_1, w_2 = (1 - t)[None], t[None]  # (1, S + 2)
    else:
        theta = _angle(start, end)[:, None]  # (P, 1)
        # sin(w theta) / sin(theta) = w sinc(w theta / pi) / sinc(theta / pi), which also holds for theta = 0.
        w_1, w_2 = (w * np.sinc(w * theta / np.pi) / np.sinc(theta / np.pi) for w in (1 - t, t))  # (P, S + 2)
    walk: Array = w_1[..., None] * start[:, None] + w_2[..., None] * end[:, None]
    return walk


def _angle(start: Array, end: Array) -> Array:
    """The angle between two vectors, (P,); 2 atan(|u - v| / |u + v|) is exact for small angles too (Kahan)."""
    u, v = (z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), np.finfo(z.dtype).tiny) for z in (start, end))
    theta: Array = 2 * np.arctan2(np.linalg.norm(u - v, axis=1), np.linalg.norm(u + v, axis=1))
    if np.any(np.pi - theta < 1e-6):
        raise NiceValueError(
            f"interpolation: the latents of pair {theta.argmax()} are opposite, no arc is shortest; use 'straight'"
        )
    return theta

"""What whitening does: the correlations of the features before and after, and the images or points themselves.

Of images the correlations of the middle pixel are drawn, as an image: neighbours are what a reader looks for, and a
matrix of 784 x 784 hides them.

Whitened data have covariance I: every variance is 1, every correlation 0.  In the plane, the ellipse of two standard
deviations becomes a circle of radius 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from nice_np.bijectors.whitening import principal_components
from nice_np.errors import NiceValueError
from nice_np.plotting.style import BLUE, VERMILION, annotate, new_panels
from nice_np.plotting.tiles import as_images, draw_sheet
from nice_np.validation import Array, as_samples

OWNER = "whitening"
SHOWN = 12  # images per panel
COLUMNS = 6
POINTS = 2000
GREY = "#BBBBBB"


def whitening(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    image_shape: Sequence[int] | None = None,
    axes: Sequence[Axes] | None = None,
    value_range: Sequence[float] = (0, 1),
) -> tuple[Axes, ...]:
    """Draw data before and after whitening, or after any other layer, side by side.

    Two features are drawn as points with the principal axes of their covariance and the ellipse of two standard
    deviations; more features as their correlation matrix, grey for a constant feature.  Images are drawn as they are,
    those after the layer from -3 (black) to 3 (white) in standard deviations, and below them the correlation of the
    middle pixel with each pixel; of colour images, within the first plane.

    Parameters
    ----------
    before, after : array_like, shape (N, D)
        The same samples, N and D at least 2.  For images, `before` may be uint8, which is divided by 255.
    image_shape : (H, W) or (3, H, W), optional
        If given, the samples are drawn as images too.
    axes : sequence of Axes, optional
        Two, before and after; with images four, those of the images first.
    value_range : (black, white)
        Of the images before.

    Returns
    -------
    tuple of matplotlib.axes.Axes

    Raises
    ------
    NiceValueError, NiceTypeError
        If the two are not finite (N, D) arrays of one shape or do not fit `image_shape`, or `axes` has another length.
    """
    pictures = None if image_shape is None else as_images(before, image_shape, OWNER, "before")
    if pictures is None:
        x = as_samples(before, None, owner=OWNER, name="before", dtype=np.float64)  # (N, D)
    else:
        x = np.moveaxis(pictures, -1, 1).reshape(len(pictures), -1)  # (N, D), plane by plane
    z = as_samples(after, x.shape[1], owner=OWNER, name="after", dtype=np.float64)
    if len(z) != len(x) or len(x) < 2 or x.shape[1] < 2:
        raise NiceValueError(
            f"{OWNER}: expected the same 2 or more samples of 2 or more features, got {x.shape}, {z.shape}"
        )
    names = ("Before", "After")
    if pictures is None:
        panels = new_panels(axes, OWNER, 2, 1, size=(4.2, 3.9))
        draw = _draw_cloud if x.shape[1] == 2 else _draw_correlations
        for ax, values, name in zip(panels, (x, z), names, strict=True):
            draw(ax, values, f"{name}: ")
        return panels
    panels = new_panels(axes, OWNER, 4, 2, size=(4.2, 2.5), height_ratios=[1, 1.7])
    white = as_images(z, image_shape, OWNER, "after")
    for ax, images, levels, name in zip(panels[:2], (pictures, white), (value_range, (-3, 3)), names, strict=True):
        draw_sheet([images[:SHOWN]], COLUMNS, ax, name, levels, OWNER)
    for ax, values in zip(panels[2:], (x, z), strict=True):
        _draw_middle(ax, values, *pictures.shape[1:3])
    return panels


def _draw_cloud(ax: Axes, x: Array, head: str) -> None:
    mean, covariance = x.mean(axis=0), np.cov(x.T, ddof=0)  # (2,), (2, 2)
    variances, components = principal_components(covariance)
    reach = 2 * np.sqrt(variances) * components  # (2, 2): columns from the mean to two standard deviations
    turn = np.linspace(0, 2 * np.pi, 100)
    ellipse = mean + np.stack([np.cos(turn), np.sin(turn)], axis=1) @ reach.T  # (100, 2)
    ax.plot(*x[:POINTS].T, ".", markersize=2, color=BLUE, alpha=0.4)
    ax.plot(*ellipse.T, color=VERMILION, linewidth=1.5)
    for end in reach.T:
        ax.plot(*np.stack([mean - end, mean + end]).T, color=VERMILION, linewidth=1.5)
    symbol = "x" if head.startswith("Before") else "z"
    stds = " and ".join(f"{std:.2f}" for std in np.sqrt(variances))
    annotate(ax, f"{head}std {stds} along the axes", f"${symbol}_1$", f"${symbol}_2$")
    ax.set_aspect("equal", adjustable="datalim")


def _draw_correlations(ax: Axes, x: Array, head: str) -> None:
    matrix = correlations(x)
    _draw_colours(ax, matrix)
    annotate(ax, head + _summary(x, matrix), "feature $j$", "feature $i$")


def _draw_middle(ax: Axes, x: Array, height: int, width: int) -> None:
    matrix = correlations(x)
    middle = height // 2 * width + width // 2  # in the first plane
    _draw_colours(ax, matrix[middle, : height * width].reshape(height, width))
    ax.set(xticks=[], yticks=[])
    annotate(ax, "correlation with the middle pixel\nall pairs: " + _summary(x, matrix), "", "")


def _draw_colours(ax: Axes, values: Array) -> None:
    image = ax.imshow(np.ma.masked_invalid(values), cmap="RdBu_r", vmin=-1, vmax=1)
    ax.set_facecolor(GREY)
    ax.figure.colorbar(image, ax=ax, label="correlation", shrink=0.8).ax.tick_params(labelsize=8)


def _summary(x: Array, matrix: Array) -> str:
    variances = x.var(axis=0)
    off_diagonal = matrix[~np.eye(len(matrix), dtype=bool)]
    known = np.abs(off_diagonal[np.isfinite(off_diagonal)])
    size = f"{known.mean():.2f}" if known.size else "none"
    return f"mean |correlation| {size}\nvariances from {variances.min():.2g} to {variances.max():.2g}"


def correlations(x: Array) -> Array:
    """The correlations of all pairs of features, (D, D); NaN where one of them is constant."""
    centred = x - x.mean(axis=0)
    std = centred.std(axis=0)
    unit = np.divide(centred, std, out=np.full_like(centred, np.nan), where=std > 1e-12 * np.abs(x).max(axis=0))
    matrix: Array = unit.T @ unit / len(x)
    return matrix

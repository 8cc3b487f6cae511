"""Histograms of log p(x): does a flow tell its own kind of data from another?

A density may be higher away from the data: smooth or empty images are often more likely than real ones (Nalisnick et
al. 2019, "Do deep generative models know what they don't know?").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from nice_np.errors import NiceOverflowError, NiceValueError
from nice_np.plotting.style import annotate, escape, legend_above, line_style, new_axes, refuse_other
from nice_np.validation import Array, as_choice, as_samples

UNITS = {"nats": (r"log-likelihood $\log p(x)$ (nats)", 1), "bits/dim": ("bits/dim", 3)}  # label, decimals
BINS = 40
LARGEST = 1e300  # differences of larger numbers may overflow


def likelihood_histogram(groups: Mapping[str, npt.ArrayLike], ax: Axes | None = None, unit: str = "nats") -> Axes:
    """Draw the distribution of the likelihoods of several groups of samples, with their medians in the legend.

    The axis is linear and spans the first group and its surroundings; for the others the legend gives the share
    outside, and an arrow at the edge stands for a group of which nothing is inside.  Each histogram is scaled to its
    own highest bin.

    Parameters
    ----------
    groups : mapping of a name to likelihoods, each array_like of shape (N,), N >= 1
        As `Flow.log_prob` returns them; the first group is the kind of data the flow was trained on.
    ax : Axes, optional
    unit : {"nats", "bits/dim"}
        Of the numbers, for the labels.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    NiceValueError, NiceTypeError, NiceOverflowError
        If the groups are not a mapping of finite numbers, or a number is beyond 1e300.
    """
    owner = "likelihood_histogram"
    label, digits = UNITS[as_choice(unit, UNITS, owner, "unit")]
    refuse_other(groups, Mapping, owner, "groups")
    values = {name: _as_likelihoods(numbers, owner, name) for name, numbers in groups.items()}
    if not values:
        raise NiceValueError(f"{owner}: expected at least one group of likelihoods, got none")
    edges = _edges(values, owner)
    ax = new_axes(ax, owner, width=7)
    for k, (name, numbers) in enumerate(values.items()):
        counts, _ = np.histogram(numbers, edges)
        median, beyond = np.median(numbers), 1 - counts.sum() / len(numbers)
        text = f"{escape(name)}: median {median:,.{digits}f} {unit}"
        if beyond == 1:
            _draw_arrow(ax, edges, float(median), k, text)
            continue
        text += f", {beyond:.0%} outside the figure" if beyond > 0 else ""
        heights = counts / max(counts.max(), 1)
        if k == 0:
            ax.stairs(heights, edges, fill=True, alpha=0.25, color=line_style(k)["color"])
        ax.stairs(heights, edges, linewidth=1.5, label=text, **line_style(k))
    annotate(ax, "Likelihood of the model's own kind of data, and of others", label, "frequency (highest bin = 1)")
    ax.set(ylim=(0, 1.05), yticks=np.linspace(0, 1, 6))
    ax.margins(x=0.02)
    legend_above(ax)
    return ax


def _draw_arrow(ax: Axes, edges: Array, median: float, k: int, text: str) -> None:
    """A triangle at the edge beyond which all of the k-th group lies, as in the legend; one above the other."""
    left = median < edges[0]
    place, marker, side = (edges[0], "<", "left") if left else (edges[-1], ">", "right")
    style: dict[str, Any] = {"marker": marker, "markersize": 8, "linestyle": "none", "clip_on": False}
    ax.plot(place, 0.08 * k, label=f"{text}, far to the {side}", color=line_style(k)["color"], **style)


def _as_likelihoods(numbers: npt.ArrayLike, owner: str, name: str) -> Array:
    column = np.asarray(numbers)
    if column.ndim != 1 or len(column) == 0:
        raise NiceValueError(f"{owner}: group {name!r} must have shape (N,), N >= 1; got {column.shape}")
    return as_samples(column[:, None], 1, owner=owner, name=f"group {name!r}", dtype=np.float64)[:, 0]


def _edges(values: Mapping[str, Array], owner: str) -> Array:
    """Bins over the central 90 % of the first group and once their width on each side, where there are any values."""
    everything = np.concatenate(list(values.values()))
    if np.abs(everything).max() > LARGEST:
        raise NiceOverflowError(f"{owner}: a likelihood of {np.abs(everything).max():g} is too large for the figure")
    low, high = np.quantile(next(iter(values.values())), [0.05, 0.95])
    span = high - low or 1.0
    left, right = max(low - span, everything.min()), min(high + span, everything.max())
    return np.linspace(left, right if right > left else left + span, BINS + 1)

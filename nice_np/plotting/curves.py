"""Curves: the log-likelihood during training, of one run or of several, and the spectrum of a flow's last scaling."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nice_np.bijectors import DiagonalScaling, Standardize
from nice_np.bijectors.with_context import without_context
from nice_np.errors import NiceValueError
from nice_np.flows.flow import Flow
from nice_np.plotting.style import (
    BLUE,
    GREEN,
    VERMILION,
    annotate,
    draw_line,
    legend_above,
    line_style,
    new_axes,
    refuse_other,
)
from nice_np.plotting.tiles import escape
from nice_np.training.history import History, score_columns

YLABELS = {"log_likelihood": "log-likelihood (nats)", "elbo": "ELBO (nats)"}


def training_curve(history: History, ax: Axes | None = None) -> Axes:
    """Draw the log-likelihood of training and validation data in nats, or a VAE's bound, and mark the best validation.

    Parameters
    ----------
    history : History
        One row an epoch; one without a value (say, no validation in that epoch) is left out of that curve.
    ax : Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    points = dict(zip(("train", "validation"), _both_points(history), strict=True))
    if not any(points.values()):
        raise NiceValueError("training_curve: the history holds no log-likelihood yet; train for an epoch first")
    ax = new_axes(ax, "training_curve")
    for name, colour in (("train", BLUE), ("validation", VERMILION)):
        if points[name]:
            draw_line(ax, *np.array(points[name], dtype=np.float64).T, color=colour, label=name)
    if points["validation"]:
        epoch, best = max(points["validation"], key=lambda point: point[1])
        label = f"best: {best:.2f} nats, epoch {epoch}"
        ax.plot(epoch, best, color=GREEN, marker="*", markersize=13, linestyle="", label=label)
    _finish(ax, "Training", YLABELS[history.measure])
    return ax


def training_curves(histories: Mapping[str, History], ax: Axes | None = None, title: str = "Training") -> Axes:
    """Draw the validation log-likelihood of several runs on the same data, or that of training where there is no other.

    Parameters
    ----------
    histories : mapping of a run's name to its History
        At least one; the names are the legend.
    ax : Axes, optional
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    refuse_other(histories, Mapping, "training_curves", "histories")
    curves = {name: _both_points(history)[1] for name, history in histories.items()}
    unvalidated = [name for name, points in curves.items() if not points]
    curves |= {name: _both_points(histories[name])[0] for name in unvalidated}
    empty = [name for name, points in curves.items() if not points]
    if not curves or empty:
        what = f"the history of {empty[0]!r} holds no log-likelihood" if empty else "expected at least one history"
        raise NiceValueError(f"training_curves: {what}")
    ax = new_axes(ax, "training_curves")
    for k, (name, points) in enumerate(curves.items()):
        label = escape(name) + (" (training)" if name in unvalidated else "")
        draw_line(ax, *np.array(points, dtype=np.float64).T, label=label, **line_style(k))
    measures = sorted({history.measure for history in histories.values()}, reverse=True)
    ylabel = " or ".join(YLABELS[measure] for measure in measures)
    _finish(ax, escape(title), ylabel if unvalidated else f"validation {ylabel}")
    return ax


def spectrum(flow: Flow, ax: Axes | None = None) -> Axes:
    """Draw sigma_d = exp(-s_d) of the flow's last DiagonalScaling in descending order (Dinh et al. 2014).

    A small sigma_d marks a direction that the model treats as unused.

    Parameters
    ----------
    flow : Flow
        With a DiagonalScaling.
    ax : Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    refuse_other(flow, Flow, "spectrum", "flow")
    layers = without_context(flow.layers)
    scalings = [layer for layer in layers if isinstance(layer, DiagonalScaling)]
    if not scalings:
        names = ", ".join(type(layer).__name__ for layer in layers)
        raise NiceValueError(f"spectrum: the flow has no DiagonalScaling layer, only {names}")
    sigma = np.exp(-np.sort(scalings[-1].log_scale.astype(np.float64)))  # (D,)
    ax = new_axes(ax, "spectrum")
    draw_line(ax, np.arange(1, len(sigma) + 1), sigma, color=BLUE)
    ax.set_yscale("log")
    # Standardize divides each feature by its std, so the scaling above it never sees the data's own units.
    unit = "\nin standardised coordinates" if any(isinstance(layer, Standardize) for layer in layers) else ""
    annotate(ax, "Spectrum", "rank of the latent dimension $d$", rf"scale $\sigma_d = \exp(-s_d)${unit}")
    return ax


def _both_points(history: History) -> list[list[tuple[float, float]]]:
    """(epoch, score) of the training data, and of the validation data."""
    return [
        [(row["epoch"], row[key]) for row in history.rows if row.get(key) is not None]
        for key in score_columns(history.measure)
    ]


def _finish(ax: Axes, title: str, ylabel: str) -> None:
    annotate(ax, title, "epoch", ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    legend_above(ax, fontsize=9)

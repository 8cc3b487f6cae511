"""Curves: the log-likelihood during training, for one run or several, and the spectrum of a flow's last scaling."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from nice_np.bijectors import DiagonalScaling, Standardize
from nice_np.bijectors.with_context import without_context
from nice_np.errors import NiceValueError
from nice_np.flows.flow import Flow
from nice_np.plotting import style
from nice_np.training.history import MEASURES, History, score_columns

YLABELS = {
    "log_likelihood": "log-likelihood (nats)",
    "elbo": "ELBO (nats)",
    "flow_matching": "minus squared error",
    "labelled": "log p(x|y) + w log p(y|x)",
}


def training_curve(history: History, ax: Axes | None = None) -> Axes:
    """Draw the training and validation log-likelihood in nats (for a VAE, the ELBO) and mark the best validation.

    Parameters
    ----------
    history : History
        One row per epoch; epochs without a value (say, without validation) are left out of that curve.
    ax : Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    train, validation = _both_points(history)
    if not train and not validation:
        raise NiceValueError("training_curve: the history holds no log-likelihood yet; train for an epoch first")
    ax = style.new_axes(ax, "training_curve")
    for name, points, colour in (("train", train, style.BLUE), ("validation", validation, style.VERMILION)):
        if points:
            style.draw_line(ax, *np.array(points, dtype=np.float64).T, color=colour, label=name)
    if validation:
        epoch, best = max(validation, key=lambda point: point[1])
        label = f"best: {MEASURES[history.measure].format(best)}, epoch {epoch}"
        ax.plot(epoch, best, color=style.GREEN, marker="*", markersize=13, linestyle="", label=label)
    _finish(ax, "Training", YLABELS[history.measure])
    return ax


def training_curves(histories: Mapping[str, History], ax: Axes | None = None, title: str = "Training") -> Axes:
    """Draw the validation log-likelihood of several runs on the same data; without validation, that of training.

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
    style.refuse_other(histories, Mapping, "training_curves", "histories")
    both = {name: _both_points(history) for name, history in histories.items()}
    empty = [name for name, (train, validation) in both.items() if not train and not validation]
    if not both or empty:
        what = f"the history of {empty[0]!r} holds no log-likelihood" if empty else "expected at least one history"
        raise NiceValueError(f"training_curves: {what}")
    ax = style.new_axes(ax, "training_curves")
    for k, (name, (train, validation)) in enumerate(both.items()):
        label = style.escape(name) + ("" if validation else " (training)")
        style.draw_line(ax, *np.array(validation or train, dtype=np.float64).T, label=label, **style.line_style(k))
    measures = sorted({history.measure for history in histories.values()}, reverse=True)
    ylabel = " or ".join(YLABELS[measure] for measure in measures)
    all_validated = all(validation for _, validation in both.values())
    _finish(ax, style.escape(title), f"validation {ylabel}" if all_validated else ylabel)
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
    style.refuse_other(flow, Flow, "spectrum", "flow")
    layers = without_context(flow.layers)
    scalings = [layer for layer in layers if isinstance(layer, DiagonalScaling)]
    if not scalings:
        names = ", ".join(type(layer).__name__ for layer in layers)
        raise NiceValueError(f"spectrum: the flow has no DiagonalScaling layer, only {names}")
    sigma = np.exp(-np.sort(scalings[-1].log_scale.astype(np.float64)))  # (D,)
    ax = style.new_axes(ax, "spectrum")
    style.draw_line(ax, np.arange(1, len(sigma) + 1), sigma, color=style.BLUE)
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # 0.2, not 2 x 10^-1
    ax.yaxis.set_minor_formatter(NullFormatter())
    # Standardize divides each feature by its std, so the scaling above it never sees the data's own units.
    unit = "\nin standardised coordinates" if any(isinstance(layer, Standardize) for layer in layers) else ""
    scale = rf"scale $\sigma_d = \exp(-s_d)${unit}"
    style.annotate(ax, "Scales of the latents, largest first", "rank of the latent dimension $d$", scale)
    return ax


def _both_points(history: History) -> list[list[tuple[float, float]]]:
    """(epoch, score) of the training data, and of the validation data."""
    return [
        [(row["epoch"], row[key]) for row in history.rows if row.get(key) is not None]
        for key in score_columns(history.measure)
    ]


def _finish(ax: Axes, title: str, ylabel: str) -> None:
    style.annotate(ax, title, "epoch", ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    style.legend_above(ax, fontsize=9)

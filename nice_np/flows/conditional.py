"""Class-conditional flows: one density for each label, and labels by Bayes' rule.

    p(k | x) = p(x | k) p(k) / sum_j p(x | j) p(j)

The label is the context, one number per class.  It makes a flow a generative classifier: it is not trained to tell
digits apart, it only knows how likely each would be.  (Dinh et al. 2014 train without labels.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.flows.flow import Flow
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_dtype, as_int, as_real_array, as_rng


def one_hot(labels: npt.ArrayLike, classes: int, dtype: npt.DTypeLike = np.float32) -> Array:
    """Labels 0 to classes-1 as rows with a single 1: (N,) -> (N, classes).

    Parameters
    ----------
    labels : array_like of int, shape (N,)
    classes : int
    dtype : {float32, float64}

    Returns
    -------
    ndarray, shape (N, classes)

    Raises
    ------
    NiceValueError, NiceTypeError
        If the labels are not N whole numbers within 0 .. classes-1.

    Examples
    --------
    >>> one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    classes = as_int(classes, "one_hot", "classes", 1)
    labels = as_real_array(labels, "one_hot", "labels")
    if labels.size and labels.dtype.kind not in "iu":
        raise NiceTypeError(f"one_hot: labels must be whole numbers, got dtype {labels.dtype}")
    if labels.ndim != 1:
        raise NiceValueError(f"one_hot: expected labels of shape (N,), got {labels.shape}")
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise NiceValueError(f"one_hot: labels must lie in 0 .. {classes - 1}, got {labels.min()} .. {labels.max()}")
    rows: Array = np.eye(classes, dtype=as_dtype(dtype, "one_hot"))[labels.astype(np.intp)]
    return rows


def log_prob_by_label(flow: Flow, x: npt.ArrayLike) -> Array:
    """log p(x | k) for every label k, in nats: (N, D) -> (N, C).

    Parameters
    ----------
    flow : Flow
        With ``context_dim`` C > 0, trained with one-hot labels as its context.
    x : array_like, shape (N, D)

    Returns
    -------
    ndarray, shape (N, C)
        One column per label.

    Raises
    ------
    NiceValueError, NiceTypeError
        If the flow takes no context, or as `Flow.log_prob` does.
    """
    _labels(flow, "log_prob_by_label")
    return flow.given_each_label(x)


def classify(flow: Flow, x: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """The most probable label of each row for equally frequent labels: (N, D) -> (N,).

    Parameters
    ----------
    flow : Flow
        With ``context_dim`` C > 0, trained with one-hot labels as its context.
    x : array_like, shape (N, D)

    Returns
    -------
    ndarray of int, shape (N,)
        argmax_k log p(x | k).

    Raises
    ------
    NiceValueError, NiceTypeError
        As `log_prob_by_label` does.
    """
    labels: npt.NDArray[np.intp] = log_prob_by_label(flow, x).argmax(axis=1)
    return labels


def marginal_log_prob(by_label: Array) -> Array:
    """log p(x) = log (1/C) sum_k p(x | k) for equally frequent labels.

    Parameters
    ----------
    by_label : ndarray, shape (N, C)
        From `log_prob_by_label`.

    Returns
    -------
    ndarray, shape (N,)
        In nats; comparable with the likelihood of an unconditional flow.
    """
    total: Array = np.logaddexp.reduce(by_label, axis=1)  # log sum_k p(x | k), without overflow
    total -= np.log(by_label.shape[1])
    return total


def log_prob_without_label(flow: Flow, x: npt.ArrayLike) -> Array:
    """log p(x) in nats, (N, D) -> (N,); for a flow with labels the marginal likelihood."""
    return marginal_log_prob(log_prob_by_label(flow, x)) if flow.context_dim else flow.log_prob(x)


@suggests
def sample_by_label(flow: Flow, n: int, rng: Rng = None) -> dict[int, Array]:
    """`n` draws for each label, {k: (n, D)}, as `plotting.label_grid` shows them in one row per label.

    Parameters
    ----------
    flow : Flow
        With ``context_dim`` C > 0, trained with one-hot labels as its context.
    n : int
    rng : seed or numpy.random.Generator

    Returns
    -------
    dict of int to ndarray, shape (n, D)

    Raises
    ------
    NiceValueError, NiceTypeError
        If the flow takes no context, or as `Flow.sample` does.
    """
    labels, rng = _labels(flow, "sample_by_label"), as_rng(rng, "sample_by_label")
    return {k: flow.sample(n, rng, context=label) for k, label in enumerate(labels)}


def _labels(flow: Flow, owner: str) -> Array:
    """Each label as a context: (C, C)."""
    if not isinstance(flow, Flow):
        raise NiceTypeError(f"{owner}: expected a Flow, got {flow!r}")
    if flow.context_dim == 0:
        raise NiceValueError(f"{owner}: this flow takes no context, so it knows no labels")
    return np.eye(flow.context_dim)

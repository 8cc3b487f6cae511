"""Scores of a model on a data set, in nats and bits/dim: the likelihood under a flow, the bounds of a VAE."""

from __future__ import annotations

import os
from typing import Any, cast

import numpy as np

from nice_np.datasets import load
from nice_np.datasets.base import Dataset, Labels
from nice_np.errors import NiceValueError
from nice_np.flows.conditional import log_prob_by_label, marginal_log_prob, one_hot
from nice_np.flows.flow import Flow, to_bits_per_dim
from nice_np.flows.model import Model
from nice_np.vae import VAE
from nice_np.validation import Array, is_pixels


def score_model(model: Model, dataset: Dataset, split: str, seed: int, k: int = 1) -> dict[str, float]:
    """`score` of a flow, `score_bounds` of a VAE."""
    if isinstance(model, VAE):
        return score_bounds(model, dataset, split, seed, k)
    return score(cast(Flow, model), dataset, split, seed)


def score(flow: Flow, dataset: Dataset, split: str, seed: int) -> dict[str, float]:
    """Mean log-likelihood in nats, its standard error, and bits/dim of one split with their bin width.

    For a flow with a context this is the likelihood without labels, log p(x) = log 1/C sum_k p(x | k), which can be
    compared with that of other flows.  Added are the mean of log p(x | true label), "log_likelihood_given_label", and
    "accuracy", how often the most likely label is the true one.
    """
    raw = dataset.split(split)
    x, bin_width = as_density_input(raw, seed, flow), flow.bin_width_of(raw, default=dataset.bin_width)  # (N, D)
    if flow.context_dim == 0:
        return _summary(flow.log_prob(x), flow.dim, bin_width)
    by_label = log_prob_by_label(flow, x)  # (N, C)
    labels = true_labels(flow, dataset, split)  # (N,)
    return {
        **_summary(marginal_log_prob(by_label), flow.dim, bin_width),
        "log_likelihood_given_label": float(by_label[np.arange(len(x)), labels].mean(dtype=np.float64)),
        "accuracy": float((by_label.argmax(axis=1) == labels).mean()),
    }


def score_bounds(model: VAE, dataset: Dataset, split: str, seed: int, k: int = 1) -> dict[str, float]:
    """Mean ELBO in nats over `k` draws, its standard error, bits/dim from it, and for k > 1 the k-draw (IWAE) bound.

    Pixels are binarised for a Bernoulli decoder and dequantised for a Gaussian one; `seed` is for this noise and for
    the draws of latents.  The standard errors are over the samples.
    """
    rng = np.random.default_rng(seed)
    raw = dataset.split(split)
    bounds = model.bounds(model.from_data(raw, rng), k, rng)
    summary = _summary(bounds.elbo, model.dim, model.bin_width_of(raw, default=dataset.bin_width))
    scores = {"elbo": summary.pop("log_likelihood"), **summary}
    if k > 1:
        tighter = _summary(bounds.iwae, model.dim, 1.0)
        scores |= {"k": k, "iwae": tighter["log_likelihood"], "iwae_standard_error": tighter["standard_error"]}
    return scores


def _summary(log_prob: Array, dim: int, bin_width: float) -> dict[str, float]:
    log_prob = log_prob.astype(np.float64)  # (N,)
    mean = float(log_prob.mean())
    return {
        "log_likelihood": mean,
        "standard_error": float(log_prob.std() / np.sqrt(len(log_prob))),
        "bits_per_dim": to_bits_per_dim(mean, dim, bin_width),
        "bin_width": bin_width,
        "samples": len(log_prob),
    }


def load_data(model: Model, name: str, data_dir: str | os.PathLike[str] | None, seed: int) -> Dataset:
    """The data set with this name; NiceValueError unless it has as many features as the model."""
    dataset = load(name, data_dir=data_dir, seed=seed)
    if dataset.dim != model.dim:
        raise NiceValueError(f"data set {name} has {dataset.dim} features, the model expects {model.dim}")
    return dataset


def as_density_input(x: Any, seed: int, flow: Flow) -> Array:
    """Samples as a flow sees them: pixels as in its training, with noise from `seed`, points of the plane unchanged."""
    return flow.from_pixels(x, seed) if is_pixels(x) else x.astype(flow.dtype)


def true_labels(flow: Flow, dataset: Dataset, split: str) -> Labels:
    """The labels of a split, (N,), for a flow whose context is the label."""
    labels = dataset.labels(split)
    if labels is None:
        raise NiceValueError(f"data set {dataset.name} has no labels, which this flow needs as its context")
    if len(labels) and not (labels.min() >= 0 and labels.max() < flow.context_dim):
        raise NiceValueError(
            f"data set {dataset.name}: the flow knows the labels 0 .. {flow.context_dim - 1}, "
            f"{split} has {labels.min()} .. {labels.max()}"
        )
    return labels


def label_context(model: Model, dataset: Dataset, split: str) -> Array | None:
    """The labels of a split as the context of a conditional flow, (N, C); None for any other model."""
    if not isinstance(model, Flow) or model.context_dim == 0:
        return None
    return one_hot(true_labels(model, dataset, split), model.context_dim, model.dtype)

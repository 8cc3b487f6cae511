"""What several commands need: how a model of either kind is scored and called, and how arguments are refused."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from nice_np.datasets import Dataset
from nice_np.errors import NiceValueError
from nice_np.flows.conditional import one_hot
from nice_np.flows.flow import Flow
from nice_np.flows.model import Model
from nice_np.runs.folder import score, score_bounds
from nice_np.vae import VAE
from nice_np.validation import Array

Result = tuple[dict[str, Any], str]  # for --json, and to read


def kind_of(model: Model) -> str:
    """ "flow" or "vae"."""
    return type(model).__name__.lower()


def score_model(model: Model, dataset: Dataset, split: str, seed: int, k: int = 1) -> dict[str, float]:
    """Log-likelihood of a flow, bounds of a VAE."""
    if isinstance(model, VAE):
        return score_bounds(model, dataset, split, seed, k)
    return score(cast(Flow, model), dataset, split, seed)


def labels_to_draw(flow: Flow, label: int | None, n: int) -> Array | None:
    """The context of n samples, (n, C): one label, or all labels in turn; None for a flow without labels."""
    classes = flow.context_dim
    if classes == 0 and label is not None:
        raise NiceValueError("this flow was trained without labels: leave out --label")
    if label is not None and label >= classes:
        raise NiceValueError(f"the flow knows the labels 0 .. {classes - 1}, not {label}")
    if classes == 0:
        return None
    return one_hot(np.arange(n) % classes if label is None else np.full(n, label), classes)


def refuse_if(wrong: bool, message: str) -> None:
    """NiceValueError with the message, if so."""
    if wrong:
        raise NiceValueError(message)

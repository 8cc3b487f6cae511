"""Helpers of several commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nice_np.errors import NiceValueError
from nice_np.flows.conditional import one_hot
from nice_np.flows.flow import Flow
from nice_np.flows.model import Model
from nice_np.validation import Array

Result = tuple[dict[str, Any], Sequence[str]]  # for --json, and the lines to read


def kind_of(model: Model) -> str:
    """ "flow" or "vae"."""
    return type(model).__name__.lower()


def one_label(flow: Flow, label: int, n: int) -> Array:
    """The context (n, C) of n samples with the same label; NiceValueError if the flow does not know it."""
    if flow.context_dim == 0:
        raise NiceValueError("this flow was trained without labels: leave out --label")
    if label >= flow.context_dim:
        raise NiceValueError(f"the flow knows the labels 0 .. {flow.context_dim - 1}, not {label}")
    return one_hot(np.full(n, label), flow.context_dim, flow.dtype)


def labels_to_draw(flow: Flow, label: int | None, n: int) -> Array | None:
    """The context of n samples, (n, C): one label, or all labels in turn; None for a flow without labels."""
    if label is not None:
        return one_label(flow, label, n)
    return one_hot(np.arange(n) % flow.context_dim, flow.context_dim, flow.dtype) if flow.context_dim else None


def refuse_if(wrong: bool, message: str) -> None:
    """NiceValueError with the message, if `wrong`."""
    if wrong:
        raise NiceValueError(message)

"""Argument checks that `restore`, `inpaint` and `sample_posterior` share."""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

import numpy as np

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.flows.flow import Flow
from nice_np.restoration.objectives import Objective
from nice_np.validation import Array, as_float, as_samples, check_interval

Box = tuple[float, float]


def starting_images(objective: Objective, start: Any, owner: str) -> Array:
    """The images to start from, (N, D); by default decode(0)."""
    flow, n = objective.flow, len(objective.y)
    if start is None:
        return flow.decode(np.zeros((n, flow.dim)), objective.context)
    images = as_samples(start, flow.dim, owner=owner, name="start", dtype=flow.dtype)
    if len(images) != n:
        raise NiceValueError(f"{owner}: start has {len(images)} rows, expected {n}, one for each image")
    check_interval(images, flow.bijector.interval, f"{owner}: start")
    return images


def as_clip(clip: Any, owner: str) -> Box:
    """A range (low, high); None is unbounded."""
    if clip is None:
        return (-inf, inf)
    if not isinstance(clip, (tuple, list)) or len(clip) != 2:
        raise NiceTypeError(f"{owner}: clip must be (low, high), such as (0, 1), or None; got {clip!r}")
    low = as_float(clip[0], owner, "clip[0]")
    return low, as_float(clip[1], owner, "clip[1]", above=low)


def refuse_unused(owner: str, name: str, value: Any, switch: str, setting: str, users: tuple[str, ...]) -> None:
    """NiceValueError for an argument that would be ignored because `switch` is set to none of its `users`."""
    if value is not None and setting not in users:
        allowed = " or ".join(f'{switch}="{user}"' for user in users)
        raise NiceValueError(f"{owner}: {name} belongs to {allowed}, got {name}={value!r} and {switch}={setting!r}")


def within(box: Box, interval: Box, owner: str) -> Box:
    """The part of the box inside an open interval; NiceValueError if there is none."""
    low, high = interval
    margin = (high - low) * 1e-6 if np.isfinite(high - low) else 0.0
    inner = max(box[0], low + margin), min(box[1], high - margin)
    if inner[0] >= inner[1]:
        raise NiceValueError(
            f"{owner}: clip {box} does not overlap ({low:.9g}, {high:.9g}), where this flow has a density; give the "
            "range of its data"
        )
    return inner


def space_for(flow: Flow) -> str:
    """Where to search: in latent space, with the proxy for a flow behind a logit.

    Behind a logit the density of x is highest far out, at pixels blacker and whiter than any the flow was trained on
    (docs/mathematics.md): its maximum is not an image.
    """
    return "proxy" if isfinite(flow.bijector.interval[0]) else "latent"

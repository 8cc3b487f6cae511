"""The doors of restoration: `restore` for any operator, `inpaint` for masks whose pixels are exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceValueError
from nice_np.flows.flow import Flow
from nice_np.restoration.arguments import as_clip, refuse_unused, starting_images, within
from nice_np.restoration.lbfgs import minimize_lbfgs
from nice_np.restoration.objectives import (
    HiddenPixels,
    ImageObjective,
    LatentObjective,
    Objective,
    ProxyObjective,
)
from nice_np.restoration.operators import Mask, Operator
from nice_np.restoration.solvers import Show, Solution, ascend_annealed, minimize_adam
from nice_np.training.optim import Cosine, InverseTime, Schedule, get_schedule
from nice_np.training.progress import Progress
from nice_np.validation import Array, Rng, as_choice, as_int, as_real_array, as_rng, as_samples

SPACES = ("latent", "image", "proxy")
ADAM_RATE = Cosine(0.05)
PAPER_RATE = InverseTime(0.1, half=100)  # 10 / (100 + k)
EXACT = 1e-2  # sigma in the latent spaces, where the pixels are exact

Solver = Callable[[Objective, Array, tuple[float, float], Show], Solution]


@dataclass
class Restoration:
    """What `restore` and `inpaint` found.

    Attributes
    ----------
    x : ndarray, shape (N, D)
        The images.
    objective : ndarray, shape (N,)
        What was minimised, of each image at the end, in nats.
    history : list of N arrays
        For each image the objective at the start and after every step.
    """

    x: Array
    objective: Array
    history: list[Array]


def restore(
    flow: Flow,
    y: npt.ArrayLike,
    operator: Operator,
    sigma: float,
    *,
    space: str = "latent",
    optimizer: str = "lbfgs",
    steps: int = 500,
    start: npt.ArrayLike | None = None,
    gamma: float | None = None,
    learning_rate: float | Schedule | None = None,
    clip: tuple[float, float] | None = None,
    context: npt.ArrayLike | None = None,
    progress: bool = False,
) -> Restoration:
    """The most probable images behind measurements y = A x + noise.

    Parameters
    ----------
    flow : Flow
    y : array_like, shape (N, M)
    operator : Operator
        A.
    sigma : float
        Standard deviation of the noise in y, > 0.
    space : {"latent", "image", "proxy"}
        Which objective: LatentObjective, ImageObjective or ProxyObjective.  For a flow behind a `Logit` take the proxy:
        the density of x grows without bound towards black and white, and the most probable image is one of those.
    optimizer : {"lbfgs", "adam"}
    steps : int
        At most; "lbfgs" stops when nothing is left to gain.
    start : array_like, shape (N, D)
        Images to start from; by default decode(0).
    gamma : float, optional
        Of the proxy alone; by default sigma^2.
    learning_rate : float or Schedule, optional
        Of "adam" alone; by default 0.05, down to 0 along half a cosine.
    clip : (low, high), optional
        Range of the data, such as (0, 1): in image space no step leaves it, of latents the final image is clipped.
    context : array_like, shape (N, C) or (C,)
        For a flow with a context.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Restoration
        ``objective`` is that of the image before it was clipped.

    Raises
    ------
    NiceValueError, NiceTypeError
        For an argument of the wrong type, shape or name, and for NaN or inf.
    NiceOverflowError
        If an optimiser runs to numbers that do not fit into the dtype; the message names the layer.

    Examples
    --------
    Prior N(0, 1), noise N(0, 1): half of what was measured.

    >>> from nice_np import DiagonalScaling, Identity
    >>> restore(Flow("normal", DiagonalScaling(2)), [[2.0, -1.0]], Identity(2), sigma=1.0).x.round(4)
    array([[ 1. , -0.5]])
    """
    kinds = dict(zip(SPACES, (LatentObjective, ImageObjective, ProxyObjective), strict=True))
    kind = kinds[as_choice(space, SPACES, "restore", "space")]
    as_choice(optimizer, ("lbfgs", "adam"), "restore", "optimizer")
    refuse_unused("restore", "gamma", gamma, "space", space, ("proxy",))
    refuse_unused("restore", "learning_rate", learning_rate, "optimizer", optimizer, ("adam",))
    weight = {} if gamma is None else {"gamma": gamma}
    objective = kind(flow=flow, operator=operator, y=y, sigma=sigma, context=context, **weight)
    box = as_clip(clip, "restore")
    first = starting_images(objective, start, "restore")
    solver = _solver(optimizer, as_int(steps, "restore", "steps", 1), learning_rate, "restore")
    return _solve(objective, first, solver, box, progress, "restore")


def inpaint(
    flow: Flow,
    x: npt.ArrayLike,
    mask: Mask | npt.ArrayLike,
    *,
    space: str = "image",
    optimizer: str = "lbfgs",
    steps: int = 500,
    start: npt.ArrayLike | None = None,
    sigma: float | None = None,
    learning_rate: float | Schedule | None = None,
    drift: str | None = None,
    clip: tuple[float, float] | None = None,
    context: npt.ArrayLike | None = None,
    rng: Rng = None,
    progress: bool = False,
) -> Restoration:
    """Images with their hidden pixels filled in; the observed ones come back bit for bit.

    Parameters
    ----------
    flow : Flow
    x : array_like, shape (N, D)
        What stands in the hidden pixels is not looked at; it may be NaN.
    mask : Mask, or array_like of bool
        True where a pixel is observed; see `named_mask`.
    space : {"image", "latent", "proxy"}
        "image" moves the hidden pixels alone and maximises log p(x); the others are those of `restore`, with the small
        `sigma`, and the observed pixels pasted into what they find.
    optimizer : {"lbfgs", "adam", "annealed"}
        "annealed" is the NICE paper's noisy ascent, `ascend_annealed`, in image space alone.
    steps : int
    start : array_like, shape (N, D)
        By default decode(0); for "annealed" uniform in [0, 1], as in the paper.
    sigma : float, optional
        Of "latent" and "proxy" alone; by default 0.01.
    learning_rate : float or Schedule, optional
        Of "adam", as in `restore`, and of "annealed": there by default 10 / (100 + k) at step k, as in the paper.
        Where a flow's likelihood is steep, as behind a `Standardize`, that is too long a step: give a smaller one.
    drift : {"image", "batch"}, optional
        Of "annealed" alone; by default "image": every image climbs its own likelihood, as the paper says.  "batch": all
        climb their mean, which moves each of N images N times less, as the authors' program does with N = 100.
    clip, context, progress
        As in `restore`.
    rng : seed or numpy.random.Generator
        For "annealed".

    Returns
    -------
    Restoration
        ``x`` is float64 where the input is, whatever the flow computes in: or its pixels would not stay the same.

    Raises
    ------
    NiceValueError, NiceTypeError, NiceOverflowError
        As `restore`.

    Examples
    --------
    >>> from nice_np import DiagonalScaling
    >>> inpaint(Flow("normal", DiagonalScaling(2)), [[2.0, np.nan]], [True, False]).x
    array([[2., 0.]])
    """
    mask = mask if isinstance(mask, Mask) else Mask(mask)
    known = _known(x, mask)  # (N, D)
    y = known[:, mask.observed]
    as_choice(space, SPACES, "inpaint", "space")
    as_choice(optimizer, ("lbfgs", "adam", "annealed"), "inpaint", "optimizer")
    follows = as_choice("image" if drift is None else drift, ("image", "batch"), "inpaint", "drift")
    refuse_unused("inpaint", "sigma", sigma, "space", space, ("latent", "proxy"))
    refuse_unused("inpaint", "learning_rate", learning_rate, "optimizer", optimizer, ("adam", "annealed"))
    refuse_unused("inpaint", "drift", drift, "optimizer", optimizer, ("annealed",))
    box, rng, steps = as_clip(clip, "inpaint"), as_rng(rng, "inpaint"), as_int(steps, "inpaint", "steps", 1)
    if space == "image":
        objective = HiddenPixels(flow=flow, operator=mask, y=y, context=context)
        if optimizer == "annealed":
            start = rng.random(known.shape) if start is None else start
            solver = _annealed(steps, learning_rate, 1 / max(len(y), 1) if follows == "batch" else 1.0, rng)
        else:
            solver = _solver(optimizer, steps, learning_rate, "inpaint")
        found = _solve(objective, starting_images(objective, start, "inpaint"), solver, box, progress, "inpaint")
    elif optimizer == "annealed":
        raise NiceValueError(f'inpaint: optimizer="annealed" belongs to space="image", got space={space!r}')
    else:
        found = restore(
            flow, y, mask, EXACT if sigma is None else sigma, space=space, optimizer=optimizer, steps=steps,
            start=start, learning_rate=learning_rate, clip=clip, context=context, progress=progress,
        )  # fmt: skip
    filled = found.x.astype(np.result_type(known, found.x))
    filled[:, mask.observed] = y
    return replace(found, x=filled)


def _known(x: Any, mask: Mask) -> Array:
    # Zeros for what is hidden, so that NaN may stand there.
    raw = as_real_array(x, "inpaint", "x")
    if raw.ndim == 2 and raw.shape[1] == mask.dim_in:
        raw = raw.copy()
        raw[:, mask.hidden] = 0
    return as_samples(raw, mask.dim_in, owner="inpaint")


def _solver(optimizer: str, steps: int, learning_rate: float | Schedule | None, owner: str) -> Solver:
    if optimizer == "lbfgs":
        return lambda objective, u, box, show: minimize_lbfgs(objective, u, steps, box, show)
    schedule = ADAM_RATE if learning_rate is None else get_schedule(learning_rate, owner)
    return lambda objective, u, box, show: minimize_adam(objective, u, steps, box, schedule, show)


def _annealed(steps: int, learning_rate: float | Schedule | None, drift: float, rng: np.random.Generator) -> Solver:
    schedule = PAPER_RATE if learning_rate is None else get_schedule(learning_rate, "inpaint")
    return lambda objective, u, box, show: ascend_annealed(objective, u, steps, box, schedule, show, rng, drift)


def _solve(
    objective: Objective, images: Array, solver: Solver, box: tuple[float, float], progress: bool, owner: str
) -> Restoration:
    in_pixels = isinstance(objective, (ImageObjective, HiddenPixels))
    space = within(box, objective.interval, owner) if in_pixels else (-inf, inf)
    u = objective.variables(images)
    if u.size == 0:  # nothing is hidden, or there is no image
        value = objective.value_and_grad(u)[0]
        return Restoration(objective.image(u), value, [value[n : n + 1] for n in range(len(value))])
    bar = Progress(progress)
    try:
        u, history = solver(
            objective,
            u,
            space,
            lambda done, step, value: bar.show_state(done, f"step {step}", f"objective {value.mean():.2f} nats"),
        )
    finally:
        bar.close()
    return Restoration(np.clip(objective.image(u), *box), objective.value_and_grad(u)[0], history)

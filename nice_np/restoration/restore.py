"""`restore`: the most probable images behind measurements y = A x + noise, the MAP estimate."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from math import inf

import numpy as np
import numpy.typing as npt

from nice_np.flows.flow import Flow
from nice_np.restoration.arguments import as_clip, refuse_unused, starting_images, within
from nice_np.restoration.lbfgs import minimize_lbfgs
from nice_np.restoration.objectives import (
    ImageObjective,
    LatentObjective,
    LatentSpaceObjective,
    Objective,
    ProxyObjective,
)
from nice_np.restoration.operators import Operator
from nice_np.restoration.solvers import Solver, minimize_adam
from nice_np.suggestions import suggests
from nice_np.training.progress import Progress
from nice_np.training.schedules import Cosine, Schedule, get_schedule
from nice_np.validation import Array, as_choice, as_flag, as_int

SPACES: dict[str, type[LatentObjective | ImageObjective | ProxyObjective]] = {
    "latent": LatentObjective,
    "image": ImageObjective,
    "proxy": ProxyObjective,
}
ADAM_RATE = Cosine(0.05)


@dataclass
class Restoration:
    """The result of `restore` and `inpaint`.

    Attributes
    ----------
    x : ndarray, shape (N, D)
        The images.
    objective : ndarray, shape (N,)
        The final objective of each image, in nats.
    history : list of N arrays
        For each image the objective at the start and after every step.
    """

    x: Array
    objective: Array
    history: list[Array]


@suggests
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
        The objective: LatentObjective, ImageObjective or ProxyObjective.  Use the proxy for a flow behind a `Logit`:
        the density of x grows without bound towards black and white, so the most probable image has such pixels only.
    optimizer : {"lbfgs", "adam"}
    steps : int
        Maximum number of steps; "lbfgs" stops at convergence.
    start : array_like, shape (N, D)
        Initial images; by default decode(0).
    gamma : float, optional
        For the proxy only; sigma^2 by default.
    learning_rate : float or Schedule, optional
        For "adam" only; by default 0.05, decayed to 0 along half a cosine.
    clip : (low, high), optional
        Range of the data, such as (0, 1).  In image space no step leaves it; otherwise the final image is clipped.
    context : array_like, shape (N, C) or (C,)
        For a flow with a context.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Restoration
        ``objective`` is that of the image before clipping.

    Raises
    ------
    NiceValueError, NiceTypeError
        For an argument of the wrong type, shape or name, and for NaN or inf.
    NiceOverflowError
        If an optimiser reaches values that overflow the dtype; the message names the layer.

    Examples
    --------
    Prior N(0, 1), noise N(0, 1): half of the measurement.

    >>> from nice_np import DiagonalScaling, Identity
    >>> restore(Flow("normal", DiagonalScaling(2)), [[2.0, -1.0]], Identity(2), sigma=1.0).x.round(4)
    array([[ 1. , -0.5]])
    """
    owner = "restore"
    space = as_choice(space, SPACES, owner, "space")
    optimizer = as_choice(optimizer, ("lbfgs", "adam"), owner, "optimizer")
    refuse_unused(owner, "gamma", gamma, "space", space, ("proxy",))
    refuse_unused(owner, "learning_rate", learning_rate, "optimizer", optimizer, ("adam",))
    weight = {} if gamma is None else {"gamma": gamma}
    objective = SPACES[space](flow=flow, operator=operator, y=y, sigma=sigma, context=context, **weight)
    box, images = as_clip(clip, owner), starting_images(objective, start, owner)
    return solve(objective, images, get_solver(optimizer, learning_rate, owner), steps, box, progress, owner)


def get_solver(optimizer: str, learning_rate: float | Schedule | None, owner: str) -> Solver:
    """The solver called "lbfgs" or "adam", with its learning rate."""
    if optimizer == "lbfgs":
        return minimize_lbfgs
    return partial(
        minimize_adam, learning_rate=get_schedule(ADAM_RATE if learning_rate is None else learning_rate, owner)
    )


def solve(
    objective: Objective,
    images: Array,
    solver: Solver,
    steps: int,
    box: tuple[float, float],
    progress: bool,
    owner: str,
) -> Restoration:
    """Minimise the objective from these images (N, D); a box for pixels does not bound latents, only their images."""
    steps, progress = as_int(steps, owner, "steps", 1), as_flag(progress, owner, "progress")
    is_latent = isinstance(objective, LatentSpaceObjective)
    bounds = (-inf, inf) if is_latent else within(box, objective.interval, owner)
    u = objective.variables(images)
    if u.size == 0:  # no hidden pixels, or no images
        value = objective.value_and_grad(u)[0]
        return Restoration(objective.image(u), value, [value[n : n + 1] for n in range(len(value))])
    with closing(Progress(progress)) as bar:

        def show(done: float, step: int, value: Array) -> None:
            bar.show_state(done, f"step {step}", f"objective {value.mean():.2f} nats")

        u, history = solver(objective, u, steps, bounds, show)
    return Restoration(np.clip(objective.image(u), *box), objective.value_and_grad(u)[0], history)

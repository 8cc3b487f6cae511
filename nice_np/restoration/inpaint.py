"""`inpaint`: fill in hidden pixels and keep the observed ones exactly."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceValueError
from nice_np.flows.flow import Flow
from nice_np.restoration.arguments import as_clip, refuse_unused, starting_images
from nice_np.restoration.objectives import HiddenPixels
from nice_np.restoration.operators import Mask
from nice_np.restoration.restore import SPACES, Restoration, get_solver, restore, solve
from nice_np.restoration.solvers import Solver, ascend_annealed
from nice_np.suggestions import suggests
from nice_np.training.schedules import InverseTime, Schedule, get_schedule
from nice_np.validation import Array, Rng, as_choice, as_real_array, as_rng, as_samples

PAPER_RATE = InverseTime(0.1, half=100)  # 10 / (100 + k)
SMALL_SIGMA = 1e-2  # stands for exact pixels in the latent spaces


@suggests
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
    """Fill in the hidden pixels of images; the observed pixels are returned bit for bit.

    Parameters
    ----------
    flow : Flow
    x : array_like, shape (N, D)
        The values of hidden pixels are ignored; they may be NaN.
    mask : Mask, or array_like of bool
        True where a pixel is observed; see `named_mask`.
    space : {"image", "latent", "proxy"}
        "image" changes the hidden pixels only and maximises log p(x).  The others are those of `restore` with a small
        `sigma`; the observed pixels are pasted into the result.
    optimizer : {"lbfgs", "adam", "annealed"}
        "annealed" is the NICE paper's noisy ascent, in image space only.
    steps : int
    start : array_like, shape (N, D)
        By default decode(0); for "annealed" uniform in [0, 1], as in the paper.
    sigma : float, optional
        For "latent" and "proxy" only; 0.01 by default.
    learning_rate : float or Schedule, optional
        For "adam", as in `restore`, and for "annealed": by default 10 / (100 + k) at step k, as in the paper.  This is
        too large where a flow's likelihood is steep, as behind a `Standardize`: give a smaller one.
    drift : {"image", "batch"}, optional
        For "annealed" only.  "image", the default: every image climbs its own likelihood, as in the paper.  "batch":
        the mean likelihood of all N images is climbed, a drift N times smaller, as in the authors' code (N = 100).
    clip, context, progress
        As in `restore`.
    rng : seed or numpy.random.Generator
        For "annealed".

    Returns
    -------
    Restoration
        ``x`` is float64 if the input is, whatever the flow's dtype, so that observed pixels are not rounded.

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
    owner = "inpaint"
    mask = mask if isinstance(mask, Mask) else Mask(mask)
    known = without_hidden(x, mask, owner)  # (N, D)
    y = known[:, mask.observed]
    space = as_choice(space, SPACES, owner, "space")
    optimizer = as_choice(optimizer, ("lbfgs", "adam", "annealed"), owner, "optimizer")
    drift = None if drift is None else as_choice(drift, ("image", "batch"), owner, "drift")
    refuse_unused(owner, "sigma", sigma, "space", space, ("latent", "proxy"))
    refuse_unused(owner, "learning_rate", learning_rate, "optimizer", optimizer, ("adam", "annealed"))
    refuse_unused(owner, "drift", drift, "optimizer", optimizer, ("annealed",))
    box, rng = as_clip(clip, owner), as_rng(rng, owner)
    if space == "image":
        objective = HiddenPixels(flow=flow, operator=mask, y=y, context=context)
        solver: Solver
        if optimizer == "annealed":
            start = rng.random(known.shape) if start is None else start
            rate = get_schedule(PAPER_RATE if learning_rate is None else learning_rate, owner)
            share = 1 / max(len(y), 1) if drift == "batch" else 1.0
            solver = partial(ascend_annealed, learning_rate=rate, rng=rng, drift=share)
        else:
            solver = get_solver(optimizer, learning_rate, owner)
        found = solve(objective, starting_images(objective, start, owner), solver, steps, box, progress, owner)
    elif optimizer == "annealed":
        raise NiceValueError(f'inpaint: optimizer="annealed" belongs to space="image", got space={space!r}')
    else:
        found = restore(
            flow, y, mask, SMALL_SIGMA if sigma is None else sigma, space=space, optimizer=optimizer, steps=steps,
            start=start, learning_rate=learning_rate, clip=clip, context=context, progress=progress,
        )  # fmt: skip
    filled = found.x.astype(np.result_type(known, found.x))
    filled[:, mask.observed] = y
    return replace(found, x=filled)


def without_hidden(x: Any, mask: Mask, owner: str) -> Array:
    """x with zeros in the hidden pixels, where NaN is allowed."""
    raw = as_real_array(x, owner, "x")
    if raw.ndim == 2 and raw.shape[1] == mask.dim_in:
        raw = raw.copy()
        raw[:, mask.hidden] = 0
    return as_samples(raw, mask.dim_in, owner=owner)

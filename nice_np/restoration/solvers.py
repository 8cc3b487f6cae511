"""Solvers that move all images at once: Adam, and the noisy ascent of the NICE paper.

A solver takes an objective, the start u (N, P), the number of steps and a box (low, high) that no variable leaves.  It
returns the final u and, for each image, the objective at the start and after every step.  It calls
`show(done, step, value)` after each step with the share of steps done and the value (N,) before the step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nice_np.restoration.arguments import Box
from nice_np.restoration.objectives import Objective
from nice_np.training.optim import Adam
from nice_np.training.schedules import Schedule
from nice_np.validation import Array

Show = Callable[[float, int, Array], Any]
Solution = tuple[Array, list[Array]]
Solver = Callable[[Objective, Array, int, Box, Show], Solution]


def minimize_adam(
    objective: Objective, u: Array, steps: int, box: Box, show: Show, learning_rate: Schedule
) -> Solution:
    """Adam on all images; it acts on each coordinate separately, so the images do not mix."""
    optimizer, u, history = Adam(), np.clip(u, *box), []
    for k in range(steps):
        value, gradient = objective.value_and_grad(u)
        history.append(value)
        flat = u.ravel()
        optimizer.step(flat, np.ascontiguousarray(gradient, u.dtype).ravel(), learning_rate(k, k / steps))
        u = np.clip(flat.reshape(u.shape), *box)
        show((k + 1) / steps, k + 1, value)
    return u, _by_image([*history, objective.value_and_grad(u)[0]])


def ascend_annealed(
    objective: Objective, u: Array, steps: int, box: Box, show: Show, learning_rate: Schedule,
    rng: np.random.Generator, drift: float = 1.0,
) -> Solution:  # fmt: skip
    """u <- u + a_k (eps - drift dF/du),  eps ~ N(0, I),  a_k = 10 / (100 + k): section 5.2 of Dinh et al. 2014.

    With F = -log p this climbs the likelihood; the noise, which decays with a_k, helps it out of poor maxima.  The
    paper's drift is 1.  The authors' code climbs the mean over the N images of its batch: drift 1/N.
    """
    u, history = np.clip(u, *box), []
    for k in range(steps):
        value, gradient = objective.value_and_grad(u)
        history.append(value)
        noise = rng.standard_normal(u.shape).astype(u.dtype)
        rate = u.dtype.type(learning_rate(k, k / steps))
        u = np.clip(u + rate * (noise - u.dtype.type(drift) * gradient), *box)
        show((k + 1) / steps, k + 1, value)
    return u, _by_image([*history, objective.value_and_grad(u)[0]])


def _by_image(history: list[Array]) -> list[Array]:
    return list(np.array(history).T)  # (steps + 1, N) -> N arrays (steps + 1,)

"""L-BFGS-B of SciPy on many images at once.

Each image has an optimiser of its own in a thread of its own.  One that wants to know its objective at a point waits
until every other wants the same or has come to its end; then one pass through the flow answers all of them.  What comes
out for an image does not depend on the others, but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from queue import SimpleQueue

import numpy as np

from nice_np.checks import Array
from nice_np.errors import NiceOverflowError
from nice_np.restoration.arguments import Box
from nice_np.restoration.objectives import Objective
from nice_np.restoration.solvers import Show, Solution

FTOL = 1e-13  # L-BFGS stops when a step lowers the objective by less than this part of it ...
GTOL = 1e-6  # ... or when no component of the gradient, in nats, is larger than this
MEMORY = 20  # pairs of steps and gradients from which it guesses the curvature

Answer = tuple[float, Array]  # the objective of one image and its gradient (P,)
Question = tuple[int, Array | None]  # the number of an image, and a point (P,), or None: it is done


class Abandoned(Exception):
    """Nobody will answer any more."""


def minimize_lbfgs(objective: Objective, u: Array, steps: int, box: Box, show: Show) -> Solution:
    """L-BFGS-B of every image; see `nice_np.restoration.solvers` for the arguments."""
    u = np.clip(u, *box)
    questions: SimpleQueue[Question] = SimpleQueue()
    answers: list[SimpleQueue[Answer | None]] = [SimpleQueue() for _ in u]

    def run(n: int) -> tuple[Array, Array]:
        def ask(point: Array) -> Answer:
            questions.put((n, point))
            answer = answers[n].get()
            if answer is None:
                raise Abandoned
            return answer

        try:
            return lbfgs_of_one(ask, u[n], steps, box)
        finally:
            questions.put((n, None))

    with ThreadPoolExecutor(len(u)) as pool:
        tasks = [pool.submit(run, n) for n in range(len(u))]
        try:
            answer_all(objective, u.copy(), questions, answers, steps, show)
        finally:
            for queue in answers:  # after an error or Ctrl-C some are still waiting
                queue.put(None)
    found = [task.result() for task in tasks]
    return np.array([point for point, _ in found]).astype(u.dtype), [history for _, history in found]


def answer_all(
    objective: Objective,
    points: Array,
    questions: SimpleQueue[Question],
    answers: list[SimpleQueue[Answer | None]],
    steps: int,
    show: Show,
) -> None:
    """Answer the optimisers, all those that are not done at a time, until all are; `points` (N, P) are overwritten."""
    active, rounds = set(range(len(points))), 0
    while active:
        waiting: list[int] = []
        while len(waiting) < len(active):
            n, point = questions.get()
            if point is None:
                active.remove(n)
            else:
                points[n] = point
                waiting.append(n)
        if not waiting:
            return
        rounds += 1
        images = np.array(waiting)
        try:
            value, gradient = objective.rows(images).value_and_grad(points[images])
        except NiceOverflowError:
            objective.value_and_grad(points)  # fails, too, and counts the rows as the caller does
            raise
        for n, f, df in zip(waiting, value, gradient, strict=True):
            answers[n].put((float(f), df.astype(np.float64)))
        show(max(1 - len(active) / len(points), min(rounds / steps, 1)), rounds, value)


def lbfgs_of_one(ask: Callable[[Array], Answer], u: Array, steps: int, box: Box) -> tuple[Array, Array]:
    """The minimiser (P,), from u (P,), of what `ask` answers; and the objective at the start and after every step."""
    from scipy.optimize import minimize

    evaluated: list[float] = []
    history: list[float] = []

    def loss(point: Array) -> Answer:
        value, gradient = ask(point)
        evaluated.append(value)
        return value, gradient

    def accepted(_: Array) -> None:
        history.append(evaluated[-1])  # the line search ends where it evaluated last

    bounds = None if box == (-inf, inf) else [box] * len(u)
    options = {"maxiter": steps, "maxfun": 20 * steps, "ftol": FTOL, "gtol": GTOL, "maxcor": MEMORY}
    found = minimize(
        loss, u.astype(np.float64), jac=True, method="L-BFGS-B", bounds=bounds, callback=accepted, options=options
    )
    return found.x, np.array([evaluated[0], *history])

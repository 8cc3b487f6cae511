"""L-BFGS-B of SciPy on many images at once.

Each image has an optimiser of its own in a thread of its own.  One that wants to know its objective at a point waits
until every other wants the same or has come to its end; then one pass through the flow answers all of them.  What comes
out for an image does not depend on the others, but for rounding.  Many images are solved block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from math import inf
from queue import SimpleQueue
from typing import Any

import numpy as np

from nice_np.errors import NiceError, NiceOverflowError
from nice_np.restoration.arguments import Box
from nice_np.restoration.objectives import Objective
from nice_np.restoration.solvers import Show, Solution
from nice_np.validation import Array

FTOL = 1e-13  # L-BFGS stops when a step lowers the objective by less than this part of it ...
GTOL = 1e-6  # ... or when no component of the gradient, in nats, is larger than this
BLOCK = 500  # images at a time: more would not be faster, and a system has only so many threads
MEMORY = 20  # pairs of steps and gradients from which it guesses the curvature

Answer = tuple[float, Array]  # the objective of one image and its gradient (P,)
Question = tuple[int, Array | None]  # the number of an image, and a point (P,), or None: it is done


class Abandoned(Exception):
    """Nobody will answer any more."""


def minimize_lbfgs(objective: Objective, u: Array, steps: int, box: Box, show: Show) -> Solution:
    """L-BFGS-B of every image; see `nice_np.restoration.solvers` for the arguments."""
    u, found = np.clip(u, *box), []
    for first in range(0, len(u), BLOCK):
        images = range(first, min(first + BLOCK, len(u)))

        def shown(done: float, step: int, value: Array, images: range = images) -> None:
            show((images.start + done * len(images)) / len(u), step, value)

        found += minimize_block(objective, u, images, steps, box, shown)
    return np.array([point for point, _ in found]).astype(u.dtype), [history for _, history in found]


def minimize_block(
    objective: Objective, u: Array, images: range, steps: int, box: Box, show: Show
) -> list[tuple[Array, Array]]:
    """What `lbfgs_of_one` finds for each of these images, rows of u (N, P), with a thread for each."""
    questions: SimpleQueue[Question] = SimpleQueue()
    answers: dict[int, SimpleQueue[Answer | None]] = {n: SimpleQueue() for n in images}

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

    with ThreadPoolExecutor(len(images)) as pool:
        try:
            tasks = start_all(pool, run, images)
            answer_all(objective, u.copy(), questions, answers, steps, show)
        finally:
            for queue in answers.values():  # after an error or Ctrl-C some are still waiting
                queue.put(None)
    return [task.result() for task in tasks]


def start_all(pool: ThreadPoolExecutor, run: Callable[[int], Any], images: range) -> list[Future[Any]]:
    """A task for each image, all running; NiceError where the system starts no more threads."""
    try:
        return [pool.submit(run, n) for n in images]
    except RuntimeError as error:
        raise NiceError(
            f"L-BFGS: the system does not start the {len(images)} threads for {len(images)} images ({error}); restore "
            'fewer images at a time, or take optimizer="adam"'
        ) from error


def answer_all(
    objective: Objective,
    points: Array,
    questions: SimpleQueue[Question],
    answers: Mapping[int, SimpleQueue[Answer | None]],
    steps: int,
    show: Show,
) -> None:
    """Answer the optimisers, all those that are not done at a time, until all are.

    `answers` has a queue for each image of the block; its rows of `points` (N, P) are overwritten.
    """
    active, rounds = set(answers), 0
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
        images = np.sort(waiting)  # not in the order of the threads: the same call gives the same bits
        try:
            value, gradient = objective.rows(images).value_and_grad(points[images])
        except NiceOverflowError:
            objective.value_and_grad(points)  # fails, too, and counts the rows as the caller does
            raise
        for n, f, df in zip(images, value, gradient, strict=True):
            answers[n].put((float(f), df.astype(np.float64)))
        show(max(1 - len(active) / len(answers), min(rounds / steps, 1)), rounds, value)


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

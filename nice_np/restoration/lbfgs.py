"""SciPy's L-BFGS-B on many images at once.

Each image has its own optimiser in its own thread.  An optimiser that needs its objective waits until all others need
theirs or have finished; then one pass through the flow serves them all.  The result for an image does not depend on
the others, except for rounding.  Many images are solved block by block; in a browser tab, which has no threads, one
after the other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceError, NiceOverflowError
from nice_np.restoration.arguments import Box
from nice_np.restoration.objectives import Objective
from nice_np.restoration.solvers import Show, Solution
from nice_np.validation import Array

FTOL = 1e-13  # stop when a step lowers the objective by less than this part of it ...
GTOL = 1e-6  # ... or when no component of the gradient, in nats, is larger than this
BLOCK = 500  # images at a time: more are not faster, and the system limits the number of threads
MEMORY = 20  # pairs of steps and gradients that approximate the curvature

Answer = tuple[float, Array]  # the objective of one image and its gradient (P,)
Question = tuple[int, Array | None]  # the index of an image and a point (P,), or None when it has finished


class Abandoned(Exception):
    """The block has failed or was interrupted; no answer will come."""


def minimize_lbfgs(objective: Objective, u: Array, steps: int, box: Box, show: Show) -> Solution:
    """L-BFGS-B on every image; see `nice_np.restoration.solvers` for the arguments."""
    u, found = np.clip(u, *box), []
    minimize = minimize_one_by_one if sys.platform == "emscripten" else minimize_block
    for first in range(0, len(u), BLOCK):
        images = range(first, min(first + BLOCK, len(u)))

        def show_block(done: float, step: int, value: Array, images: range = images) -> None:
            show((images.start + done * len(images)) / len(u), step, value)

        found += minimize(objective, u, images, steps, box, show_block)
    return np.array([point for point, _ in found]).astype(u.dtype), [history for _, history in found]


def minimize_one_by_one(
    objective: Objective, u: Array, images: range, steps: int, box: Box, show: Show
) -> list[tuple[Array, Array]]:
    """The same results as those of `minimize_block`, without a second thread."""
    points, found = u.copy(), []
    for n in images:

        def ask(point: Array, n: int = n) -> Answer:
            points[n] = point
            value, gradient = evaluate(objective, points, np.array([n]))
            return float(value[0]), gradient[0].astype(np.float64)

        found.append(lbfgs_of_one(ask, u[n], steps, box))
        history = found[-1][1]
        show(len(found) / len(images), len(history) - 1, history[-1:])
    return found


def minimize_block(
    objective: Objective, u: Array, images: range, steps: int, box: Box, show: Show
) -> list[tuple[Array, Array]]:
    """The result of `lbfgs_of_one` for each of these rows of u (N, P), with one thread per row."""
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
            tasks = [pool.submit(run, n) for n in images]
        except RuntimeError as error:
            raise NiceError(
                f"L-BFGS: the system cannot start {len(images)} threads for {len(images)} images ({error}); restore "
                'fewer images at a time, or use optimizer="adam"'
            ) from error
        else:
            answer_all(objective, u.copy(), questions, answers, steps, show)
        finally:
            for queue in answers.values():  # after an error or Ctrl-C some threads are still waiting
                queue.put(None)
    return [task.result() for task in tasks]


def answer_all(
    objective: Objective,
    points: Array,
    questions: SimpleQueue[Question],
    answers: dict[int, SimpleQueue[Answer | None]],
    steps: int,
    show: Show,
) -> None:
    """Evaluate the objective for all optimisers that are still running, round by round, until none is.

    `answers` has one queue for each image of the block; its rows of `points` (N, P) are overwritten.
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
        value, gradient = evaluate(objective, points, images)
        for n, f, df in zip(images, value, gradient, strict=True):
            answers[n].put((float(f), df.astype(np.float64)))
        show(max(1 - len(active) / len(answers), min(rounds / steps, 1)), rounds, value)


def evaluate(objective: Objective, points: Array, images: npt.NDArray[np.intp]) -> tuple[Array, Array]:
    """The objective of K of the images and its gradient, (K,) and (K, P), at these rows of `points` (N, P)."""
    try:
        return objective.rows(images).value_and_grad(points[images])
    except NiceOverflowError:
        objective.value_and_grad(points)  # fails too, and names the row by the caller's count
        raise


def lbfgs_of_one(ask: Callable[[Array], Answer], u: Array, steps: int, box: Box) -> tuple[Array, Array]:
    """Minimise the function `ask`, from u (P,): the minimiser (P,), and the value at the start and after every step."""
    from scipy.optimize import minimize

    evaluated: list[float] = []
    history: list[float] = []

    def loss(point: Array) -> Answer:
        value, gradient = ask(point)
        evaluated.append(value)
        return value, gradient

    def accepted(_: Array) -> None:
        history.append(evaluated[-1])  # the line search ends at its last evaluation

    bounds = None if box == (-inf, inf) else [box] * len(u)
    options = {"maxiter": steps, "maxfun": 20 * steps, "ftol": FTOL, "gtol": GTOL, "maxcor": MEMORY}
    found = minimize(
        loss, u.astype(np.float64), jac=True, method="L-BFGS-B", bounds=bounds, callback=accepted, options=options
    )
    return found.x, np.array([evaluated[0], *history])

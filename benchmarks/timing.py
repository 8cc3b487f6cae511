"""Timing side by side: in every round each contender runs a short block, so that a drifting clock hits all alike."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import Any, NamedTuple

import numpy as np

PAUSE = 0.1  # seconds between blocks: idle worker threads of the previous library spin for a while, then sleep
BLOCK = 0.3  # seconds that a block should last,
MOST_CALLS = 50  # but no more calls than this: hundreds of steps later Adam's moments of dead units are denormal, slow
LONG = 0.5  # seconds; longer calls are warmed up by one call before the block, shorter ones by two


class Task(NamedTuple):
    """Something to be timed: `call` starts it, `wait` returns when its result is there, `around` is entered before."""

    name: str
    call: Callable[[], Any]
    wait: Callable[[Any], None] = lambda result: None
    around: Callable[[], AbstractContextManager[Any]] = nullcontext


@dataclass(frozen=True)
class Timing:
    """Seconds a call: the median over the rounds, the quartiles, and how much was measured."""

    median: float
    q1: float
    q3: float
    rounds: int
    calls: int  # in each round

    @classmethod
    def of(cls, seconds: list[float], calls: int = 1) -> Timing:
        """Of one number a round."""
        q1, median, q3 = (float(q) for q in np.quantile(seconds, (0.25, 0.5, 0.75)))
        return cls(median, q1, q3, len(seconds), calls)


def side_by_side(tasks: list[Task], rounds: int) -> dict[str, Timing]:
    """Time all tasks, block by block in turn, the order moving on by one each round.

    Parameters
    ----------
    tasks : list of Task
    rounds : int

    Returns
    -------
    dict
        A Timing for each name.
    """
    calls = {task.name: calls_in_a_block(once(task)) for task in tasks}
    seconds: dict[str, list[float]] = {task.name: [] for task in tasks}
    for k in range(rounds):
        first = k % len(tasks)
        for task in tasks[first:] + tasks[:first]:  # so that nobody always runs behind the same neighbour
            sleep(PAUSE)
            seconds[task.name].append(block(task, calls[task.name]))
    return {task.name: Timing.of(seconds[task.name], calls[task.name]) for task in tasks}


def once(task: Task) -> float:
    """Seconds of one call, the shorter of two; the one before them compiles, fills caches and allocates."""
    with task.around():
        block_of(task, 1)
        return min(block_of(task, 1), block_of(task, 1))


def calls_in_a_block(seconds: float) -> int:
    """How many calls of that length make a block."""
    return int(min(max(round(BLOCK / seconds), 1), MOST_CALLS))


def block(task: Task, calls: int) -> float:
    """Seconds a call, behind one or two that are not counted."""
    with task.around():
        warm = block_of(task, 1)
        if warm < LONG:
            block_of(task, 1)
        return block_of(task, calls) / calls


def block_of(task: Task, calls: int) -> float:
    """Seconds until all calls are done."""
    start = perf_counter()
    for _ in range(calls):
        result = task.call()
    task.wait(result)
    return perf_counter() - start

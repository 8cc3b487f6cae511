"""NumPy's BLAS and its threads: how long they wait for work before they sleep, and how many of them there are.

**How long**; for this the module is imported before NumPy.  Between two products OpenBLAS's threads wait awake, for
2^26 ticks of the clock, some 25 ms, so that the next product finds them at once, and for so long they take their cores
from everything else: from the threads that update the parameters, and from any other program.  The products of a
training step come sooner after each other than 2^20 ticks, half a millisecond, and this is what is asked for here.  A
value that is set already stays; where NumPy was imported first it is too late, and the threads wait as ever.

**How many.**  BLAS cuts each product into as many parts as it has threads, and waits, awake, for the last part.  While
the machine is idle, a thread for each core is best.  Beside other programs one part has to wait for its core, and all
the others wait for it: a training step can take thirty times as long.  So between steps `BlasThreads` times products by
all, half, a quarter, ..., and one of the threads, and takes the number that was fastest.
"""

import os

os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from threading import RLock
from typing import Any

log = logging.getLogger(__name__)

BURST = 0.01  # seconds of products by each number of threads
PATIENCE = 50  # work at least so many times as long as a look takes between two looks: they cost 2 %
SET_BY_USER = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")  # with one of these the number stays


@cache
def _matrices() -> tuple[Any, ...]:
    """NumPy, and matrices of the sizes of a training step on digits."""
    import numpy as np

    return np, np.ones((200, 500), np.float32), np.ones((500, 500), np.float32), np.empty((200, 500), np.float32)


def speed() -> float:
    """Matrix products per second with the present number of threads."""
    numpy, a, b, product = _matrices()
    done, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < BURST:
        numpy.matmul(a, b, out=product)  # or what stands in its place, see `nice_np.interop.products`
        done += 1
    return done / seconds


def _number_is_set() -> bool:
    return any(name in os.environ for name in SET_BY_USER)


def libraries() -> list[Any]:
    """The BLAS libraries that are loaded now, as threadpoolctl sees them: NumPy's, and perhaps SciPy's."""
    if sys.platform == "emscripten":
        return []  # a browser tab has one thread
    from threadpoolctl import ThreadpoolController  # not at import: finding the libraries takes a millisecond

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


class BlasThreads:
    """The number of BLAS threads, which belongs to the whole process: the last block to end restores what was found.

    Blocks may overlap, in one Python thread or in several.  Where any of them fixes a number, the smallest such number
    holds, also for blocks inside that would follow the load.
    """

    def __init__(
        self,
        speed: Callable[[], float] = speed,
        libraries: Callable[[], list[Any]] = libraries,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.speed, self.libraries, self.clock = speed, libraries, clock
        self.lock = RLock()
        self.known: list[Any] | None = None  # the libraries that were loaded at the last search
        self.found: list[tuple[Any, int]] = []  # the libraries and their numbers outside of all blocks
        self.fixed_at: list[int] = []  # of the blocks of `fixed` that have begun
        self.following = 0  # blocks of `following_load` that have begun
        self.choice: int | None = None  # of the last look
        self.speeds: dict[int, float] = {}  # by number of threads, a running mean
        self.cost = 2 * BURST  # seconds of a look
        self.worked = self.since = 0.0  # seconds of work since the last look; when the block began, or the look ended

    @contextmanager
    def fixed(self, n: int | None = None) -> Iterator[None]:
        """A block with n threads; None: with as many as there are outside."""
        with self.lock:
            self._begin(anew=True)
            number = n or max((before for _, before in self.found), default=1)
            self.fixed_at.append(number)
            self._set()
        try:
            yield
        finally:
            with self.lock:
                self.fixed_at.remove(number)
                self._set()

    @contextmanager
    def following_load(self, at_once: bool = False) -> Iterator[None]:
        """A block with the number that is fastest; `at_once` looks for it now, not only after some work.

        A block within another changes nothing.
        """
        with self.lock:
            self._begin()
            self.following += 1
            if self.following == 1:
                self.since = self.clock()
                self.look(at_once)
            self._set()
        try:
            yield
        finally:
            with self.lock:
                self.following -= 1
                if self.following == 0:
                    self.worked += self.clock() - self.since
                self._set()

    def look(self, at_once: bool = False) -> None:
        """Find the fastest number anew, if enough work was done since the last time."""
        with self.lock:
            now, most = self.clock(), max((before for _, before in self.found), default=1)
            waiting = self.worked + now - self.since < PATIENCE * self.cost and not at_once
            if waiting or most == 1 or self.fixed_at or not self.following or _number_is_set():
                return
            numbers = [most >> k for k in range(most.bit_length())]  # all of them, half, ..., 1
            for n in numbers:
                self._set(n)
                speed = self.speed()
                self.speeds[n] = (self.speeds.get(n, speed) + speed) / 2
            former, self.choice = self.choice, max(numbers, key=self.speeds.__getitem__)
            if self.choice != (former or most):
                log.info("BLAS: %d of %d threads are fastest now", self.choice, most)
            self._set()
            self.since, self.worked = self.clock(), 0.0
            self.cost = self.since - now

    def _begin(self, anew: bool = False) -> None:
        """What the first of several blocks finds; `anew`: libraries that were loaded since then as well."""
        if anew or self.known is None:
            with suppress(OSError):  # a process that may open no file keeps what it knows
                self.known = self.libraries()
            self.known = self.known or []
        if not self.fixed_at and not self.following:
            self.found = [(library, library.num_threads) for library in self.known]
        elif anew:
            paths = {library.filepath for library, _ in self.found}
            self.found += [(new, new.num_threads) for new in self.known if new.filepath not in paths]

    def _set(self, n: int | None = None) -> None:
        """Bring all libraries to the number that holds now."""
        if self.fixed_at:
            n = min(self.fixed_at)
        elif n is None and self.following:
            n = self.choice
        for library, before in self.found:
            number = before if n is None else min(n, before)
            if library.num_threads != number:
                library.set_num_threads(number)


BLAS = BlasThreads()

"""How fast memory is: the triad a = b + s c over arrays far beyond the caches, one thread a core.

As in the STREAM benchmark three passes are counted, two reads and a write.  Most processors also read what they are
about to overwrite, which is a fourth; the update a = a + s b, which is how an optimiser writes, has no such read and
can be faster by the rest.  Both are measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contender import Unavailable
from benchmarks.model import Array
from benchmarks.timing import Task

PASSES = 3  # two arrays read, one written
USUAL_CACHE = 32 * 2**20  # bytes, where the system does not tell
BEYOND = 4  # the three arrays together are that many times the cache,
LARGEST = 2 * 2**30  # bytes of the three arrays at most: a virtual machine may report a cache that it has to share


def triad(a: Array, b: Array, c: Array, s: Any) -> None:
    for i in range(a.size):
        a[i] = b[i] + s * c[i]


def update(a: Array, b: Array, c: Array, s: Any) -> None:
    for i in range(a.size):
        a[i] = a[i] + s * b[i]


class Bandwidth:
    """Three arrays and the tasks that run over them.

    Parameters
    ----------
    quick : bool
        Small arrays, for a test of the program rather than of the machine.

    Raises
    ------
    Unavailable
        Without Numba.
    """

    def __init__(self, quick: bool = False) -> None:
        try:
            import numba
        except ImportError:
            raise Unavailable("numba, which compiles the triad, is not installed") from None
        self.compile: Callable[[Any], Any] = numba.njit(nogil=True, error_model="numpy")
        total = 2**20 if quick else min(BEYOND * largest_cache(), LARGEST)
        self.threads = os.cpu_count() or 1
        self.arrays = [np.ones(total // 4 // PASSES, np.float32) for _ in range(PASSES)]
        self.pool = ThreadPoolExecutor(self.threads)

    @property
    def bytes_moved(self) -> int:
        """What one call counts for: a pass is one array read or written.

        (The update reads and writes the first array and reads the second: three passes, too.)
        """
        return PASSES * self.arrays[0].nbytes

    def task(self, loop: Callable[..., None]) -> Task:
        """`loop` over all of the arrays, each thread over its own part."""
        compiled, s = self.compile(loop), np.float32(1e-3)
        parts = list(zip(*(np.array_split(array, self.threads) for array in self.arrays), strict=True))

        def call() -> None:
            for _ in self.pool.map(lambda part: compiled(*part, s), parts):
                pass

        return Task(loop.__name__, call)


def largest_cache() -> int:
    """Bytes of the largest cache of the first core, as Linux tells it."""
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    return max((int(size.read_text().strip().rstrip("K")) * 1024 for size in sizes), default=USUAL_CACHE)

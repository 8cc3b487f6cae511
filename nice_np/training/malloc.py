"""Memory that a step of training frees is kept for the next one.

What glibc gives back to the system comes again page by page, filled with zeros: half as long again for a step of Glow,
whose activations fill some 80 MB.  glibc learns to keep memory, up to twice the largest block that a program has freed,
and blocks of at most 32 MB count: 64 MB.  This is what `fit` asks for before its first step, for the whole process.  A
value that is set already stays, and other systems' memory is left as it is.
"""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
MIB = 1 << 20


def keep_freed_memory() -> None:
    """Free memory goes back to the system from 64 MB on, and only blocks of 32 MB and more come straight from it."""
    if any(name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc: macOS, Windows, musl, a browser
        return
    mallopt(M_MMAP_THRESHOLD, 32 * MIB)
    mallopt(M_TRIM_THRESHOLD, 64 * MIB)

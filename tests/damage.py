"""Damage to a file, and a limit on the memory that its reader takes."""

import contextlib
import tracemalloc

import numpy as np

from nice_np.errors import DatasetError


def mutations(content, rng, count):
    """`content` with one bit flipped, one byte replaced, dropped or inserted, or the end cut off, `count` times."""
    for _ in range(count):
        mutant = bytearray(content)
        position = int(rng.integers(len(mutant)))
        match rng.integers(5):
            case 0:
                mutant[position] ^= 1 << int(rng.integers(8))
            case 1:
                mutant[position] = int(rng.integers(256))
            case 2:
                del mutant[position]
            case 3:
                mutant.insert(position, int(rng.integers(256)))
            case _:
                del mutant[position:]
        yield bytes(mutant)


def survivors(load, path, mutants):
    """What `load()` returns for those mutants at `path` that it does not refuse with a DatasetError naming `path`."""
    for mutant in mutants:
        path.write_bytes(mutant)
        try:
            result = load()
        except DatasetError as error:
            if str(path) not in str(error):
                raise AssertionError(f"the message does not name {path}") from error
        else:
            yield result


def assert_same(data, other):
    """Two data sets are equal byte for byte."""
    assert (data.name, data.image_shape, data.bin_width, data.source) == (
        other.name,
        other.image_shape,
        other.bin_width,
        other.source,
    )
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(data.split(split), other.split(split), strict=True)
        np.testing.assert_array_equal(data.labels(split), other.labels(split), strict=True)


@contextlib.contextmanager
def memory_below(limit):
    """What happens inside allocates at most `limit` bytes at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit

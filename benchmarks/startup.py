"""How long until the first training step is done: the import, and what is compiled on the way.

Every number is from a fresh process.  nice_np compiles its kernels once and keeps them in NUMBA_CACHE_DIR, so it has
a cold and a warm start; PyTorch eager compiles nothing, and JAX compiles in each process.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from tempfile import TemporaryDirectory
from time import time

from benchmarks import child
from benchmarks.contenders import ONE_OF_EACH, Unavailable, check_installed
from benchmarks.model import Model
from benchmarks.options import Options
from benchmarks.result import Result, Row
from benchmarks.timing import Timing

IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
MOST_STARTS = 7  # a start takes seconds: as many as `repeats`, but not more than these
Numbers = dict[str, float]


def measure(model: Model, options: Options) -> Result:
    """Import times, and times to the end of the first step."""
    result = Result(f"Start of a fresh process: {model}")
    present = [name for name in options.among(ONE_OF_EACH) if installed(name, result)]
    starts = min(options.repeats, MOST_STARTS)
    for library in ("numpy", *present):
        seconds = [float(child.run("-c", IMPORT.format(library))) for _ in range(starts + 1)]
        result.rows.append(Row.of(f"import {library}", Timing.of(seconds[1:])))  # the first one fills the disk caches
    for label, numbers in first_steps(present, model, starts).items():
        for key, span in (("after_import", "import to first step"), ("in_all", "start to first step")):
            timing = Timing.of([number[key] for number in numbers])
            result.rows.append(Row.of(f"{label}: {span}", timing))
    result.notes.append("Cold: NUMBA_CACHE_DIR is a new folder; warm: it is the folder of the start before.")
    return result


def installed(name: str, result: Result) -> bool:
    """Whether it can take part; if not, a row says so."""
    try:
        check_installed(name)
    except Unavailable as reason:
        result.rows.append(Row(name, note=str(reason)))
        return False
    return True


def first_steps(names: list[str], model: Model, starts: int) -> dict[str, list[Numbers]]:
    """The numbers of each start of each contender, in turn."""
    numbers: dict[str, list[Numbers]] = {}
    for _ in range(starts):
        for name in names:
            for label, number in cold_and_warm(name, model).items():
                numbers.setdefault(label, []).append(number)
    return numbers


def cold_and_warm(name: str, model: Model) -> dict[str, Numbers]:
    """One start; of nice_np two, without and with the kernels that the first of them compiled."""
    if name != "nice_np":
        return {name: first_step(name, model)}
    with TemporaryDirectory() as cache:
        cold = first_step(name, model, NUMBA_CACHE_DIR=cache)
        return {f"{name}, cold": cold, f"{name}, warm": first_step(name, model, NUMBA_CACHE_DIR=cache)}


def first_step(name: str, model: Model, **environment: str) -> Numbers:
    """What `benchmarks.first_step` prints."""
    numbers: Numbers = child.run(
        "-m", "benchmarks.first_step", name, json.dumps(asdict(model)), repr(time()), **environment
    )
    return numbers

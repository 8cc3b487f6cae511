"""Take one training step and say how much memory it needed at its peak: run by `memory` as a program.

python -m benchmarks.one_step nice_np '{"dim": 784, ...}'
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.contender import Contender, Unavailable
from benchmarks.contenders import build
from benchmarks.memory import RECOMPUTE
from benchmarks.model import Array, Model

STANDSTILL = 1e-9  # learning rate: a usual first step, on two rows, would throw a deep model off
FEW = 2  # rows of a first step, which makes gradients and moments, and compiles


def main(name: str, model_json: str) -> None:
    """Print the bytes, or the reason why there are none."""
    model = Model.from_json(model_json)
    try:
        answer: dict[str, Any] = {"bytes": peak_of_step(contender(name, model), model)}
    except Unavailable as reason:
        answer = {"reason": str(reason)}
    print(json.dumps(answer))


def contender(name: str, model: Model) -> Contender:
    if name != RECOMPUTE:
        return build(name, model, learning_rate=STANDSTILL)
    from benchmarks.with_numpy import NumpyModel

    return NumpyModel(model, recompute=True, learning_rate=STANDSTILL)


def peak_of_step(contender: Contender, model: Model) -> int:
    """Bytes of resident memory at the peak of a step, beyond those before it."""
    data = model.data(model.batch)
    contender.wait(contender.step(contender.prepare(data[:FEW].copy())))
    x = contender.prepare(data)
    compile_for(contender, x)
    forget_peak()
    before, earlier_peak = resident(), peak()
    contender.wait(contender.step(x))
    highest = peak()
    if highest == earlier_peak:
        raise Unavailable("the step stayed below the peak of the preparations")
    return highest - before


def compile_for(contender: Contender, x: Array) -> None:
    """JAX compiles for each shape: here already, so that the compiler's memory does not count as the step's."""
    compile_step = getattr(contender, "compile_step", None)
    if compile_step is not None:
        compile_step(x)


def resident() -> int:
    """Bytes of this process in memory now."""
    try:
        import psutil
    except ImportError:
        raise Unavailable("psutil is not installed") from None
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """Bytes of this process in memory at the highest so far."""
    with suppress(OSError):  # Linux; there the peak below would begin with that of the process that started this one
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    try:
        import resource
    except ImportError:
        raise Unavailable("this system does not report the peak of a process") from None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, else kilobytes


def forget_peak() -> None:
    """Let the peak start anew, where the system can (Linux): preparations may have needed more than a step does."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main(*sys.argv[1:])

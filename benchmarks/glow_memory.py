"""Take one training step of Glow and say how much memory it needed at its peak: run by `glow` as a program.

python -m benchmarks.glow_memory nice_np 100
"""

from __future__ import annotations

import json
import sys

from benchmarks.contender import Unavailable
from benchmarks.glow import build, data, model
from benchmarks.one_step import FEW, forget_peak, peak, resident


def peak_of_step(name: str, batch: int) -> int:
    """Bytes of resident memory at the peak of a step, beyond those before it."""
    flow, x = model(), data(batch)
    first = build(name, flow, x[:FEW])
    first.wait(first.call())  # imports, compiles, gradients and moments
    step = build(name, flow, x)
    forget_peak()
    before, earlier_peak = resident(), peak()
    step.wait(step.call())
    highest = peak()
    if highest == earlier_peak:
        raise Unavailable("the step stayed below the peak of the preparations")
    return highest - before


if __name__ == "__main__":
    try:
        print(json.dumps({"bytes": peak_of_step(sys.argv[1], int(sys.argv[2]))}))
    except Unavailable as reason:
        print(json.dumps({"reason": str(reason)}))

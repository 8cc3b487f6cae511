"""The code that runs is the code one reads: under a debugger `fit` runs the layers, a few frames above the formula."""

import sys

import numpy as np
import pytest

from nice_np import AdditiveCoupling, AffineCoupling, fit, nice, real_nvp
from nice_np.datasets import load
from nice_np.training.fused.couplings import Fused, being_debugged, fused
from nice_np.training.fused.loops import couple

needs_numba = pytest.mark.skipif(not couple.is_compiled, reason="Numba is missing or off: nothing is fused")
QUIET = {"epochs": 1, "batch_size": 100, "progress": False, "rng": 0}


def traced(work, function):
    """The stacks, innermost first, at which `function` was called while a trace function was set, as by a debugger."""
    stacks = []

    def trace(frame, event, argument):
        if event == "call" and frame.f_code is function.__code__:
            names = []
            while frame is not None:
                names.append(frame.f_code.co_name)
                frame = frame.f_back
            stacks.append(names)

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return stacks


@pytest.mark.parametrize(("build", "law"), [(nice, AdditiveCoupling), (real_nvp, AffineCoupling)])
def test_a_breakpoint_in_a_law_is_hit_by_the_readmes_example(build, law):
    moons = load("two-moons", seed=0).train[:300]
    flow = build(2, couplings=6, hidden=(32, 32), rng=0)
    stacks = traced(lambda: fit(flow, moons, **QUIET), law._couple)
    in_training = [stack for stack in stacks if "_step" in stack]
    assert len(in_training) == 3 * 6  # three batches, each through six couplings
    for stack in in_training:
        assert stack[0] == "_couple"
        between = stack[1 : stack.index("fit")]
        assert len(between) <= 6, between


@needs_numba
def test_one_visible_switch(rng):
    flow = nice(2, hidden=(4,), rng=0)
    calls, couple_ = [], AdditiveCoupling._couple
    assert isinstance(fused(flow, 100), Fused)
    for compiled, expected in ((True, False), (False, True)):
        calls.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AdditiveCoupling, "_couple", lambda *given: calls.append(1) or couple_(*given))
            fit(flow, rng.normal(size=(100, 2)), compiled=compiled, **QUIET)
        assert bool(calls) is expected


def test_a_trace_function_and_a_monitoring_debugger_are_seen(monkeypatch):
    if sys.gettrace() is None:
        assert not being_debugged()
    assert traced(being_debugged, being_debugged)

    class Monitoring:
        DEBUGGER_ID = 0

        @staticmethod
        def get_tool(tool):
            return "pdb" if tool == 0 else None

    monkeypatch.setattr(sys, "monitoring", Monitoring, raising=False)
    assert being_debugged()


def test_both_ways_give_the_same_numbers(rng):
    x, values = rng.normal(size=(200, 3)), []
    for compiled in (True, False):
        flow = real_nvp(3, hidden=(8,), dtype="float64", rng=0)
        fit(flow, x, compiled=compiled, **QUIET)
        values.append(flow.params.values)
    np.testing.assert_allclose(values[0], values[1], rtol=0, atol=1e-11)

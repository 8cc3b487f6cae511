"""fit under MPI: two real processes, started by mpiexec, compared with one."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import nice_np
from nice_np import fit, nice

pytestmark = [
    pytest.mark.skipif(shutil.which("mpiexec") is None, reason="needs mpiexec: apt-get install openmpi-bin"),
    pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason='needs mpi4py: pip install ".[mpi]"'),
]

TIMEOUT = 120
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(nice_np.__file__).parents[1]),
    "OPENBLAS_NUM_THREADS": "1",
    # For OpenMPI of any version: as root, on a single core, and through shared memory.
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "OMPI_MCA_btl": "self,vader",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_odls_base_sigkill_timeout": "20",  # seconds after a signal; 1 is too few beside other tests
}

# What every rank runs before a test's own lines: its data, and a training whose result it writes to a file.
COMMON = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
from mpi4py import MPI
from nice_np import Adam, fit, nice

comm, folder = MPI.COMM_WORLD, Path(sys.argv[1])
assert comm.size == 2
x = np.random.default_rng(0).integers(0, 256, (90, 6)).astype(np.uint8)

class Watched(Adam):
    def _update(self, values, grads, learning_rate):
        super()._update(values, grads, learning_rate)
        self._watch(self.steps)
    def __repr__(self):
        return "Adam"

def train(name, dtype=np.float64, watch=lambda step: None, **settings):
    flow, adam = nice(6, couplings=3, hidden=(8,), dtype=dtype, rng=0), Watched()
    adam._watch = watch
    settings = {"epochs": 3, "batch_size": 25, "progress": False, "rng": 7, "optimizer": adam, **settings}
    said, rows = "", []
    try:
        rows = fit(flow, x, validation=x[:20], comm=comm, **settings).rows
    except (Exception, KeyboardInterrupt) as error:
        said = f"{type(error).__name__}: {error}"
    np.save(folder / f"{name}-{comm.rank}.npy", flow.params.values)
    (folder / f"{name}-{comm.rank}.json").write_text(json.dumps({"said": said, "rows": rows, "steps": adam.steps}))
"""


@pytest.fixture
def start(tmp_path):
    """Start two ranks that run COMMON and the given lines."""
    started = []

    def start(code):
        script = tmp_path / "script.py"
        script.write_text(COMMON + code, encoding="utf-8")
        command = ["mpiexec", "-n", "2", sys.executable, "-m", "mpi4py", script, tmp_path]
        started.append(
            subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.communicate()


@pytest.fixture
def run(start):
    """Run them to the end; returns the exit code and their output."""

    def run(code):
        child = start(code)
        out, err = child.communicate(timeout=TIMEOUT)
        return child.returncode, out + err

    return run


def read(folder, name):
    """What the two ranks wrote: the values and notes of each."""
    values = [np.load(folder / f"{name}-{rank}.npy") for rank in range(2)]
    notes = [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in range(2)]
    return values, notes


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (90, 6)).astype(np.uint8)


def test_two_ranks_agree_with_one(run, pixels, tmp_path):
    code, said = run("train('float64')\ntrain('float32', np.float32)\ntrain('threads', threads=2, batch_size=3)\n")
    assert (code, said) == (0, "")
    for name, dtype, batch_size, tolerance in [
        ("float64", np.float64, 25, 1e-12),
        ("float32", np.float32, 25, 1e-6),
        ("threads", np.float64, 3, 1e-12),
    ]:
        flow = nice(6, couplings=3, hidden=(8,), dtype=dtype, rng=0)
        settings = {"epochs": 3, "batch_size": batch_size, "progress": False, "rng": 7}
        expected = fit(flow, pixels, validation=pixels[:20], **settings)
        (first, second), (notes, others) = read(tmp_path, name)
        np.testing.assert_array_equal(first, second)
        assert np.abs(first - flow.params.values).max() <= tolerance * np.abs(flow.params.values).max()
        assert notes == others
        assert [row["step"] for row in notes["rows"]] == expected.column("step")
        found = [row["validation_log_likelihood"] for row in notes["rows"]]
        assert found == pytest.approx(expected.column("validation_log_likelihood"), rel=tolerance)


def test_errors_on_one_rank_end_both(run, tmp_path):
    code, said = run("""
train("argument", batch_size=0 if comm.rank == 1 else 25)
train("data", epochs=3 + comm.rank)

from nice_np import Flow, NiceOverflowError
original, calls = Flow.unchecked_loss_and_grad, []
def fails(self, x, context=None):
    calls.append(len(x))
    if comm.rank == 1 and len(calls) > 4:
        raise kind("of rank 1")
    return original(self, x, context)
Flow.unchecked_loss_and_grad = fails
for kind in (NiceOverflowError, ZeroDivisionError):
    calls.clear()
    train(kind.__name__)
""")
    assert (code, said) == (0, "")
    for name, first, second in [
        ("argument", "NiceValueError: rank 1: fit: batch_size must be", "NiceValueError: fit: batch_size must be"),
        ("data", "NiceValueError: fit: epochs is 3 on rank 0 and 4 on", "NiceValueError: fit: epochs is 3 on rank 0"),
        ("NiceOverflowError", "DivergenceError: training diverged at step 5", "DivergenceError: training diverged at"),
        ("ZeroDivisionError", "NiceError: rank 1: ZeroDivisionError: of rank 1", "ZeroDivisionError: of rank 1"),
    ]:
        _, notes = read(tmp_path, name)
        assert notes[0]["said"].startswith(first)
        assert notes[1]["said"].startswith(second)
        assert notes[0]["steps"] == notes[1]["steps"]


def test_a_signal_on_one_rank_stops_both_and_the_run_can_be_resumed(run, tmp_path):
    code, said = run("""
path = folder / "c.npz"
def hit(step):
    if comm.rank == 1 and step == 6:
        signal.raise_signal(signal.SIGTERM)
train("whole")
train("stopped", watch=hit, checkpoint=path)
assert path.exists()
train("resumed", checkpoint=path if comm.rank == 0 else None, resume=True)
""")
    assert (code, said) == (0, "")
    _, notes = read(tmp_path, "stopped")
    for note in notes:
        assert note["said"] == f"TrainingInterrupted: stopped by SIGTERM at step 6; saved {tmp_path / 'c.npz'}"
    whole, resumed = read(tmp_path, "whole")[0], read(tmp_path, "resumed")[0]
    for values in (whole[1], *resumed):
        np.testing.assert_array_equal(values, whole[0])


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_mpiexec_is_saved(start, signum, tmp_path):
    child = start("""
def tell(step):
    if step == 100:
        (folder / f"busy-{comm.rank}").touch()
train("stopped", epochs=10**6, watch=tell, checkpoint=folder / "c.npz")
""")
    deadline = time.monotonic() + TIMEOUT
    while not all((tmp_path / f"busy-{rank}").exists() for rank in range(2)):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signum)
    child.communicate(timeout=TIMEOUT)
    assert (tmp_path / "c.npz").exists()
    for note in read(tmp_path, "stopped")[1]:
        assert note["said"].startswith("TrainingInterrupted: stopped by SIG")


def test_a_rank_that_dies_outside_fit_ends_the_other(run):
    code, said = run("""
if comm.rank == 1:
    raise RuntimeError("before fit")
train("never")
""")
    assert code != 0
    assert "RuntimeError: before fit" in said

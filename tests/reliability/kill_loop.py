"""Training that is killed repeatedly: ``python kill_loop.py KIND KILLS SEED FOLDER`` prints the counts.

The process forks; the fork trains, saving after every step, and is killed at a random moment; the next one resumes.
A run that reaches its end must equal the uninterrupted one bit for bit; then a new run begins.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from saving import watched

from nice_np import fit, nice, variational_autoencoder
from nice_np.files.atomic import ABANDONED
from nice_np.files.npz import read_npz


def build(kind):
    if kind == "vae":
        return variational_autoencoder(6, 2, hidden=(5,), rng=0), {"optimizer": "adam"}
    flow = nice(6, couplings=3, hidden=(8,), rng=0)
    return flow, {"optimizer": "adam", "average": 5} if kind == "flow" else {"optimizer": "rmsprop-momentum"}


def train(kind, path):
    """A run with noisy pixels that resumes from the checkpoint and saves after every step."""
    pixels = np.random.default_rng(1).integers(0, 256, (90, 6), dtype=np.uint8)
    model, settings = build(kind)
    fit(
        model, pixels, validation=pixels[:20], epochs=8, batch_size=30, checkpoint=path, checkpoint_every=0,
        resume=path.exists(), rng=5, progress=False, **settings,
    )  # fmt: skip
    return model.params.values.tobytes()


def state(path):
    """Everything in a checkpoint except its seconds: parameters, optimiser, generator, history, order, averages."""
    arrays = read_npz(path)
    header = json.loads(arrays.pop("header").tobytes())
    header["metadata"]["counters"].pop("seconds")
    rows = json.loads(arrays.pop("extra.history").tobytes())
    for row in rows:
        row.pop("seconds")
    return json.dumps([header, rows], sort_keys=True), {name: array.tobytes() for name, array in arrays.items()}


def main():
    kind, kills, seed, name = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    rng = np.random.default_rng(seed)
    whole, path, result = name / "whole.npz", name / "killed.npz", name / "values"
    train(kind, name / "first.npz")  # everything is imported and compiled before the clock runs
    before = time.perf_counter()
    values = train(kind, whole)
    seconds = time.perf_counter() - before
    expected = state(whole)
    killed = inside = finished = removed = 0
    saving = watched()
    while killed < kills or finished < 2:
        child = os.fork()
        if child == 0:
            try:
                result.write_bytes(train(kind, path))
                os._exit(0)
            finally:
                os._exit(1)
        if killed < kills:  # in the end the runs are let through
            time.sleep(rng.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        leftovers = list(name.glob(".nice-np-*"))
        if os.WIFSIGNALED(status):
            killed += 1
            inside, saving[0] = inside + saving[0], 0
        else:
            assert os.WEXITSTATUS(status) == 0, "a resumed run failed"
            assert state(path) == expected, "a resumed run ended otherwise"
            assert result.read_bytes() == values
            finished += 1
            path.unlink()
        if path.exists():
            state(path)  # raises unless it is whole
        for leftover in leftovers:  # by now it would be ten minutes old
            os.utime(leftover, (0, time.time() - ABANDONED - 60))
        removed += len(leftovers)
    train(kind, path)
    assert not list(name.glob(".nice-np-*")), "leftovers were not removed"
    print(json.dumps({"kills": killed, "inside a save": inside, "finished": finished, "removed": removed}))


if __name__ == "__main__":
    main()

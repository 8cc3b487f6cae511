"""SIGKILL at random moments of training and of saving: nothing is lost, and the end is the same bit for bit."""

import json

import numpy as np
import pytest
from faults import posix, run, tally, times

pytestmark = posix


def killed_again_and_again(kind, kills, folder):
    child = run(kind, kills, 0, folder, code="import sys, kill_loop\nsys.exit(kill_loop.main())", timeout=36_000)
    assert child.returncode == 0, child.stderr[-3000:]
    return json.loads(child.stdout)


def test_some_kills(tmp_path):
    found = killed_again_and_again("flow", 5, tmp_path)
    assert found["kills"] >= 5
    assert found["finished"] >= 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flow", "momentum", "vae"])
def test_the_end_is_that_of_an_uninterrupted_run(kind, tmp_path):
    """Dequantisation noise (or the VAE's own), a validation set, averaged weights, a checkpoint after every step."""
    found = killed_again_and_again(kind, times(25), tmp_path)
    assert found["kills"] >= times(25)
    assert found["inside a save"] >= found["kills"] // 20, "hardly a kill fell into a save: the test would prove little"
    tally("kills of a training run", found["kills"])
    tally("kills inside a save", found["inside a save"])
    tally("killed runs that ended as the uninterrupted one", found["finished"])


TEXT = """
import os, random, signal, sys, time
from pathlib import Path
from nice_np.files.atomic import ABANDONED, write_text
from saving import watched
path, kills, random = Path(sys.argv[1]) / "metrics.json", int(sys.argv[2]), random.Random(0)
text = lambda value: f"{value}\\n" * 50_000
write_text(path, text(0))
inside, saving = 0, watched()
for turn in range(kills):
    child = os.fork()
    if child == 0:
        value = turn
        while True:
            value += 1
            write_text(path, text(value))
    time.sleep(random.uniform(0.002, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = path.read_text()
    assert found == text(found.split("\\n", 1)[0]), "half a file"
    inside, saving[0] = inside + saving[0], 0
    for leftover in path.parent.glob(".nice-np-*"):
        os.utime(leftover, (0, time.time() - ABANDONED - 60))
write_text(path, text(0))
assert [p.name for p in path.parent.iterdir()] == ["metrics.json"], "leftovers were not removed"
print(inside)
"""


@pytest.mark.slow
def test_every_other_file_is_the_old_or_the_new_one(tmp_path):
    kills = times(60)
    child = run(tmp_path, kills, code=TEXT, timeout=3600)
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) >= kills // 20
    tally("kills while text, figures or samples are written", kills)


def test_a_temporary_file_is_never_loaded(tmp_path):
    """A partial save beside the checkpoint is ignored, whatever it holds."""
    from nice_np import fit, nice

    path, x = tmp_path / "c.npz", np.random.default_rng(0).normal(size=(20, 3))
    settings = {"batch_size": 10, "progress": False, "checkpoint": path}
    fit(nice(3, hidden=(4,), rng=0), x, epochs=1, rng=0, **settings)
    (tmp_path / ".nice-np-0123.tmp").write_bytes(path.read_bytes()[:100])
    history = fit(nice(3, hidden=(4,), rng=0), x, epochs=2, resume=True, **settings)
    assert len(history.rows) == 2

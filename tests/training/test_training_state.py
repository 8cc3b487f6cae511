"""Training checkpoints: complete ones resume, damaged ones are refused."""

import json

import numpy as np
import pytest

from nice_np import CheckpointError, fit, nice
from nice_np.files.npz import write_npz

X = np.random.default_rng(20141030).normal(size=(30, 3))
SETTINGS = {"batch_size": 10, "progress": False, "average": 5, "validation": X}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Of a run of two epochs; not to be changed."""
    path = tmp_path_factory.mktemp("run") / "c.npz"
    fit(nice(3, hidden=(4,), rng=0), X, epochs=2, rng=0, checkpoint=path, **SETTINGS)
    return path


@pytest.fixture
def saved(checkpoint, tmp_path):
    """A function that resumes a run from an altered copy of its checkpoint."""
    path = tmp_path / "c.npz"

    def resume(alter):
        with np.load(checkpoint, allow_pickle=False) as file:
            arrays = dict(file)
        header = json.loads(arrays["header"].tobytes())
        alter(header["metadata"], arrays)
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        write_npz(path, arrays)
        return fit(nice(3, hidden=(4,), rng=0), X, epochs=3, resume=True, checkpoint=path, **SETTINGS)

    return resume


def altered(history, value):
    """The bytes of a history with another value in its first row."""
    rows = json.loads(history.tobytes())
    rows[0]["seconds"] = value
    return np.frombuffer(json.dumps(rows).encode(), np.uint8)


def test_an_unaltered_checkpoint_resumes(saved):
    assert len(saved(lambda metadata, arrays: None).rows) == 3


@pytest.mark.parametrize(
    "alter",
    [
        lambda m, a: m.pop("rng"),
        lambda m, a: m.pop("counters"),
        lambda m, a: m.pop("settings"),
        lambda m, a: a.pop("extra.history"),
        lambda m, a: m.pop("best_epoch"),
        lambda m, a: m.update(best_epoch="second"),
        lambda m, a: m.pop("optimizer_steps"),
        lambda m, a: m["counters"].pop("step"),
        lambda m, a: m["counters"].update(step="6"),
        lambda m, a: m["counters"].update(step=-1),
        lambda m, a: m["counters"].update(position=30),
        lambda m, a: m["counters"].update(epoch=True),
        lambda m, a: m["counters"].update(surprise=1),
        lambda m, a: m["counters"].update(seconds=None),
        lambda m, a: m["counters"].update(finished=3),
        lambda m, a: m["counters"].update(first_nll="x"),
        lambda m, a: m["counters"].update(first_nll=[]),
        lambda m, a: m["counters"].update(best={}),
        lambda m, a: m["counters"].update(best=True),
        lambda m, a: a.update({"extra.history": altered(a["extra.history"], "low")}),
        lambda m, a: a.update({"extra.history": altered(a["extra.history"], [1.0])}),
        lambda m, a: a.update({"extra.history": altered(a["extra.history"], True)}),
        lambda m, a: a.update({"extra.history": np.frombuffer(b"[{}]", np.uint8)}),
        lambda m, a: a.update({"extra.history": np.frombuffer(b"[{]", np.uint8)}),
        lambda m, a: a.update({"extra.history": np.frombuffer(b"{}", np.uint8)}),
        lambda m, a: a.update({"extra.history": np.frombuffer(b"[" * 100_000, np.uint8)}),
        lambda m, a: a.update({"extra.history": np.frombuffer(b'"none"', np.uint8)}),
        lambda m, a: m["rng"].update(bit_generator="seed"),
        lambda m, a: m["rng"].update(state={}),
        lambda m, a: m["rng"]["state"].update(state=-1),
        lambda m, a: m.update(optimizer_steps="a"),
        lambda m, a: m.update(rng="PCG64"),
        lambda m, a: m["counters"].update(step=2**64),
        lambda m, a: m["counters"].update(step=10**300),
        lambda m, a: m["counters"].update(epoch=9),
        lambda m, a: m["counters"].update(position=1),
        lambda m, a: m["counters"].update(position=10, step=0),
        lambda m, a: m["counters"].update(seconds=-1.0),
        lambda m, a: m["counters"].update(best=None),
        lambda m, a: m.update(best_epoch=9),
        lambda m, a: m.update(best_epoch=0),
        lambda m, a: m.update(optimizer_steps=10**30),
        lambda m, a: a.update({"extra.history": altered(a["extra.history"], None)}),
        lambda m, a: a.update({"extra.history": np.frombuffer(b"[]", np.uint8)}),
        lambda m, a: a.update({"extra.history": a["extra.history"].astype(np.float64)}),
        lambda m, a: a.update({"extra.order": a["extra.order"].astype(np.float64)}),
        lambda m, a: a.update({"extra.order": a["extra.order"].astype(np.float32)}),
        lambda m, a: a.pop("extra.average"),
        lambda m, a: a.pop("extra.best_values"),
        lambda m, a: a.pop("extra.order"),
        lambda m, a: a.update({"extra.order": np.arange(29)}),
        lambda m, a: a.update({"extra.order": np.zeros(30, np.int64)}),
        lambda m, a: a.update({"extra.average": a["extra.average"][1:]}),
        lambda m, a: a.update({"extra.best_values": a["extra.best_values"] * np.float32(np.nan)}),
        lambda m, a: a.update({"extra.optimizer.m": a["extra.optimizer.m"][:, None]}),
        lambda m, a: a.pop("extra.optimizer.v"),
        lambda m, a: a.update({"extra.optimizer.w": a["extra.optimizer.v"]}),
        lambda m, a: a.update({"extra.other": a["extra.optimizer.v"]}),
    ],
)
def test_incomplete_or_altered_states_are_refused(saved, alter):
    with pytest.raises(CheckpointError, match=r"c\.npz"):
        saved(alter)

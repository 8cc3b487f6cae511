"""The data of a training run: pairs of samples and context, and how a resumed run recognises them."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from nice_np import NiceValueError, fit, nice
from nice_np.training import data
from nice_np.training.data import TrainingData, fingerprint


@pytest.fixture
def flow():
    return nice(4, hidden=(3,), context_dim=2, dtype=np.float64, rng=0)


def test_fingerprints_tell_data_apart(rng):
    x = rng.normal(size=(5, 2))
    y = x.copy()
    y[4, 1] += 1e-12
    assert fingerprint(x) == fingerprint(x.copy()) == fingerprint(np.asfortranarray(x))
    assert len({fingerprint(a) for a in (x, y, x.astype(np.float32), x[:4], x.reshape(2, 5))}) == 5
    assert len({TrainingData(x, c).fingerprint() for c in (None, x, y)}) == 3


def test_rows_and_noise_keep_the_context_with_its_sample(flow, rng):
    labels = np.arange(10)
    pixels = np.repeat(labels[:, None], 4, axis=1).astype(np.uint8)
    data = TrainingData.checked(flow, pixels, np.stack([labels, -labels], axis=1), "x")
    assert data.x is pixels  # no copy as floats
    x, context = data.rows([7, 2]).drawn(flow, rng)
    np.testing.assert_array_equal(np.floor(256 * x[:, 0]), [7, 2])
    np.testing.assert_array_equal(context, [[7, -7], [2, -2]])


def test_one_row_of_context_serves_all(flow, rng):
    data = TrainingData.checked(flow, rng.normal(size=(3, 4)), [0.0, 1.0], "x")
    np.testing.assert_array_equal(data.context, [[0, 1]] * 3)


def test_context_must_belong_to_flow_and_samples(flow, rng):
    x = rng.normal(size=(3, 4))
    with pytest.raises(NiceValueError, match=r"expected context of shape \(3, 2\), got none"):
        TrainingData.checked(flow, x, None, "x")
    with pytest.raises(NiceValueError, match=r"got \(3,\); for labels use one_hot\(labels, 2\)"):
        TrainingData.checked(flow, x, [0, 1, 1], "x")
    with pytest.raises(NiceValueError, match="takes no context"):
        TrainingData.checked(nice(4, hidden=(3,), rng=0), x, np.zeros((3, 2)), "x")


def test_pixels_are_never_copied_to_floats_as_a_whole():
    pixels = np.arange(8_000_000, dtype=np.uint32).reshape(40_000, 200).astype(np.uint8)
    flow, settings = nice(200, couplings=3, hidden=(4,), rng=0), {"epochs": 1, "batch_size": 2000, "progress": False}
    fit(
        nice(200, couplings=3, hidden=(4,), rng=0), pixels[:9], **settings
    )  # compiles the loops, which takes memory as well
    tracemalloc.start()
    try:
        fit(flow, pixels, **settings)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < pixels.size * flow.dtype.itemsize / 2


def test_data_are_hashed_for_a_checkpoint_only(tmp_path, rng, monkeypatch):
    def fail(*given):
        raise ZeroDivisionError("hashed")

    monkeypatch.setattr(data, "hashlib", SimpleNamespace(sha256=fail))  # Numba's cache hashes, too
    settings = {"epochs": 1, "validation": rng.random((5, 4)), "progress": False, "rng": 0}
    fit(nice(4, hidden=(3,), rng=0), rng.random((9, 4)), **settings)
    with pytest.raises(ZeroDivisionError, match="hashed"):
        fit(nice(4, hidden=(3,), rng=0), rng.random((9, 4)), checkpoint=tmp_path / "c.npz", **settings)

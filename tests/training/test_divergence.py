"""A training that goes wrong: noticed, taken back to the last good weights, and the same after a stop."""

import json
import signal
import warnings
from itertools import count

import numpy as np
import pytest
from thread_ranks import on_ranks

from nice_np import (
    SGD,
    Adam,
    CheckpointError,
    Constant,
    DiagonalScaling,
    DivergenceError,
    Flow,
    TrainingInterrupted,
    fit,
    nice,
    real_nvp,
    variational_autoencoder,
)
from nice_np.datasets.toy import TOYS
from nice_np.files.npz import write_npz
from nice_np.training.divergence import RETRIES

RATE = 1e-3
QUIET = {"batch_size": 25, "progress": False, "rng": 7, "learning_rate": Constant(RATE)}


@pytest.fixture
def points(rng):
    return rng.normal([3.0, -1.0, 0.0], [0.1, 2.0, 1.0], size=(100, 3))  # 4 steps an epoch


def small(**settings):
    return nice(3, couplings=3, hidden=(8,), rng=0, **settings)


class Fragile(Adam):
    """Its step number `at` ruins the log-scales, which are last in the vector, at any rate above `limit`."""

    def __init__(self, at=10, limit=0.6 * RATE, ruin=1e3, stop_at=0):
        super().__init__()
        self._at, self._limit, self._ruin, self._stop_at = at, limit, ruin, stop_at

    def _update(self, values, grads, learning_rate):
        super()._update(values, grads, learning_rate)
        if self.steps == self._at and learning_rate > self._limit:
            values[-3:] += self._ruin
        if self.steps == self._stop_at:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("ruin", "says"),
    [
        (1e3, r"step 11: loss or gradient is not finite"),
        (12.0, r"step 11: loss = "),
        (3.0, r"step 13: the mean of the epoch fell from "),
        (np.nan, r"step 11: the weights are not finite"),
    ],
)
def test_one_bad_step_costs_one_epoch_and_half_the_rate(ruin, says, points, caplog):
    flow = small()
    history = fit(flow, points, epochs=6, optimizer=Fragile(ruin=ruin), **QUIET)
    (said,) = history.setbacks
    assert said in caplog.text
    assert said.startswith(says.split(":")[0])
    assert says.split(": ")[1] in said
    assert said.endswith("; back to step 8, learning rate x 0.5")
    assert "1 setback(s)" in repr(history)
    assert history.column("step") == [4, 8, 12, 16, 20, 24]
    assert history.column("learning_rate") == [RATE] * 2 + [RATE / 2] * 4
    assert history.column("train_log_likelihood")[-1] > history.column("train_log_likelihood")[0]
    assert flow.log_prob(points).mean() > history.column("train_log_likelihood")[0]


@pytest.mark.parametrize("average", [None, 10])
@pytest.mark.parametrize("stop_at", [1, 9, 10, 12, 15])
def test_a_resumed_run_goes_back_to_the_same_weights(stop_at, average, points, tmp_path):
    settings = {**QUIET, "epochs": 5, "validation": points[:30], "average": average}
    whole, resumed, path = small(), small(), tmp_path / "c.npz"
    expected = fit(whole, points, optimizer=Fragile(), **settings)
    assert len(expected.setbacks) == 1
    with pytest.raises(TrainingInterrupted):
        fit(small(), points, optimizer=Fragile(stop_at=stop_at), checkpoint=path, **settings)
    history = fit(resumed, points, optimizer=Fragile(), checkpoint=path, resume=True, **settings)
    np.testing.assert_array_equal(resumed.params.values, whole.params.values)
    assert history == expected
    assert history.setbacks == expected.setbacks


def test_a_stop_with_weights_that_are_not_finite_saves_those_before(points, tmp_path):
    whole, resumed, path = small(), small(), tmp_path / "c.npz"
    expected = fit(whole, points, epochs=5, optimizer=Fragile(ruin=np.nan), **QUIET)
    with pytest.raises(TrainingInterrupted, match=r"step 8; saved"):
        fit(small(), points, epochs=5, optimizer=Fragile(ruin=np.nan, stop_at=10), checkpoint=path, **QUIET)
    history = fit(resumed, points, epochs=5, optimizer=Fragile(), checkpoint=path, resume=True, **QUIET)
    np.testing.assert_array_equal(resumed.params.values, whole.params.values)
    assert history == expected


def test_it_gives_up_in_the_end_with_the_weights_of_the_last_good_epoch(points):
    flow, ends = small(), []
    with pytest.raises(DivergenceError, match=rf"at step 11: .*after {RETRIES} retries") as caught:
        fit(
            flow, points, epochs=6, optimizer=Fragile(limit=0),
            callbacks=[lambda flow, history: ends.append(flow.params.values.copy())], **QUIET,
        )  # fmt: skip
    history = caught.value.history
    assert history.stopped == "divergence"
    assert [text.split("rate x ")[1] for text in history.setbacks] == ["0.5", "0.25", "0.125", "0.0625"]
    assert history.column("step") == [4, 8]
    np.testing.assert_array_equal(flow.params.values, ends[-1])


def test_a_checkpoint_of_an_earlier_version_resumes_and_can_go_back(points, tmp_path):
    path, flow = tmp_path / "c.npz", small()
    with pytest.raises(TrainingInterrupted):
        fit(small(), points, epochs=5, optimizer=Fragile(stop_at=9), checkpoint=path, **QUIET)
    rewrite(path, lambda metadata, arrays: (metadata.pop("setbacks"), metadata.pop("last_good"), without(arrays)))
    history = fit(flow, points, epochs=5, optimizer=Fragile(), checkpoint=path, resume=True, **QUIET)
    assert history.setbacks[0].endswith("back to step 9, learning rate x 0.5")
    assert history.column("step") == [4, 8, 12, 16, 20]


@pytest.mark.parametrize(
    "alter",
    [
        lambda m, a: m.update(setbacks="none"),
        lambda m, a: m.update(setbacks=[1]),
        lambda m, a: m.update(last_good=[]),
        lambda m, a: m.pop("last_good"),
        lambda m, a: m["last_good"].pop("rng"),
        lambda m, a: m["last_good"].update(rng={}),
        lambda m, a: m["last_good"].update(optimizer_steps=-1),
        lambda m, a: m["last_good"].update(optimizer_steps=0),
        lambda m, a: m["last_good"]["counters"].update(step=1.5),
        lambda m, a: m["last_good"]["counters"].update(position=True),
        lambda m, a: m["last_good"]["counters"].update(position=10**9),
        lambda m, a: m["last_good"]["counters"].update(surprise=1),
        lambda m, a: m["last_good"]["counters"].pop("nats_sum"),
        lambda m, a: a.pop("extra.last_good.values"),
        lambda m, a: a.pop("extra.last_good.m"),
        lambda m, a: a.update({"extra.last_good.w": a["extra.last_good.m"]}),
        lambda m, a: a.update({"extra.last_good.values": a["extra.last_good.values"][1:]}),
        lambda m, a: a.update({"extra.last_good.v": a["extra.last_good.v"] * np.float32(np.inf)}),
    ],
)
def test_a_damaged_last_good_state_is_refused(alter, points, tmp_path):
    path = tmp_path / "c.npz"
    with pytest.raises(TrainingInterrupted):
        fit(small(), points, epochs=5, optimizer=Fragile(stop_at=9), checkpoint=path, **QUIET)
    with np.errstate(invalid="ignore"):
        rewrite(path, alter)
    with pytest.raises(CheckpointError, match=r"c\.npz"):
        fit(small(), points, epochs=5, optimizer=Fragile(), checkpoint=path, resume=True, **QUIET)


def without(arrays):
    for name in [name for name in arrays if name.startswith("extra.last_good.")]:
        del arrays[name]


def rewrite(path, alter):
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    header = json.loads(arrays["header"].tobytes())
    alter(header["metadata"], arrays)
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    write_npz(path, arrays)


@pytest.mark.parametrize("threads", [1, 2])
def test_processes_and_threads_go_back_together(threads, points):
    def train(comm):
        flow = small()
        history = fit(flow, points, epochs=5, optimizer=Fragile(), threads=threads, comm=comm, **QUIET)
        return flow.params.values, history.setbacks

    (values, setbacks), (other, others) = on_ranks(2, train)[0]
    np.testing.assert_array_equal(values, other)
    assert len(setbacks) == 1
    assert setbacks == others


def test_patience_counts_whole_epochs_only(points):
    alone = points.mean(axis=0)[None]  # its likelihood decreases with training
    history = fit(small(), points, epochs=9, validation=alone, patience=3, optimizer=Fragile(), **QUIET)
    assert history.stopped == "patience"
    assert len(history.setbacks) == 1
    assert len(history.rows) == history.best_epoch + 3


# -- what is no trouble -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "batch_size", "rate"),
    [
        ("two-moons", 5, 1e-3), ("rings", 5, 1e-4), ("pinwheel", 5, 3e-3),
        ("two-moons", 100, 3e-3), ("rings", 100, 1e-3), ("pinwheel", 100, 1e-4),
    ],
)  # fmt: skip
def test_ordinary_noise_is_no_trouble(name, batch_size, rate):
    x = TOYS[name](300, 0)
    for build in (nice, real_nvp):
        flow = build(2, hidden=(32,), rng=0)
        history = fit(flow, x, epochs=8, batch_size=batch_size, learning_rate=rate, progress=False, rng=0)
        assert history.setbacks == []
        fine = fit(flow, 1.1 * x + 0.5, epochs=4, batch_size=batch_size, learning_rate=rate, progress=False, rng=0)
        assert fine.setbacks == []


def test_bounds_of_an_autoencoder_are_no_trouble(rng):
    pixels = rng.integers(0, 256, size=(60, 20)).astype(np.uint8)
    model = variational_autoencoder(20, latent=3, hidden=(16,), rng=0)
    assert fit(model, pixels, epochs=8, batch_size=4, learning_rate=1e-2, progress=False, rng=0).setbacks == []


# -- what is left in the end ------------------------------------------------------------------------------------------


def test_weights_below_those_of_the_start_are_reported(points):
    with pytest.warns(UserWarning, match=r"ended at -.* nats, far below the -.* nats of its first step"):
        fit(small(), points, epochs=1, optimizer=Fragile(at=1, ruin=3.0), **{**QUIET, "batch_size": 1})


def test_a_training_of_a_few_steps_may_end_below_its_start(points):
    fit(small(), points, epochs=1, optimizer=Fragile(at=1, ruin=3.0), **QUIET)


def test_a_flow_that_cannot_be_inverted_is_trained_and_the_log_says_so(points, caplog, monkeypatch):
    def inverse(self, z):
        raise NotImplementedError("no inverse")

    monkeypatch.setattr(DiagonalScaling, "inverse", inverse)
    with caplog.at_level("INFO", logger="nice_np"):
        fit(small(), points, epochs=1, **QUIET)
    assert "no samples to look at, the inverse fails: NotImplementedError('no inverse')" in caplog.text


@pytest.mark.parametrize(("ruin", "says"), [(-25.0, r"reach \d\.\d+e\+\d+"), (-100.0, "overflow")])
def test_samples_beyond_reason_are_reported(ruin, says, points):
    with pytest.warns(UserWarning, match=f"samples of the trained flow {says}"):
        fit(small(), points, epochs=1, optimizer=Fragile(at=4, ruin=ruin), **QUIET)


@pytest.mark.parametrize("rate", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("name", ["two-moons", "rings"])
def test_a_rate_far_too_high_for_gradient_descent_is_not_silent(name, rate):
    x = TOYS[name](2000, 0)
    flow = nice(2, 4, (32, 32), rng=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            history = fit(flow, x, epochs=10, optimizer=SGD(), learning_rate=rate, progress=False, rng=0)
        except DivergenceError:
            return
    if not caught and not history.setbacks:
        assert flow.log_prob(x).mean() > -10
        assert np.abs(flow.sample(1000, 0)).max() < 1e6
        assert np.diff(history.column("train_log_likelihood")).min() > -10


@pytest.mark.parametrize("preprocess", [(), ("rescale",), ("zca",), ("pca",), ("logit",), ("standardize",)])
def test_a_constant_feature_is_reported_behind_any_preprocessing(preprocess, rng):
    x = rng.uniform(0.1, 0.9, size=(50, 3))
    x[:, 2] = 0.25
    with pytest.warns(UserWarning, match=r"feature 2 never changes in the training data \(1 in all\)") as caught:
        fit(small(preprocess=preprocess), x, epochs=1, **QUIET)
    assert len(caught) == 1


def test_constant_pixels_are_fine(rng):
    pixels = rng.integers(0, 256, size=(50, 3)).astype(np.uint8)
    pixels[:, 1] = 0  # the noise of dequantisation has a density of its own
    fit(small(preprocess=()), pixels, epochs=1, **QUIET)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_gradient_that_is_not_finite_costs_one_epoch(clip_norm, points, monkeypatch):
    """The loss of its step is fine; nobody looks at it, and the next step finds the weights that it left."""
    original, calls = Flow.unchecked_loss_and_grad, count()

    def overflowing(flow, x, extra):
        loss, grads = original(flow, x, extra)
        if next(calls) == 9:
            grads[3] = np.inf
        return loss, grads

    monkeypatch.setattr(Flow, "unchecked_loss_and_grad", overflowing)
    flow = small()
    history = fit(flow, points, epochs=6, clip_norm=clip_norm, compiled=False, **QUIET)
    assert history.setbacks == ["step 11: the weights are not finite; back to step 8, learning rate x 0.5"]
    assert np.isfinite(flow.params.values).all()

"""fit: it learns, is reproducible, resumes bit for bit, and reports divergence."""

import os
import pickle
import shutil
import signal
import threading

import numpy as np
import pytest

from nice_np import (
    SGD,
    Adam,
    Constant,
    Cosine,
    DiagonalScaling,
    DivergenceError,
    Flow,
    NiceFileError,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    RMSPropMomentum,
    Schedule,
    Standardize,
    StopTraining,
    TrainingInterrupted,
    dequantize,
    fit,
    nice,
    real_nvp,
)
from nice_np.training.fit import start_from_data


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, size=(90, 6)).astype(np.uint8)


@pytest.fixture
def points(rng):
    return rng.normal([3.0, -1.0, 0.0], [0.1, 2.0, 1.0], size=(100, 3))


def small(dim=3, **settings):
    return nice(dim, couplings=3, hidden=(8,), rng=0, **settings)


QUIET = {"batch_size": 25, "progress": False, "rng": 7}


def test_it_learns_a_gaussian(rng):
    std = np.array([0.1, 2.0])
    x = rng.normal([3.0, -1.0], std, size=(2000, 2))
    flow = nice(2, hidden=(16,), prior="normal", rng=0)
    history = fit(flow, x, epochs=5, batch_size=100, progress=False, rng=0)
    exact = -(np.log(std) + 0.5 * np.log(2 * np.pi) + 0.5).sum()
    assert flow.log_prob(x).mean() == pytest.approx(exact, abs=0.05)
    assert history.column("epoch") == [1, 2, 3, 4, 5]
    assert history.stopped == "epochs"


def test_same_seed_same_run(pixels):
    flows, histories = zip(
        *[(flow, fit(flow, pixels, validation=pixels[:20], epochs=3, **QUIET)) for flow in (small(6), small(6))],
        strict=True,
    )
    np.testing.assert_array_equal(flows[0].params.values, flows[1].params.values)
    assert histories[0] == histories[1]
    other = small(6)
    fit(other, pixels, epochs=3, **{**QUIET, "rng": 8})
    assert not np.array_equal(other.params.values, flows[0].params.values)


def batches_of(pixels, epochs, monkeypatch):
    """The dequantised batches of a training, each as large as the data."""
    from nice_np.flows import model as base_model

    flow, seen = small(6), []
    start_from_data(flow, np.arange(0, 240, 20, dtype=np.uint8).reshape(2, 6))  # it dequantises the data, too

    def spy(x, rng, dtype):
        seen.append(dequantize(x, rng, dtype))
        return seen[-1]

    monkeypatch.setattr(base_model, "dequantize", spy)
    fit(flow, pixels, epochs=epochs, **QUIET)
    return seen


def test_noise_is_fresh_each_time(pixels, monkeypatch):
    first, second, third = batches_of(pixels[:1], 3, monkeypatch)
    for batch in (first, second, third):
        np.testing.assert_array_equal(np.floor(batch * 256), pixels[:1])
    assert not np.allclose(first, second, atol=1e-6)
    assert not np.allclose(second, third, atol=1e-6)


def test_the_order_is_fresh_each_epoch(pixels, monkeypatch):
    first, second = batches_of(pixels[:20], 2, monkeypatch)
    first, second = np.floor(first * 256), np.floor(second * 256)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.sort(first, axis=0), np.sort(second, axis=0))


def test_each_sample_is_seen_once_an_epoch(points, monkeypatch):
    flow, rows = small(), []
    original = flow.unchecked_loss_and_grad
    counting = lambda self, x, context: rows.append(len(x)) or original(x, context)  # noqa: E731
    monkeypatch.setattr(Flow, "unchecked_loss_and_grad", counting)
    fit(flow, points[:90], epochs=2, **{**QUIET, "batch_size": 40})
    assert rows == [40, 40, 10, 40, 40, 10]


def test_history_reports_the_epochs_mean(points):
    flow = small()
    start_from_data(flow, points)
    before = flow.log_prob(points).mean()
    history = fit(flow, points, validation=points, epochs=1, learning_rate=1e-12, **QUIET)
    row = history.rows[0]
    assert row["train_log_likelihood"] == pytest.approx(before, abs=1e-4)
    assert row["validation_log_likelihood"] == pytest.approx(before, abs=1e-4)
    assert row["validation_bits_per_dim"] == pytest.approx(-before / 3 / np.log(2), abs=1e-4)


@pytest.mark.parametrize("batch_size", [25, 30, 99, 100, 200])
def test_a_short_last_batch_counts_by_its_samples(batch_size, points):
    flow = small(dtype=np.float64)
    history = fit(flow, points, epochs=1, learning_rate=1e-15, **{**QUIET, "batch_size": batch_size})
    assert history["train_log_likelihood"] == [pytest.approx(flow.log_prob(points).mean(), rel=1e-9)]


def test_schedule_and_optimizer_see_steps_progress_and_epochs(points):
    calls = []

    class Spy(Constant):
        def __call__(self, step, progress):
            calls.append((step, progress))
            return 1e-3

    class Epochs(SGD):
        def start_epoch(self, epoch):
            calls.append(epoch)

    fit(small(), points, epochs=2, learning_rate=Spy(1.0), optimizer=Epochs(), **{**QUIET, "batch_size": 50})
    assert calls == [1, (0, 0.0), (1, 0.25), 2, (2, 0.5), (3, 0.75)]


def test_best_weights_are_kept(points):
    flow, seen = small(), []

    # A rate that ruins the model later on, so that the best epoch is not the last.
    class Rising(Constant):
        def __call__(self, step, progress):
            return 1e-3 if step < 8 else 10.0

    history = fit(
        flow, points, validation=points, epochs=6, learning_rate=Rising(1), optimizer="sgd", clip_norm=1.0,
        callbacks=[lambda flow, history: seen.append(flow.params.values.copy())], **QUIET,
    )  # fmt: skip
    scores = history.column("validation_log_likelihood")
    assert history.best_epoch == 1 + int(np.argmax(scores)) < 6
    np.testing.assert_array_equal(flow.params.values, seen[history.best_epoch - 1])
    assert flow.log_prob(points).mean() == pytest.approx(max(scores), abs=1e-4)


def test_patience_and_callbacks_stop(points):
    flat = small()
    history = fit(flat, points, validation=points, epochs=50, learning_rate=1e-30, patience=3, **QUIET)
    assert history.stopped == "patience"
    assert len(history.rows) == 4

    def stop_after_two(flow, history):
        if len(history.rows) == 2:
            raise StopTraining

    history = fit(small(), points, epochs=50, callbacks=[stop_after_two], **QUIET)
    assert history.stopped == "callback"
    assert len(history.rows) == 2


def test_averaging_returns_a_mean_of_the_weights(points):
    seen = []

    class Spy(Adam):
        def _update(self, values, grads, learning_rate):
            super()._update(values, grads, learning_rate)
            seen.append(values.copy())

    flow = small(dtype=np.float64)
    fit(flow, points, epochs=2, optimizer=Spy(), average=1000, **QUIET)
    np.testing.assert_allclose(flow.params.values, np.mean(seen, axis=0), rtol=1e-10)
    seen.clear()
    flow = small(dtype=np.float64)
    fit(flow, points, epochs=3, optimizer=Spy(), average=4, **QUIET)
    expected = seen[0]
    for t, values in enumerate(seen, start=1):
        expected = expected + max(1 / 4, 1 / t) * (values - expected)
    np.testing.assert_allclose(flow.params.values, expected, rtol=1e-10)


def test_the_average_is_what_is_validated(points):
    flow = small()
    history = fit(flow, points, validation=points, epochs=1, average=1000, learning_rate=Constant(0.02), **QUIET)
    assert history.column("validation_log_likelihood") == [pytest.approx(flow.log_prob(points).mean(), abs=1e-5)]
    raw = small()
    fit(raw, points, epochs=1, learning_rate=Constant(0.02), **QUIET)
    assert abs(raw.log_prob(points).mean() - flow.log_prob(points).mean()) > 1e-3


def test_clipping_limits_the_step(points):
    flow = small(dtype=np.float64)
    start_from_data(flow, points)
    before = flow.params.values.copy()
    fit(flow, points, epochs=1, optimizer="sgd", learning_rate=1.0, clip_norm=1e-3, **{**QUIET, "batch_size": 100})
    assert np.linalg.norm(flow.params.values - before) == pytest.approx(1e-3, rel=1e-6)


def test_time_limit(points):
    history = fit(small(), points, time_limit=0.3, learning_rate=Cosine(1e-3), **QUIET)
    assert history.stopped == "time limit"
    assert 0.3 <= history.rows[-1]["seconds"] < 5
    assert history.rows[-1]["learning_rate"] < 1e-3


# -- the data-dependent start ---------------------------------------------------------------------------------------


def test_start_from_data_standardises_pixels(rng):
    pixels = rng.integers(0, 256, size=(3000, 6)).astype(np.uint8)  # three chunks
    pixels[:, 2] = 0  # a border pixel: only the dequantisation noise moves it
    flow = nice(6, hidden=(5,), dtype=np.float64, rng=0)
    start_from_data(flow, pixels)
    layer = flow.bijector.layers[0]
    z, _, _ = layer.forward(dequantize(np.repeat(pixels, 10, axis=0), 0))
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=0.03)
    assert layer.std.min() == pytest.approx(1 / 256 / np.sqrt(12), rel=0.05)
    before = layer.mean.copy()
    start_from_data(flow, pixels // 2)  # fitted only once
    np.testing.assert_array_equal(layer.mean, before)
    again = nice(6, hidden=(5,), dtype=np.float64, rng=1)
    start_from_data(again, pixels)  # the noise is the same in every run, so a resumed one measures the same constants
    np.testing.assert_array_equal(again.bijector.layers[0].mean, before)


def test_a_constant_feature_is_reported(points):
    points[:, 1] = 4.0
    with pytest.warns(UserWarning, match="feature 1 never changes"):
        fit(small(), points, epochs=1, **QUIET)


def test_the_paper_setting_has_no_standardize(pixels):
    flow = nice(6, hidden=(5,), preprocess=(), rng=0)
    fit(flow, pixels, epochs=1, **QUIET)
    assert not any(isinstance(layer, Standardize) for layer in flow.bijector.layers)


# -- stopping and resuming --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "average"),
    [(lambda: Adam(weight_decay=0.1), 10), (RMSPropMomentum, None), (lambda: SGD(momentum=0.5), None)],
)
@pytest.mark.parametrize("stop_at", [1, 5, 8, 11])
def test_a_resumed_run_is_the_same_bit_for_bit(optimizer, average, stop_at, pixels, tmp_path):
    settings = {**QUIET, "epochs": 4, "validation": pixels[:30], "average": average, "learning_rate": Cosine(1e-2)}
    whole = small(6)
    expected = fit(whole, pixels, optimizer=optimizer(), **settings)

    class Stopping(type(optimizer())):
        def _update(self, values, grads, learning_rate):
            super()._update(values, grads, learning_rate)
            if self.steps == stop_at:
                signal.raise_signal(signal.SIGINT)

        __repr__ = type(optimizer()).__repr__

    Stopping.__name__, Stopping.__module__ = type(optimizer()).__name__, SGD.__module__
    first = Stopping()
    vars(first).update(vars(optimizer()))
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(TrainingInterrupted, match=rf"stopped by SIGINT at step {stop_at}; saved .*checkpoint.npz"):
        fit(small(6), pixels, optimizer=first, checkpoint=path, **settings)
    resumed = small(6)
    history = fit(resumed, pixels, optimizer=optimizer(), checkpoint=path, resume=True, **{**settings, "rng": None})
    np.testing.assert_array_equal(resumed.params.values, whole.params.values)
    assert history == expected


def test_momentum_by_epoch_survives_a_stop_in_the_middle(points, tmp_path):
    settings = {**QUIET, "epochs": 4, "learning_rate": 1e-2}

    class Stopping(RMSPropMomentum):
        def _update(self, values, grads, learning_rate):
            super()._update(values, grads, learning_rate)
            if self.steps == 9:
                signal.raise_signal(signal.SIGTERM)

    whole, resumed, path = small(), small(), tmp_path / "c.npz"
    fit(whole, points, optimizer=RMSPropMomentum(momentum_from=2), **settings)
    Stopping.__name__, Stopping.__module__ = "RMSPropMomentum", SGD.__module__
    with pytest.raises(TrainingInterrupted, match="step 9"):
        fit(small(), points, optimizer=Stopping(momentum_from=2), checkpoint=path, **settings)
    fit(resumed, points, optimizer=RMSPropMomentum(momentum_from=2), checkpoint=path, resume=True, **settings)
    np.testing.assert_array_equal(resumed.params.values, whole.params.values)


def test_a_finished_run_can_be_resumed_and_extended(points, tmp_path):
    path = tmp_path / "c.npz"
    settings = {**QUIET, "checkpoint": path, "learning_rate": 1e-3}
    first = small()
    history = fit(first, points, epochs=2, **settings)
    again = small()
    assert fit(again, points, epochs=2, resume=True, **settings) == history
    np.testing.assert_array_equal(again.params.values, first.params.values)
    longer, direct = small(), small()
    fit(longer, points, epochs=4, resume=True, **settings)
    fit(direct, points, epochs=4, **{**settings, "checkpoint": None})
    np.testing.assert_array_equal(longer.params.values, direct.params.values)


def test_a_run_that_ran_out_of_patience_resumes_with_more(points, tmp_path):
    # The likelihood of the mean alone decreases with training.
    settings = {**QUIET, "validation": points.mean(axis=0)[None], "learning_rate": 1e-2, "epochs": 8}
    halting = {**settings, "checkpoint": tmp_path / "c.npz"}
    direct, flow = small(), small()
    whole = fit(direct, points, patience=4, **settings)
    assert len(whole.rows) > len(fit(small(), points, patience=2, **halting).rows)
    again = fit(small(), points, patience=2, resume=True, **halting)
    assert (again.stopped, again.rows[-1]["epoch"]) == ("patience", again.best_epoch + 2)
    assert fit(flow, points, patience=4, resume=True, **halting) == whole
    np.testing.assert_array_equal(flow.params.values, direct.params.values)
    assert len(fit(small(), points, resume=True, **halting).rows) == 8  # without patience: to the end


def test_a_run_that_a_callback_ended_resumes_until_one_ends_it_again(points, tmp_path):
    def stop(flow, history):
        raise StopTraining

    settings = {**QUIET, "epochs": 4}
    halting = {**settings, "checkpoint": tmp_path / "c.npz"}
    direct, flow = small(), small()
    whole = fit(direct, points, **settings)
    for epoch in (1, 2):
        history = fit(small(), points, callbacks=[stop], resume=epoch > 1, **halting)
        assert (history.stopped, len(history.rows)) == ("callback", epoch)
    assert fit(flow, points, resume=True, **halting) == whole
    np.testing.assert_array_equal(flow.params.values, direct.params.values)


def test_handlers_are_restored(points):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    fit(small(), points, epochs=1, **QUIET)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_fit_works_off_the_main_thread(points):
    expected, flow = small(), small()
    fit(expected, points, epochs=2, **QUIET)
    thread = threading.Thread(target=fit, args=(flow, points), kwargs={"epochs": 2, **QUIET})
    thread.start()
    thread.join()
    np.testing.assert_array_equal(flow.params.values, expected.params.values)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch_size": 50}, r"settings.batch_size is 50 now and was 25 then"),
        ({"learning_rate": 2e-3}, r"settings.learning_rate is .*0.002.* now and was .*0.001"),
        ({"optimizer": "sgd"}, r"settings.optimizer"),
        ({"average": 5}, r"settings.average is 5 now and was null then"),
        ({"clip_norm": 5.0}, r"settings.clip_norm is 5.0 now and was null then"),
        ({"x": "other"}, r"settings.data is .*100 x 3 float32.* now and was"),
        ({"validation": "other"}, r"settings.validation"),
        (
            {"flow": lambda: nice(3, couplings=3, hidden=(9,), rng=0)},
            r"architecture.bijector.*conditioner.sizes.1 is 9",
        ),
        ({"flow": lambda: nice(3, couplings=4, hidden=(8,), rng=0)}, r"architecture.bijector.layers is"),
        ({"flow": lambda: real_nvp(3, couplings=3, hidden=(8,), rng=0)}, r"architecture.*"),
        (
            {"flow": lambda: small(partition="halves")},
            r"partition or permutation.* is \[0 1\] now and was \[0 2\] then",
        ),
        ({"flow": lambda: small(dtype=np.float64)}, r"dtype is \"float64\" now and was \"float32\" then"),
    ],
)
def test_resuming_something_else_is_refused(change, says, points, tmp_path):
    path = tmp_path / "c.npz"
    settings = {**QUIET, "learning_rate": 1e-3, "epochs": 2}
    fit(small(), points, checkpoint=path, **settings)
    flow = change.pop("flow", small)()
    x = points + 1 if change.pop("x", None) else points
    if "validation" in change:
        change["validation"] = points
    before = path.read_bytes()
    with pytest.raises(NiceValueError, match=says):
        fit(flow, x, checkpoint=path, resume=True, **{**settings, **change})
    assert path.read_bytes() == before


def test_a_run_without_warmup_is_resumed_by_its_rate(points, tmp_path):
    """As up to 0.1.0, where a number had no warm-up."""
    path, flow, expected = tmp_path / "c.npz", small(), small()
    fit(expected, points, epochs=10, learning_rate=Constant(1e-3), **QUIET)
    fit(flow, points, epochs=1, learning_rate=Constant(1e-3), checkpoint=path, **QUIET)
    for epochs in (2, 10):
        fit(flow, points, epochs=epochs, learning_rate=1e-3, checkpoint=path, resume=True, **QUIET)
    np.testing.assert_array_equal(flow.params.values, expected.params.values)


def test_checkpoints_are_not_overwritten_or_imagined(points, tmp_path):
    path = tmp_path / "c.npz"
    with pytest.raises(NiceFileError, match="does not exist"):
        fit(small(), points, epochs=1, checkpoint=path, resume=True, **QUIET)
    fit(small(), points, epochs=1, checkpoint=path, **QUIET)
    with pytest.raises(NiceFileError, match="exists; resume=True continues"):
        fit(small(), points, epochs=1, checkpoint=path, **QUIET)
    with pytest.raises(NiceFileError, match="cannot write"):
        fit(small(), points, epochs=1, checkpoint=tmp_path / "no" / "c.npz", **QUIET)
    with pytest.raises(NiceValueError, match="needs checkpoint"):
        fit(small(), points, epochs=1, resume=True, **QUIET)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["a\0b", "a" * 300])
def test_names_that_no_checkpoint_can_have(name, resume, points, tmp_path):
    with pytest.raises(NiceFileError, match="fit: cannot write"):
        fit(small(), points, epochs=1, checkpoint=tmp_path / name, resume=resume, callbacks=[pytest.fail], **QUIET)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("target", ["missing/c.npz", "missing.npz", "there.npz"])
def test_a_checkpoint_is_never_written_through_a_link(target, resume, points, tmp_path):
    fit(small(), points, epochs=1, checkpoint=tmp_path / "there.npz", **QUIET)
    before = (tmp_path / "there.npz").read_bytes()
    (tmp_path / "c.npz").symlink_to(tmp_path / target)
    with pytest.raises(NiceFileError, match=r"fit: cannot write .*c.npz: it is a symbolic link"):
        fit(small(), points, epochs=2, checkpoint=tmp_path / "c.npz", resume=resume, callbacks=[pytest.fail], **QUIET)
    assert (tmp_path / "there.npz").read_bytes() == before


@pytest.mark.parametrize("checkpoint_every", [0, 60])
def test_a_save_that_fails_leaves_the_best_weights(checkpoint_every, points, tmp_path):
    folder, kept = tmp_path / "run", []

    def note(flow, history):
        kept.append(flow.params.values.copy())
        if len(kept) == 4:
            shutil.rmtree(folder)

    folder.mkdir()
    flow = small()
    settings = {"checkpoint": folder / "c.npz", "checkpoint_every": checkpoint_every, "learning_rate": 1e-2, **QUIET}
    alone = points.mean(axis=0)[None]  # its likelihood decreases with training
    with pytest.raises(NiceFileError, match="cannot write"):
        fit(flow, points, validation=alone, epochs=4, callbacks=[note], **settings)
    np.testing.assert_array_equal(flow.params.values, kept[0])
    assert not np.array_equal(kept[0], kept[3])


# -- divergence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("build", "rate"), [(nice, 1e3), (nice, 1e30), (real_nvp, 1.0), (real_nvp, 1e30)])
def test_divergence_is_named_within_a_few_steps(build, rate, rng, tmp_path):
    x = rng.normal(size=(400, 8))
    flow = build(8, hidden=(64, 64, 64), rng=0)
    path = tmp_path / "c.npz"
    with pytest.raises(DivergenceError, match=r"diverged at step \d+: .*learning rate = ") as caught:
        fit(flow, x, epochs=100, learning_rate=Constant(rate), checkpoint=path, checkpoint_every=0, **QUIET)
    assert isinstance(caught.value, ArithmeticError)
    assert int(str(caught.value).split("step ")[1].split(":")[0]) <= 40
    if path.exists():  # the last good state, never a NaN
        with np.load(path, allow_pickle=False) as file:
            assert np.isfinite(file["values"]).all()


def test_divergence_leaves_the_best_weights(points):
    class Explode(Constant):
        def __call__(self, step, progress):
            return 1e-3 if step < 8 else 1e6

    flow, kept = small(), []
    with pytest.raises(DivergenceError) as caught:
        fit(flow, points, validation=points, epochs=9, learning_rate=Explode(1),
            callbacks=[lambda flow, history: kept.append(flow.params.values.copy())], **QUIET)  # fmt: skip
    assert any(np.array_equal(flow.params.values, values) for values in kept)
    history = caught.value.history
    assert history.stopped == "divergence"
    assert len(history.rows) == len(kept) > 0
    assert np.array_equal(flow.params.values, kept[history.best_epoch - 1])
    again = small()
    assert fit(again, points, validation=points, epochs=len(kept), learning_rate=Constant(1e-3), **QUIET) == history


def test_a_pickled_divergence_keeps_its_history(points):
    with pytest.raises(DivergenceError) as caught:
        fit(small(), points, epochs=2, learning_rate=1e30, **QUIET)
    assert caught.value.history.rows == []
    sent = pickle.loads(pickle.dumps(caught.value))
    assert str(sent) == str(caught.value)
    assert sent.history == caught.value.history
    assert DivergenceError("raised elsewhere").history is None


# -- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"epochs": None}, NiceValueError, "either epochs or time_limit"),
        ({"time_limit": 1.0}, NiceValueError, "either epochs or time_limit"),
        ({"epochs": 0}, NiceValueError, "epochs must be >= 1"),
        ({"epochs": 1.5}, NiceTypeError, "whole number"),
        ({"epochs": None, "time_limit": 0}, NiceValueError, "time_limit"),
        ({"batch_size": 0}, NiceValueError, "batch_size"),
        ({"learning_rate": 0.0}, NiceValueError, "must be finite"),
        ({"learning_rate": "fast"}, NiceTypeError, "must be a number"),
        ({"optimizer": "adamw"}, NiceValueError, "adam, rmsprop-momentum, sgd"),
        ({"clip_norm": -1}, NiceValueError, "clip_norm"),
        ({"average": 0}, NiceValueError, "average"),
        ({"patience": 2}, NiceValueError, "patience needs validation"),
        ({"rng": -3}, NiceValueError, "rng must be a seed"),
        ({"checkpoint_every": -1}, NiceValueError, "checkpoint_every"),
        ({"validation": np.zeros((2, 4))}, NiceValueError, "validation has 4 features, expected 3"),
        ({"validation": np.zeros((0, 3))}, NiceValueError, "validation has 0 samples"),
    ],
)
def test_bad_arguments(change, error, says, points):
    with pytest.raises(error, match=says):
        fit(small(), points, **{"epochs": 1, "progress": False, **change})


@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (np.zeros((0, 3)), NiceValueError, "x has 0 samples"),
        (np.zeros(3), NiceValueError, r"expected x of shape \(N, 3\), got \(3,\)"),
        (np.zeros((4, 5)), NiceValueError, "x has 5 features, expected 3"),
        ([[0.0, 1.0, np.nan]], NiceValueError, "NaN or inf, first in row 0"),
        ([[0.0, 1.0, np.inf]], NiceValueError, "NaN or inf, first in row 0"),
        (np.zeros((2, 3), complex), NiceValueError, "complex"),
        (np.full((2, 3), "a"), NiceTypeError, "dtype"),
    ],
)
def test_bad_data(x, error, says):
    flow = small()
    before = flow.params.values.copy()
    with pytest.raises(error, match=says):
        fit(flow, x, epochs=1, **QUIET)
    np.testing.assert_array_equal(flow.params.values, before)
    with pytest.raises(NiceTypeError, match="expected a Flow"):
        fit(DiagonalScaling(3), np.zeros((2, 3)), epochs=1, **QUIET)


def test_a_refused_fit_does_not_change_the_flow(points, tmp_path):
    path = tmp_path / "c.npz"
    path.write_text("mine")
    flow = small()
    with pytest.raises(NiceFileError, match="exists"):
        fit(flow, points, epochs=1, checkpoint=path, **QUIET)
    assert not flow.layers[0].fitted
    assert path.read_text() == "mine"


def test_an_optimizer_serves_one_run(points):
    adam = Adam()
    fit(small(), points, epochs=1, optimizer=adam, **QUIET)
    with pytest.raises(NiceValueError, match="make a new one for a new run"):
        fit(small(), points, epochs=1, optimizer=adam, **QUIET)


@pytest.mark.parametrize("change", [{"callbacks": 5}, {"callbacks": [5]}, {"checkpoint": 5}])
def test_wrong_kinds_of_arguments(change, points):
    with pytest.raises(NiceTypeError):
        fit(small(), points, epochs=1, **QUIET, **change)


def test_data_whose_standard_deviation_overflows():
    with pytest.raises(NiceOverflowError, match="standard deviation of the data overflows"):
        fit(small(dtype=np.float64), np.array([[1e200, 0, 1], [-1e200, 1, 2]]), epochs=1, **QUIET)


def test_weights_that_overflow_at_the_last_step_are_a_divergence(points, tmp_path):
    path = tmp_path / "c.npz"
    with pytest.raises(DivergenceError, match="weights are not finite"):
        fit(small(), points, epochs=1, learning_rate=Constant(1e42), checkpoint=path, **{**QUIET, "batch_size": 100})
    assert not path.exists()


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop-momentum"])
def test_a_gradient_whose_square_overflows_is_a_divergence(optimizer, checkpoint, tmp_path):
    flow, x = small(2, preprocess=(), prior="normal"), np.repeat(np.float32([[1e15], [2e15]]), 2, axis=1)
    path = tmp_path / "c.npz" if checkpoint else None
    with pytest.raises(DivergenceError, match="the optimiser's state is not finite") as caught:
        fit(flow, x, epochs=2, optimizer=optimizer, learning_rate=1e-9, checkpoint=path, **QUIET)
    assert caught.value.history.rows == []  # seen at the end of the first epoch
    assert list(tmp_path.iterdir()) == []


def test_the_data_are_not_changed(pixels):
    before = pixels.copy()
    pixels.flags.writeable = False
    fit(small(6), pixels, epochs=1, **QUIET)
    np.testing.assert_array_equal(pixels, before)


def test_progress_bar_goes_to_stderr_and_says_nats(points, capsys):
    fit(small(), points, epochs=1, **{**QUIET, "progress": True})
    out, err = capsys.readouterr()
    assert out == ""
    assert "nats" in err
    assert "bits/dim" in err
    assert "samples/s" in err


def test_history_is_csv_and_prints(points):
    history = fit(small(), points, validation=points, epochs=2, **QUIET)
    lines = history.to_csv().splitlines()
    assert lines[0].startswith("epoch,step,learning_rate,train_log_likelihood,validation_log_likelihood")
    assert len(lines) == 3
    assert "2 epochs, 8 steps" in repr(history)


# -- schedules, units, messages ---------------------------------------------------------------------------------------


def test_a_schedule_may_return_any_number(points, tmp_path):
    class Own(Schedule):
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, step, progress):
            return self.rate

    history = fit(small(), points, epochs=1, learning_rate=Own(np.float32(0.005)), checkpoint=tmp_path / "c", **QUIET)
    assert type(history.rows[0]["learning_rate"]) is float
    for rate, error in ((None, NiceTypeError), (np.nan, NiceValueError), (-1.0, NiceValueError)):
        with pytest.raises(error, match="fit: learning_rate must be"):
            fit(small(), points, epochs=1, learning_rate=Own(rate), **QUIET)


def test_bits_per_dim_are_those_of_pixels_if_either_data_set_is_pixels(pixels):
    settings = {**QUIET, "epochs": 1, "learning_rate": 1e-9}
    x, y = dequantize(pixels, 0), dequantize(pixels, 1)

    def bits(data, validation):
        return fit(small(6), data, validation=validation, **settings).rows[0]["validation_bits_per_dim"]

    expected = bits(pixels, pixels)
    assert bits(x, pixels) == pytest.approx(expected, abs=0.1)
    assert bits(pixels, y) == pytest.approx(expected, abs=0.1)
    assert bits(x, y) == pytest.approx(expected - 8, abs=0.1)


def test_messages_about_validation_name_it(points):
    with pytest.raises(NiceValueError, match="validation_context needs validation"):
        fit(small(), points, epochs=1, validation_context="junk", **QUIET)
    labelled, context = small(context_dim=2), np.ones((100, 2))
    for wrong in (None, np.ones((3, 2))):
        with pytest.raises(NiceValueError, match=r"fit: validation: expected context of shape \(100, 2\)"):
            fit(labelled, points, context, epochs=1, validation=points, validation_context=wrong, **QUIET)
    within = small(preprocess=["logit"])
    with pytest.raises(NiceValueError, match=r"fit: validation: x\[0, \d\] = .* is not between"):
        fit(within, np.full((4, 3), 0.5), epochs=1, validation=points, **QUIET)


@pytest.mark.parametrize("resume", [False, True])
def test_one_checkpoint_one_run_at_a_time(resume, points, tmp_path):
    path, met = tmp_path / "c.npz", []
    if resume:
        fit(small(), points, epochs=1, checkpoint=path, **QUIET)

    def second(flow, history):
        says = (
            rf"^fit: .*c.npz is in use by process {os.getpid()} on .* since .*; wait until it has finished, or stop it"
        )
        with pytest.raises(NiceFileError, match=says):
            fit(small(), points, epochs=2, checkpoint=path, resume=resume, callbacks=[pytest.fail], **QUIET)
        met.append(history)

    fit(small(), points, epochs=2, checkpoint=path, resume=resume, callbacks=[second], **QUIET)
    assert met
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.npz"]


@pytest.mark.parametrize("name", ["c" * 251 + ".npz", "\N{SNOWMAN}" * 85])
def test_the_longest_names_of_a_checkpoint(name, points, tmp_path):
    fit(small(), points, epochs=1, checkpoint=tmp_path / name, **QUIET)
    assert [path.name for path in tmp_path.iterdir()] == [name]

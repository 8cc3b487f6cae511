"""fit by several ranks, here threads with a communicator for tests: one gradient, one clock, one end for all."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from thread_ranks import on_ranks

from nice_np import (
    Constant,
    DivergenceError,
    Flow,
    NiceError,
    NiceFileError,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    StopTraining,
    TrainingInterrupted,
    fit,
    nice,
    one_hot,
    training_loop,
)
from nice_np.training.ranks import OneProcess, Team, as_team

QUIET = {"batch_size": 25, "progress": False, "rng": 7}
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, size=(90, 6)).astype(np.uint8)


def small(dim=6, **settings):
    return nice(dim, couplings=3, hidden=(8,), rng=0, **settings)


def train(comm, x, flow=None, **settings):
    """One rank's part: its flow and its history."""
    flow = small() if flow is None else flow
    return flow, fit(flow, x, comm=comm, **{**QUIET, "epochs": 3, **settings})


# -- without errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [2, 3])
def test_ranks_agree_with_one_process_and_bit_for_bit_with_each_other(size, dtype, pixels):
    settings = {"validation": pixels[:20], "average": 8, "clip_norm": 5.0}
    alone, expected = train(None, pixels, small(dtype=dtype), **settings)
    results, _ = on_ranks(size, lambda comm: train(comm, pixels, small(dtype=dtype), **settings))
    for flow, history in results:
        largest = np.abs(alone.params.values).max()
        np.testing.assert_allclose(flow.params.values, alone.params.values, rtol=0, atol=TOLERANCE[dtype] * largest)
        for name in ("train_log_likelihood", "validation_log_likelihood"):
            assert history.column(name) == pytest.approx(expected.column(name), rel=TOLERANCE[dtype])
        np.testing.assert_array_equal(flow.params.values, results[0][0].params.values)
        assert history.rows == results[0][1].rows  # the clock, too
        assert history.stopped == "epochs"


def test_one_sum_of_gradients_per_step(pixels):
    results, meeting = on_ranks(2, lambda comm: train(comm, pixels))
    flow, history = results[0]
    assert meeting.sums == [len(flow.params)] * history.rows[-1]["step"]


def test_the_loss_is_summed_in_float64(rng):
    flow, x = small(), rng.normal(size=(24, 6)).astype(np.float32)
    expected = np.mean([flow.nll_and_grad(x[:12])[0], flow.nll_and_grad(x[12:])[0]])

    def work(comm):
        own = small()
        return Team(comm).gradient(own.nll_and_grad, own.params.grads)(x, None)[0]

    assert on_ranks(2, work)[0] == [expected, expected]


def test_batches_with_fewer_rows_than_ranks(pixels):
    settings = {"batch_size": 4}  # the epoch's last batch has one row
    alone, _ = train(None, pixels[:9], small(dtype=np.float64), **settings)
    results, _ = on_ranks(3, lambda comm: train(comm, pixels[:9], small(dtype=np.float64), **settings))
    for flow, _ in results:
        np.testing.assert_allclose(flow.params.values, alone.params.values, rtol=0, atol=1e-12)


def test_a_flow_with_a_context(rng):
    x, labels = rng.normal(size=(60, 4)), one_hot(rng.integers(3, size=60), 3)
    build = {"context_dim": 3, "dtype": np.float64}
    alone, _ = train(None, x, small(4, **build), context=labels)
    results, _ = on_ranks(2, lambda comm: train(comm, x, small(4, **build), context=labels))
    for flow, _ in results:
        np.testing.assert_allclose(flow.params.values, alone.params.values, rtol=0, atol=1e-12)


def test_the_random_numbers_are_those_of_rank_0(pixels):
    alone, _ = train(None, pixels)
    seeds = [7, 8]
    results, _ = on_ranks(2, lambda comm: train(comm, pixels, rng=seeds[comm.rank]))
    for flow, _ in results:
        np.testing.assert_allclose(flow.params.values, alone.params.values, atol=1e-5)
    results, _ = on_ranks(2, lambda comm: train(comm, pixels, rng=None))
    np.testing.assert_array_equal(results[0][0].params.values, results[1][0].params.values)


def test_rank_0_alone_writes_calls_back_and_shows_progress(pixels, tmp_path, capsys):
    called = []

    def work(comm):
        note = [lambda flow, history: called.append(comm.rank)]
        path = tmp_path / f"{comm.rank}.npz"
        return train(comm, pixels, checkpoint=path, checkpoint_every=0, callbacks=note, progress=True)

    on_ranks(2, work)
    assert [path.name for path in tmp_path.iterdir()] == ["0.npz"]
    assert called == [0, 0, 0]
    assert capsys.readouterr().err.count("epoch 3") == 1


def test_a_communicator_of_one_is_nothing_special(pixels):
    for comm in (None, SimpleNamespace(rank=0, size=1, bcast=1, allgather=1, Allreduce=1)):
        team = as_team(comm)
        assert team.alone
        assert type(team.comm) is OneProcess
        assert team.gradient(print, np.zeros(1)) is print
    (result,), meeting = on_ranks(1, lambda comm: train(comm, pixels))
    np.testing.assert_array_equal(result[0].params.values, train(None, pixels)[0].params.values)
    assert meeting.sums == []


# -- agreement ------------------------------------------------------------------------------------------------------


def test_the_clock_is_that_of_rank_0(pixels, monkeypatch):
    clocks = threading.local()

    def perf_counter():  # advances by a second at each call, by ten on the other ranks
        clocks.now = getattr(clocks, "now", 0) + clocks.pace
        return clocks.now

    # In this module only: others may read the clock at any time, such as monitors of the garbage collector.
    monkeypatch.setattr(training_loop, "time", SimpleNamespace(perf_counter=perf_counter))

    def work(comm):
        clocks.pace = 1 if comm.rank == 0 else 10
        return train(comm, pixels, epochs=None, time_limit=20)

    (first, second), _ = on_ranks(2, work)
    assert first[1].rows == second[1].rows
    assert first[1].stopped == second[1].stopped == "time limit"
    assert first[1].rows[-1]["step"] > 10
    np.testing.assert_array_equal(first[0].params.values, second[0].params.values)


@pytest.mark.parametrize("receiver", [0, 1])
def test_a_signal_on_one_rank_stops_all_and_is_saved(receiver, pixels, tmp_path, monkeypatch):
    path, received = tmp_path / "c.npz", threading.local()

    class Signals:
        """Threads get no signals: this one arrives at the fifth reading of `received`, on one rank."""

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        @property
        def received(self):
            received.readings = getattr(received, "readings", 0) + 1
            return 15 if received.here and received.readings == 5 else 0

    monkeypatch.setattr(training_loop, "StopSignals", Signals)

    def work(comm):
        received.here = comm.rank == receiver
        return train(comm, pixels, checkpoint=path)

    results, _ = on_ranks(2, work)
    for error in results:
        assert isinstance(error, TrainingInterrupted)
        assert error.signum == 15
        assert str(error) == f"stopped by SIGTERM at step 5; saved {path}"
    monkeypatch.undo()
    whole, _ = on_ranks(2, lambda comm: train(comm, pixels))
    elsewhere = tmp_path / "no such folder" / "c.npz"  # on a machine without the files of rank 0
    where = [path, elsewhere]
    resumed, _ = on_ranks(2, lambda comm: train(comm, pixels, checkpoint=where[comm.rank], resume=True))
    for flow, history in resumed:
        np.testing.assert_array_equal(flow.params.values, whole[0][0].params.values)
        assert history == whole[0][1]


def test_a_callback_of_rank_0_stops_all(pixels):
    def stop(flow, history):
        raise StopTraining

    for _, history in on_ranks(2, lambda comm: train(comm, pixels, callbacks=[stop]))[0]:
        assert history.stopped == "callback"
        assert len(history.rows) == 1


def test_patience_ends_on_all_ranks_together(pixels):
    settings = {"validation": pixels, "patience": 2, "learning_rate": 1e-30, "epochs": 50}
    for _, history in on_ranks(2, lambda comm: train(comm, pixels, **settings))[0]:
        assert history.stopped == "patience"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("the model is .*", {"flow": lambda: nice(6, couplings=3, hidden=(8,), activation="tanh", rng=0)}),
        ("the model is .*", {"flow": lambda: small(partition="halves")}),
        ("the vector of parameters is .*", {"flow": lambda: nice(6, couplings=3, hidden=(8,), rng=1)}),
        ("data is .*90 x 6 uint8", {"x": lambda pixels: pixels[::-1]}),
        ("validation is None on rank 0 and 5 x 6", {"validation": np.zeros((5, 6), np.uint8)}),
        ("batch_size is 25 on rank 0 and 30 on rank 1", {"batch_size": 30}),
        ("learning_rate is Constant", {"learning_rate": 0.1}),
        ("optimizer is Adam", {"optimizer": "sgd"}),
        ("epochs is 3 on rank 0 and 4 on rank 1", {"epochs": 4}),
        ("epochs is 3 on rank 0 and None on rank 1", {"epochs": None, "time_limit": 1}),
        ("clip_norm is None on rank 0 and 1.0 on rank 1", {"clip_norm": 1}),
        ("average is None", {"average": 3}),
        ("checkpoint_every is 60.0", {"checkpoint_every": 1}),
        ("resume is False", {"resume": True}),
    ],
)
def test_ranks_that_differ_raise_an_error_that_names_the_difference(name, change, pixels):
    def work(comm):
        if comm.rank == 0:
            return train(comm, pixels)
        settings = dict(change)
        x = settings.pop("x", lambda pixels: pixels)(pixels)
        return train(comm, x, settings.pop("flow", small)(), **settings)

    results, _ = on_ranks(2, work)
    for error in results:
        assert isinstance(error, NiceValueError)
        assert str(error).endswith("give every rank the same model, data and settings")
    assert str(results[0]) == str(results[1])
    with pytest.raises(NiceValueError, match=f"fit: {name}"):
        raise results[0]


# -- errors ---------------------------------------------------------------------------------------------------------


def test_a_wrong_argument_on_one_rank_is_an_error_on_all(pixels):
    errors, _ = on_ranks(3, lambda comm: train(comm, pixels, batch_size=0 if comm.rank == 1 else 25))
    assert [type(error) for error in errors] == [NiceValueError] * 3
    assert str(errors[1]).startswith("fit: batch_size must be >= 1")
    assert str(errors[0]) == str(errors[2]) == f"rank 1: {errors[1]}"


def test_an_object_without_the_methods_of_a_communicator_is_refused(pixels):
    for wrong in (5, "world", SimpleNamespace(rank=0, size=2, bcast=None, allgather=None)):
        with pytest.raises(NiceTypeError, match=r"comm must be a communicator such as mpi4py\.MPI"):
            train(wrong, pixels)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_an_overflow_names_the_row_of_the_batch_on_every_rank(size, rng):
    x, said = rng.normal(size=(100, 6)), set()
    settings = {"learning_rate": 1e200, "epochs": 9}
    for error in on_ranks(size, lambda comm: train(comm, x, small(dtype=np.float64), **settings))[0]:
        assert isinstance(error, DivergenceError)
        said.add(str(error))
    with pytest.raises(DivergenceError) as alone:
        train(None, x, small(dtype=np.float64), **settings)
    assert said == {str(alone.value)}


def failing(error):
    """A flow that fails at its third batch and at all later ones."""
    flow, batches = small(), []

    def unchecked(x, extra):
        batches.append(len(x))
        if len(batches) > 2:
            raise error
        return Flow.unchecked_loss_and_grad(flow, x, extra)

    flow.unchecked_loss_and_grad = unchecked
    return flow


def test_an_overflow_on_one_rank_ends_all(pixels):
    broken = failing(NiceOverflowError("Flow: row 3 overflows"))
    first, second = on_ranks(2, lambda comm: train(comm, pixels, broken if comm.rank == 1 else None))[0]
    assert type(first) is type(second) is DivergenceError
    said = "training diverged at step 1: loss or gradient is not finite ({}Flow: row 3 overflows), learning rate"
    assert str(first).startswith(said.format("rank 1: "))
    assert str(second).startswith(said.format(""))


def test_any_other_error_on_one_rank_ends_all(pixels):
    broken = failing(ZeroDivisionError("of the layer"))
    first, second = on_ranks(2, lambda comm: train(comm, pixels, broken if comm.rank == 1 else None))[0]
    assert type(second) is ZeroDivisionError
    assert type(first) is NiceError
    assert str(first) == "rank 1: ZeroDivisionError: of the layer"


class TooBright(NiceValueError):
    """A user's error, whose class takes more than a text."""

    def __init__(self, pixel, level):
        super().__init__(f"pixel {pixel} has {level}")


def test_an_error_of_a_class_that_cannot_be_sent_ends_all(pixels):
    broken = failing(TooBright(3, 300))
    first, second = on_ranks(2, lambda comm: train(comm, pixels, broken if comm.rank == 1 else None))[0]
    assert type(second) is TooBright
    assert type(first) is NiceValueError
    assert str(first) == "rank 1: pixel 3 has 300"


def test_an_error_that_does_not_recur_is_ignored(pixels):
    flow, batches = small(), []

    def unchecked(x, extra):
        batches.append(len(x))
        if len(batches) == 3:
            raise MemoryError
        return Flow.unchecked_loss_and_grad(flow, x, extra)

    flow.unchecked_loss_and_grad = unchecked
    expected, _ = train(None, pixels)
    for found, _ in on_ranks(2, lambda comm: train(comm, pixels, flow if comm.rank == 1 else None))[0]:
        np.testing.assert_allclose(found.params.values, expected.params.values, atol=1e-5)


def test_divergence_leaves_the_best_weights_on_all_ranks(pixels):
    class Explode(Constant):
        def __call__(self, step, progress):
            return 1e-3 if step < 8 else 1e6

    kept, flows = [], [small(), small()]
    settings = {"validation": pixels, "learning_rate": Explode(1), "epochs": 9}
    settings["callbacks"] = [lambda flow, history: kept.append(flow.params.values.copy())]
    results, _ = on_ranks(2, lambda comm: train(comm, pixels, flows[comm.rank], **settings))
    assert [type(error) for error in results] == [DivergenceError] * 2
    np.testing.assert_array_equal(flows[0].params.values, flows[1].params.values)
    assert any(np.array_equal(flows[0].params.values, values) for values in kept)


def test_an_overflow_in_validation_is_a_divergence_on_all_ranks(pixels):
    def score(x, context=None):
        raise NiceOverflowError("Flow: row 3 overflows")

    flows = [small(), small()]
    flows[0].log_prob = score
    errors, _ = on_ranks(2, lambda comm: train(comm, pixels, flows[comm.rank], validation=pixels))
    assert [type(error) for error in errors] == [DivergenceError] * 2
    assert all("the validation loss is not finite" in str(error) for error in errors)


def test_an_error_in_a_callback_or_a_save_ends_all(pixels, tmp_path, monkeypatch):
    def wrong(flow, history):
        raise KeyError("picture")

    first, second = on_ranks(2, lambda comm: train(comm, pixels, callbacks=[wrong]))[0]
    assert type(first) is KeyError
    assert str(second) == "rank 0: KeyError: 'picture'"

    def full(*arguments):
        raise NiceFileError("cannot write c.npz: no space left")

    monkeypatch.setattr(training_loop, "save_state", full)
    settings = {"checkpoint": tmp_path / "c.npz", "checkpoint_every": 0}
    first, second = on_ranks(2, lambda comm: train(comm, pixels, **settings))[0]
    assert type(first) is type(second) is NiceFileError
    assert str(second) == f"rank 0: {first}"


@pytest.mark.parametrize("resume", [True, False])
def test_a_checkpoint_that_is_missing_or_in_the_way_ends_all(resume, pixels, tmp_path):
    path = tmp_path / "c.npz"
    if not resume:
        path.write_text("mine")
    where = [path, tmp_path / "other.npz"]
    errors, _ = on_ranks(2, lambda comm: train(comm, pixels, checkpoint=where[comm.rank], resume=resume))
    assert [type(error) for error in errors] == [NiceFileError] * 2
    assert ("does not exist" if resume else "exists; resume=True") in str(errors[0])

"""fit by threads: the same gradient, the same errors, the same bits in every run."""

import signal
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nice_np import (
    Adam,
    Chain,
    DiagonalScaling,
    DivergenceError,
    DriftError,
    Flow,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    Permutation,
    TrainingInterrupted,
    fit,
    nice,
    one_hot,
    parallel,
    real_nvp,
)
from nice_np.training.fit import start_from_data
from nice_np.training.fused.couplings import fused
from nice_np.training.parallel import cut, in_threads, shards

QUIET = {"batch_size": 25, "progress": False, "rng": 7}
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, size=(90, 6)).astype(np.uint8)


def small(dim=6, build=nice, **settings):
    return build(dim, couplings=3, hidden=(8,), rng=0, **settings)


def assert_close(found, expected, tolerance):
    """Within `tolerance` of the largest number."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


# -- shards and replicas --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 8])
@pytest.mark.parametrize("n_rows", [1, 2, 3, 7, 8, 100])
def test_shards_cover_all_rows_in_order_and_none_is_empty(n_rows, n):
    parts = [np.arange(n_rows)[rows] for rows in shards(n_rows, n)]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(n_rows))
    lengths = [len(part) for part in parts]
    assert len(parts) == min(n, n_rows)
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1


def test_a_replica_shares_parameters_and_has_its_own_gradients(rng):
    flow, x = small(), rng.random((5, 6))
    _, grads = flow.nll_and_grad(x)
    before = grads.copy()
    twin = flow.replica()
    assert twin.params.values is flow.params.values
    assert not np.shares_memory(twin.params.grads, grads)
    twin.nll_and_grad(rng.random((4, 6)))
    np.testing.assert_array_equal(grads, before)
    for (_, a, da), (_, b, db) in zip(flow.named_parameters(), twin.named_parameters(), strict=True):
        assert np.shares_memory(a, b)
        assert not np.shares_memory(da, db)
        assert np.shares_memory(db, twin.params.grads)


def test_a_replica_follows_the_parameters(rng):
    flow, x = small(), rng.random((5, 6))
    twin = flow.replica()
    nll, _ = flow.nll_and_grad(x)
    flow.params.values[:] *= 1.5
    flow.bijector.layers[1].conditioner.layers[0].b = rng.normal(size=8)
    assert twin.nll_and_grad(x)[0] == flow.nll_and_grad(x)[0] != nll
    np.testing.assert_array_equal(twin.params.grads, flow.params.grads)


def test_a_replica_of_a_permutation_used_twice_and_of_measured_constants(rng):
    shared = Permutation.reversal(3)
    twin = Flow("normal", Chain([shared, DiagonalScaling(3), shared])).replica()
    assert twin.layers[0] is twin.layers[2]
    flow = small(3)
    start_from_data(flow, rng.normal(size=(50, 3)))
    twin = flow.replica()
    np.testing.assert_array_equal(twin.layers[0].mean, flow.layers[0].mean)
    assert not np.shares_memory(twin.layers[0].mean, flow.layers[0].mean)


# -- the gradient ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("build", [nice, real_nvp])
@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("n_rows", [1, 2, 7, 25])
def test_threads_give_the_gradient_of_the_whole_batch(n_rows, threads, build, dtype, rng):
    flow, x = small(build=build, dtype=dtype), rng.normal(size=(n_rows, 6)).astype(dtype)
    nll, grads = flow.nll_and_grad(x)
    expected = grads.copy()
    with in_threads(flow, threads, 10) as gradient:
        for _ in range(2):  # the second batch starts with the gradients of the first
            found, grads = gradient(x, None)
            assert grads is flow.params.grads
            assert found == pytest.approx(nll, rel=TOLERANCE[dtype])
            assert_close(grads, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("block", [1, 7, 50])
def test_the_sum_is_taken_block_by_block(block, rng, monkeypatch):
    flow, x = small(dtype=np.float64), rng.normal(size=(8, 6))
    _, grads = flow.nll_and_grad(x)
    expected = grads.copy()
    monkeypatch.setattr(parallel, "BLOCK", block)
    with in_threads(flow, 3, 10) as gradient:
        assert_close(gradient(x, None)[1], expected, 1e-12)


def test_every_row_keeps_its_context(rng):
    flow = small(4, context_dim=3, dtype=np.float64)
    x, context = rng.normal(size=(8, 4)), one_hot(rng.integers(3, size=8), 3)
    nll, grads = flow.nll_and_grad(x, context)
    expected = grads.copy()
    with in_threads(flow, 3, 10) as gradient:
        found, grads = gradient(x, context)
    assert found == pytest.approx(nll, rel=1e-12)
    assert_close(grads, expected, 1e-12)


def test_the_order_of_the_sum_does_not_depend_on_which_thread_is_first(rng, monkeypatch):
    flow, x = small(), rng.normal(size=(101, 6)).astype(np.float32)
    original, slow = Flow.unchecked_loss_and_grad, []

    def delayed(self, part, context):
        result = original(self, part, context)
        time.sleep(0.05 * slow.index(part[0, 0]))
        return result

    monkeypatch.setattr(Flow, "unchecked_loss_and_grad", delayed)
    first = [x[rows][0, 0] for rows in shards(len(x), 4)]
    found = []
    with in_threads(flow, 4, 10) as gradient:
        for order in (first, first[::-1], [first[2], first[0], first[3], first[1]]):
            slow[:] = order
            nll, grads = gradient(x, None)
            found.append((nll, grads.tobytes()))
    assert len(set(found)) == 1


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [0, 4, 9])
def test_an_overflow_names_the_row_of_the_batch(row, rng):
    flow, x = small(dtype=np.float64, prior="normal"), rng.normal(size=(10, 6))
    x[row] = 1e200
    with pytest.raises(NiceOverflowError, match=rf"row {row}\b") as alone:
        flow.nll_and_grad(x)
    with in_threads(flow, 3, 10) as gradient, pytest.raises(NiceOverflowError) as caught:
        gradient(x, None)
    assert str(caught.value) == str(alone.value)
    assert caught.value.__context__ is None  # one error, not one of the shard and one of the batch


def test_after_an_error_the_next_batch_is_right(rng):
    flow, x = small(dtype=np.float64, prior="normal"), rng.normal(size=(10, 6))
    _, grads = flow.nll_and_grad(x)
    expected = grads.copy()
    with in_threads(flow, 2, 10) as gradient:
        with pytest.raises(NiceOverflowError):
            gradient(np.full((10, 6), 1e200), None)
        assert_close(gradient(x, None)[1], expected, 1e-12)


class Fragile(DiagonalScaling):
    """A user's layer that raises an error."""

    def forward(self, x):
        if (x > 3).any():
            raise ZeroDivisionError("of the layer")
        return super().forward(x)


def test_any_error_of_a_shard_is_raised(rng):
    flow, x = Flow("normal", Fragile(2)), np.zeros((6, 2))
    x[5] = 4
    with in_threads(flow, 2, 10) as gradient, pytest.raises(ZeroDivisionError, match="of the layer"):
        gradient(x, None)


# -- the whole training ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("threads", [2, 3])
def test_a_run_by_threads_agrees_with_one_by_one_thread(threads, dtype, pixels):
    settings = {**QUIET, "epochs": 3, "validation": pixels[:20], "average": 8, "clip_norm": 5.0}
    alone, shared = small(dtype=dtype), small(dtype=dtype)
    expected = fit(alone, pixels, **settings)
    found = fit(shared, pixels, threads=threads, **settings)
    assert_close(shared.params.values, alone.params.values, TOLERANCE[dtype])
    for name in ("train_log_likelihood", "validation_log_likelihood"):
        assert found.column(name) == pytest.approx(expected.column(name), rel=TOLERANCE[dtype])


def test_same_seed_and_threads_same_run(pixels):
    flows = [small(), small()]
    histories = [fit(flow, pixels, epochs=3, threads=3, **QUIET) for flow in flows]
    np.testing.assert_array_equal(flows[0].params.values, flows[1].params.values)
    assert histories[0] == histories[1]


def test_batches_with_fewer_rows_than_threads(pixels):
    settings = {**QUIET, "epochs": 2, "batch_size": 4}
    alone, shared = small(dtype=np.float64), small(dtype=np.float64)
    fit(alone, pixels[:7], **settings)
    fit(shared, pixels[:7], threads=5, **settings)
    assert_close(shared.params.values, alone.params.values, 1e-12)


def test_a_run_with_a_context(rng):
    x, labels = rng.normal(size=(60, 4)), one_hot(rng.integers(3, size=60), 3)
    alone, shared = (small(4, context_dim=3, dtype=np.float64) for _ in range(2))
    fit(alone, x, labels, epochs=2, **QUIET)
    fit(shared, x, labels, epochs=2, threads=2, **QUIET)
    assert_close(shared.params.values, alone.params.values, 1e-12)


def test_divergence_is_reported_the_same_way(rng):
    x, said = rng.normal(size=(100, 6)), []
    for threads in (1, 2):
        with pytest.raises(DivergenceError) as caught:
            fit(small(dtype=np.float64), x, epochs=9, learning_rate=1e200, threads=threads, **QUIET)
        said.append(str(caught.value))
    assert "row" in said[0]
    assert said[0] == said[1]


def test_a_stopped_run_resumes_bit_for_bit(pixels, tmp_path):
    class Stopping(Adam):
        def _update(self, values, grads, learning_rate):
            super()._update(values, grads, learning_rate)
            if self.steps == 5:
                signal.raise_signal(signal.SIGINT)

    Stopping.__name__, Stopping.__module__ = "Adam", Adam.__module__
    path, whole, resumed = tmp_path / "c.npz", small(), small()
    settings = {**QUIET, "epochs": 3, "threads": 2}
    fit(whole, pixels, **settings)
    with pytest.raises(TrainingInterrupted, match=r"SIGINT at step 5; saved .*c\.npz"):
        fit(small(), pixels, optimizer=Stopping(), checkpoint=path, **settings)
    fit(resumed, pixels, checkpoint=path, resume=True, **settings)
    np.testing.assert_array_equal(resumed.params.values, whole.params.values)


def test_a_run_can_be_resumed_with_another_number_of_threads(pixels, tmp_path):
    path = tmp_path / "c.npz"
    fit(small(), pixels, epochs=1, threads=2, checkpoint=path, **QUIET)
    assert len(fit(small(), pixels, epochs=2, threads=3, checkpoint=path, resume=True, **QUIET).rows) == 2


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_blas_has_one_thread_during_the_run_and_its_former_number_after_it(pixels):
    seen = []
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        if not before:
            pytest.skip("threadpoolctl does not know this BLAS")
        for flow, threads in ((nice(pixels.shape[1], hidden=(8,), activation="tanh"), 1), (small(), 1), (small(), 2)):
            callbacks = [lambda flow, history: seen.append(blas_threads())]
            fit(flow, pixels, epochs=1, threads=threads, callbacks=callbacks, **QUIET)
        assert seen[0] == before  # a single thread does not limit BLAS, unless couplings are fused
        together = fused(small(), 10)
        assert seen[1][0] == (1 if together and together.compiled else before[0])
        assert set(seen[2]) == {1}
        assert blas_threads() == before
        with pytest.raises(DivergenceError):
            fit(small(), pixels, epochs=9, threads=2, learning_rate=1e30, **QUIET)
        assert blas_threads() == before


def test_of_two_overlapping_runs_the_last_one_restores_blas():
    if not blas_threads():
        pytest.skip("threadpoolctl does not know this BLAS")
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        first, second = in_threads(small(), 2, 10), in_threads(small(), 2, 10)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        during = blas_threads()
        second.__exit__(None, None, None)
        assert (set(during), blas_threads()) == ({1}, before)


@pytest.mark.parametrize(("threads", "error"), [(0, NiceValueError), (1.5, NiceTypeError), (True, NiceTypeError)])
def test_a_wrong_number_of_threads(threads, error, pixels):
    with pytest.raises(error, match="fit: threads must be"):
        fit(small(), pixels, epochs=1, threads=threads, **QUIET)


@pytest.mark.parametrize("threads", [1, 2])
def test_training_with_recompute_is_the_same(threads, pixels, monkeypatch):
    asked = []
    original = Flow.unchecked_loss_and_grad

    def noting(self, x, context, **settings):
        asked.append(settings)
        return original(self, x, context, **settings)

    monkeypatch.setattr(Flow, "unchecked_loss_and_grad", noting)
    stored, rebuilt = small(dtype="float64"), small(dtype="float64")
    fit(stored, pixels, epochs=2, threads=threads, **QUIET)
    assert not any(asked)
    asked.clear()
    fit(rebuilt, pixels, epochs=2, threads=threads, recompute=True, **QUIET)
    assert all(settings == {"recompute": True} for settings in asked)
    assert asked
    assert_close(rebuilt.params.values, stored.params.values, 1e-9)


class Drifting(DiagonalScaling):
    """An inverse that loses all digits once the scale is far enough from 1."""

    def inverse(self, z):
        x, log_det, cache = super().inverse(z)
        return x + (np.abs(self.log_scale).max() > 0.02), log_det, cache


@pytest.mark.parametrize("threads", [1, 2])
def test_drift_ends_training_with_the_best_weights(threads, rng):
    x = rng.normal(size=(60, 2)) * 0.1
    flow = Flow("normal", Drifting(2))
    best = []
    settings = {"epochs": 9, "batch_size": 20, "learning_rate": 4e-3, "validation": x, "progress": False, "rng": 0}

    def remember(flow, history):
        best.append(flow.params.values.copy())

    with pytest.raises(DriftError, match="the input of layer 0"):
        fit(flow, x, threads=threads, recompute=True, callbacks=[remember], **settings)
    np.testing.assert_array_equal(flow.params.values, best[-1])


def test_a_shard_has_the_context_of_its_rows(rng):
    # With the whole context a shard would fail, and the batch be computed once more, by one thread.
    x, context = rng.normal(size=(8, 2)), rng.normal(size=(8, 3))
    part, given, share = cut(slice(2, 6), x, context)
    assert share == 0.5
    np.testing.assert_array_equal(part, x[2:6])
    np.testing.assert_array_equal(given, context[2:6])

"""ActNorm: where it starts, and that it is trained from there."""

import numpy as np
import pytest

from nice_np import (
    ActNorm,
    Chain,
    Flow,
    NiceOverflowError,
    NiceValueError,
    Permutation,
    WithContext,
    fit,
    load,
    real_nvp,
)


def started(layer, x):
    layer.fit(lambda: iter([x]))
    return layer


def test_the_first_batch_leaves_with_mean_zero_and_variance_one(rng):
    x = rng.normal([3.0, -1.0, 5.0], [0.1, 20.0, 1.0], size=(500, 3))
    z, log_det, _ = started(ActNorm(3), x).forward(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(log_det, -np.log(x.std(axis=0)).sum(), rtol=1e-12)


def test_all_pixels_of_a_channel_share_their_numbers(rng):
    images = rng.normal(size=(50, 2, 4, 6)) * np.array([3.0, 0.2])[:, None, None] + rng.normal(size=(2, 1, 1))
    layer = started(ActNorm(48, (2, 4, 6)), images.reshape(50, 48))
    assert layer.b.shape == layer.log_s.shape == (2,)
    z = layer.forward(images.reshape(50, 48))[0].reshape(images.shape)
    np.testing.assert_allclose(z.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(axis=(0, 2, 3)), 1, rtol=1e-12)


def test_only_the_first_chunk_is_looked_at(rng):
    def chunks():
        yield np.array([[-1.0], [1.0]])
        raise AssertionError("one batch is enough")

    layer = ActNorm(1)
    layer.fit(chunks)
    assert layer.fitted
    assert layer.log_s == 0


def test_a_constant_keeps_its_scale_and_what_overflows_is_named():
    layer = started(ActNorm(2), np.array([[1e8, 1.0], [1e8, 3.0]]))
    np.testing.assert_array_equal(layer.forward(np.array([[1e8, 3.0]]))[0], [[0.0, 1.0]])
    with pytest.raises(NiceOverflowError, match="standard deviation of the data overflows"):
        started(ActNorm(1), np.array([[1e300], [-1e300]]))
    with pytest.raises(NiceValueError, match="0 samples"):
        ActNorm(1).fit(lambda: iter([]))


def test_fit_starts_every_one_where_its_data_arrive_and_then_trains_it(rng):
    x = rng.normal([5.0, -3.0], [2.0, 0.1], size=(300, 2))
    flow = Flow("normal", Chain([ActNorm(2), Permutation.reversal(2), ActNorm(2)]))
    fit(flow, x, epochs=1, progress=False, learning_rate=1e-12, rng=0)
    first, _, second = flow.layers
    np.testing.assert_allclose(first.b, -x.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose([second.b, second.log_s], 0, atol=1e-9)
    fit(flow, x + 1, epochs=1, progress=False, rng=0)  # measured once, then trained
    assert 0 < np.abs(first.b + x.mean(axis=0)).max() < 0.01


def test_past_a_context(rng):
    x, context = rng.normal(4.0, 2.0, size=(60, 2)), rng.normal(size=(60, 3))
    flow = Flow("normal", Chain([WithContext(ActNorm(2), 3)]), context_dim=3)
    fit(flow, x, context, epochs=1, progress=False, learning_rate=1e-12, rng=0)
    np.testing.assert_allclose(flow.encode(x, context).std(axis=0), 1, rtol=1e-9)


def model():
    return real_nvp(2, couplings=3, hidden=(4,), preprocess=(ActNorm(2), ActNorm(2)), rng=0)


def test_a_resumed_run_ends_as_one_without_a_stop_and_a_file_keeps_what_was_measured(rng, tmp_path):
    x = rng.normal([5.0, -3.0], [2.0, 0.1], size=(90, 2))
    settings = {"batch_size": 30, "progress": False, "rng": 0}
    whole, stopped, resumed = model(), model(), model()
    fit(whole, x, epochs=4, **settings)
    fit(stopped, x, epochs=2, checkpoint=tmp_path / "run.npz", **settings)
    fit(resumed, x, epochs=4, checkpoint=tmp_path / "run.npz", resume=True, **settings)
    np.testing.assert_array_equal(resumed.params.values, whole.params.values)
    whole.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert again.layers[0].fitted
    np.testing.assert_array_equal(again.log_prob(x), whole.log_prob(x))


@pytest.mark.parametrize("shape", [(2, 2), (3, 2, 2, 1), (5,), (0, 6)])
def test_an_image_of_another_size_is_refused(shape):
    with pytest.raises(NiceValueError, match="ActNorm: "):
        ActNorm(6, shape)

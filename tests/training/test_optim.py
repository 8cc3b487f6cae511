"""Optimisers against a step-by-step transcription of their formulas; schedules; clipping."""

import numpy as np
import pytest

from nice_np import (
    SGD,
    Adam,
    Constant,
    Cosine,
    ExponentialDecay,
    InverseTime,
    NiceTypeError,
    NiceValueError,
    RMSPropMomentum,
)
from nice_np.kernels import adam_loop
from nice_np.training.optim import adam_kernel, adam_update, clip_by_norm, get_optimizer
from nice_np.training.schedules import get_schedule


def gradient(values, step):
    return np.cos(values * (step + 1)) + 0.1 * step


def test_adam_is_the_papers_algorithm(rng):
    values = rng.normal(size=7)
    expected, m, v = values.copy(), np.zeros(7), np.zeros(7)
    adam = Adam(beta1=0.8, beta2=0.95, eps=1e-4, weight_decay=0.2)
    for t in range(1, 20):
        g = gradient(expected, t)
        adam.step(values, gradient(values, t), learning_rate=0.05)
        m = 0.8 * m + 0.2 * g
        v = 0.95 * v + 0.05 * g**2
        m_hat, v_hat = m / (1 - 0.8**t), v / (1 - 0.95**t)
        expected = expected - 0.05 * 0.2 * expected - 0.05 * m_hat / (np.sqrt(v_hat) + 1e-4)
        np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_rmsprop_momentum_is_the_original_code(rng):
    values = rng.normal(size=7)
    expected, m, v = values.copy(), np.zeros(7), np.zeros(7)
    rule = RMSPropMomentum()
    t = 0
    for epoch in range(1, 9):
        rule.start_epoch(epoch)
        for _ in range(3):
            g = 1e-2 * gradient(expected, t)  # small enough that the floor matters
            rule.step(values, 1e-2 * gradient(values, t), learning_rate=1e-3)
            v = 0.95 * v + 0.05 * g * g
            m = (0.5 if epoch > 5 else 0.0) * m - 1e-3 * g / np.maximum(np.sqrt(v), 1e-2)
            expected = expected + m
            np.testing.assert_allclose(values, expected, rtol=1e-12)
            t += 1


def test_sgd_with_momentum(rng):
    values = rng.normal(size=4)
    expected, m = values.copy(), np.zeros(4)
    sgd = SGD(momentum=0.7)
    for t in range(5):
        g = gradient(expected, t)
        sgd.step(values, gradient(values, t), learning_rate=0.1)
        m = 0.7 * m - 0.1 * g
        expected = expected + m
        np.testing.assert_allclose(values, expected, rtol=1e-12)


@pytest.mark.parametrize("make", [Adam, RMSPropMomentum, SGD])
def test_a_restored_optimizer_continues_bit_for_bit(make, rng):
    values = rng.normal(size=50)
    whole = make()
    for t in range(4):
        whole.step(values, gradient(values, t), 1e-2)
    resumed, copy = make(), values.copy()
    resumed.restore(whole.steps, {name: vector.copy() for name, vector in whole.state().items()})
    for t in range(4, 8):
        whole.step(values, gradient(values, t), 1e-2)
        resumed.step(copy, gradient(copy, t), 1e-2)
    np.testing.assert_array_equal(values, copy)


@pytest.mark.parametrize("make", [Adam, RMSPropMomentum, SGD])
def test_dtype_is_kept_and_gradients_untouched(make, rng):
    values, grads = rng.normal(size=(2, 9)).astype(np.float32)
    before = grads.copy()
    make().step(values, grads, 1e-2)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(grads, before)


def test_schedules():
    assert Constant(0.1)(7, 0.9) == 0.1
    decay = ExponentialDecay(1e-3, factor=1.0005, minimum=1e-4)
    assert decay(0, 0.0) == 1e-3
    assert decay(100, 0.0) == pytest.approx(1e-3 / 1.0005**100, rel=1e-12)
    assert decay(10_000, 0.0) == 1e-4
    cosine = Cosine(2.0, warmup=4)
    assert [cosine(step, 0.0) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert cosine(10, 0.5) == pytest.approx(1.0)
    assert cosine(10, 1.0) == cosine(10, 1.7) == 0.0
    assert repr(cosine) == "Cosine(rate=2.0, warmup=4)"
    assert get_schedule(cosine) is cosine
    assert get_schedule(0.3)(0, 0.0) == 0.3
    rising = get_schedule(0.4, warmup=4)
    assert [rising(step, 0.0) for step in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])
    assert repr(rising) == "Constant(rate=0.4, warmup=4)"
    assert repr(Constant(0.4)) == "Constant(rate=0.4)"  # as checkpoints of 0.1.0 have it


def test_schedules_at_the_limits_of_their_arguments():
    assert Cosine(2.0)(0, 0.0) == Cosine(2.0, warmup=0)(0, 0.0) == 2.0
    assert Cosine(2.0, warmup=1)(0, 0.0) == 2.0
    assert InverseTime(0.1, half=1)(1, 0.0) == 0.05
    assert ExponentialDecay(1e-4, factor=1, minimum=1e-4)(3, 0.0) == 1e-4
    assert ExponentialDecay(1e-3, factor=2, minimum=0)(1, 0.0) == 5e-4


def test_the_schedule_of_the_original_code_is_the_default():
    decay = ExponentialDecay(1e-3)
    assert (decay.factor, decay.minimum) == (1.0005, 1e-4)


def test_the_settings_are_the_hyperparameters_alone():
    adam, rule = Adam(), RMSPropMomentum()
    assert adam.settings() == {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    assert rule.settings() == {"decay": 0.95, "floor": 0.01, "momentum": 0.5, "momentum_from": 6}
    for optimizer in (adam, rule):
        before = optimizer.settings()
        optimizer.step(np.ones(2), np.ones(2), 0.1)
        assert optimizer.settings() == before
    assert SGD().settings() == {"momentum": 0.0}


@pytest.mark.parametrize(("momentum_from", "ratio"), [(1, 1.5), (2, 1.0)])
def test_an_optimizer_is_in_its_first_epoch_until_start_epoch_is_called(momentum_from, ratio):
    rule, values, steps = RMSPropMomentum(decay=0.0, momentum_from=momentum_from), np.zeros(1), []
    for _ in range(2):
        before = values.copy()
        rule.step(values, np.ones(1), 0.1)
        steps.append((values - before)[0])
    assert steps[1] / steps[0] == pytest.approx(ratio)


def test_the_state_of_adam_by_name():
    adam, grads = Adam(beta1=0.8, beta2=0.9), np.array([2.0, -3.0])
    adam.step(np.zeros(2), grads, 0.1)
    np.testing.assert_allclose(adam.state()["m"], 0.2 * grads)
    np.testing.assert_allclose(adam.state()["v"], 0.1 * grads**2)


def test_restore_copies_the_vectors():
    state = {"m": np.ones(2)}
    sgd = SGD(momentum=0.5)
    sgd.restore(3, state)
    sgd.step(np.zeros(2), np.ones(2), 0.1)
    assert sgd.steps == 4
    np.testing.assert_array_equal(state["m"], 1)


def test_clipping(rng):
    grads = np.array([3.0, 4.0])
    assert clip_by_norm(grads, 10.0) == 5.0
    np.testing.assert_array_equal(grads, [3.0, 4.0])
    assert clip_by_norm(grads, 1.0) == 5.0
    np.testing.assert_allclose(grads, [0.6, 0.8])


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Adam(beta1=1.0),
        lambda: Adam(beta1=-0.1),
        lambda: Adam(beta2=1.0),
        lambda: Adam(beta2=-0.1),
        lambda: Adam(eps=0.0),
        lambda: Adam(weight_decay=-1),
        lambda: RMSPropMomentum(floor=0),
        lambda: RMSPropMomentum(decay=1.0),
        lambda: RMSPropMomentum(decay=-0.1),
        lambda: RMSPropMomentum(momentum=1.0),
        lambda: RMSPropMomentum(momentum=-0.1),
        lambda: RMSPropMomentum(momentum_from=0),
        lambda: SGD(momentum=-0.1),
        lambda: SGD(momentum=1.0),
        lambda: Constant(0),
        lambda: Cosine(float("nan")),
        lambda: Cosine(0),
        lambda: Cosine(1e-3, warmup=-1),
        lambda: InverseTime(0, half=10),
        lambda: InverseTime(0.1, half=0),
        lambda: ExponentialDecay(0, minimum=0),
        lambda: ExponentialDecay(1e-3, minimum=-1e-5),
        lambda: ExponentialDecay(1e-3, factor=0.9),
        lambda: get_optimizer("adamw"),
        lambda: get_schedule(-1.0),
        lambda: Adam().step(np.zeros(3), np.zeros(4), 0.1),
        lambda: Adam().step(np.zeros((3, 1)), np.zeros((3, 1)), 0.1),
        lambda: Adam().step(np.zeros(3), np.zeros(3), float("nan")),
        lambda: Adam().step(np.zeros(3), np.zeros(3), -0.1),
        lambda: ExponentialDecay(1e-5),
    ],
)
def test_bad_settings(bad):
    with pytest.raises(NiceValueError):
        bad()


@pytest.mark.parametrize("make", [Adam, RMSPropMomentum, SGD])
def test_only_vectors_of_one_model(make):
    optimizer = make()
    optimizer.step(np.ones(3), np.ones(3), 0.1)
    for other in (np.ones(6), np.ones(3, np.float32)):
        with pytest.raises(NiceValueError, match="make a new optimiser for each model"):
            optimizer.step(other, other.copy(), 0.1)
    with pytest.raises(NiceTypeError, match="float32 or float64"):
        make().step(np.ones(3, int), np.ones(3), 0.1)
    with pytest.raises(NiceTypeError, match="both the same"):
        make().step(np.ones(3), np.ones(3, np.float32), 0.1)
    with pytest.raises(NiceTypeError, match="got list"):
        make().step([1.0], [1.0], 0.1)
    read_only = np.ones(3)
    read_only.flags.writeable = False
    with pytest.raises(NiceValueError, match="read-only"):
        make().step(read_only, np.ones(3), 0.1)


def test_clipping_a_gradient_whose_square_overflows():
    grads = np.full(10, 1e20, np.float32)
    assert clip_by_norm(grads, 1.0) == pytest.approx(1e20 * np.sqrt(10), rel=1e-6)
    np.testing.assert_allclose(grads, 1 / np.sqrt(10), rtol=1e-6)
    assert clip_by_norm(np.zeros(3), 1.0) == 0.0


def test_clipping_of_any_sign_size_and_number():
    assert clip_by_norm(np.array([-3.0, -4.0]), 10.0) == 5.0
    assert clip_by_norm(np.array([3e-200, 4e-200]), 1.0) == pytest.approx(5e-200, rel=1e-12, abs=0)
    assert clip_by_norm(np.empty(0), 1.0) == 0.0
    for dtype in (np.float32, np.float64):
        assert type(clip_by_norm(np.ones(3, dtype), 9.0)) is float


@pytest.mark.parametrize("kind", [Adam, SGD, RMSPropMomentum])
def test_a_learning_rate_is_not_an_argument_of_an_optimizer(kind):
    """Adam(1e-3), as in other libraries, would otherwise train with beta1 = 0.001."""
    with pytest.raises(TypeError, match="positional"):
        kind(1e-3)


def test_wrong_types():
    with pytest.raises(NiceTypeError, match="must be a number"):
        Constant(10**400)
    with pytest.raises(NiceTypeError, match=r"subclass nice_np.Schedule"):
        get_schedule(lambda step: 0.1)
    with pytest.raises(NiceTypeError):
        Adam(beta1="0.9")


@pytest.mark.parametrize(
    ("steps", "state", "says"),
    [
        (3, {}, "expected vectors m, v, got none"),
        (3, {"m": np.zeros(2)}, "expected vectors m, v, got m"),
        (3, {"m": np.zeros(2), "v": np.zeros(2), "w": np.zeros(2)}, "expected vectors m, v, got m, v, w"),
        (3, {"m": np.zeros(2), "v": np.zeros(3)}, "m and v must be vectors of one shape and dtype"),
        (3, {"m": np.zeros(2), "v": np.zeros(2, np.float32)}, "m and v must be vectors of one shape and dtype"),
        (3, {"m": np.zeros((2, 1)), "v": np.zeros((2, 1))}, "m and v must be vectors of one shape and dtype"),
        (3, {"m": np.zeros(2, int), "v": np.zeros(2, int)}, "m and v must be vectors of one shape and dtype"),
        (3, {"m": [0.0], "v": [0.0]}, "m and v must be vectors of one shape and dtype"),
        (0, {"m": np.zeros(2), "v": np.zeros(2)}, "expected vectors none, got m, v"),
        (-1, {}, "steps must be >= 0"),
    ],
)
def test_a_state_to_restore_is_checked(steps, state, says):
    adam = Adam()
    with pytest.raises(NiceValueError, match=f"Adam: .*{says}"):
        adam.restore(steps, state)
    assert adam.steps == 0  # unchanged
    adam.restore(0, {})


@pytest.mark.parametrize("kind", [Adam, RMSPropMomentum, SGD])
@pytest.mark.parametrize("twin", [False, True])
def test_an_overflow_is_not_a_warning(kind, twin, monkeypatch):
    if twin:  # as with NUMBA_DISABLE_JIT=1
        monkeypatch.setattr(adam_kernel, "_chosen", adam_update)
    values, optimizer = np.zeros(3, np.float32), kind()
    for rate in (1e-3, 1e39, 1e39):
        optimizer.step(values, np.array([1e38, 0, -1e38], np.float32), rate)
    assert not all(np.isfinite(vector).all() for vector in (values, *optimizer.state().values()))


def test_the_compiled_step_is_the_loop():
    assert adam_kernel.loop is adam_loop
    assert adam_kernel.twin is adam_update


def test_schedules_are_found_in_their_former_place():
    from nice_np.optim import Cosine, Schedule

    assert issubclass(Cosine, Schedule)

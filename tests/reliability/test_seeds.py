"""The mathematics for every seed from 0 to 99, and runs that are stopped at a random step."""

import signal

import numpy as np
import pytest
from faults import FAULTS, times
from measures import (
    DEPTHS,
    SCALES,
    deep_round_trip_error,
    float32_gradient_error,
    gradient_errors,
    integral_error,
    inverse_error,
    log_det_error,
    second_backward_differs,
)
from registry import BIJECTORS, CONDITIONERS, PRIORS, shaken

from nice_np import Adam, Cosine, TrainingInterrupted, fit, inpaint, nice, real_nvp

COMPONENTS = [*BIJECTORS, *CONDITIONERS, *PRIORS]
SEEDS = range(100)
# Ten seeds to a test: a hundred tests of each kind would be mostly their starts.
tens = pytest.mark.parametrize("first", range(0, 100, 10))


def some(names, seed, count):
    """`count` of the names, others for each seed; all of them in a long run of the tests."""
    count = min(len(names), times(count)) if FAULTS > 1 else count
    names = list(names)
    start = seed * count % len(names)
    return (names[start:] + names[:start])[:count]


@pytest.mark.slow
@tens
def test_gradients(first):
    for seed in range(first, first + 10):
        _, share = gradient_errors(seed, some(COMPONENTS, seed, 4))
        assert share <= 1


@pytest.mark.slow
@tens
def test_log_det(first):
    for seed in range(first, first + 10):
        assert log_det_error(seed, some(BIJECTORS, seed, 12)) <= 1e-7


@pytest.mark.slow
@tens
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inverse(first, dtype):
    for seed in range(first, first + 10):
        assert inverse_error(seed, dtype, some(BIJECTORS, seed, 12)) <= 20


@pytest.mark.slow
@tens
def test_deep_flows_and_inputs_of_every_scale(first):
    for seed in range(first, first + 10):
        depth, scale = DEPTHS[seed % 5], SCALES[seed // 5 % 3]
        for dtype in (np.float32, np.float64):
            assert deep_round_trip_error(seed, dtype, depth, scale) <= 100


@pytest.mark.slow
def test_float32_gradients():
    assert max(float32_gradient_error(seed) for seed in SEEDS) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(0, 100, 20))
def test_densities_integrate_to_one(seed):
    law, prior = ("additive", "affine", "multiplicative")[seed // 20 % 3], ("normal", "logistic")[seed // 20 % 2]
    assert integral_error(seed, law, prior) < 2e-3


@pytest.mark.slow
@tens
def test_backward_twice(first):
    for seed in range(first, first + 10):
        assert second_backward_differs(seed, some(BIJECTORS, seed, 8)) == 0


class Stopping(Adam):
    """Adam, with a signal at a step."""

    def __init__(self, stop_at):
        super().__init__()
        self.stop_at = stop_at

    def _update(self, values, grads, learning_rate):
        super()._update(values, grads, learning_rate)
        if self.steps == self.stop_at:
            signal.raise_signal(signal.SIGTERM)

    def __repr__(self):
        return repr(Adam())


Stopping.__name__, Stopping.__module__ = "Adam", Adam.__module__


@pytest.mark.slow
@tens
def test_a_stopped_run_ends_as_if_it_had_not_been(first, tmp_path):
    for seed in range(first, first + 10):
        rng = np.random.default_rng(seed)
        build = (nice, real_nvp)[seed % 2]
        pixels = rng.integers(0, 256, (int(rng.integers(20, 60)), 5), dtype=np.uint8)
        settings = {
            "epochs": 3, "batch_size": int(rng.integers(5, 20)), "learning_rate": Cosine(1e-3),
            "validation": pixels[:8], "average": [None, 4][seed // 2 % 2], "progress": False, "rng": seed,
        }  # fmt: skip
        whole, resumed, path = build(5, hidden=(6,), rng=0), build(5, hidden=(6,), rng=0), tmp_path / f"{seed}.npz"
        expected = fit(whole, pixels, **settings)
        steps = expected.column("step")[-1]
        stop = Stopping(int(rng.integers(1, steps + 1)))
        with pytest.raises(TrainingInterrupted):
            fit(build(5, hidden=(6,), rng=0), pixels, optimizer=stop, checkpoint=path, **settings)
        found = fit(resumed, pixels, optimizer="adam", checkpoint=path, resume=True, **settings)
        np.testing.assert_array_equal(resumed.params.values, whole.params.values)
        assert found == expected


@pytest.mark.slow
@tens
def test_inpainting(first):
    """Observed pixels bit for bit, all others in [0, 1], and never less likely than at the start."""
    for seed in range(first, first + 10):
        rng = np.random.default_rng(seed)
        flow = shaken((nice, real_nvp)[seed % 2](8, couplings=3, hidden=(8,), preprocess=(), rng=seed), rng, 0.3)
        x, observed = rng.random((3, 8)), rng.permutation(8) < rng.integers(1, 8)
        found = inpaint(flow, x, observed, space="image", optimizer=("lbfgs", "adam")[seed // 2 % 2], steps=10,
                        clip=(0, 1), rng=seed)  # fmt: skip
        assert found.x[:, observed].astype(x.dtype).tobytes() == x[:, observed].tobytes()
        assert ((found.x >= 0) & (found.x <= 1)).all()
        for history, objective in zip(found.history, found.objective, strict=True):
            assert objective <= history[0] + 1e-4 * abs(history[0])


def test_a_few_seeds():
    for seed in (0, 1):
        assert gradient_errors(seed, some(COMPONENTS, seed, 6))[1] <= 1
        assert log_det_error(seed, some(BIJECTORS, seed, 6)) <= 1e-7
        assert inverse_error(seed, np.float32, some(BIJECTORS, seed, 6)) <= 100

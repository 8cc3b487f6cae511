"""The same seed in two processes, forked workers, threads: identical results, and the process is left unchanged."""

import hashlib
import threading
import warnings

import numpy as np
import pytest
from faults import ENVIRONMENT, posix, run, times
from registry import shaken

from nice_np import fit, nice, real_nvp, variational_autoencoder

EVERYTHING = """
import hashlib, sys
import numpy as np
from nice_np import dequantize, fit, inpaint, nice, real_nvp, sample_posterior, variational_autoencoder
from nice_np.datasets import load
from nice_np.restoration.operators import Mask
import nice_np.datasets as datasets
before = np.random.get_state()[1].copy(), np.geterr()
total = hashlib.sha256()
def add(*arrays):
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
pixels = load("mnist-small").train[:200, 300:320]
for build in (nice, real_nvp):
    flow = build(20, couplings=3, hidden=(16,), rng=3)
    history = fit(flow, pixels, validation=pixels[:20], epochs=2, batch_size=50, average=3, progress=False, rng=4,
                  threads=int(sys.argv[1]))
    add(flow.params.values, flow.sample(5, rng=5), flow.encode(dequantize(pixels[:3], 6)))
    for name in ("train_log_likelihood", "validation_log_likelihood"):
        add(history.column(name))
x = dequantize(pixels[:2], 7)
add(inpaint(flow, x, np.arange(20) < 9, steps=3, rng=8, clip=(0, 1)).x)
mask = Mask(np.arange(20) < 9)
add(sample_posterior(flow, x[:, :9], mask, 0.1, chains=2, warmup=2, steps=2, rng=9).samples)
vae = variational_autoencoder(20, 2, hidden=(8,), rng=10)
fit(vae, pixels, epochs=2, batch_size=50, progress=False, rng=11)
add(vae.params.values, vae.sample(3, rng=12))
add(datasets.rings(50, 13), load("swiss-roll", seed=14).train)
assert (np.random.get_state()[1] == before[0]).all() and np.geterr() == before[1], "global state was changed"
print(total.hexdigest())
"""


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_bits_in_another_process(threads):
    """Parameters, samples, history, restorations and draws, whatever Python's hash seed."""
    found = set()
    for hash_seed in ("1", "2"):
        child = run(threads, code=EVERYTHING, env={**ENVIRONMENT, "PYTHONHASHSEED": hash_seed})
        assert child.returncode == 0, child.stderr
        found.add(child.stdout)
    assert len(found) == 1
    assert len(found.pop()) == 65


FORKS = """
import multiprocessing, sys
import numpy as np
from nice_np import fit, nice
x = np.random.default_rng(0).normal(size=(400, 8))
flow = nice(8, couplings=3, hidden=(16,), rng=0)
fit(flow, x, epochs=1, progress=False, rng=0)
expected = flow.log_prob(x)
def score(part):
    return flow.log_prob(x[part])
def train(seed):
    other = nice(8, couplings=3, hidden=(16,), rng=0)
    fit(other, x, epochs=1, progress=False, rng=seed, threads=2)
    return other.params.values
if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        parts = [slice(i, i + 100) for i in range(0, 400, 100)]
        found = np.concatenate(pool.map(score, parts * 3, chunksize=1)[:4])
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        a, b = pool.map(train, [1, 1])
        np.testing.assert_array_equal(a, b)
    print("fine")
"""


@posix
@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers(start, tmp_path):
    """A pool of processes after the parent has trained and compiled; forking beside threads is Python's own warning."""
    (tmp_path / "workers.py").write_text(FORKS)
    code = (
        "import runpy, sys\nsys.argv = ['workers.py', sys.argv[1]]\nrunpy.run_path('workers.py', run_name='__main__')"
    )
    environment = {**ENVIRONMENT, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    if start == "spawn":
        code = "import os, sys\nos.execv(sys.executable, [sys.executable, 'workers.py', sys.argv[1]])"
    child = run(start, code=code, cwd=tmp_path, env=environment)
    assert (child.returncode, child.stdout) == (0, "fine\n"), child.stderr


@pytest.mark.parametrize("build", [nice, real_nvp])
def test_threads_that_score_draw_and_train_at_once(build, rng):
    """Eight threads: each gets what it would get alone."""
    flow = shaken(build(6, couplings=3, hidden=(12,), rng=0), rng, 0.2)
    batches = rng.normal(size=(8, 50, 6)).astype(np.float32)

    def work(k):
        own = build(6, couplings=3, hidden=(12,), rng=0)
        fit(own, batches[k], epochs=2, batch_size=20, progress=False, rng=k)
        return flow.log_prob(batches[k]), flow.sample(4, rng=k), flow.grad_log_prob(batches[k]), own.params.values

    expected, found, failures = [work(k) for k in range(8)], [None] * 8, []

    def thread(k):
        try:
            for _ in range(times(5)):
                found[k] = work(k)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=thread, args=(k,)) for k in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []
    for mine, alone in zip(found, expected, strict=True):
        for a, b in zip(mine, alone, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_process_is_left_as_it_was(rng):
    """NumPy's generator and error state, the warnings, and the thread pools of BLAS."""
    from threadpoolctl import threadpool_info

    def state():
        pools = sorted((pool["internal_api"], pool["num_threads"]) for pool in threadpool_info())
        generator = hashlib.sha256(np.random.get_state()[1].tobytes()).hexdigest()  # noqa: NPY002
        return generator, np.geterr(), list(warnings.filters), np.get_printoptions(), pools

    before = state()
    pixels, states = rng.integers(0, 256, (60, 6), dtype=np.uint8), []
    for _ in range(2):  # the first round imports what is needed
        for model in (nice(6, hidden=(8,), rng=0), variational_autoencoder(6, 2, hidden=(5,), rng=0)):
            fit(model, pixels, epochs=1, threads=2, progress=False, rng=0)
            model.sample(3, rng=0)
        states.append(state())
    assert states[0] == states[1]
    assert states[0][:4] == before[:4]


CLOSE = """
import numpy as np
from nice_np import fit, nice
x = np.random.default_rng(0).random((400, 60))
flow = nice(60, hidden=(40,), rng=0)
fit(flow, x, epochs=2, rng=0, progress=False)
print(flow.log_prob(x).mean())
"""


@pytest.mark.slow
def test_another_number_of_blas_threads_agrees_to_rounding():
    found = []
    for threads in ("1", "2"):
        child = run(code=CLOSE, env={**ENVIRONMENT, "OPENBLAS_NUM_THREADS": threads})
        assert child.returncode == 0, child.stderr
        found.append(float(child.stdout))
    assert found[0] == pytest.approx(found[1], rel=1e-4)

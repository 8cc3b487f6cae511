"""Each kernel agrees with its NumPy twin, and the package works where Numba does not."""

import subprocess
import sys

import numpy as np
import pytest

from nice_np import kernels


def compiled(kernel):
    loop = kernels.compile_loop(kernel.loop)
    if loop is None:
        pytest.skip("Numba is missing or switched off: there is only the twin")
    return loop


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_loop_and_twin_agree(dtype, rng):
    start = [rng.normal(size=1001).astype(dtype) for _ in range(3)]
    results = []
    for kernel in (compiled(kernels.adam_kernel), kernels.adam_kernel.twin):
        values, m, v = start[0].copy(), start[1].copy(), start[2].copy() ** 2
        settings = {"learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1}
        for step in range(1, 6):
            grads = np.sin(values * step)
            kernels.adam_step(values, grads, m, v, step=step, **settings, kernel=kernel)
        results.append((values, m, v))
    for a, b in zip(*results, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=50 * np.finfo(dtype).eps, atol=50 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_average_loop_and_twin_agree(dtype, rng):
    values = rng.normal(size=999).astype(dtype)
    results = []
    for kernel in (compiled(kernels.average_kernel), kernels.average_kernel.twin):
        average = np.ones(999, dtype)
        kernels.average_step(average, values, 0.25, kernel=kernel)
        results.append(average)
    np.testing.assert_allclose(results[0], results[1], rtol=4 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(results[1], 0.75 + 0.25 * values, rtol=1e-5, atol=1e-6)


SCRIPT = """
import sys
{before}
import numpy as np
from nice_np import Adam, kernels
values = np.array([1.0, 2.0])
Adam().step(values, np.array([3.0, -4.0]), 0.1)
print(kernels.adam_kernel._compiled is kernels.adam_kernel.twin, values.round(6).tolist())
"""


@pytest.mark.parametrize(
    ("before", "twin"),
    [
        ("sys.modules['numba'] = None", True),
        ("import os; os.environ['NUMBA_DISABLE_JIT'] = '1'", True),
        ("import os; os.environ['NUMBA_DISABLE_JIT'] = '0'", False),
    ],
)
def test_which_one_runs(before, twin):
    if not twin:
        pytest.importorskip("numba")
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(before=before)], capture_output=True, text=True)
    assert done.stdout.split(" ", 1) == [str(twin), "[0.9, 2.1]\n"], done.stderr


def test_importing_the_package_imports_little():
    heavy = ("numba", "matplotlib", "scipy", "pooch", "tqdm")
    code = f"import sys, nice_np; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr

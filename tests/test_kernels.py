"""Each kernel agrees with its NumPy twin, and the package works without Numba."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nice_np import kernels
from nice_np.bijectors import partition
from nice_np.networks import activations, convolution
from nice_np.training import optim


def compiled(kernel):
    loop = kernels.compile_loop(kernel.loop)
    if loop is None:
        pytest.skip("Numba is missing or switched off: there is only the twin")
    return loop


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_loop_and_twin_agree(dtype, rng):
    start = [rng.normal(size=1001).astype(dtype) for _ in range(3)]
    results = []
    for kernel in (compiled(optim.adam_kernel), optim.adam_kernel.twin):
        values, m, v = start[0].copy(), start[1].copy(), start[2].copy() ** 2
        settings = {"learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1}
        for step in range(1, 6):
            grads = np.sin(values * step)
            optim.adam_step(values, grads, m, v, step=step, **settings, kernel=kernel)
        results.append((values, m, v))
    for a, b in zip(*results, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=50 * np.finfo(dtype).eps, atol=50 * np.finfo(dtype).eps)


@pytest.mark.parametrize("twin", [False, True])
def test_moments_of_a_dead_unit_become_zero(twin):
    kernel = optim.adam_kernel.twin if twin else compiled(optim.adam_kernel)
    values, m, v = np.ones(3, np.float32), np.array([1e-37, 1.0, np.nan], np.float32), np.full(3, 1e-38, np.float32)
    settings = {"learning_rate": 1e-3, "beta1": 0.1, "beta2": 0.1, "eps": 1e-8, "weight_decay": 0.0}
    optim.adam_step(values, np.zeros(3, np.float32), m, v, step=2, **settings, kernel=kernel)
    optim.adam_step(values, np.zeros(3, np.float32), m, v, step=3, **settings, kernel=kernel)
    np.testing.assert_allclose(m, [0, 0.01, np.nan], rtol=1e-6, atol=0)
    np.testing.assert_array_equal(v, 0)


@pytest.mark.parametrize("twin", [False, True])
def test_the_smallest_normal_moments_stay(twin):
    kernel = optim.adam_kernel.twin if twin else compiled(optim.adam_kernel)
    tiny = np.finfo(np.float32).tiny
    values, m, v = np.ones(1, np.float32), np.full(1, 2 * tiny), np.full(1, 2 * tiny)
    settings = {"learning_rate": 1e-3, "beta1": 0.5, "beta2": 0.5, "eps": 1e-8, "weight_decay": 0.0}
    optim.adam_step(values, np.zeros(1, np.float32), m, v, step=2, **settings, kernel=kernel)
    assert (m[0], v[0]) == (tiny, tiny)


def test_loops_over_float32_compute_in_float32():
    """A 1 without a type makes float64 of all that it meets: the same numbers, in twice the time."""
    compiled(optim.adam_kernel)  # skips without Numba
    import numba

    vector, scalars = np.ones(3, np.float32), kernels.AdamScalars(*np.ones(10, np.float32))
    for loop, args in (
        (kernels.adam_loop, (vector, vector, vector, vector, scalars)),
        (kernels._average_loop, (vector, vector, np.float32(1))),
        (kernels.bias_relu_loop, (np.ones((2, 3), np.float32), vector)),
        (kernels.relu_backward_loop, (vector, vector)),
    ):
        kernel = numba.njit(error_model="numpy")(loop)
        kernel(*args)
        [code] = kernel.inspect_llvm().values()
        assert re.search(r"(fadd|fmul|fdiv|fcmp).* float ", code), loop.__name__
        assert not re.search(r"(fadd|fsub|fmul|fdiv|sqrt).* double ", code), loop.__name__


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 4, 5, 3), (1, 1, 1, 1), (0, 3, 3, 1)])
def test_what_a_pixel_sees(shape, dtype, rng):
    x = rng.normal(size=shape).astype(dtype)
    n, height, width, channels = shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = [
        padded[k, i : i + 3, j : j + 3].ravel() for k in range(n) for i in range(height) for j in range(width)
    ]  # fmt: skip
    expected = np.array(rows, dtype).reshape(-1, 9 * channels)
    np.testing.assert_array_equal(convolution.neighbours(x), expected)
    for kernel in (compiled(convolution.see_neighbours), convolution.see_neighbours.twin):
        u = np.full((n, height, width, 3, 3 * channels), np.nan, dtype)
        kernel(padded.reshape(n, height + 2, (width + 2) * channels), u)
        np.testing.assert_array_equal(u.reshape(expected.shape), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 4, 5, 3), (1, 1, 1, 1), (1, 2, 1, 2), (0, 3, 3, 1)])
def test_what_a_pixel_adds_to_its_neighbours_is_the_transpose_of_what_it_sees(shape, dtype, rng):
    x, seen = rng.normal(size=shape).astype(dtype), rng.normal(size=(np.prod(shape[:3]), 9 * shape[3])).astype(dtype)
    expected = (convolution.neighbours(x) * seen).sum()  # <P x, u> = <x, P^T u>
    for kernel in (compiled(convolution.add_in_place), convolution.add_in_place.twin):
        n, height, width, channels = shape
        added = np.zeros((n, height + 2, (width + 2) * channels), dtype)
        kernel(seen.reshape(n, height, width, 3, 3 * channels), added)
        added = added.reshape(n, height + 2, width + 2, channels)[:, 1:-1, 1:-1]
        np.testing.assert_allclose((x * added).sum(), expected, rtol=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("twin", [False, True])
def test_long_vectors_in_halves_give_the_same_numbers(twin, rng, monkeypatch):
    kernel = optim.adam_kernel.twin if twin else compiled(optim.adam_kernel)
    start = [rng.normal(size=10_007) for _ in range(4)]
    results = []
    for long in (20_000, 10_000):  # as a whole; in halves
        monkeypatch.setattr(kernels, "LONG", long)
        values, grads, m, v = (vector.copy() for vector in start)
        settings = {"learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1}
        optim.adam_step(values, grads, m, v**2, step=1, **settings, kernel=kernel)
        results.append((values, m))
    np.testing.assert_array_equal(results[0], results[1])
    assert not (results[0][0] == start[0]).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("twin", [False, True])
def test_a_vector_is_finite_or_not(twin, bad, dtype):
    kernel = kernels.find_infinite.twin if twin else compiled(kernels.find_infinite)
    vector = np.full(9, -np.finfo(dtype).max, dtype)
    assert kernels.all_finite(vector, kernel)
    for i in (0, 4, 8):
        spoiled = vector.copy()
        spoiled[i] = bad
        assert not kernels.all_finite(spoiled, kernel)


ARRAYS = {  # arguments of the kernels that change the first one
    "bias_relu": lambda rng: [rng.normal(size=(7, 5)), rng.normal(size=5)],
    "relu_backward": lambda rng: [rng.normal(size=(7, 5)), np.maximum(rng.normal(size=(7, 5)), 0)],
    "put_pairs": lambda rng: [rng.normal(size=(7, 6)), *rng.normal(size=(2, 7, 3))],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ARRAYS)
def test_loop_and_twin_agree(name, dtype, rng):
    kernel = vars(activations).get(name) or getattr(partition, name)
    arrays = [array.astype(dtype) if array.dtype.kind == "f" else array for array in ARRAYS[name](rng)]
    loop, twin = arrays[0].copy(), arrays[0].copy()
    compiled(kernel)(loop, *arrays[1:])
    kernel.twin(twin, *arrays[1:])
    assert not np.array_equal(loop, arrays[0])
    np.testing.assert_allclose(loop, twin, rtol=0, atol=20 * np.finfo(dtype).eps)


def test_relu_keeps_nan_and_its_gradient_is_zero_where_it_is_off():
    a, dh = np.array([[np.nan, -1.0, 0.0, 2.0]]), np.array([[1.0, 2.0, 3.0, 4.0]])
    activations.bias_relu(a, np.zeros(4))
    np.testing.assert_array_equal(a, [[np.nan, 0.0, 0.0, 2.0]])
    activations.relu_backward(dh, np.array([[0.0, 0.0, 0.0, 2.0]]))
    np.testing.assert_array_equal(dh, [[0.0, 0.0, 0.0, 4.0]])


def test_an_array_with_gaps_is_changed_in_place_too(rng):
    whole = rng.normal(size=(4, 6))
    expected = whole.copy()
    expected[:, [0, 2]] = 0
    activations.relu_backward(whole[:, ::2], np.tile([0.0, 0.0, 1.0], (4, 1)))
    np.testing.assert_array_equal(whole, expected)


@pytest.mark.parametrize("twin", [False, True])
def test_taking_pairs_undoes_putting_them(twin, rng):
    put, take = (k.twin if twin else compiled(k) for k in (partition.put_pairs, partition.take_pairs))
    parts, x, taken = rng.normal(size=(2, 7, 3)), np.full((7, 6), np.nan), np.empty((2, 7, 3))
    put(x, *parts)
    np.testing.assert_array_equal(x, parts.transpose(1, 2, 0).reshape(7, 6))
    take(x, *taken)
    np.testing.assert_array_equal(taken, parts)


def test_every_kernel_is_tested():
    modules = (kernels, activations, optim, partition)
    names = {name for of in modules for name, value in vars(of).items() if isinstance(value, kernels.Kernel)}
    assert names == {*ARRAYS, "take_pairs", "adam_kernel", "average_kernel", "find_infinite"}


def test_trouble_with_compiled_code_on_disk_means_compiling_again():
    def full(*args):
        raise OSError(28, "No space left on device")

    kernel, average = kernels.Kernel(kernels._average_loop, kernels._average_twin), np.zeros(3)
    compiled(kernel)
    kernel._chosen = full
    kernel(average, np.ones(3), 0.5)
    np.testing.assert_array_equal(average, 0.5)
    assert kernel.is_compiled
    kernel._chosen = full  # once only: a second error is no trouble with the disk
    with pytest.raises(OSError, match="No space"):
        kernel(average, np.ones(3), 0.5)


def test_an_error_of_the_twin_is_raised():
    kernel = kernels.Kernel(kernels._average_loop, kernels._average_twin)
    kernel._chosen = kernel.twin
    with pytest.raises(ValueError, match="shape"):
        kernel(np.zeros(3), np.ones(4), 0.5)


SCRIPT = """
import sys
{before}
import numpy as np
from nice_np import Adam
from nice_np.training.optim import adam_kernel
values = np.array([1.0, 2.0])
Adam().step(values, np.array([3.0, -4.0]), 0.1)
print(not adam_kernel.is_compiled, values.round(6).tolist())
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


def test_callers_of_kernels_are_known():
    """Compiled loops trust shapes: a new module that calls them must check its own, and then be listed here."""
    root = Path(kernels.__file__).parent
    callers = {path.stem for path in root.rglob("*.py") if "from nice_np.kernels import" in path.read_text("utf-8")}
    checked = {
        "activations",
        "autoencoder",
        "convolution",
        "flow",
        "flow_matching",
        "labelled",
        "loop",
        "loops",
        "optim",
        "partition",
        "reverse_kl",
    }
    assert callers == checked

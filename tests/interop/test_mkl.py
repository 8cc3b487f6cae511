"""Matrix products by Intel's MKL: the same numbers as NumPy's, whatever the layout."""

import numpy as np
import pytest
from test_browser import LAYOUTS
from threadpoolctl import threadpool_info

from nice_np import NiceImportError, fit, nice
from nice_np._blas import BLAS
from nice_np.interop import mkl

try:
    mkl.library()
except NiceImportError:
    pytest.skip("MKL is not installed: pip install mkl", allow_module_level=True)


@pytest.fixture
def asked(monkeypatch):
    """A list that grows with each product that MKL is asked for; np.dot and np.matmul are put back after the test."""
    seen, multiply = [], mkl._multiply
    monkeypatch.setattr(mkl, "_multiply", lambda *args: seen.append(1) or multiply(*args))
    for name in ("dot", "matmul"):
        monkeypatch.setattr(np, name, getattr(np, name))
    return seen


@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layout(dtype, left, right, rng, asked):
    by_numpy = np.dot, np.matmul
    mkl.use_blas()
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    for n, k, m in ((130, 110, 90), (1100, 1, 1000), (1, 1100, 1000), (1100, 1000, 1), (20, 20, 20)):
        a = LAYOUTS[left](rng.normal(size=(n, k)).astype(dtype))
        b = LAYOUTS[right](rng.normal(size=(k, m)).astype(dtype))
        a_before, b_before = a.copy(), b.copy()
        for former, product in zip(by_numpy, (np.dot, np.matmul), strict=True):
            asked.clear()
            expected = former(a, b)
            got, out = product(a, b), np.empty((n, m), dtype)
            assert product(a, b, out=out) is out
            for result in (got, out):
                assert result.dtype == dtype
                np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance * np.sqrt(k))
            assert len(asked) == 2 * (n * k * m >= mkl.SMALL)
        np.testing.assert_array_equal(a, a_before)
        np.testing.assert_array_equal(b, b_before)


def test_where_the_answer_cannot_be_written_numpy_writes_it(rng, asked):
    a, b = rng.normal(size=(2, 110, 110))
    expected = a @ b
    mkl.use_blas()
    np.testing.assert_array_equal(np.matmul(a, b, out=a), expected)  # onto a factor
    for out in (np.empty((110, 110)).T, np.empty((220, 110))[::2]):
        np.testing.assert_array_equal(np.matmul(b, b, out=out), b @ b)
    assert asked == []


def test_training_is_the_same_up_to_rounding(rng, asked):
    x = rng.random((200, 200))
    flows = [nice(200, hidden=(120,), dtype="float64", rng=0) for _ in range(2)]
    for flow, by_mkl in zip(flows, (False, True), strict=True):
        if by_mkl:
            mkl.use_blas()
        fit(flow, x, epochs=3, batch_size=100, progress=False, rng=0, compiled=False)
    assert len(asked) > 100
    np.testing.assert_allclose(flows[0].params.values, flows[1].params.values, rtol=0, atol=1e-9)


def test_its_threads_are_counted_with_the_others(asked):
    mkl.use_blas()

    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["internal_api"] == "mkl"]

    before = threads()
    assert before
    with BLAS.fixed(1):
        assert threads() == [1]
    assert threads() == before


def test_without_mkl(monkeypatch):
    monkeypatch.setattr(mkl, "FOLDERS", [])
    with pytest.raises(NiceImportError, match=r"use_blas: no MKL in .*; pip install mkl"):
        mkl.library.__wrapped__()

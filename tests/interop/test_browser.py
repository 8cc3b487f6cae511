"""Matrix products by SciPy's BLAS, for browser tabs: the same numbers as NumPy's, whatever the layout."""

import numpy as np
import pytest

from nice_np.interop.browser import SMALL, use_blas


@pytest.fixture
def products(monkeypatch):
    """np.dot and np.matmul as they were, and as they are in a tab; put back after the test."""
    before = {name: getattr(np, name) for name in ("dot", "matmul")}
    for name, product in before.items():
        monkeypatch.setattr(np, name, product)
    use_blas()
    use_blas()
    return [(before[name], getattr(np, name)) for name in before]


@pytest.fixture
def asked(monkeypatch):
    """The dtypes of the products that SciPy was asked for."""
    from scipy.linalg import blas

    seen = []
    for name in ("sgemm", "dgemm"):
        gemm = getattr(blas, name)
        monkeypatch.setattr(blas, name, lambda *args, gemm=gemm, **named: seen.append(1) or gemm(*args, **named))
    return seen


LAYOUTS = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "with gaps": lambda a: np.repeat(np.repeat(a, 2, axis=0), 3, axis=1)[::2, ::3],
    "backwards": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
}


@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layout(dtype, left, right, rng, asked, products):
    for shape in ((40, 30, 20), (5000, 1, 3), (1, 5000, 1), (3, 1, 5000)):
        n, k, m = shape
        a = LAYOUTS[left](rng.normal(size=(n, k)).astype(dtype))
        b = LAYOUTS[right](rng.normal(size=(k, m)).astype(dtype))
        a_before, b_before = a.copy(), b.copy()
        for by_numpy, by_blas in products:
            asked.clear()
            expected, tolerance = by_numpy(a, b), 1e-5 if dtype == np.float32 else 1e-13
            got, out = by_blas(a, b), np.empty((n, m), dtype)
            assert by_blas(a, b, out=out) is out
            for result in (got, out):
                assert result.dtype == dtype
                np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance * np.sqrt(k))
            assert len(asked) == 2 * (n * k * m >= SMALL)
        assert (a == a_before).all()
        assert (b == b_before).all()


def test_everything_else_is_numpys(rng, asked, products):
    large = rng.normal(size=(64, 64))
    for a, b in (
        (large, large.astype(np.float32)),
        (large[0], large),
        (large, large[0]),
        (large.astype(int), large.astype(int)),
        (large[:2, :2], large[:2, :2]),
        (large.tolist(), large),
        (large.astype(complex), large),
    ):
        for by_numpy, by_blas in products:
            np.testing.assert_array_equal(by_blas(a, b), by_numpy(a, b))
    by_numpy, by_blas = products[1]
    stack = rng.normal(size=(2, 64, 64))
    np.testing.assert_array_equal(by_blas(stack, stack), by_numpy(stack, stack))
    np.testing.assert_array_equal(by_blas(large, large, dtype=np.float32), by_numpy(large, large, dtype=np.float32))
    assert asked == []
    for _, by_blas in products:
        with pytest.raises(ValueError, match=r"shapes|mismatch"):
            by_blas(large, large[:60])

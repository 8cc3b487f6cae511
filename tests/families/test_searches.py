"""Roots and fixed points."""

import numpy as np
import pytest

from nice_np.errors import NiceOverflowError
from nice_np.families.searches import fixed_point, root_of_increasing


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("x", [0.0, 1e-9, -3.0, 40.0, -1e6], ids=str)
def test_the_root_is_found_to_rounding(dtype, x):
    x = np.full((2, 3), x, dtype)
    functions = [
        lambda x: (x + x**3, 1 + 3 * x**2),
        lambda x: (np.where(x > 0, 9 * x, x), np.where(x > 0, x.dtype.type(9), x.dtype.type(1))),
    ]
    for function in functions:
        root = root_of_increasing(function, function(x)[0].astype(dtype))
        assert root.dtype == dtype
        np.testing.assert_allclose(root, x, rtol=8 * np.finfo(dtype).eps, atol=1e-300)


def test_the_root_is_found_where_newton_jumps_away():
    def steep(x):
        return np.tanh(50 * x) + 1e-6 * x, 50 / np.cosh(np.minimum(np.abs(50 * x), 300)) ** 2 + 1e-6

    y = np.array([[0.9, -0.999, 1.0, 2.0]])
    np.testing.assert_allclose(steep(root_of_increasing(steep, y))[0], y, rtol=1e-12)


def test_a_value_that_is_never_reached_is_an_overflow():
    with pytest.raises(NiceOverflowError, match="no finite x"):
        root_of_increasing(lambda x: (np.tanh(x), 1 - np.tanh(x) ** 2), np.array([[2.0]]))


def test_without_rows():
    assert root_of_increasing(lambda x: (x, np.ones_like(x)), np.empty((0, 3))).shape == (0, 3)


def test_iteration_stops_for_any_rows():
    assert fixed_point(lambda x: x / 2, np.empty((0, 2))).shape == (0, 2)
    with np.errstate(invalid="ignore"):
        fixed_point(lambda x: x / 2, np.array([[np.nan, 1.0], [np.inf, 1.0], [1.0, 1.0]]))
    np.testing.assert_allclose(fixed_point(lambda x: 1 - 0.9 * x, np.full((4, 1), 1e8)), 1 / 1.9)

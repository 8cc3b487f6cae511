"""The numerical Jacobian is the matrix of derivatives, with outputs in rows and inputs in columns."""

import numpy as np
import pytest

from nice_np import NiceTypeError, NiceValueError, numerical_jacobian
from nice_np.checks.jacobian import one_sided


def test_rows_are_outputs_and_columns_inputs(rng):
    A, x = rng.normal(size=(2, 3)), rng.normal(size=(4, 3))
    J = numerical_jacobian(lambda x: x @ A.T, x)
    assert J.shape == (4, 2, 3)
    np.testing.assert_allclose(J, np.broadcast_to(A, J.shape), atol=1e-9)


def test_of_a_curved_map_and_of_large_numbers(rng):
    x = np.array([[0.3, -1.2], [1e6, 2e6]])
    J = numerical_jacobian(lambda x: (np.sin(x[:, ::-1] / 1e6) * 1e6, "cache"), x)
    expected = np.zeros((2, 2, 2))
    expected[:, 0, 1], expected[:, 1, 0] = np.cos(x[:, 1] / 1e6), np.cos(x[:, 0] / 1e6)
    np.testing.assert_allclose(J, expected, atol=1e-8)


def test_the_two_sides_of_a_kink():
    right, left = one_sided(lambda x: np.maximum(x, 0), np.zeros((1, 1)), 1e-5)
    assert (right[0, 0, 0], left[0, 0, 0]) == (1.0, 0.0)


def test_the_input_stays_as_it_is(rng):
    x = rng.normal(size=(2, 3))
    before = x.copy()

    def careless(x):
        x *= 2
        return x

    np.testing.assert_allclose(numerical_jacobian(careless, x), np.broadcast_to(2 * np.eye(3), (2, 3, 3)), atol=1e-9)
    np.testing.assert_array_equal(x, before)


def test_what_is_refused():
    with pytest.raises(NiceTypeError, match=r"pass layer\.forward"):
        numerical_jacobian(np.zeros(2), np.zeros((1, 2)))
    with pytest.raises(NiceValueError, match=r"must return shape \(N, M\), N = 1; got \(2,\)"):
        numerical_jacobian(lambda x: x[0], np.zeros((1, 2)))
    with pytest.raises(NiceValueError, match="eps"):
        numerical_jacobian(lambda x: x, np.zeros((1, 2)), eps=0)
    with pytest.raises(NiceValueError, match="eps must be finite, >= 1e-08"):
        numerical_jacobian(lambda x: x, np.zeros((1, 2)), eps=1e-20)  # would give 0 / 0
    with pytest.raises(NiceValueError, match="the function's result is complex"):
        numerical_jacobian(lambda x: 1j * x, np.zeros((1, 2)))
    with pytest.raises(NiceTypeError, match="the function's result has dtype <U3, expected real numbers"):
        numerical_jacobian(lambda x: [["one", "two"]], np.zeros((1, 2)))
    assert np.isfinite(numerical_jacobian(lambda x: x, np.ones((1, 2)), eps=1e-8)).all()

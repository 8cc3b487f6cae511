"""Rescaling: both ends, and what is no interval."""

import numpy as np
import pytest

from nice_np import NiceTypeError, NiceValueError, Rescale


def test_the_ends_go_where_they_should(rng):
    layer = Rescale(3, -2.0, 6.0)
    np.testing.assert_array_equal(layer.forward(np.array([[0.0, 1.0, 0.5]]))[0], [[-2, 6, 2]])
    np.testing.assert_array_equal(layer.inverse(np.array([[-2.0, 6.0, 2.0]]))[0], [[0, 1, 0.5]])
    np.testing.assert_allclose(layer.forward(np.zeros((2, 3)))[1], 3 * np.log(8), rtol=1e-14)
    assert Rescale(3).forward(np.zeros((2, 3), np.float32))[0].dtype == np.float32
    assert repr(Rescale(2)) == "Rescale(dim=2, low=-1, high=1)"


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (1.0, 1.0, "high must be finite, > 1"),
        (1.0, 0.0, "high must be finite, > 1"),
        (0.0, np.inf, "high must be"),
        (np.nan, 1.0, "low must be"),
        (-1e308, 1e308, "high - low must be"),
    ],
)
def test_no_interval(low, high, says):
    with pytest.raises(NiceValueError, match=f"Rescale: {says}"):
        Rescale(2, low, high)
    with pytest.raises(NiceTypeError, match="low must be a number"):
        Rescale(2, "0", 1.0)

"""The multipliers of affine and multiplicative couplings: right, smooth where they should be, never 0 or infinite."""

import numpy as np
import pytest

from nice_np import AffineCoupling, MultiplicativeCoupling, Partition
from nice_np.bijectors.scales import SCALES, get_scale
from nice_np.errors import NiceValueError
from nice_np.parameters import Module

FORMULAS = {
    "exp": np.exp,
    "tanh": lambda r: np.exp(2 * np.tanh(r / 2)),
    "sigmoid": lambda r: 1 / (1 + np.exp(-(r + 2))),
    "softplus": lambda r: np.log1p(np.exp(r + np.log(np.e - 1))),
}
scales = pytest.mark.parametrize("name", FORMULAS)


@scales
def test_formula_and_slope(name):
    scale, r = get_scale(name), np.linspace(-10, 10, 41)
    log_s = scale.forward(r)
    np.testing.assert_allclose(np.exp(log_s), FORMULAS[name](r), rtol=1e-10)
    numeric = (scale.forward(r + 1e-5) - scale.forward(r - 1e-5)) / 2e-5
    np.testing.assert_allclose(scale.backward(np.full(41, 3.0), r, log_s), 3 * numeric, rtol=1e-6, atol=1e-8)


@scales
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_never_zero_never_infinite(name, dtype):
    scale = get_scale(name)
    ends = [end for end in (scale.low, scale.high) if np.isfinite(end)]
    r = np.sort(np.array([-1e30, -1e3, -100, -50, 50, 100, 1e3, 1e30, *ends])).astype(dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        log_s = scale.forward(r)
        dr = scale.backward(np.ones_like(r), r, log_s)
    assert log_s.dtype == dr.dtype == dtype
    assert (np.exp(log_s) > 0).all()
    assert np.isfinite(np.exp(log_s)).all()
    assert np.isfinite(dr).all()
    assert (np.diff(log_s) >= 0).all()
    clipped = (r <= dtype(scale.low)) | (r >= dtype(scale.high))
    assert clipped.sum() >= len(ends)
    np.testing.assert_array_equal(dr[clipped], 0)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("exp", -30, 30), ("tanh", -2, 2), ("sigmoid", -30, 0), ("softplus", -30, 30)]
)
def test_where_log_s_ends(name, low, high):
    log_s = get_scale(name).forward(np.array([-1e20, 0.0, 1e20]))
    np.testing.assert_allclose(log_s[[0, 2]], [low, high], rtol=1e-9, atol=1e-9)
    if name == "softplus":
        assert abs(log_s[1]) < 1e-15


class Constant(Module):
    """A conditioner that answers the same raw value everywhere."""

    def __init__(self, value, n_out):
        self.value, self.n_out = value, n_out

    def forward(self, x):
        return np.full((len(x), self.n_out), self.value), None

    def backward(self, dy, cache):
        return np.zeros((len(dy), 2))


@pytest.mark.parametrize("law", [AffineCoupling, MultiplicativeCoupling])
@scales
@pytest.mark.parametrize("raw", [-1e4, 1e4])
def test_a_saturated_layer_can_still_be_inverted(law, name, raw, rng):
    n_out = 2 * law.thetas_per_feature
    layer = law(Partition.halves(4), Constant(raw, n_out), scale=name)
    x = rng.normal(size=(5, 4))
    z, log_det, _ = layer.forward(x)
    back, inverse_log_det, _ = layer.inverse(z)
    assert np.isfinite(z).all()
    np.testing.assert_array_equal(log_det, -inverse_log_det)
    largest = max(np.abs(x).max(), np.abs(z).max(), abs(raw) if law is AffineCoupling else 0)
    error = np.abs(back - x) / np.exp(np.maximum(-log_det / 2, 0))[:, None]
    assert error.max() <= 100 * np.finfo(float).eps * largest


def test_unknown():
    assert set(SCALES) == set(FORMULAS)
    with pytest.raises(NiceValueError, match="choose one of exp, tanh, sigmoid, softplus"):
        get_scale("relu")

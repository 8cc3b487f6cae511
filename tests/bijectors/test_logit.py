"""The logit: its formula, both ends of the interval, float32."""

import numpy as np
import pytest
from scipy import special

from nice_np import Chain, DiagonalScaling, Flow, Logit, NiceTypeError, NiceValueError, fit


@pytest.mark.parametrize("alpha", [0.0, 1e-6, 0.05, 0.3])
def test_it_is_the_formula(alpha, rng):
    x = rng.uniform(0.001, 0.999, size=(20, 3))
    z, log_det, _ = Logit(3, alpha).forward(x)
    p = alpha + (1 - 2 * alpha) * x
    np.testing.assert_allclose(z, special.logit(p), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(log_det, (np.log(1 - 2 * alpha) - np.log(p) - np.log(1 - p)).sum(axis=1), rtol=1e-12)


def test_the_ends_are_finite_with_a_margin_and_refused_without():
    ends = np.array([[0.0, 1.0]])
    z, log_det, _ = Logit(2, 1e-6).forward(ends)
    np.testing.assert_allclose(z, [[special.logit(1e-6), -special.logit(1e-6)]], rtol=1e-12)
    np.testing.assert_allclose(log_det, 2 * (np.log(1 - 2e-6) - np.log(1e-6) - np.log1p(-1e-6)), rtol=1e-12)
    for end in (0.0, 1.0):
        with pytest.raises(NiceValueError, match=r"x\[1, 0\] = \S+ is not between"):
            Logit(1, 0.0).forward(np.array([[0.5], [end]]))


@pytest.mark.parametrize("value", [-0.1, 1.1, 255.0, -2e-6, 1.000002, np.nan])
def test_outside_is_an_error_that_says_what_and_where(value):
    layer = Logit(2)
    layer.forward(np.array([[-1e-6, 1 + 1e-6]]))  # within the margin
    x = np.full((3, 2), 0.5)
    x[2, 1] = value
    with pytest.raises(NiceValueError, match=r"x\[2, 1\] = \S+ is not between -1.000002e-06 and 1.000001"):
        layer.forward(x)


def test_float32_near_the_ends_is_as_good_as_float64():
    """Naively, 1 - p for x = 1 would be 9.5e-7 instead of 1e-6 in float32: z wrong by 0.05."""
    tiny = np.float32(2.0) ** -np.arange(1, 25, dtype=np.float32)
    x = np.concatenate([[0, 1], tiny, 1 - tiny]).astype(np.float32)[:, None]
    layer = Logit(1)
    z, log_det, _ = layer.forward(x)
    exact_z, exact_log_det, _ = layer.forward(x.astype(np.float64))
    assert z.dtype == log_det.dtype == np.float32
    np.testing.assert_allclose(z, exact_z, rtol=3e-7, atol=3e-7)
    np.testing.assert_allclose(log_det, exact_log_det, rtol=3e-7, atol=3e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("alpha", [0.0, 1e-6])
def test_the_inverse_far_out(dtype, alpha):
    layer = Logit(1, alpha)
    z = np.array([[-1e6, -800, -100, -40, -15, -1, 0, 1, 15, 40, 100, 800, 1e6]], dtype).T
    x, log_det, cache = layer.inverse(z)
    assert x.min() >= -layer.margin * (1 + 1e-6)
    assert x.max() <= 1 + layer.margin * (1 + 1e-6) + np.finfo(dtype).eps
    exact = np.log(layer.width) + special.log_expit(z[:, 0]) + special.log_expit(-z[:, 0])
    np.testing.assert_allclose(log_det, exact, rtol=1e-6)
    for gradient in layer.inverse_backward(np.ones_like(z), np.ones_like(log_det), cache):
        assert np.isfinite(gradient).all()
    if alpha == 0.0:
        np.testing.assert_allclose(
            x[:5], special.expit(z[:5]), rtol=1e-5, atol=np.finfo(dtype).tiny
        )  # to the last digit, however small


def test_a_flow_says_the_row_also_behind_the_first_chunk(rng):
    x = rng.random((2500, 2))
    x[2300, 1] = 1.5
    flow = Flow("logistic", Chain([Logit(2), DiagonalScaling(2)]))
    for door in (flow.log_prob, flow.encode, flow.nll_and_grad, flow.grad_log_prob, flow.bits_per_dim):
        with pytest.raises(NiceValueError, match=r"x\[2300, 1\] = 1.5 is not between"):
            door(x)
    with pytest.raises(NiceValueError, match=r"x\[2300, 1\] = 1.5 is not between"):
        fit(flow, x, epochs=1, progress=False)


def test_samples_are_images(rng):
    flow = Flow("logistic", Chain([Logit(4), DiagonalScaling(4, log_scale=-2.0)]))
    x = flow.sample(1000, rng)
    assert -1.1e-6 < x.min() < 0.01
    assert 0.99 < x.max() < 1 + 1.1e-6
    assert np.isfinite(flow.log_prob(np.clip(x, 0, 1))).all()


@pytest.mark.parametrize("alpha", [-0.1, 0.5, np.nan])
def test_bad_alpha(alpha):
    with pytest.raises(NiceValueError, match=r"alpha must be finite, >= 0 and < 0\.5"):
        Logit(2, alpha)
    with pytest.raises(NiceTypeError, match="alpha must be a number"):
        Logit(2, "small")

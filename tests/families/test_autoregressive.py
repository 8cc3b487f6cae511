"""The autoregressive wiring: triangular Jacobians, D passes to invert, exact gradients both ways."""

import numpy as np
import pytest
from registry import autoregressive, shaken

from nice_np import (
    MLP,
    AdditiveAutoregressive,
    AffineAutoregressive,
    Autoregressive,
    Chain,
    MaskedMLP,
    NiceTypeError,
    NiceValueError,
    check_gradients,
    check_inverse,
    check_log_det,
    numerical_jacobian,
)
from nice_np.families.implicit import ImplicitLaw


class CubicAutoregressive(ImplicitLaw, Autoregressive):
    """z = x + a^2 x^3, theta = a: a law without an inverse in closed form."""

    def _value_and_slope(self, x_b, theta):
        return x_b + theta**2 * x_b**3, 1 + 3 * theta**2 * x_b**2

    def _couple(self, x_b, theta):
        y_b, slope = self._value_and_slope(x_b, theta)
        return y_b, np.log(slope).sum(axis=1), (x_b, theta, slope)

    def _couple_backward(self, dy_b, dlog_det, cache):
        x_b, a, slope = cache
        dslope = dlog_det[:, None] / slope
        return dy_b * slope + dslope * 6 * a**2 * x_b, dy_b * 2 * a * x_b**3 + dslope * 6 * a * x_b**2


@pytest.mark.parametrize("passes", ["forward", "inverse"])
def test_the_jacobian_is_triangular_in_the_order(passes, rng):
    layer = autoregressive(AffineAutoregressive, rng, dim=5, hidden=(20,), activation="softplus")
    J = numerical_jacobian(lambda x: getattr(layer, passes)(x)[0], rng.normal(size=(1, 5)))[0]
    in_order = J[np.ix_(layer.conditioner.order, layer.conditioner.order)]
    np.testing.assert_array_equal(np.triu(in_order, 1), 0)
    assert (np.tril(in_order) != 0).sum() == 15


def test_two_layers_with_reversed_orders_see_everything(rng):
    layers = [
        autoregressive(AffineAutoregressive, rng, 4, (12,), "softplus", order) for order in ("natural", "reversed")
    ]
    x = rng.normal(size=(1, 4))
    J = numerical_jacobian(lambda x: Chain(layers).forward(x)[0], x)[0]
    assert (J != 0).all()


@pytest.mark.parametrize("dim", [1, 2, 30])
@pytest.mark.parametrize("law", [AffineAutoregressive, AdditiveAutoregressive])
def test_the_passes_feature_by_feature_invert_forward_to_rounding(law, dim, rng):
    layer = autoregressive(law, rng, dim)
    x = rng.normal(size=(20, dim))
    z, log_det, _ = layer.forward(x)
    back, inverse_log_det, _ = layer.inverse(z)
    np.testing.assert_allclose(back, x, rtol=0, atol=1e-11)
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=0, atol=1e-11)


def test_the_inverse_asks_the_network_once_for_each_feature(rng):
    layer = autoregressive(AffineAutoregressive, rng, dim=6)
    passes, forward = [], layer.conditioner.forward
    layer.conditioner.forward = lambda x: passes.append(1) or forward(x)
    z = layer.forward(rng.normal(size=(3, 6)))[0]
    assert len(passes) == 1
    layer.inverse(z)
    assert len(passes) == 1 + 6


def test_a_law_without_a_closed_inverse(rng):
    layer = CubicAutoregressive(shaken(MaskedMLP((5, 8, 3), "random", 2, "tanh", rng=rng), rng))
    x = rng.normal(size=(5, 5))
    for check in (check_gradients, check_inverse, check_log_det):
        check(layer, x).raise_if_failed()


def test_changing_a_batch_after_a_pass_does_not_change_its_gradient(rng):
    layer = autoregressive(AffineAutoregressive, rng)
    for there, back in ((layer.forward, layer.backward), (layer.inverse, layer.inverse_backward)):
        x = rng.normal(size=(3, 4))
        z, log_det, cache = there(x)
        expected = back(z.copy(), log_det, cache), [grad.copy() for _, _, grad in layer.named_parameters()]
        dz = z.copy()
        x[:] = z[:] = 0
        np.testing.assert_array_equal(back(dz, log_det, cache), expected[0])
        for (_, _, grad), before in zip(layer.named_parameters(), expected[1], strict=True):
            np.testing.assert_array_equal(grad, before)


def test_a_network_that_does_not_fit_is_refused():
    with pytest.raises(NiceTypeError, match="must be a MaskedMLP"):
        AffineAutoregressive(MLP((3, 6)))
    with pytest.raises(NiceValueError, match="must have 6 outputs"):
        AffineAutoregressive(MaskedMLP((3, 4, 3)))

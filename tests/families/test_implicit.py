"""Inverses by a search: their gradients by the implicit function theorem."""

import numpy as np
import pytest

from nice_np import MLP, Partition, check_gradients, check_inverse, check_log_det
from nice_np.bijectors import Bijector, Coupling
from nice_np.families.implicit import ImplicitInverse, ImplicitLaw


class CubicCoupling(ImplicitLaw, Coupling):
    """y = x + a^2 x^3, theta = a."""

    def _value_and_slope(self, x_b, theta):
        return x_b + theta**2 * x_b**3, 1 + 3 * theta**2 * x_b**2

    def _couple(self, x_b, theta):
        y_b, slope = self._value_and_slope(x_b, theta)
        return y_b, np.log(slope).sum(axis=1), (x_b, theta, slope)

    def _couple_backward(self, dy_b, dlog_det, cache):
        x_b, a, slope = cache
        dslope = dlog_det[:, None] / slope
        return dy_b * slope + dslope * 6 * a**2 * x_b, dy_b * 2 * a * x_b**3 + dslope * 6 * a * x_b**2


class SpiralMap(ImplicitInverse):
    """f(x) = x + a tanh(x) + b (x_2, x_1): solved by iteration, J by hand."""

    param_names = ("a", "b")

    def __init__(self):
        self.dim = 2
        self.a, self.b = np.array([0.7]), np.array([0.3])
        self.da, self.db = np.zeros(1), np.zeros(1)

    def _jacobian(self, x):
        J = np.zeros((len(x), 2, 2))
        J[:, [0, 1], [0, 1]] = 1 + self.a * (1 - np.tanh(x) ** 2)
        J[:, [0, 1], [1, 0]] = self.b
        return J

    def forward(self, x):
        J = self._jacobian(x)
        return x + self.a * np.tanh(x) + self.b * x[:, ::-1], np.linalg.slogdet(J)[1], (x, J)

    def backward(self, dz, dlog_det, cache):
        x, J = cache
        t = np.tanh(x)
        dJ = dlog_det[:, None, None] * np.linalg.inv(J).transpose(0, 2, 1)
        ddiagonal = dJ[:, [0, 1], [0, 1]]
        self.da[...] = (dz * t).sum() + (ddiagonal * (1 - t**2)).sum()
        self.db[...] = (dz * x[:, ::-1]).sum() + dJ[:, [0, 1], [1, 0]].sum()
        return (
            dz * (1 + self.a * (1 - t**2)) + self.b * dz[:, ::-1] + ddiagonal * self.a * -2 * t * (1 - t**2)
        )  # fmt: skip

    def _search(self, z):
        x = z.copy()
        for _ in range(100):  # Newton
            f, _, (_, J) = self.forward(x)
            x = x - np.linalg.solve(J, (f - z)[..., None])[..., 0]
        return x

    def _solve_transposed(self, r, cache):
        return np.linalg.solve(cache[1].transpose(0, 2, 1), r[..., None])[..., 0]


def layers(rng):
    coupling = CubicCoupling(Partition.odd_even(4), MLP((2, 5, 2), "tanh", output_scale=1.0, rng=rng))
    return [coupling, SpiralMap()]


@pytest.mark.parametrize("which", [0, 1], ids=["law", "layer"])
def test_a_search_has_exact_gradients(which, rng):
    layer: Bijector = layers(rng)[which]
    x = rng.normal(size=(5, layer.dim))
    for check in (check_gradients, check_inverse, check_log_det):
        check(layer, x).raise_if_failed()


@pytest.mark.parametrize("which", [0, 1], ids=["law", "layer"])
def test_a_gradient_there_and_back_is_the_gradient(which, rng):
    layer = layers(rng)[which]
    x, dz = rng.normal(size=(2, 5, layer.dim))
    z, _, cache = layer.forward(x)
    dx = layer.backward(dz, np.zeros(5), cache)
    grads = [grad.copy() for _, _, grad in layer.named_parameters()]
    again = layer.inverse_backward(dx, np.zeros(5), layer.inverse(z)[2])
    np.testing.assert_allclose(again, dz, rtol=1e-10)
    for there, (_, _, back) in zip(grads, layer.named_parameters(), strict=True):
        np.testing.assert_allclose(back, -there, rtol=1e-8, atol=1e-12)

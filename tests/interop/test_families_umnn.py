"""The integral of a positive network beside zuko's: the same values, log-determinants and gradients."""

import numpy as np
import pytest

from nice_np import MLP, Partition, UMNNCoupling
from nice_np.families.umnn import BENDS, FLOOR, SHIFT, UNITS


def zuko_layer(theta, x):
    """y, log_det (N,) of zuko's transform with our g."""
    torch, zuko = pytest.importorskip("torch"), pytest.importorskip("zuko")
    parts = theta.reshape(len(theta), 2 + 3 * UNITS, -1)
    beta, c = parts[:, 0], parts[:, 1]
    w, b, v = parts[:, 2:].split(UNITS, dim=1)  # (N, K, B)

    def g(t):  # (..., N, B)
        h = torch.tanh((w + 1) * t[..., None, :] + b + torch.tensor(BENDS))
        return torch.nn.functional.softplus(c + SHIFT + (v * h).sum(dim=-2)) + FLOOR

    integral = zuko.transforms.UnconstrainedMonotonicTransform(g, n=32, phi=(c, w, b, v))
    y, log_slope = integral.call_and_ladj(x)
    return y + beta, log_slope.sum(dim=1)


def test_values_and_gradients_are_the_same(rng):
    torch = pytest.importorskip("torch")
    layer = UMNNCoupling(Partition.odd_even(4), MLP((2, 52), rng=rng))
    x, theta, dy, dlog_det = (rng.normal(size=shape) for shape in ((50, 2), (50, 52), (50, 2), 50))
    theirs_x, theirs_theta = torch.tensor(2 * x, requires_grad=True), torch.tensor(theta, requires_grad=True)
    theirs_y, theirs_log_det = zuko_layer(theirs_theta, theirs_x)
    y, log_det, cache = layer._couple(2 * x, theta)
    np.testing.assert_allclose(y, theirs_y.detach().numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(log_det, theirs_log_det.detach().numpy(), rtol=0, atol=1e-10)
    ((theirs_y * torch.tensor(dy)).sum() + (theirs_log_det * torch.tensor(dlog_det)).sum()).backward()
    dx, dtheta = layer._couple_backward(dy, dlog_det, cache)
    np.testing.assert_allclose(dx, theirs_x.grad.numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(dtheta, theirs_theta.grad.numpy(), rtol=1e-10, atol=1e-10)

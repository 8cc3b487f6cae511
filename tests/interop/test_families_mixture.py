"""The logistic-mixture law against autograd: the formula written naively in torch, all gradients by torch."""

import numpy as np
import pytest

from nice_np.families.mixture_law import MixtureLaw

K, N, B = 5, 100, 3


class OnlyTheLaw(MixtureLaw):
    def __init__(self):
        self._set(K)


def there(torch, x, theta):
    """y and log dy/dx."""
    blocks = theta.reshape(N, -1, B).transpose(0, 1)  # (T, N, B)
    pi, mu, s = torch.softmax(blocks[:K], dim=0), blocks[K : 2 * K], 7 * torch.tanh(blocks[2 * K : 3 * K] / 7)
    mu = mu + torch.tensor([-1.6, -0.8, 0.0, 0.8, 1.6], dtype=mu.dtype)[:, None, None]
    a, b = 2 * torch.tanh(blocks[-2] / 2), blocks[-1]
    logistic = torch.sigmoid((x - mu) / torch.exp(s))
    F, f = (pi * logistic).sum(dim=0), (pi * logistic * (1 - logistic) / torch.exp(s)).sum(dim=0)
    return torch.log(F / (1 - F)) * torch.exp(a) + b, torch.log(f / (F * (1 - F))) + a


@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
def test_values_and_gradients(inverse, rng):
    torch = pytest.importorskip("torch")
    law = OnlyTheLaw()
    x, theta = rng.normal(size=(N, B)), rng.normal(size=(N, law.thetas_per_feature * B))
    x_there, theta_there = torch.from_numpy(x).requires_grad_(), torch.from_numpy(theta).requires_grad_()
    y_there, log_slope = there(torch, x_there, theta_there)
    log_det_there = log_slope.sum(dim=1)
    y = y_there.detach().numpy()
    g, dlog_det = rng.normal(size=(N, B)), rng.normal(size=N)
    if not inverse:
        here, log_det, cache = law._couple(x, theta)
        np.testing.assert_allclose(here, y, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(log_det, log_det_there.detach().numpy(), rtol=1e-10, atol=1e-10)
        dx, dtheta = law._couple_backward(g, dlog_det, cache)
        ((torch.from_numpy(g) * y_there).sum() + (torch.from_numpy(dlog_det) * log_det_there).sum()).backward()
        np.testing.assert_allclose(dx, x_there.grad.numpy(), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(dtheta, theta_there.grad.numpy(), rtol=1e-10, atol=1e-10)
        return
    back, log_det, cache = law._uncouple(y, theta)
    np.testing.assert_allclose(back, x, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(log_det, -log_det_there.detach().numpy(), rtol=1e-9, atol=1e-9)
    dy, dtheta = law._uncouple_backward(g, dlog_det, cache)
    # One step of Newton from the solution has the derivatives of the inverse: x(y, theta) = x - (h(x) - y) / h'(x).
    y_leaf = torch.from_numpy(y).requires_grad_()
    fixed = torch.from_numpy(x)
    value, log_slope_at = there(torch, fixed, theta_there)
    moved = fixed - (value - y_leaf) / torch.exp(log_slope_at).detach()
    log_det_moved = -there(torch, moved, theta_there)[1].sum(dim=1)
    ((torch.from_numpy(g) * moved).sum() + (torch.from_numpy(dlog_det) * log_det_moved).sum()).backward()
    np.testing.assert_allclose(dy, y_leaf.grad.numpy(), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(dtheta, theta_there.grad.numpy(), rtol=1e-8, atol=1e-8)

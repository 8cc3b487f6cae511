"""Continuous flows beside torch: the same steps by autograd, zuko's adaptive solver, and the loss of flow matching."""

import numpy as np
import pytest
from registry import mlp

from nice_np.families import NeuralODE, continuous_adjoint
from nice_np.families.continuous import METHODS
from nice_np.flows.flow_matching import FlowMatching

try:
    import torch
except ImportError:
    torch = None
pytestmark = pytest.mark.skipif(torch is None, reason="torch is not installed")


def both(rng, sizes=(4, 7, 5, 3), **settings):
    """A NeuralODE, and its field as a torch function of x and t with the same weights, in float64."""
    layer = NeuralODE(mlp(sizes, rng, "tanh"), **settings)
    weights = [torch.tensor(array, requires_grad=True) for _, array, _ in layer.named_parameters()]

    def field(x, t):
        h = torch.cat([x, t if torch.is_tensor(t) else torch.full_like(x[:, :1], t)], dim=1)
        for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            h = torch.tanh(h @ W + b)
        return h @ weights[-2] + weights[-1]

    return layer, field, weights


def field_and_trace(field, directions, x, t):
    """v, and sum_k v_k . J v_k as the product of J^T v_k with v_k."""
    x = x if x.requires_grad else x.requires_grad_()
    v = field(x, t)
    products = [(torch.autograd.grad(v, x, row, create_graph=True)[0] * row).sum(dim=1) for row in directions]
    return v, sum(products)


def solve(layer, field, x, start, h):
    """The steps of Runge and Kutta, written down once more."""
    directions = torch.tensor(layer.directions(x.detach().numpy())).unbind(dim=1)
    nodes, weights = METHODS[layer.method]
    log_det = torch.zeros(len(x), dtype=x.dtype)
    for n in range(layer.steps):
        ks = []
        for c in nodes:
            point = x + h * c * ks[-1][0] if ks else x
            ks.append(field_and_trace(field, directions, point, start + n * h + c * h))
        x = x + h * sum(b * v for b, (v, _) in zip(weights, ks, strict=True))
        log_det = log_det + h * sum(b * trace for b, (_, trace) in zip(weights, ks, strict=True))
    return x, log_det


def assert_close(ours, theirs, weights):
    for (_, _, grad), weight in zip(ours.named_parameters(), weights, strict=True):
        np.testing.assert_allclose(grad, weight.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("probes", [None, 2], ids=["exact", "Hutchinson"])
def test_values_and_gradients_are_those_of_autograd(method, probes, inverse, rng):
    layer, field, weights = both(rng, steps=3, method=method, probes=probes)
    x, dz, dlog_det = rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), rng.normal(size=6)
    there, back = (layer.inverse, layer.inverse_backward) if inverse else (layer.forward, layer.backward)
    z, log_det, cache = there(x)
    dx = back(dz, dlog_det, cache)
    start = torch.tensor(x, requires_grad=True)
    end, volume = solve(layer, field, start, *((1.0, -1 / 3) if inverse else (0.0, 1 / 3)))
    ((end * torch.tensor(dz)).sum() + (volume * torch.tensor(dlog_det)).sum()).backward()
    np.testing.assert_allclose(z, end.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(log_det, volume.detach().numpy(), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(dx, start.grad.numpy(), rtol=1e-10, atol=1e-12)
    assert_close(layer, field, weights)


def test_many_steps_are_the_solution_of_zuko(rng):
    zuko = pytest.importorskip("zuko")
    layer, field, weights = both(rng, steps=200)
    x, dz, dlog_det = rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), rng.normal(size=6)
    z, log_det, cache = layer.forward(x)
    start = torch.tensor(x, requires_grad=True)
    solution = zuko.transforms.FreeFormJacobianTransform(
        lambda t, x: field(x, float(t)), phi=weights, atol=1e-12, rtol=1e-12
    )
    end, volume = solution.call_and_ladj(start)
    np.testing.assert_allclose(z, end.detach().numpy(), atol=1e-10)
    np.testing.assert_allclose(log_det, volume.detach().numpy(), atol=1e-10)
    ((end * torch.tensor(dz)).sum() + (volume * torch.tensor(dlog_det)).sum()).backward()
    for gradient in (
        lambda: layer.backward(dz, dlog_det, cache),
        lambda: continuous_adjoint(layer, z, dz, dlog_det),
    ):
        np.testing.assert_allclose(gradient(), start.grad.numpy(), rtol=1e-8, atol=1e-9)
        for (_, _, grad), weight in zip(layer.named_parameters(), weights, strict=True):
            np.testing.assert_allclose(grad, weight.grad.numpy(), rtol=1e-8, atol=1e-9)


def test_the_loss_of_flow_matching(rng):
    layer, field, weights = both(rng)
    flow = FlowMatching("normal", layer, sigma=0.1)
    x, z, t = rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), rng.random((6, 1))
    loss, _ = flow.loss_and_grad(x, np.concatenate([z, t], axis=1))
    x, z, t = map(torch.tensor, (x, z, 1 - t))  # the paper's time, from noise to data
    path = (1 - (1 - 0.1) * t) * z + t * x  # eq. 22
    error = field(path, 1 - t) + (x - (1 - 0.1) * z)  # eq. 23: dx/dt in the other direction
    expected = error.square().sum(dim=1).mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-13)
    assert_close(flow, field, weights)

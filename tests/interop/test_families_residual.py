"""Residual flows against normflows and PyTorch's autograd: the same weights, float64."""

import numpy as np
import pytest

from nice_np import MLP, Chain, Flow, Residual, StandardNormal

torch = pytest.importorskip("torch")
normflows = pytest.importorskip("normflows")
TOLERANCE = 1e-10


class SpectralNet(torch.nn.Module):
    """The network with every W divided by max(1, sigma / c), sigma by torch's SVD."""

    def __init__(self, network, c):
        super().__init__()
        self.c = c
        self.W = torch.nn.ParameterList([torch.tensor(layer.W) for layer in network.layers])
        self.b = torch.nn.ParameterList([torch.tensor(layer.b) for layer in network.layers])

    def forward(self, x):
        for k, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            sigma = torch.linalg.matrix_norm(W, 2)
            x = x @ (W / torch.clamp(sigma / self.c, min=1)) + b
            x = torch.tanh(x) if k < len(self.W) - 1 else x
        return x


@pytest.mark.parametrize("size", [0.3, 1.0], ids=["below-c", "above-c"])
def test_log_prob_and_gradients_agree(size, rng):
    network = MLP((2, 8, 6, 2), "tanh", rng=rng)
    for _, array, _ in network.named_parameters():
        array[...] = rng.normal(0, size, array.shape)
    layer = Residual(network, c=0.9)
    net = SpectralNet(network, 0.9)
    twin = normflows.flows.Residual(net, reverse=False, brute_force=True, reduce_memory=False)
    x = rng.normal(size=(20, 2))

    x_t = torch.tensor(x, requires_grad=True)
    z_t, log_det_t = twin.forward(x_t)
    log_prob_t = -0.5 * (z_t**2).sum(1) - np.log(2 * np.pi) + log_det_t
    (-log_prob_t.mean()).backward()

    flow = Flow(StandardNormal(), Chain([layer]))
    np.testing.assert_allclose(flow.log_prob(x), log_prob_t.detach(), rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(flow.grad_log_prob(x), -20 * x_t.grad, rtol=0, atol=TOLERANCE)
    flow.nll_and_grad(x)
    for k, ours in enumerate(network.layers):
        np.testing.assert_allclose(ours.dW, net.W[k].grad, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(ours.db, net.b[k].grad, rtol=0, atol=TOLERANCE)

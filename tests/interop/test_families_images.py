"""Glow beside a model in PyTorch that knows nothing of flat vectors: the same weights give the same numbers."""

from types import SimpleNamespace

import numpy as np
import pytest
from registry import shaken

from nice_np import glow, variational_dequantization
from nice_np.bijectors.with_context import without_context

torch = pytest.importorskip("torch")
F = torch.nn.functional
SHAPE = (8, 12)
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


def _network(net, weights, x, c):
    for k, layer in enumerate(net.layers):
        W, b = weights(layer, "W"), weights(layer, "b")
        kernel = W.permute(3, 2, 0, 1) if W.ndim == 4 else W.T[:, :, None, None]
        x = F.conv2d(x, kernel, b, padding=W.ndim // 4)
        if k == 0 and net.context_dim:
            x = x + (c @ weights(net, "W_context"))[:, :, None, None]
        if k < len(net.layers) - 1:
            x = F.relu(x)
    return x


def _actnorm(layer, weights, x):
    log_s = weights(layer, "log_s")
    z = (x + weights(layer, "b")[:, None, None]) * log_s.exp()[:, None, None]
    return z, x[0, 0].numel() * log_s.sum()


def _linear(layer, weights, x):
    n = layer.channels
    lower, upper = (torch.zeros(n, n, dtype=x.dtype) for _ in range(2))
    lower[np.tril_indices(n, -1)], upper[np.triu_indices(n, 1)] = weights(layer, "lower"), weights(layer, "upper")
    log_diagonal = weights(layer, "log_diagonal")
    U = upper + torch.diag(torch.as_tensor(layer.signs) * log_diagonal.exp())
    W = (torch.eye(n, dtype=x.dtype) + lower)[layer.order] @ U
    return F.conv2d(x, W[:, :, None, None]), x[0, 0].numel() * torch.linalg.slogdet(W)[1]


def _coupling(layer, weights, x, c):
    x_a, x_b = x.chunk(2, dim=1)
    r, t = _network(layer.conditioner, weights, x_a, c).chunk(2, dim=1)
    log_s = 2 * torch.tanh(r / 2)
    return torch.cat([x_a, x_b * log_s.exp() + t], dim=1), log_s.sum(dim=(1, 2, 3))


def log_prob(flow, weights, x, c, levels, steps):
    """Glow as in the paper's figure 2, on images (N, C, H, W)."""
    layers = iter([getattr(layer, "bijector", layer) for layer in without_context(flow.layers)])
    alpha = next(layers).alpha
    p = alpha + (1 - 2 * alpha) * x
    log_det = (np.log(1 - 2 * alpha) - p.log() - (1 - p).log()).sum(dim=1)
    h, latents = torch.logit(p).reshape(-1, 1, *SHAPE), []
    for level in range(levels):
        next(layers)
        h = F.pixel_unshuffle(h, 2)
        for _ in range(steps):
            h, a = _actnorm(next(layers), weights, h)
            h, b = _linear(next(layers), weights, h)
            h, d = _coupling(next(layers), weights, h, c)
            log_det = log_det + a + b + d
        if level < levels - 1:  # z_b is standard normal given x_a: the density of x_b is a Gaussian's
            x_a, x_b = h.chunk(2, dim=1)
            r, t = _network(next(layers).conditioner, weights, x_a, c).chunk(2, dim=1)
            std = torch.exp(-2 * torch.tanh(r / 2))
            log_det = log_det + torch.distributions.Normal(-t * std, std).log_prob(x_b).sum(dim=(1, 2, 3))
            h = x_a
    latents = torch.distributions.Normal(0.0, 1.0).log_prob(h).sum(dim=(1, 2, 3))
    return log_det + latents


def learned_noise(layer, weights, x):
    """(k + v) / 256 -> (k + u) / 256: couplings of the logits of v, which see the image k / 256 as well."""
    k = torch.floor(256 * x)
    v, shape = 256 * x - k, (-1, 1, *SHAPE)
    log_det = -(v.log() + (1 - v).log()).sum(dim=1)
    h, image = (F.pixel_unshuffle(part.reshape(shape), 2) for part in (torch.logit(v), k / 256))
    for number, coupling in enumerate(layer.noise.layers[1:-1]):
        a, b = h.chunk(2, dim=1)[:: 1 if number % 2 == 0 else -1]
        r, t = _network(coupling.conditioner, weights, torch.cat([a, image], dim=1), None).chunk(2, dim=1)
        log_s = 2 * torch.tanh(r / 2)
        h = torch.cat([a, b * log_s.exp() + t][:: 1 if number % 2 == 0 else -1], dim=1)
        log_det = log_det + log_s.sum(dim=(1, 2, 3))
    h = F.pixel_shuffle(h, 2).flatten(start_dim=1)
    log_det = log_det + (F.logsigmoid(h) + F.logsigmoid(-h)).sum(dim=1)
    return (k + torch.sigmoid(h)) / 256, log_det


@pytest.mark.parametrize(("levels", "steps", "context_dim"), [(1, 1, 0), (2, 2, 0), (2, 1, 3)])
def test_density_and_gradients_are_those_of_convolutions(levels, steps, context_dim, rng):
    flow = glow(SHAPE, levels, steps, 5, context_dim=context_dim, dtype="float64", rng=0)
    shaken(flow.bijector, rng, 0.2)
    x, c = rng.uniform(0.05, 0.95, (4, flow.dim)), rng.normal(size=(4, context_dim))
    made = {}

    def weights(module, name):
        array = getattr(module, name)
        return made.setdefault((id(module), name), torch.tensor(array).requires_grad_())

    theirs = torch.tensor(x).requires_grad_()
    expected = log_prob(flow, weights, theirs, torch.tensor(c), levels, steps)
    compare(flow, made, expected, theirs, x, c if context_dim else None)


def test_learned_noise_is_that_of_convolutions(rng):
    noise = variational_dequantization(SHAPE, 3, 4, dtype="float64", rng=1)
    flow = glow(SHAPE, 1, 1, 5, preprocess=(noise, "logit"), dtype="float64", rng=0)
    shaken(flow.bijector, rng, 0.2)
    x = (rng.integers(0, 256, (4, flow.dim)) + rng.uniform(0.1, 0.9, (4, flow.dim))) / 256
    made = {}

    def weights(module, name):
        array = getattr(module, name)
        return made.setdefault((id(module), name), torch.tensor(array).requires_grad_())

    theirs = torch.tensor(x).requires_grad_()
    inside, log_det = learned_noise(flow.layers[0], weights, theirs)
    expected = log_det + log_prob(SimpleNamespace(layers=flow.layers[1:]), weights, inside, None, 1, 1)
    compare(flow, made, expected, theirs, x, None)


def compare(flow, made, expected, theirs, x, context):
    """Likelihoods, and the gradients of the input and of every parameter."""
    (-expected.mean()).backward()
    flow.nll_and_grad(x, context)
    np.testing.assert_allclose(flow.log_prob(x, context), expected.detach().numpy(), **TOLERANCE)
    np.testing.assert_allclose(flow.grad_log_prob(x, context), -4 * theirs.grad.numpy(), **TOLERANCE)
    seen = 0
    for path, module in flow.modules():
        for name in module.param_names:
            if getattr(module, name).size:
                grad = made[id(module), name].grad
                np.testing.assert_allclose(getattr(module, f"d{name}"), grad, **TOLERANCE, err_msg=f"{path}.{name}")
                seen += getattr(module, name).size
    assert seen == flow.n_parameters

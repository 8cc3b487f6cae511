"""Planar and radial flows against normflows, Sylvester flows against PyTorch's autograd: the same weights, float64."""

import numpy as np
import pytest

from nice_np import Chain, Flow, StandardNormal
from nice_np.families import Planar, Radial, Sylvester

torch = pytest.importorskip("torch")
TOLERANCE = 1e-10


def _of(array):
    return torch.tensor(np.array(array), dtype=torch.float64)


def _planar(layer):
    twin = pytest.importorskip("normflows").flows.Planar((layer.dim,), u=_of(layer.u)[None], w=_of(layer.w)[None])
    twin.b = torch.nn.Parameter(_of(layer.b))
    return twin.forward, {"w": twin.w, "u": twin.u, "b": twin.b}, {}


def _radial(layer):
    twin = pytest.importorskip("normflows").flows.Radial((layer.dim,), z_0=_of(layer.c)[None])
    twin.alpha, twin.beta = (torch.nn.Parameter(_of(value)) for value in (np.exp(layer.a), layer.b))
    # theirs is alpha itself, ours is e^a: dL/da = alpha dL/dalpha
    return twin.forward, {"c": twin.z_0, "a": twin.alpha, "b": twin.beta}, {"a": np.exp(layer.a)}


def _sylvester(layer):
    Y, r, r_tilde, b = weights = [_of(getattr(layer, name)).requires_grad_() for name in layer.param_names]
    rows, columns = torch.triu_indices(layer.rank, layer.rank)

    def triangle(entries):
        full = torch.zeros(layer.rank, layer.rank, dtype=torch.float64).index_put((rows, columns), entries)
        return full.triu(1) + torch.diag(torch.tanh(torch.diag(full)))

    def forward(x):
        Q = torch.eye(layer.dim, dtype=torch.float64)
        for y in Y:
            Q = (torch.eye(layer.dim, dtype=torch.float64) - 2 * torch.outer(y, y) / (y @ y)) @ Q
        Q, R, R_tilde = Q[:, : layer.rank], triangle(r), triangle(r_tilde)

        def f(x):
            return x + Q @ R @ torch.tanh(R_tilde @ Q.T @ x + b)

        jacobians = torch.func.vmap(torch.func.jacrev(f))(x)
        return torch.func.vmap(f)(x), torch.linalg.slogdet(jacobians)[1]

    return forward, dict(zip(layer.param_names, weights, strict=True)), {}


CASES = {
    "planar": (_planar, lambda rng: Planar(4, rng=rng)),
    "radial": (_radial, lambda rng: Radial(4, rng=rng)),
    "sylvester": (_sylvester, lambda rng: Sylvester(4, rng=rng)),
    "sylvester-rank": (_sylvester, lambda rng: Sylvester(5, rank=2, rng=rng)),
}


@pytest.mark.parametrize("name", CASES)
def test_log_prob_and_gradients_agree(name, rng):
    make_twin, make = CASES[name]
    layer = make(rng)
    for _, array, _ in layer.named_parameters():
        array += rng.normal(0, 0.5, array.shape)
    twin, weights, chain_rule = make_twin(layer)
    x = rng.normal(size=(20, layer.dim))

    x_t = _of(x).requires_grad_()
    z_t, log_det_t = twin(x_t)
    log_prob_t = -0.5 * (z_t**2).sum(1) - 0.5 * layer.dim * np.log(2 * np.pi) + log_det_t
    (-log_prob_t.mean()).backward()

    flow = Flow(StandardNormal(), Chain([layer]))
    np.testing.assert_allclose(flow.log_prob(x), log_prob_t.detach(), rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(flow.grad_log_prob(x), -20 * x_t.grad, rtol=0, atol=TOLERANCE)
    flow.nll_and_grad(x)
    for name, weight in weights.items():
        expected = weight.grad.numpy().reshape(getattr(layer, name).shape) * chain_rule.get(name, 1)
        np.testing.assert_allclose(getattr(layer, "d" + name), expected, rtol=0, atol=TOLERANCE)

"""Splines of zuko and nflows: the same numbers there and here, both ways, with all gradients."""

import numpy as np
import pytest
from registry import shaken

from nice_np import MLP, Chain, Flow, Partition, SplineCoupling
from nice_np.families.spline_knots import LEAST, SHIFT
from nice_np.families.spline_law import SplineLaw

BINS, BOUND, N, B = 7, 2.5, 200, 3


class OnlyTheLaw(SplineLaw):
    def __init__(self):
        self._set(BINS, BOUND)


def of_zuko(torch, widths, heights, slopes):
    """A transform of zuko with our knots, which it would parameterise in another way."""
    zuko = pytest.importorskip("zuko")
    ends = []
    for raw in (widths, heights):
        size = 2 * BOUND * (LEAST + (1 - BINS * LEAST) * torch.softmax(raw, dim=-1))
        ends.append(torch.nn.functional.pad(torch.cumsum(size, dim=-1), (1, 0)) - BOUND)
    transform = zuko.transforms.MonotonicRQSTransform(widths, heights, slopes)
    transform.horizontal, transform.vertical = ends
    transform.derivatives = LEAST + torch.nn.functional.softplus(torch.nn.functional.pad(slopes, (1, 1)) + SHIFT)

    def pass_(x, inverse):
        y, log_det = (transform.inv if inverse else transform).call_and_ladj(x)
        return y, log_det

    return pass_


def of_nflows(torch, widths, heights, slopes):
    pytest.importorskip("nflows")
    from nflows.transforms.splines.rational_quadratic import unconstrained_rational_quadratic_spline

    def pass_(x, inverse):
        return unconstrained_rational_quadratic_spline(
            x, widths, heights, slopes + SHIFT, inverse=inverse, tail_bound=BOUND,
            min_bin_width=LEAST, min_bin_height=LEAST, min_derivative=LEAST,
        )  # fmt: skip

    return pass_


@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
@pytest.mark.parametrize("library", [of_zuko, of_nflows])
def test_values_and_gradients(library, inverse, rng):
    torch = pytest.importorskip("torch")
    law = OnlyTheLaw()
    x, dy, dlog_det = 1.5 * rng.normal(size=(N, B)), rng.normal(size=(N, B)), rng.normal(size=N)
    x[:4] = [[-BOUND, 0, BOUND], [-9, 9, 1e3], [-1e-9, 1e-9, 2.49], [-2.4999, 2.4999, -BOUND]]
    dlog_det[[0, 3]] = 0  # at +-BOUND log_det has a kink
    theta = rng.normal(size=(N, law.thetas_per_feature * B))
    pass_, back = (law._uncouple, law._uncouple_backward) if inverse else (law._couple, law._couple_backward)
    y, log_det, cache = pass_(x, theta)
    dx, dtheta = back(dy, dlog_det, cache)

    x_there, theta_there = torch.from_numpy(x).requires_grad_(), torch.from_numpy(theta).requires_grad_()
    blocks = theta_there.reshape(N, -1, B).transpose(1, 2)  # (N, B, T)
    parts = torch.split(blocks, [BINS, BINS, BINS - 1], dim=-1)
    y_there, log_det_there = library(torch, *parts)(x_there, inverse)
    loss = (torch.from_numpy(dy) * y_there).sum() + (torch.from_numpy(dlog_det) * log_det_there.sum(dim=1)).sum()
    loss.backward()
    for here, there in (
        (y, y_there.detach()),
        (log_det, log_det_there.detach().sum(dim=1)),
        (dx, x_there.grad),
        (dtheta, theta_there.grad),
    ):
        np.testing.assert_allclose(here, there.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:Inputs to the softmax")  # nflows would divide by the root of the width
def test_a_flow_of_nflows_with_the_same_weights(rng):
    """log_prob, its gradient with respect to x, and those of all weights."""
    torch, nflows = pytest.importorskip("torch"), pytest.importorskip("nflows")
    from nflows import distributions, flows, nn, transforms

    class Plain(nn.nets.MLP):
        def forward(self, inputs, context=None):
            return super().forward(inputs)

    assert nflows
    dim, T = 4, 3 * BINS - 1
    layers, there, pairs = [], [], []
    for k in range(3):
        kept = np.arange(k % 2, dim, 2)
        part = Partition(dim, kept)
        sizes = (2, 9, 8, 2 * T)
        net = shaken(MLP(sizes, rng=rng), rng, 0.3)
        layers.append(SplineCoupling(part, net, BINS, BOUND))
        mask = torch.tensor([0 if j in kept else 1 for j in range(dim)])
        coupling = transforms.PiecewiseRationalQuadraticCouplingTransform(
            mask, lambda n_in, n_out: Plain((n_in,), (n_out,), hidden_sizes=[9, 8]), num_bins=BINS, tails="linear",
            tail_bound=BOUND, min_bin_width=LEAST, min_bin_height=LEAST, min_derivative=LEAST,
        ).double()  # fmt: skip
        theirs = coupling.transform_net
        columns = np.arange(2 * T).reshape(T, 2).T.ravel()  # theta_t of feature j: here t * 2 + j, there j * T + t
        slopes = np.arange(2 * T) % T >= 2 * BINS
        for i, linear in enumerate([theirs._input_layer, *theirs._hidden_layers, theirs._output_layer]):
            order = columns if i == 2 else slice(None)
            W, b = net.layers[i].W[:, order], net.layers[i].b[order] + (SHIFT * slopes if i == 2 else 0)
            linear.weight.data, linear.bias.data = torch.from_numpy(W.T.copy()), torch.from_numpy(b)
            pairs.append((net.layers[i], linear, order))
        there.append(coupling)
    flow = Flow("normal", Chain(layers))
    model = flows.Flow(transforms.CompositeTransform(there), distributions.StandardNormal([dim])).double()
    x = 1.2 * rng.normal(size=(N, dim))
    x_there = torch.from_numpy(x).requires_grad_()
    log_prob = model.log_prob(x_there)
    np.testing.assert_allclose(flow.log_prob(x), log_prob.detach().numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(flow.decode(flow.encode(x)), x, atol=1e-9)
    (-log_prob.mean()).backward()
    np.testing.assert_allclose(flow.grad_log_prob(x), -N * x_there.grad.numpy(), rtol=1e-9, atol=1e-9)
    flow.nll_and_grad(x)
    for here, linear, order in pairs:
        np.testing.assert_allclose(here.dW[:, order], linear.weight.grad.numpy().T, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(here.db[order], linear.bias.grad.numpy(), rtol=1e-10, atol=1e-10)

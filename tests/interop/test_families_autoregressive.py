"""MAF and MADE beside zuko and nflows: the same weights give the same densities and gradients."""

import numpy as np
import pytest

from nice_np import AffineAutoregressive, Chain, Flow, MaskedMLP
from nice_np.bijectors import Scale, SoftclipScale


class SoftplusFloorScale(Scale):
    """s = softplus(r) + 1/1000, nflows' MaskedAffineAutoregressiveTransform."""

    def log_of(self, r):
        return np.log(np.logaddexp(0, r) + 1e-3)

    def slope(self, log_s):
        softplus = np.exp(log_s) - 1e-3
        return -np.expm1(-softplus) / np.exp(log_s)  # softplus' = sigmoid = 1 - exp(-softplus)


def randomised(model, torch):
    """In float64, with weights that matter."""
    generator = torch.Generator().manual_seed(0)
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def copied(linears, order, context, dim, r_first, activation):
    """Our network with their weights; they give hidden units their degrees in turn, and put T outputs of a feature
    side by side.  Returns for each layer where each of our weights is in theirs, too."""
    net = MaskedMLP((dim + context, *[len(linear.bias) for linear in linears]), order, context, activation, rng=0)
    n, places, rows = max(dim - (context == 0), 1), [], np.arange(dim + context)
    for layer, linear in zip(net.layers, linears, strict=True):
        is_last = linear is linears[-1]
        columns = np.argsort(np.arange(len(linear.bias)) % n, kind="stable")
        if is_last:
            columns = np.arange(2 * dim).reshape(dim, 2).T[:: 1 if r_first else -1].ravel()
        np.testing.assert_array_equal(layer.M, linear.mask.numpy().T[np.ix_(rows, columns)])
        layer.W[:] = linear.weight.detach().numpy().T[np.ix_(rows, columns)]
        layer.b[:] = linear.bias.detach().numpy()[columns]
        places.append((np.ix_(rows, columns), columns))
        rows = columns
    return net, places


def zuko_maf(dim, context):
    torch, zuko = pytest.importorskip("torch"), pytest.importorskip("zuko")
    n = max(dim - (context == 0), 1)
    model = zuko.flows.MAF(dim, context, transforms=3, hidden_features=(3 * n, 2 * n), activation=torch.nn.Tanh)
    randomised(model, torch)
    linears = [
        [layer for layer in transform.hyper if hasattr(layer, "mask")] for transform in model.transform.transforms
    ]
    orders = [np.argsort(transform.order.numpy()) for transform in model.transform.transforms]
    parts = [copied(*part, context, dim, False, "tanh") for part in zip(linears, orders, strict=True)]
    layers = [AffineAutoregressive(net, SoftclipScale()) for net, _ in parts]
    return lambda x, c: model(c).log_prob(x), lambda c, z: model(c).transform.inv(z), layers, parts, linears


def nflows_maf(dim):
    torch, nflows = pytest.importorskip("torch"), pytest.importorskip("nflows")
    from nflows import distributions, flows, transforms

    maf = transforms.MaskedAffineAutoregressiveTransform
    n = max(dim - 1, 1)
    kinds = [maf(dim, 3 * n, num_blocks=2, use_residual_blocks=False, activation=torch.relu) for _ in range(2)]
    model = flows.Flow(transforms.CompositeTransform(kinds), distributions.StandardNormal([dim]))
    randomised(model, torch)
    mades = [kind.autoregressive_net for kind in kinds]
    linears = [[made.initial_layer, *[block.linear for block in made.blocks], made.final_layer] for made in mades]
    parts = [copied(part, np.arange(dim), 0, dim, True, "relu") for part in linears]
    layers = [AffineAutoregressive(net, SoftplusFloorScale()) for net, _ in parts]
    assert nflows
    return lambda x, c: model.log_prob(x), lambda c, z: model._transform.inverse(z)[0], layers, parts, linears


MODELS = {
    "zuko": lambda: (5, 0, *zuko_maf(5, 0)),
    "zuko-2": lambda: (2, 0, *zuko_maf(2, 0)),
    "zuko-context": lambda: (4, 3, *zuko_maf(4, 3)),
    "nflows": lambda: (5, 0, *nflows_maf(5)),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_density_samples_and_gradients_are_the_same(make, rng):
    torch = pytest.importorskip("torch")
    dim, context, log_prob, decode, layers, parts, linears = make()
    flow = Flow("normal", Chain(layers), context)
    x, c = rng.normal(size=(20, dim)), rng.normal(size=(20, context)) if context else None
    theirs_x = torch.tensor(x, requires_grad=True)
    theirs_c = None if c is None else torch.tensor(c)
    theirs = log_prob(theirs_x, theirs_c)
    np.testing.assert_allclose(flow.log_prob(x, c), theirs.detach().numpy(), rtol=0, atol=1e-10)

    theirs.sum().backward()
    np.testing.assert_allclose(flow.grad_log_prob(x, c), theirs_x.grad.numpy(), rtol=1e-10, atol=1e-10)
    flow.nll_and_grad(x, c)
    for (net, places), part in zip(parts, linears, strict=True):
        for layer, linear, (block, columns) in zip(net.layers, part, places, strict=True):
            np.testing.assert_allclose(-20 * layer.dW, linear.weight.grad.numpy().T[block], rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(-20 * layer.db, linear.bias.grad.numpy()[columns], rtol=1e-10, atol=1e-10)

    z, dx = 0.5 * rng.normal(size=(20, dim)), rng.normal(size=(20, dim))
    theirs_z = torch.tensor(z, requires_grad=True)
    theirs = decode(theirs_c, theirs_z)
    ours, _, pullback = flow.decode_with_pullback(z, c)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)
    (theirs * torch.tensor(dx)).sum().backward()
    np.testing.assert_allclose(pullback(dx, np.zeros(20)), theirs_z.grad.numpy(), rtol=1e-10, atol=1e-10)

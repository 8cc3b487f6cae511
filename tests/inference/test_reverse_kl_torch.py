"""The loss of reverse KL and both gradients against PyTorch's, with zuko's couplings and the same weights."""

import copy

import numpy as np
import pytest

from nice_np.inference import Banana, Funnel, ReverseKL
from nice_np.interop import from_state_dict


def zuko_flow(dim, torch):
    """In float64, with weights that matter."""
    zuko = pytest.importorskip("zuko")
    torch.manual_seed(0)
    model = zuko.flows.NICE(dim, transforms=3, hidden_features=(7, 6), activation=torch.nn.Tanh).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, dtype=torch.float64))
    return model


def ours(tensors):
    return from_state_dict({name: t.detach().numpy() for name, t in tensors}, activation="tanh", dtype="float64")


def log_density(target, x, torch):
    """Of the target, written once more."""

    def normal(mean, std):
        return torch.distributions.Normal(*(torch.as_tensor(number, dtype=torch.float64) for number in (mean, std)))

    if isinstance(target, Banana):
        bent = target.bend * (x[:, 0] ** 2 - target.scale**2)
        return normal(0.0, target.scale).log_prob(x[:, 0]) + normal(bent, 1.0).log_prob(x[:, 1])
    width = (x[:, :1] / 2).exp()
    return normal(0.0, 3.0).log_prob(x[:, 0]) + normal(0.0, width).log_prob(x[:, 1:]).sum(dim=1)


@pytest.mark.parametrize("path_gradient", [False, True])
@pytest.mark.parametrize("target", [Banana(1.5, 0.3), Funnel(4)], ids=["banana", "funnel"])
def test_loss_and_gradient_are_those_of_autograd(target, path_gradient, rng):
    torch = pytest.importorskip("torch")
    theirs, z = zuko_flow(target.dim, torch), rng.standard_normal((20, target.dim))
    fixed = copy.deepcopy(theirs) if path_gradient else theirs  # q's own parameters, which the path form keeps
    x = theirs().transform.inv(torch.tensor(z))
    loss = -(log_density(target, x, torch) - fixed().log_prob(x)).mean()
    loss.backward()

    flow = ours(theirs.state_dict().items())
    value, grads = ReverseKL(flow, target, path_gradient).loss_and_grad(z, z)
    assert value == pytest.approx(loss.item(), abs=1e-10)
    slopes = dict(theirs.state_dict()) | {name: parameter.grad for name, parameter in theirs.named_parameters()}
    np.testing.assert_allclose(grads, ours(slopes.items()).params.values, rtol=1e-10, atol=1e-10)

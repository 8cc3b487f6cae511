"""ActNorm, LULinear, Householder and BatchNorm against nflows, priors against PyTorch: the same weights, float64."""

import numpy as np
import pytest
from registry import PRIORS, shaken

from nice_np import ActNorm, BatchNorm, Chain, DiagonalScaling, Flow, Householder, LULinear, Permutation
from nice_np.families.batch_norm import BatchStatistics

torch = pytest.importorskip("torch")
SHAPE = (3, 2, 4)
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


def _of(array):
    return torch.tensor(np.array(array), dtype=torch.float64)


def _softplus_inverse(array):
    return np.log(np.expm1(array))


def _actnorm(layer):
    twin = pytest.importorskip("nflows.transforms").ActNorm(len(layer.b)).double().eval()
    twin.log_scale.data, twin.shift.data = _of(layer.log_s), _of(layer.b * np.exp(layer.log_s))  # shift = b exp(log_s)

    def gradients():
        dshift = twin.shift.grad.numpy()
        dlog_s = twin.log_scale.grad.numpy() + dshift * layer.b * np.exp(layer.log_s)
        return {"b": dshift * np.exp(layer.log_s), "log_s": dlog_s}

    return twin, gradients


def _lu(layer):
    transforms = pytest.importorskip("nflows.transforms")
    twin = transforms.LULinear(layer.channels).double() if layer.pixels == 1 else None
    twin = transforms.OneByOneConvolution(layer.channels).double() if twin is None else twin
    layer._set(np.arange(layer.channels), np.ones(layer.channels))  # theirs has neither
    if layer.pixels > 1:
        twin.permutation._permutation = torch.arange(layer.channels)
    twin.lower_entries.data, twin.upper_entries.data = _of(layer.lower), _of(layer.upper)
    twin.unconstrained_upper_diag.data = _of(_softplus_inverse(np.exp(layer.log_diagonal) - twin.eps))

    def gradients():
        # theirs is a with exp(log_diagonal) = softplus(a) + eps
        slope = torch.sigmoid(twin.unconstrained_upper_diag).detach().numpy() / np.exp(layer.log_diagonal)
        return {
            "lower": twin.lower_entries.grad.numpy(),
            "upper": twin.upper_entries.grad.numpy(),
            "log_diagonal": twin.unconstrained_upper_diag.grad.numpy() / slope,
        }

    return twin, gradients


def _householder(layer):
    twin = pytest.importorskip("nflows.transforms").HouseholderSequence(layer.dim, len(layer.v)).double()
    twin.q_vectors.data = _of(layer.v)
    return twin, lambda: {"v": twin.q_vectors.grad.numpy()}


def _batch_norm(layer):
    twin = pytest.importorskip("nflows.transforms").BatchNorm(layer.dim, eps=0.0).double().eval()
    twin.unconstrained_weight.data = _of(np.full(layer.dim, _softplus_inverse(1.0)))
    twin.running_mean.data, twin.running_var.data = _of(layer.mean), _of(layer.std**2)
    return twin, dict


LAYERS = {
    "ActNorm": (lambda rng: shaken(ActNorm(5), rng), _actnorm),
    "ActNorm-image": (lambda rng: shaken(ActNorm(24, SHAPE), rng), _actnorm),
    "LULinear": (lambda rng: shaken(LULinear(5, rng=rng), rng), _lu),
    "LULinear-image": (lambda rng: shaken(LULinear(24, SHAPE, rng=rng), rng), _lu),
    "Householder": (lambda rng: Householder(5, 4, rng=rng), _householder),
    "BatchNorm": (lambda rng: BatchNorm(rng.normal(size=5), np.exp(rng.normal(size=5))), _batch_norm),
}


@pytest.mark.filterwarnings("ignore:torch.triangular_solve is deprecated")
@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize(("make", "as_theirs"), LAYERS.values(), ids=LAYERS)
def test_values_and_gradients_are_those_of_nflows(make, as_theirs, direction, rng):
    layer = make(rng)
    twin, gradients = as_theirs(layer)
    x, dz, dlog_det = rng.normal(size=(7, layer.dim)), rng.normal(size=(7, layer.dim)), rng.normal(size=7)
    image = layer.dim == np.prod(SHAPE)
    theirs = _of(x.reshape(7, *SHAPE) if image else x).requires_grad_()
    z, log_det = getattr(twin, direction)(theirs)
    ((z * _of(dz).reshape(z.shape)).sum() + (log_det * _of(dlog_det)).sum()).backward()
    ours, our_log_det, cache = getattr(layer, direction)(x)
    dx = {"forward": layer.backward, "inverse": layer.inverse_backward}[direction](dz, dlog_det, cache)
    np.testing.assert_allclose(ours, z.detach().numpy().reshape(7, -1), **TOLERANCE)
    np.testing.assert_allclose(our_log_det, log_det.detach().numpy(), **TOLERANCE)
    np.testing.assert_allclose(dx, theirs.grad.numpy().reshape(7, -1), **TOLERANCE)
    for name, expected in gradients().items():
        np.testing.assert_allclose(getattr(layer, f"d{name}"), expected, **TOLERANCE, err_msg=name)


def test_squeeze_is_that_of_nflows(rng):
    squeeze = pytest.importorskip("nflows.transforms").SqueezeTransform()
    x = rng.normal(size=(2, 3, 4, 6))
    theirs = squeeze(_of(x))[0].numpy().reshape(2, -1)
    np.testing.assert_array_equal(Permutation.squeeze((3, 4, 6)).forward(x.reshape(2, -1))[0], theirs)


def test_batch_statistics_are_autograds(rng):
    x, dz, dlog_det = rng.normal(3.0, 2.0, size=(7, 5)), rng.normal(size=(7, 5)), rng.normal(size=7)
    theirs = _of(x).requires_grad_()
    z = torch.nn.functional.batch_norm(theirs, None, None, training=True, eps=1e-5)
    log_det = -0.5 * torch.log(theirs.var(dim=0, unbiased=False) + 1e-5).sum()
    ((z * _of(dz)).sum() + log_det * dlog_det.sum()).backward()
    layer = BatchStatistics(1e-5)
    ours, our_log_det, cache = layer.forward(x)
    np.testing.assert_allclose(ours, z.detach().numpy(), **TOLERANCE)
    np.testing.assert_allclose(our_log_det, float(log_det.detach()), **TOLERANCE)
    np.testing.assert_allclose(layer.backward(dz, dlog_det, cache), theirs.grad.numpy(), **TOLERANCE)


# -- priors -----------------------------------------------------------------------------------------------------------

D = torch.distributions


def _student(nu):
    return D.Independent(D.StudentT(nu), 1)


def _gaussian_mixture(logits, means, log_scales):
    return D.MixtureSameFamily(D.Categorical(logits=logits[:, 0]), D.Independent(D.Normal(means, log_scales.exp()), 1))


def _logistic_mixture(logits, means, log_scales):
    class Logistic:
        def log_prob(self, z):  # (N, D)
            u = (z[:, None] - means) / log_scales.exp()
            log_p = -u.abs() - 2 * torch.log1p(torch.exp(-u.abs())) - log_scales + torch.log_softmax(logits, 0)
            return torch.logsumexp(log_p, 1).sum(1)

    return Logistic()


THEIRS = {
    "LearnedStudentT": lambda log_nu: _student(log_nu.exp()),
    "DiagonalGaussian": lambda mean, log_std: D.Independent(D.Normal(mean, log_std.exp()), 1),
    "GaussianMixture": _gaussian_mixture,
    "LogisticMixture": _logistic_mixture,
}


@pytest.mark.parametrize("name", THEIRS)
def test_learned_priors_are_autograds(name, rng):
    flow = Flow(shaken(PRIORS[name](rng), rng), Chain([shaken(DiagonalScaling(3), rng)]))
    x, prior = rng.normal(size=(9, 3)), flow.prior
    weights = {key: _of(getattr(prior, key)).requires_grad_() for key in prior.param_names}
    log_scale = _of(flow.layers[0].log_scale).requires_grad_()
    theirs = _of(x).requires_grad_()
    log_prob = THEIRS[name](**weights).log_prob(theirs * log_scale.exp()) + log_scale.sum()
    (-log_prob.mean()).backward()
    flow.nll_and_grad(x)
    np.testing.assert_allclose(flow.log_prob(x), log_prob.detach().numpy(), **TOLERANCE)
    np.testing.assert_allclose(flow.grad_log_prob(x), -len(x) * theirs.grad.numpy(), **TOLERANCE)
    np.testing.assert_allclose(flow.layers[0].dlog_scale, log_scale.grad.numpy(), **TOLERANCE)
    for key, weight in weights.items():
        np.testing.assert_allclose(getattr(prior, f"d{key}"), weight.grad.numpy(), **TOLERANCE, err_msg=key)

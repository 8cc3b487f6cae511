"""The layers below a parameter are evaluated once; the numbers of the check stay the same."""

import copy

import numpy as np
import pytest

from nice_np import Chain, DiagonalScaling, Flow, check_gradients, real_nvp
from nice_np.checks import gradients
from nice_np.checks.from_layer import shorten
from nice_np.flows.other_priors import DiagonalGaussian


@pytest.fixture
def flow(rng):
    layers = copy.deepcopy(real_nvp(3, couplings=3, hidden=(4,), rng=rng, dtype="float64", preprocess=()).layers)
    flow = Flow(DiagonalGaussian(3), Chain([*layers, DiagonalScaling(3)]))
    flow.params.values[:] += 0.3 * rng.normal(size=len(flow.params))
    return flow


def numbers(report):
    return [(row.name, row.max_error, row.passed) for row in report.rows]


def test_the_same_numbers(flow, rng, monkeypatch):
    x = rng.normal(size=(3, 3))
    short = check_gradients(flow, x)
    monkeypatch.setattr(gradients, "shorten", lambda whole, *_: whole)
    assert short.passed
    assert numbers(short) == numbers(check_gradients(flow, x))


def test_each_layer_runs_for_the_parameters_below_it_and_its_own(flow, rng, monkeypatch):
    """Two evaluations for each of its own and of those below; those above take a few each, for the comparison."""
    calls = {}
    kind = type(flow.layers[0])
    forward = kind.forward

    def counting(layer, x):
        calls[id(layer)] = calls.get(id(layer), 0) + 1
        return forward(layer, x)

    monkeypatch.setattr(kind, "forward", counting)
    check_gradients(flow, rng.normal(size=(2, 3)))
    first, *_, last = calls.values()
    assert first < 2 * flow.layers[0].n_parameters + 100 < last


class Bent(Flow):
    """A density that depends on layer 0 in one more way, which is 0 until the first weight changes."""

    def log_prob(self, x, context=None):
        return super().log_prob(x, context) + (self.params.values[0] - self.start) * np.asarray(x)[:, 0]


@pytest.mark.parametrize("k", [0, -1])
def test_a_density_that_is_more_than_its_layers_is_evaluated_whole(k, flow, rng):
    bent = Bent(*copy.deepcopy((flow.prior, flow.bijector)))
    bent.start = float(bent.params.values[0])
    x, slot = rng.normal(size=(3, 3)), bent.params.slots[k]
    values = bent.params.values[slot.start : slot.stop].reshape(slot.shape)
    before = values.copy()

    def whole():
        return bent.log_prob(x)

    short = shorten(whole, bent, x, slot.path, values, 1e-5)
    assert (short is whole) == (k == 0)  # only layer 0 sees the first weight
    assert (values == before).all()


@pytest.mark.parametrize("k", [0, 1, 2, 8, 14])
def test_a_wrong_gradient_of_each_array_is_seen(k, flow, rng):
    slot = flow.params.slots[k]

    class Wrong(Flow):
        def nll_and_grad(self, x, context=None, *, recompute=False):
            nll, grads = super().nll_and_grad(x, context, recompute=recompute)
            grads[slot.start : slot.stop] *= 1.001
            return nll, grads

    wrong = Wrong(*copy.deepcopy((flow.prior, flow.bijector)))
    report = check_gradients(wrong, rng.normal(size=(3, 3)))
    assert [row.name for row in report.failures] == [f"nll: {slot.path}"]

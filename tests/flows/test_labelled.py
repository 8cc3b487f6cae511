"""A flow that is trained to tell labels apart, too: its loss, its gradient, and what it is for."""

import numpy as np
import pytest

from nice_np import (
    MLP,
    AffineCoupling,
    Chain,
    DiagonalScaling,
    Flow,
    LabelledFlow,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    Partition,
    WithContext,
    check_gradients,
    fit,
    glow,
    labelled,
    load_model,
)
from nice_np.flows.conditional import classify, log_prob_by_label
from nice_np.training.history import History

LABELS = np.eye(3)[[0, 2, 1, 1, 0]]


def small(weight=2.0, levels=2, dtype="float64"):
    flow = labelled(glow((4, 4), levels, 1, 3, dense=1, hidden=5, dtype=dtype, rng=1), 3, weight)
    flow.params.values[...] += np.random.default_rng(2).normal(0, 0.1, len(flow.params))
    return flow


@pytest.fixture
def x(rng):
    return rng.uniform(0.1, 0.9, (5, 16))


def test_the_loss_is_what_its_formula_says(x):
    flow = small()
    by_label = np.stack([flow.log_prob(x, label) for label in np.eye(3)], axis=1)
    np.testing.assert_allclose(log_prob_by_label(flow, x), by_label, rtol=1e-12)
    log_p = (LABELS * by_label).sum(axis=1)
    expected = log_p + 2.0 * (log_p - np.log(np.exp(by_label).sum(axis=1)))
    assert flow.loss_and_grad(x, LABELS)[0] == pytest.approx(-expected.mean(), rel=1e-12)
    np.testing.assert_allclose(flow.objective(x, LABELS), expected, rtol=1e-12)
    assert flow.score(x, LABELS) == pytest.approx(log_p.mean(), rel=1e-12)


@pytest.mark.parametrize("levels", [1, 2])  # the head is the coupling itself, or OnPart
def test_the_gradients_of_loss_and_likelihood(levels, x, rng):
    report = check_gradients(small(levels=levels), x, context=LABELS, rng=rng)
    report.raise_if_failed()
    assert {row.name.split(":")[0] for row in report.rows} == {"nll", "log_prob", "loss"}


def test_with_weight_0_it_is_maximum_likelihood(x):
    flow = small(weight=0.0)
    nll, grads = flow.nll_and_grad(x, LABELS)
    grads = grads.copy()
    loss, again = flow.loss_and_grad(x, LABELS)
    assert loss == pytest.approx(nll, rel=1e-12)
    np.testing.assert_allclose(again, grads, rtol=1e-9, atol=1e-9 * np.abs(grads).max())


def test_new_labels_are_alike_and_the_flow_is_the_one_given(x):
    plain = glow((4, 4), 2, 1, 3, dtype="float64", rng=1)
    flow = labelled(plain, 3)
    np.testing.assert_allclose(log_prob_by_label(flow, x), np.tile(plain.log_prob(x)[:, None], 3), rtol=1e-12)
    values = plain.params.values.copy()
    flow.params.values[...] += 1
    np.testing.assert_array_equal(plain.params.values, values)  # it is a copy


def test_each_label_has_a_gaussian_in_latent_space(x):
    """h given y is N(-t_y / s_y, 1 / s_y^2), for the latents h of the trunk that the head sees."""
    flow, h = small(levels=1), np.concatenate([x, LABELS], axis=1)
    table = flow.layers[-1].conditioner.layers[0]
    log_s, t = np.split(LABELS @ table.W + table.b, 2, axis=1)
    log_det = 0.0
    for layer in flow.layers[:-1]:
        h, more = layer.forward(h)[:2]
        log_det = log_det + more
    u = (h[:, :16] + t * np.exp(-log_s)) * np.exp(log_s)
    log_normal = (-(u**2) / 2 - np.log(2 * np.pi) / 2 + log_s).sum(axis=1)
    np.testing.assert_allclose(flow.log_prob(x, LABELS), log_normal + log_det, rtol=1e-10)


def test_only_the_head_sees_the_label(x):
    flow = small()
    first, second = (np.concatenate([x, np.tile(np.eye(3)[k], (5, 1))], axis=1) for k in (0, 1))
    for layer in flow.layers[:-1]:
        first, second = layer.forward(first)[0], layer.forward(second)[0]
    np.testing.assert_array_equal(first[:, :16], second[:, :16])
    assert np.abs(flow.encode(x, np.eye(3)[0]) - flow.encode(x, np.eye(3)[1])).max() > 1e-3


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("how", [{"threads": 2}, {"recompute": True}, {"compiled": False}])
def test_threads_recompute_and_compiled_couplings_train_the_same(how, levels, x):
    models = []
    for settings in ({}, how):
        flow = small(levels=levels)
        fit(flow, x, LABELS, epochs=3, batch_size=5, progress=False, rng=0, **settings)
        models.append(flow.params.values)
    np.testing.assert_allclose(*models, atol=1e-9)


def test_it_learns_labels_sooner_than_likelihood_alone(rng):
    """Of sixteen pixels of noise one is a little brighter for one label than for the other."""
    labels = rng.integers(0, 2, 600)
    x = rng.uniform(0.2, 0.8, (600, 16))
    x[:, 5] = np.where(labels == 1, 0.55, 0.45) + rng.uniform(-0.05, 0.05, 600)
    right = {}
    for weight in (0.0, 50.0):
        flow = labelled(glow((4, 4), 1, 1, 4, dense=2, hidden=8, rng=0), 2, weight)
        history = fit(flow, x, np.eye(2)[labels], epochs=4, batch_size=50, learning_rate=5e-3, progress=False, rng=0)
        right[weight] = (classify(flow, x) == labels).mean()
    assert right[50.0] > right[0.0] + 0.08
    assert "log p(x|y) + w log p(y|x)" in repr(history)
    assert History.from_csv(history.to_csv()).measure == "labelled"


def test_files(x, tmp_path):
    flow = small()
    flow.save(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")[0]
    assert isinstance(again, LabelledFlow)
    assert again.weight == 2.0
    np.testing.assert_array_equal(again.log_prob(x, LABELS), flow.log_prob(x, LABELS))
    assert isinstance(Flow.load(tmp_path / "model.npz"), LabelledFlow)
    assert flow.astype("float32").weight == flow.copy().weight == 2.0


def test_wrong_arguments(x):
    flow = small()
    with pytest.raises(NiceTypeError, match="expected a Flow without a context"):
        labelled(flow, 3)
    with pytest.raises(NiceTypeError, match="expected a Flow without a context"):
        labelled(glow((4, 4), context_dim=2), 3)
    with pytest.raises(NiceValueError, match="classes"):
        labelled(glow((4, 4)), 1)
    seen = AffineCoupling(Partition(4, [0, 1], 2), MLP((4, 4)))
    past = WithContext(DiagonalScaling(4), 2)
    with pytest.raises(NiceValueError, match="only the last one may see the label"):
        LabelledFlow("normal", Chain([seen, past]), 2)
    with pytest.raises(NiceValueError, match="only the last one may see the label"):
        LabelledFlow("normal", WithContext(DiagonalScaling(4), 2), 2)
    with pytest.raises(NiceValueError, match="0 samples"):
        flow.loss_and_grad(x[:0], LABELS[:0])
    for train in (lambda: flow.loss_and_grad(x), lambda: fit(flow, x, epochs=1, progress=False, rng=0)):
        with pytest.raises((NiceTypeError, NiceValueError), match="context"):
            train()
    flow.params.values[...] = 1e300
    with pytest.raises(NiceOverflowError, match="LabelledFlow"):
        flow.loss_and_grad(x, LABELS)

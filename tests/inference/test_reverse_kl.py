"""Reverse KL: the gradient, its path form, and that `fit_to_density` finds the density."""

import copy
import os
import signal

import numpy as np
import pytest

from nice_np import Chain, DiagonalScaling, Flow, Inverse, nice, real_nvp
from nice_np.errors import DivergenceError, NiceFileError, NiceTypeError, NiceValueError, TrainingInterrupted
from nice_np.inference import Banana, Mixture, ReverseKL, fit_to_density, importance_sample


def small_flow(rng, **settings):
    """A flow far from where it starts."""
    flow = real_nvp(2, couplings=3, hidden=(6,), activation="tanh", preprocess=(), dtype="float64", rng=rng, **settings)
    flow.params.values[:] = 0.5 * rng.standard_normal(len(flow.params))
    return flow


def differences(flow, loss, eps=1e-6):
    """dloss/dvalues by central differences."""
    values, slope = flow.params.values, np.empty(len(flow.params))
    for i in range(len(values)):
        kept = values[i]
        values[i] = kept + eps
        above = loss()
        values[i] = kept - eps
        slope[i] = (above - loss()) / (2 * eps)
        values[i] = kept
    return slope


@pytest.mark.parametrize("prior", ["normal", "logistic"])
def test_gradient(prior, rng):
    flow, z = small_flow(rng, prior=prior), rng.standard_normal((7, 2))
    model = ReverseKL(flow, Banana(1.0, 0.5))
    loss, grads = model.loss_and_grad(np.zeros_like(z), z)
    assert loss == pytest.approx(-model.objective(None, z).mean())
    np.testing.assert_allclose(grads, differences(flow, lambda: -model.objective(None, z).mean()), rtol=1e-5, atol=1e-8)


def test_objective_is_the_log_ratio_of_the_densities(rng):
    flow, target, z = small_flow(rng), Banana(1.0, 0.5), rng.standard_normal((7, 2))
    x = flow.decode(z)
    np.testing.assert_allclose(ReverseKL(flow, target).objective(None, z), target.log_prob(x) - flow.log_prob(x))


def test_path_gradient(rng):
    """That of log p~(g(z; w)) - log q(g(z; w); w_0), where the parameters of q itself stay."""
    flow, target, z = small_flow(rng), Banana(1.0, 0.5), rng.standard_normal((7, 2))
    fixed = flow.copy()

    def loss():
        x = flow.decode(z)
        return -(target.log_prob(x) - fixed.log_prob(x)).mean()

    grads = ReverseKL(flow, target, path_gradient=True).loss_and_grad(np.zeros_like(z), z)[1].copy()
    np.testing.assert_allclose(grads, differences(flow, loss), rtol=1e-5, atol=1e-8)


def test_the_two_gradients_differ_by_the_score(rng):
    """Exactly, by d log q(x; w)/dw at fixed x, which is minus the gradient of maximum likelihood at these x."""
    flow, target, z = small_flow(rng), Banana(1.0, 0.5), rng.standard_normal((7, 2))
    whole, path = (ReverseKL(flow, target, part).loss_and_grad(z, z)[1].copy() for part in (False, True))
    score = -flow.nll_and_grad(flow.decode(z))[1]
    np.testing.assert_allclose(whole, path + score, rtol=1e-9, atol=1e-12)


def test_the_path_gradient_vanishes_where_q_is_p(rng):
    flow, z = small_flow(rng), rng.standard_normal((7, 2))
    target = flow.copy().log_prob_and_grad
    whole, path = (ReverseKL(flow, target, part).loss_and_grad(z, z)[1].copy() for part in (False, True))
    assert np.abs(path).max() < 1e-12 < 1e-2 < np.abs(whole).max()


def test_maximum_likelihood_with_data_and_latents_exchanged(rng):
    """KL(q || p) is the forward KL of the inverse flow, with p as prior, to the draws of z."""
    flow, z = small_flow(rng), rng.standard_normal((7, 2))
    target = Banana(1.0, 0.5)
    swapped = Flow(target, Inverse(copy.deepcopy(flow.bijector)))  # the copy belongs to no flow
    nll, grads = swapped.nll_and_grad(z)
    loss, mine = ReverseKL(flow, target).loss_and_grad(z, z)
    assert loss == pytest.approx(nll + flow.prior.log_prob(z).mean())
    np.testing.assert_allclose(mine, grads, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("path_gradient", [False, True])
def test_a_gaussian_is_found(path_gradient, rng):
    """NICE contains this one."""
    flow = nice(2, couplings=4, hidden=(8,), prior="normal", preprocess=(), dtype="float64", rng=0)
    target = Mixture([[1.0, -2.0]], 0.3)
    history = fit_to_density(
        flow, target, steps=1000, batch_size=50, learning_rate=0.01, path_gradient=path_gradient, progress=False, rng=0
    )
    assert history["train_elbo"][-1] > -0.1
    found = importance_sample(flow, target, 2000, rng=1)
    assert found.effective_sample_size > 1800
    np.testing.assert_allclose(found.mean(), [1.0, -2.0], atol=0.05)


def test_history_has_a_row_for_each_hundred_steps(rng):
    for steps, rows in ((3, [3]), (100, [100]), (150, [100, 200])):
        flow = small_flow(rng)
        history = fit_to_density(flow, Banana(), steps=steps, batch_size=2, progress=False, rng=0)
        assert history["step"] == rows


def test_threads_agree(rng):
    flow, target = small_flow(rng), Banana(1.0, 0.5)
    flows = [flow.copy(), flow.copy()]
    for threads, one in enumerate(flows, start=1):
        fit_to_density(one, target, steps=5, batch_size=9, threads=threads, progress=False, rng=0)
    np.testing.assert_allclose(*(one.params.values for one in flows), rtol=1e-10)


def test_ctrl_c_saves_and_a_resumed_run_ends_the_same(rng, tmp_path):
    start, target, path = small_flow(rng), Banana(1.0, 0.5), tmp_path / "run.npz"
    settings = {"steps": 300, "batch_size": 4, "progress": False, "rng": 0}
    whole, parts = start.copy(), start.copy()
    history = fit_to_density(whole, target, **settings)

    def interrupt(model, history):
        assert model.flow is parts
        if len(history) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingInterrupted, match="step 200; saved"):
        fit_to_density(parts, target, checkpoint=path, callbacks=interrupt, **settings)
    again = start.copy()
    with pytest.raises(NiceFileError, match="exists"):
        fit_to_density(again, target, checkpoint=path, **settings)
    with pytest.raises(NiceValueError, match="path_gradient"):
        fit_to_density(again, target, checkpoint=path, resume=True, path_gradient=True, **settings)
    assert fit_to_density(again, target, checkpoint=path, resume=True, **settings) == history
    assert np.array_equal(again.params.values, whole.params.values)


def test_float32_stays(rng):
    flow = real_nvp(2, couplings=3, hidden=(6,), preprocess=(), rng=0)
    fit_to_density(flow, Banana(1.0, 0.5), steps=2, path_gradient=True, progress=False, rng=0)
    assert flow.dtype == np.float32


def test_a_density_that_is_not_finite_is_a_setback_and_then_an_error():
    flow = Flow("normal", DiagonalScaling(2))
    with pytest.raises(DivergenceError, match="log p\\(x\\), or its gradient, is not finite"):
        fit_to_density(flow, lambda x: (np.full(len(x), np.nan), x), steps=2, progress=False, rng=0)


def test_what_cannot_be_trained_is_refused(rng):
    target = Banana()
    with pytest.raises(NiceValueError, match="preprocess=\\(\\)"):
        fit_to_density(real_nvp(2), target, steps=1)
    with pytest.raises(NiceValueError, match="context"):
        fit_to_density(real_nvp(2, preprocess=(), context_dim=1), target, steps=1)
    with pytest.raises(NiceTypeError, match="expected a Flow"):
        fit_to_density("flow", target, steps=1)
    with pytest.raises(NiceTypeError, match="did you mean learning_rate"):
        fit_to_density(small_flow(rng), target, steps=1, lr=1)
    with pytest.raises(NiceTypeError, match="two arrays"):
        fit_to_density(small_flow(rng), lambda x: x, steps=1, progress=False)


def test_the_model_has_the_parameters_of_its_flow(rng):
    flow = small_flow(rng)
    model = ReverseKL(flow, Banana())
    assert model.params is flow.params
    twin, copied = model.replica(), model.copy()
    assert np.shares_memory(twin.params.values, flow.params.values)
    assert twin.params.grads is not flow.params.grads
    assert copied.params is copied.flow.params is not flow.params
    assert isinstance(flow.bijector, Chain)
    assert "ReverseKL" in repr(model)

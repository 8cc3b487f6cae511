"""Class-conditional flows: densities given a label, gradients, sampling, classification."""

import numpy as np
import pytest
from scipy.special import logsumexp

from nice_np import (
    MLP,
    AffineCoupling,
    Chain,
    DiagonalScaling,
    Flow,
    NiceTypeError,
    NiceValueError,
    Partition,
    Permutation,
    check_gradients,
    classify,
    fit,
    load_model,
    log_prob_by_label,
    nice,
    one_hot,
    real_nvp,
    sample_by_label,
    save_model,
)
from nice_np.flows.conditional import log_prob_without_label, marginal_log_prob

CENTRES = np.array([[-3.0, 0.0], [3.0, 1.0], [0.0, 4.0]])


@pytest.fixture(params=[nice, real_nvp], ids=["nice", "real_nvp"])
def flow(request, rng):
    flow = request.param(4, couplings=3, hidden=(6,), context_dim=2, dtype=np.float64, rng=rng)
    flow.params.values[:] = rng.normal(0, 0.4, len(flow.params))
    return flow


@pytest.fixture
def blobs(rng):
    """Three Gaussians in the plane with their labels, and a flow trained on them."""
    labels = rng.integers(0, 3, 600)
    x = CENTRES[labels] + 0.5 * rng.normal(size=(600, 2))
    flow = nice(2, couplings=4, hidden=(16,), prior="normal", context_dim=3, dtype=np.float64, rng=rng)
    fit(flow, x, one_hot(labels, 3), epochs=40, batch_size=50, learning_rate=3e-3, progress=False, rng=rng)
    return flow, x, labels


def test_the_context_matters_and_the_round_trip_holds(flow, rng):
    x, c = rng.normal(size=(5, 4)), rng.normal(size=(5, 2))
    z = flow.encode(x, c)
    assert z.shape == x.shape
    np.testing.assert_allclose(flow.decode(z, c), x, atol=1e-12)
    assert np.abs(flow.encode(x, c + 1) - z).max() > 0.01
    assert np.abs(flow.log_prob(x, c + 1) - flow.log_prob(x, c)).max() > 0.01


def test_log_prob_is_the_density_of_x_alone(flow, rng):
    """log|det dz/dx| by finite differences, the context held fast."""
    x, c, h = rng.normal(size=(1, 4)), rng.normal(size=(1, 2)), 1e-5
    columns = [(flow.encode(x + h * e, c) - flow.encode(x - h * e, c)) / (2 * h) for e in np.eye(4)]
    log_det = np.linalg.slogdet(np.concatenate(columns).T)[1]
    expected = flow.prior.log_prob(flow.encode(x, c)) + log_det
    np.testing.assert_allclose(flow.log_prob(x, c), expected, atol=1e-7)


def test_gradients_of_parameters_samples_and_context(flow, rng):
    x, c = rng.normal(size=(3, 4)), rng.normal(size=(3, 2))
    check_gradients(flow, x, context=c, rng=rng).raise_if_failed()
    check_gradients(flow.copy().bijector, np.concatenate([x, c], axis=1), rng=rng).raise_if_failed()


def test_a_wrong_gradient_of_a_conditional_flow_is_found(flow, rng):
    right = flow.nll_and_grad
    flow.astype = lambda dtype: flow
    flow.nll_and_grad = lambda x, context: (right(x, context)[0], 1.0005 * right(x, context)[1])
    assert not check_gradients(flow, rng.normal(size=(3, 4)), context=[0.3, 0.7], rng=rng).passed


def test_only_flows_take_a_context_to_be_checked(flow, rng):
    with pytest.raises(NiceTypeError, match="only a flow takes a context"):
        check_gradients(flow.bijector, rng.normal(size=(3, 6)), context=[1, 0])


def test_one_row_of_context_stands_for_all(flow, rng):
    x = rng.normal(size=(5, 4))
    np.testing.assert_array_equal(flow.log_prob(x, [1.0, 0.0]), flow.log_prob(x, np.tile([1, 0], (5, 1))))
    samples = flow.sample(6, rng=0, context=[1.0, 0.0])
    assert samples.shape == (6, 4)
    np.testing.assert_array_equal(samples[:3], flow.sample(6, rng=0, context=np.tile([1, 0], (6, 1)))[:3])
    assert flow.bits_per_dim(x, context=[1.0, 0.0]) != flow.bits_per_dim(x, context=[0.0, 1.0])


def test_context_is_checked(flow, rng):
    x = rng.normal(size=(5, 4))
    for door in (flow.log_prob, flow.encode, flow.decode, flow.nll_and_grad, flow.grad_log_prob):
        with pytest.raises(NiceValueError, match=r"expected context of shape \(5, 2\), got none"):
            door(x)
        with pytest.raises(NiceValueError, match=r"one_hot\(labels, 2\)"):
            door(x, np.zeros(5, int))
        with pytest.raises(NiceValueError, match="NaN or inf"):
            door(x, [0, np.nan])
    with pytest.raises(NiceValueError, match="takes no context"):
        nice(4, hidden=(3,), rng=0).log_prob(x, [1, 0])
    with pytest.raises(NiceValueError, match="leaves none"):
        Flow("normal", DiagonalScaling(2), context_dim=2)


def test_a_layer_that_changes_the_context_is_refused(rng):
    coupling = AffineCoupling(Partition(2, [0], context_dim=1), MLP((2, 3, 2), rng=rng))
    flow = Flow("normal", Chain([coupling, Permutation([0, 2, 1])]), context_dim=1)
    with pytest.raises(NiceValueError, match="changed the context"):
        flow.log_prob(rng.normal(size=(3, 2)), [0.7])


def test_saved_copied_and_cast(flow, rng, tmp_path):
    x, c = rng.normal(size=(5, 4)), rng.normal(size=(5, 2))
    expected = flow.log_prob(x, c)
    save_model(tmp_path / "m.npz", flow)
    for other in (load_model(tmp_path / "m.npz")[0], flow.copy()):
        assert other.context_dim == 2
        np.testing.assert_array_equal(other.log_prob(x, c), expected)
    np.testing.assert_allclose(flow.astype(np.float32).log_prob(x, c), expected, rtol=1e-4)
    assert "context_dim=2" in repr(flow)


def test_training_learns_the_labels(blobs):
    flow, x, labels = blobs
    assert (classify(flow, x) == labels).mean() > 0.97
    for k, centre in enumerate(CENTRES):
        samples = flow.sample(400, rng=1, context=one_hot([k], 3)[0])
        np.testing.assert_allclose(np.median(samples, axis=0), centre, atol=0.5)


def test_marginal_likelihood(blobs):
    flow, x, labels = blobs
    by_label = log_prob_by_label(flow, x)
    assert by_label.shape == (600, 3)
    np.testing.assert_allclose(by_label[np.arange(600), labels], flow.log_prob(x, one_hot(labels, 3)))
    marginal = marginal_log_prob(by_label)
    np.testing.assert_allclose(marginal, logsumexp(by_label, axis=1, b=1 / 3))
    assert marginal.mean() < by_label[np.arange(600), labels].mean()
    np.testing.assert_array_equal(log_prob_without_label(flow, x), marginal)


def test_without_labels_the_likelihood_is_the_flows_own(rng):
    flow, x = nice(4, hidden=(3,), rng=0), rng.normal(size=(5, 4))
    np.testing.assert_array_equal(log_prob_without_label(flow, x), flow.log_prob(x))


def test_samples_of_every_label(blobs):
    flow, _, _ = blobs
    by_label = sample_by_label(flow, 400, rng=1)
    assert list(by_label) == [0, 1, 2]
    for k, centre in enumerate(CENTRES):
        assert by_label[k].shape == (400, 2)
        np.testing.assert_allclose(np.median(by_label[k], axis=0), centre, atol=0.5)
    first, second = (flow.encode(by_label[k], np.eye(3)[k]) for k in (0, 1))
    assert np.abs(first - second).max() > 0.1  # each with its own latents
    with pytest.raises(NiceValueError, match="sample_by_label: this flow takes no context"):
        sample_by_label(nice(4, hidden=(3,), rng=0), 2)
    with pytest.raises(NiceTypeError, match="sample_by_label: expected a Flow"):
        sample_by_label("flow", 2)


def test_validation_and_resumption_use_the_context(rng, tmp_path):
    labels = rng.integers(0, 2, 60)
    x = np.where(labels[:, None] == 1, 5.0, -5.0) + rng.normal(size=(60, 2))
    context = one_hot(labels, 2)

    def run(epochs, **more):
        flow = nice(2, couplings=3, hidden=(4,), context_dim=2, dtype=np.float64, rng=0)
        more = {"validation": x, "validation_context": context, "rng": 0, "progress": False, **more}
        return flow, fit(flow, x, more.pop("context", context), epochs=epochs, batch_size=20, **more)

    path = tmp_path / "c.npz"
    whole, history = run(4)
    run(2, checkpoint=path)
    parts, _ = run(4, checkpoint=path, resume=True)
    np.testing.assert_array_equal(whole.params.values, parts.params.values)
    assert history.column("validation_log_likelihood")[-1] is not None
    with pytest.raises(NiceValueError, match="data"):
        run(5, checkpoint=path, resume=True, context=context[::-1].copy())


def test_one_hot_is_checked():
    assert one_hot([], 3).shape == (0, 3)
    with pytest.raises(NiceValueError, match=r"0 \.\. 2, got 0 \.\. 3"):
        one_hot([0, 3], 3)
    with pytest.raises(NiceTypeError, match="whole numbers"):
        one_hot([0.5], 3)
    with pytest.raises(NiceValueError, match=r"shape \(N,\)"):
        one_hot([[1]], 3)
    with pytest.raises(NiceValueError, match="knows no labels"):
        log_prob_by_label(nice(4, hidden=(3,), rng=0), np.zeros((1, 4)))


@pytest.mark.parametrize("n", [1, 3, 5])
def test_labels_are_no_row_of_context(n, rng):
    """Three labels for three rows have the shape of one row for all; a list of labels shall never pass for it."""
    flow, x = nice(4, hidden=(3,), context_dim=3, rng=0), rng.normal(size=(n, 4))
    for labels in ([0, 1, 2], np.array([0, 1, 2], np.uint8), [True, False, True]):
        with pytest.raises(NiceValueError, match=r"may be labels; .* use one_hot\(labels, 3\), for one row floats"):
            flow.log_prob(x, labels)
    with pytest.raises(NiceValueError, match=r"one_hot\(labels, 3\)"):
        fit(flow, x, [0, 1, 2], epochs=1, progress=False)
    np.testing.assert_array_equal(flow.log_prob(x, [0.0, 1.0, 2.0]), flow.log_prob(x, np.tile([0, 1, 2], (n, 1))))


def test_one_number_of_context_may_be_whole(rng):
    flow, x = nice(4, hidden=(3,), context_dim=1, rng=0), rng.normal(size=(5, 4))
    np.testing.assert_array_equal(flow.log_prob(x, [2]), flow.log_prob(x, [2.0]))

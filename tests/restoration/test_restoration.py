"""Restoration: all gradients, closed forms for linear flows, when the three objectives agree, and refused arguments."""

import re
import sys
import threading
from queue import SimpleQueue

import numpy as np
import pytest
from registry import coupling, shaken

from nice_np import (
    MLP,
    AdditiveCoupling,
    AffineCoupling,
    Blur,
    Chain,
    DiagonalScaling,
    Flow,
    GreyOut,
    HiddenPixels,
    Identity,
    ImageObjective,
    LatentObjective,
    LatentPosterior,
    Logit,
    Mask,
    NiceError,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    Partition,
    PCAWhitening,
    ProxyObjective,
    RandomProjection,
    inpaint,
    nice,
    real_nvp,
    restore,
)
from nice_np.restoration import lbfgs
from nice_np.training.progress import Progress

DIM = 6
SIGMA = 0.7


def layers(law, rng):
    """Three couplings with smooth conditioners and a scaling; the law decides whether the log-det is constant."""
    parts = Partition.odd_even(DIM), Partition.odd_even(DIM).swapped(), Partition.odd_even(DIM)
    return [*(coupling(law, part, rng, activation="tanh") for part in parts), shaken(DiagonalScaling(DIM), rng)]


def stack(law, rng, prior="normal"):
    return Flow(prior, Chain(layers(law, rng)))


def logit(rng):
    return Flow("logistic", Chain([Logit(DIM, alpha=0.05), *layers(AffineCoupling, rng)]))


def labelled(build, prior, rng):
    return shaken(
        build(DIM, couplings=3, hidden=(5,), prior=prior, activation="tanh", context_dim=2, dtype=np.float64, rng=0),
        rng,
    )


FLOWS = {
    "additive": lambda rng: stack(AdditiveCoupling, rng),
    "additive-logistic": lambda rng: stack(AdditiveCoupling, rng, "logistic"),
    "affine": lambda rng: stack(AffineCoupling, rng),
    "affine-logistic": lambda rng: stack(AffineCoupling, rng, "logistic"),
    "affine-logit": logit,
    "nice-labels": lambda rng: labelled(nice, "logistic", rng),
    "real_nvp-labels": lambda rng: labelled(real_nvp, "normal", rng),
}
OPERATORS = {
    "identity": lambda rng: Identity(DIM),
    "mask": lambda rng: Mask([True, False, True, True, False, False]),
    "blur": lambda rng: Blur((2, 3), sigma=0.6),
    "grey": lambda rng: GreyOut(3, 1, 2),
    "projection": lambda rng: RandomProjection(DIM, 4, rng),
    "composition": lambda rng: RandomProjection(2, 3, rng) @ GreyOut(3, 1, 2),
}
KINDS = {"image": ImageObjective, "latent": LatentObjective, "proxy": ProxyObjective}  # the spaces of restore
OBJECTIVES = {**KINDS, "posterior": LatentPosterior}


@pytest.fixture(params=FLOWS)
def flow(request, rng):
    return FLOWS[request.param](rng)


@pytest.fixture(params=OPERATORS)
def operator(request, rng):
    return OPERATORS[request.param](rng)


def problem(flow, operator, rng, n=3):
    """Samples of the flow, their measurements and their context."""
    context = np.eye(2)[np.arange(n) % 2] if flow.context_dim else None
    low, high = flow.bijector.interval
    x = np.clip(flow.sample(n, rng, 0.7, context), low + 0.05, high - 0.05)  # room for finite differences
    return x, operator.forward(x) + SIGMA * rng.normal(size=(n, operator.dim_out)), context


def differences(objective, u, step=1e-5):
    """Central differences with Richardson extrapolation, which removes the step^2 error."""
    gradient = np.empty_like(u)
    for d in range(u.shape[1]):
        change = np.zeros(u.shape[1])
        change[d] = step
        near, far = (
            (objective.value_and_grad(u + k * change)[0] - objective.value_and_grad(u - k * change)[0]) / (2 * k * step)
            for k in (1, 2)
        )
        gradient[:, d] = (4 * near - far) / 3
    return gradient


def assert_gradient(objective, u):
    numeric = differences(objective, u)
    error = np.abs(objective.value_and_grad(u)[1] - numeric)
    assert (error <= 1e-7 + 1e-5 * np.abs(numeric)).all(), error.max()


# -- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_gradients(kind, flow, operator, rng):
    x, y, context = problem(flow, operator, rng)
    weight = {"gamma": 0.3} if kind == "proxy" else {}
    objective = OBJECTIVES[kind](flow=flow, operator=operator, y=y, sigma=SIGMA, context=context, **weight)
    assert_gradient(objective, objective.variables(x))


def test_gradient_of_the_hidden_pixels(flow, rng):
    mask = OPERATORS["mask"](rng)
    x, _, context = problem(flow, mask, rng)
    objective = HiddenPixels(flow=flow, operator=mask, y=mask.forward(x), context=context)
    u = objective.variables(x)
    np.testing.assert_array_equal(objective.image(u), x)
    np.testing.assert_allclose(objective.value_and_grad(u)[0], -flow.log_prob(x, context), rtol=1e-13)
    assert_gradient(objective, u)


def test_the_objectives_are_their_formulas(flow, operator, rng):
    x, y, context = problem(flow, operator, rng)
    z = flow.encode(x, context)
    fit = ((x @ operator.matrix().T - y) ** 2).sum(axis=1) / (2 * SIGMA**2)
    settings = {"flow": flow, "operator": operator, "y": y, "sigma": SIGMA, "context": context}
    for objective, u in ((ImageObjective(**settings), x), (LatentObjective(**settings), z)):
        np.testing.assert_allclose(objective.value_and_grad(u)[0], fit - flow.log_prob(x, context), rtol=1e-8)
        np.testing.assert_allclose(objective.image(u), x, rtol=1e-8, atol=1e-9)
    proxy = ProxyObjective(**settings, gamma=0.3).value_and_grad(z)[0]
    np.testing.assert_allclose(proxy, fit + 0.3 * (z**2).sum(axis=1) / (2 * SIGMA**2), rtol=1e-8)
    posterior = LatentPosterior(**settings).value_and_grad(z)[0]
    np.testing.assert_allclose(posterior, fit - flow.prior.log_prob(z), rtol=1e-8)


def test_some_rows_of_an_objective(flow, operator, rng):
    x, y, context = problem(flow, operator, rng)
    whole = LatentObjective(flow=flow, operator=operator, y=y, sigma=SIGMA, context=context)
    u, images = whole.variables(x), np.array([2, 0, 2])
    for some, all_of_them in zip(whole.rows(images).value_and_grad(u[images]), whole.value_and_grad(u), strict=True):
        np.testing.assert_allclose(some, all_of_them[images], rtol=1e-10, atol=1e-10)


def test_log_prob_and_grad(flow, rng):
    x, _, context = problem(flow, Identity(DIM), rng)
    log_prob, gradient = flow.log_prob_and_grad(x, context)
    np.testing.assert_allclose(log_prob, flow.log_prob(x, context), rtol=1e-13)
    np.testing.assert_array_equal(gradient, flow.grad_log_prob(x, context))


def test_decode_with_pullback_goes_back_by_the_transposed_jacobian(flow, rng):
    x, _, context = problem(flow, Identity(DIM), rng, n=1)
    z = flow.encode(x, context)
    flow.params.grads[:] = 7
    decoded, log_det, pullback = flow.decode_with_pullback(z, context)
    np.testing.assert_allclose(decoded, flow.decode(z, context), rtol=1e-13)
    J = np.concatenate([pullback(row[None], np.zeros(1)) for row in np.eye(DIM)])
    np.testing.assert_allclose(log_det, np.linalg.slogdet(J)[1], rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(flow.params.grads, 7)


# -- closed forms -----------------------------------------------------------------------------------------------------


def linear_flow(rng):
    """A Gaussian as a flow: whitening, additive couplings with linear conditioners, scaling."""
    whitening = PCAWhitening(
        rng.normal(size=DIM), np.linalg.qr(rng.normal(size=(DIM, DIM)))[0], [3, 2, 1, 0.8, 0.6, 0.5]
    )
    parts = Partition.odd_even(DIM), Partition.odd_even(DIM).swapped()
    half = DIM // 2
    couplings = [AdditiveCoupling(part, shaken(MLP((half, half), rng=rng), rng)) for part in parts]
    return Flow("normal", Chain([whitening, *couplings, shaken(DiagonalScaling(DIM), rng)]))


def moments(flow):
    """Mean and covariance of x = z G + mean, z ~ N(0, I)."""
    mean = flow.decode(np.zeros((1, DIM)))[0]
    G = flow.decode(np.eye(DIM)) - mean
    return mean, G.T @ G


@pytest.mark.parametrize("space", KINDS)
@pytest.mark.parametrize(
    ("optimizer", "operator"),
    [*(("lbfgs", name) for name in OPERATORS), ("adam", "identity"), ("adam", "composition")],
    indirect=["operator"],
)
def test_the_map_of_a_gaussian_is_its_conditional_mean(space, optimizer, operator, rng):
    flow = linear_flow(rng)
    _, y, _ = problem(flow, operator, rng)
    mean, C = moments(flow)
    A = operator.matrix()
    gain = C @ A.T @ np.linalg.inv(A @ C @ A.T + SIGMA**2 * np.eye(len(A)))
    exact = mean + (y - A @ mean) @ gain.T
    found = restore(flow, y, operator, SIGMA, space=space, optimizer=optimizer, steps=3000)
    np.testing.assert_allclose(found.x, exact, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_inpainting_with_a_gaussian_gives_the_conditional_mean(optimizer, rng):
    flow, mask = linear_flow(rng), Mask([True, False, True, True, False, False])
    x = flow.sample(4, rng)
    mean, C = moments(flow)
    a, b = mask.observed, mask.hidden
    exact = mean[b] + (x[:, a] - mean[a]) @ np.linalg.solve(C[np.ix_(a, a)], C[np.ix_(a, b)])
    found = inpaint(flow, x, mask, optimizer=optimizer, steps=3000)
    np.testing.assert_allclose(found.x[:, b], exact, atol=1e-5)
    latent = inpaint(flow, x, mask, space="latent", sigma=1e-4, steps=3000)
    np.testing.assert_allclose(latent.x[:, b], exact, atol=1e-4)


# -- when the three objectives agree ----------------------------------------------------------------------------------


def three_gradients(flow, operator, rng):
    """The gradients with respect to z of F(g(z)), of F through the Jacobian, and of the proxy, gamma = sigma^2."""
    x, y, _ = problem(flow, operator, rng)
    z = flow.encode(x)
    settings = {"flow": flow, "operator": operator, "y": y, "sigma": SIGMA}
    dx = ImageObjective(**settings).value_and_grad(x)[1]
    through = flow.decode_with_pullback(z)[2](dx, np.zeros(len(z)))  # dF/dz = J^T dF/dx
    return LatentObjective(**settings).value_and_grad(z)[1], through, ProxyObjective(**settings).value_and_grad(z)[1]


@pytest.mark.parametrize("law", [AdditiveCoupling, AffineCoupling])
def test_image_and_latent_always_agree_and_the_proxy_where_the_log_det_is_constant(law, operator, rng):
    latent, image, proxy = three_gradients(stack(law, rng), operator, rng)
    np.testing.assert_allclose(latent, image, rtol=1e-8, atol=1e-9)
    if law is AdditiveCoupling:
        np.testing.assert_allclose(proxy, latent, rtol=1e-12, atol=1e-12)
    else:
        assert np.abs(proxy - latent).max() > 1e-2


@pytest.mark.parametrize("law", [AdditiveCoupling, AffineCoupling])
def test_so_do_their_minimisers(law, rng):
    flow, operator = stack(law, rng), Mask([True, False, True, True, False, False])
    x, y, _ = problem(flow, operator, rng)
    image, latent, proxy = (restore(flow, y, operator, SIGMA, space=s, start=x) for s in ("image", "latent", "proxy"))
    np.testing.assert_allclose(image.x, latent.x, atol=1e-4)
    np.testing.assert_allclose(image.objective, latent.objective, atol=1e-8)
    if law is AdditiveCoupling:
        np.testing.assert_allclose(proxy.x, latent.x, atol=1e-4)
    else:
        assert np.abs(proxy.x - latent.x).max() > 1e-2


# -- restore and inpaint ----------------------------------------------------------------------------------------------

MASK = np.array([True, False, True, True, False, False])


@pytest.mark.parametrize(
    ("space", "optimizer"),
    [("image", "lbfgs"), ("image", "adam"), ("image", "annealed"), ("latent", "lbfgs"), ("latent", "adam"),
     ("proxy", "lbfgs")],
)  # fmt: skip
@pytest.mark.parametrize(("flow_dtype", "dtype"), [(np.float64, np.float64), (np.float32, np.float64),
                                                   (np.float64, np.float32), (np.float32, np.float32)])  # fmt: skip
def test_observed_pixels_come_back_bit_for_bit(space, optimizer, flow_dtype, dtype, rng):
    flow = stack(AffineCoupling, rng).astype(flow_dtype)
    x = (2 * rng.normal(size=(3, DIM))).astype(dtype)
    x[:, ~MASK] = np.nan
    before = x.copy()
    found = inpaint(flow, x, MASK, space=space, optimizer=optimizer, steps=5, clip=(0, 1), rng=0)
    assert found.x[:, MASK].astype(dtype).tobytes() == x[:, MASK].tobytes()
    np.testing.assert_array_equal(found.x[:, MASK], x[:, MASK])
    assert ((found.x[:, ~MASK] >= 0) & (found.x[:, ~MASK] <= 1)).all()
    np.testing.assert_array_equal(x, before)


def test_the_noisy_ascent_is_the_papers_rule(rng):
    flow = stack(AdditiveCoupling, rng)
    x = flow.sample(2, rng)
    found = inpaint(flow, x, MASK, optimizer="annealed", steps=3, rng=5)
    draws, hidden = np.random.default_rng(5), ~MASK
    by_hand = x.copy()
    by_hand[:, hidden] = draws.random(x.shape)[:, hidden]
    for k in range(3):
        noise = draws.normal(size=(2, hidden.sum()))
        by_hand[:, hidden] += 10 / (100 + k) * (flow.grad_log_prob(by_hand)[:, hidden] + noise)
    np.testing.assert_allclose(found.x, by_hand, rtol=1e-12)
    assert [len(history) for history in found.history] == [4, 4]
    np.testing.assert_allclose(found.objective, -flow.log_prob(found.x), rtol=1e-12)


def test_the_drift_of_the_authors_code_is_that_of_the_mean_over_the_batch(rng):
    flow = stack(AdditiveCoupling, rng)
    x = flow.sample(4, rng)
    found = inpaint(flow, x, MASK, optimizer="annealed", drift="batch", start=x, steps=1, learning_rate=0.2, rng=5)
    noise = np.random.default_rng(5).normal(size=(4, (~MASK).sum()))
    mean = HiddenPixels(flow=flow, operator=Mask(MASK), y=x[:, MASK])
    step = noise - mean.value_and_grad(x[:, ~MASK])[1] / 4  # d(mean over 4 images)/dx_n = dlog p(x_n)/dx_n / 4
    np.testing.assert_allclose(found.x[:, ~MASK], x[:, ~MASK] + 0.2 * step, rtol=1e-12)


def test_the_seed_decides(rng):
    flow = stack(AffineCoupling, rng)
    x = flow.sample(2, rng)
    a, b, c = (inpaint(flow, x, MASK, optimizer="annealed", steps=20, rng=seed).x for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    again = [restore(flow, x, Identity(DIM), SIGMA, optimizer="adam", steps=20).x for _ in range(2)]
    np.testing.assert_array_equal(*again)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("space", KINDS)
def test_images_do_not_depend_on_each_other(space, optimizer, flow, rng):
    operator = OPERATORS["projection"](rng)
    x, y, context = problem(flow, operator, rng)
    settings = {"space": space, "optimizer": optimizer, "steps": 5}  # in more steps rounding errors grow
    whole = restore(flow, y, operator, SIGMA, context=context, start=x, **settings)
    alone = None if context is None else context[1:2]
    one = restore(flow, y[1:2], operator, SIGMA, context=alone, start=x[1:2], **settings)
    np.testing.assert_allclose(one.x, whole.x[1:2], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(one.objective, whole.objective[1:2], rtol=1e-8)


@pytest.mark.parametrize("space", KINDS)
@pytest.mark.parametrize("operator", ["composition"], indirect=True)
def test_the_history_goes_down_to_the_objective(space, flow, operator, rng):
    _, y, context = problem(flow, operator, rng)
    found = restore(flow, y, operator, SIGMA, space=space, context=context, steps=40)
    assert len(found.history) == len(y)
    for history, last in zip(found.history, found.objective, strict=True):
        assert (np.diff(history) <= 1e-12).all()
        assert history[-1] == pytest.approx(last, rel=1e-12)


def test_pixels_stay_within_the_flows_interval_and_the_clip(rng):
    flow = logit(rng)
    y = np.full((2, DIM), 1.5)
    for optimizer in ("lbfgs", "adam"):
        found = restore(flow, y, Identity(DIM), 0.01, space="image", optimizer=optimizer, steps=200)
        low, high = flow.bijector.interval
        assert ((found.x > low) & (found.x < high)).all()
    clipped = restore(stack(AffineCoupling, rng), y, Identity(DIM), 0.01, clip=(0, 1))
    np.testing.assert_allclose(clipped.x, 1.0)


def test_float32(rng):
    flow = stack(AffineCoupling, rng)
    x, y, _ = problem(flow, Identity(DIM), rng)
    single = flow.astype(np.float32)
    for space in KINDS:
        for optimizer in ("lbfgs", "adam"):
            settings = {"space": space, "optimizer": optimizer, "start": x}
            found = restore(single, y, Identity(DIM), SIGMA, **settings)
            assert found.x.dtype == np.float32
            np.testing.assert_allclose(found.x, restore(flow, y, Identity(DIM), SIGMA, **settings).x, atol=2e-2)


def test_nothing_to_do(rng):
    flow = stack(AffineCoupling, rng)
    x = rng.normal(size=(2, DIM))
    np.testing.assert_array_equal(inpaint(flow, x, np.ones(DIM, bool)).x, x)
    for optimizer in ("lbfgs", "adam"):
        empty = restore(flow, np.empty((0, DIM)), Identity(DIM), SIGMA, optimizer=optimizer)
        assert empty.x.shape == (0, DIM)
        assert empty.history == []


def test_parameters_and_global_state_are_left_alone(flow, rng):
    x, y, context = problem(flow, Identity(DIM), rng)
    values, state = flow.params.values.copy(), np.random.get_state()[1].copy()  # noqa: NPY002
    flow.params.grads[:] = 7
    restore(flow, y, Identity(DIM), SIGMA, steps=5, context=context)
    inpaint(flow, x, MASK, steps=5, context=context, optimizer="adam")
    np.testing.assert_array_equal(flow.params.values, values)
    np.testing.assert_array_equal(flow.params.grads, 7)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


# -- bad input --------------------------------------------------------------------------------------------------------

GOOD = np.zeros((2, DIM))
NAN = np.where(np.eye(2, DIM), np.nan, 0)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda f: restore("flow", GOOD, Identity(DIM), 1), NiceTypeError, "expected a Flow, got str"),
        (lambda f: restore(f, GOOD, np.eye(DIM), 1), NiceTypeError, "operator must be an Operator, got ndarray"),
        (lambda f: restore(f, GOOD, Identity(5), 1), NiceValueError, "expects images of 5 features, the flow has 6"),
        (lambda f: restore(f, GOOD[0], Identity(DIM), 1), NiceValueError, r"use y\[None\]"),
        (lambda f: restore(f, GOOD[:, :4], Identity(DIM), 1), NiceValueError, "y has 4 features, expected 6"),
        (lambda f: restore(f, NAN, Identity(DIM), 1), NiceValueError, "y contains NaN or inf, first in row 0"),
        (lambda f: restore(f, GOOD, Identity(DIM), 0), NiceValueError, "sigma must be finite, > 0"),
        (lambda f: restore(f, GOOD, Identity(DIM), np.nan), NiceValueError, "sigma must be finite"),
        (lambda f: restore(f, GOOD, Identity(DIM), "a"), NiceTypeError, "sigma must be a number"),
        (lambda f: restore(f, GOOD, Identity(DIM), 1, space="pixels"), NiceValueError, "unknown space 'pixels'"),
        (lambda f: restore(f, GOOD, Identity(DIM), 1, optimizer="sgd"), NiceValueError, "unknown optimizer 'sgd'"),
        (lambda f: restore(f, GOOD, Identity(DIM), 1, steps=0), NiceValueError, "steps must be >= 1"),
        (lambda f: restore(f, GOOD, Identity(DIM), 1, steps=1.5), NiceTypeError, "steps must be a whole number"),
        (lambda f: restore(f, GOOD, Identity(DIM), 1, gamma=1), NiceValueError, 'gamma belongs to space="proxy"'),
        (lambda f: restore(f, GOOD, Identity(DIM), 1, space="proxy", gamma=-1), NiceValueError, "gamma must be"),
        (lambda f: restore(f, GOOD, Identity(DIM), 1, start=GOOD[:1]), NiceValueError, "start has 1 rows, expected 2"),
        (lambda f: restore(f, GOOD, Identity(DIM), 1, start=NAN), NiceValueError, "start contains NaN"),
        (lambda f: restore(f, GOOD, Identity(DIM), 1, clip=1), NiceTypeError, "clip must be"),
        (lambda f: restore(f, GOOD, Identity(DIM), 1, clip=(1, 0)), NiceValueError, r"clip\[1\] must be finite, > 1"),
        (lambda f: restore(f, GOOD, Identity(DIM), 1, context=[1.0]), NiceValueError, "takes no context"),
        (lambda f: restore(f, GOOD, Identity(DIM), 1, optimizer="adam", learning_rate=0), NiceValueError, "rate"),
        (lambda f: inpaint(f, NAN, ~MASK), NiceValueError, "x contains NaN or inf, first in row 1, column 1"),
        (lambda f: inpaint(f, GOOD[0], MASK), NiceValueError, r"use x\[None\]"),
        (lambda f: inpaint(f, GOOD[:, :4], MASK), NiceValueError, "x has 4 features, expected 6"),
        (lambda f: inpaint(f, GOOD, MASK.astype(int)), NiceTypeError, "True or False"),
        (lambda f: inpaint(f, GOOD[:, :4], MASK[:4]), NiceValueError, "expects images of 4 features"),
        (lambda f: inpaint(f, GOOD, MASK, space="pixels"), NiceValueError, "unknown space"),
        (lambda f: inpaint(f, GOOD, MASK, optimizer="sgd"), NiceValueError, "unknown optimizer"),
        (lambda f: inpaint(f, GOOD, MASK, space="latent", optimizer="annealed"), NiceValueError, "annealed"),
        (lambda f: inpaint(f, GOOD, MASK, drift="none"), NiceValueError, "unknown drift 'none'"),
        (lambda f: inpaint(f, GOOD, MASK, rng="seed"), NiceTypeError, "rng must be a seed"),
        (lambda f: inpaint(f, GOOD, MASK, space="latent", sigma=0), NiceValueError, "sigma"),
        (lambda f: HiddenPixels(flow=f, operator=Identity(DIM), y=GOOD), NiceTypeError, "must be a Mask"),
        (
            lambda f: restore(f, GOOD + 1, Identity(DIM), 1e-200, space="image"),
            NiceOverflowError,
            "objective of row 0, or its gradient, overflows",
        ),
    ],
)  # fmt: skip
def test_bad_arguments(call, error, says, rng):
    with pytest.raises(error, match=says):
        call(stack(AdditiveCoupling, rng))


def test_a_context_is_required(rng):
    flow = labelled(nice, "normal", rng)
    with pytest.raises(NiceValueError, match=r"expected context of shape \(2, 2\)"):
        restore(flow, GOOD, Identity(DIM), 1)
    with pytest.raises(NiceValueError, match=r"expected context of shape \(2, 2\)"):
        inpaint(flow, GOOD, MASK, context=np.zeros((3, 2)))


def test_outside_the_interval(rng):
    flow = logit(rng)
    with pytest.raises(NiceValueError, match=r"x\[0, 0\] = 2.0 is not between"):
        inpaint(flow, GOOD + 2, MASK)
    with pytest.raises(NiceValueError, match=r"start: x\[0, 0\] = 2.0 is not between"):
        restore(flow, GOOD, Identity(DIM), 1, space="image", start=GOOD + 2)


def test_overflow_names_the_layer(rng):
    flow = stack(AdditiveCoupling, rng)
    flow.bijector.layers[-1].log_scale = np.full(DIM, -800.0)
    with pytest.raises(NiceOverflowError, match=r"layer 3 \(DiagonalScaling\)"):
        flow.decode_with_pullback(GOOD + 1)
    flow.bijector.layers[-1].log_scale = np.full(DIM, -700.0)
    pullback = flow.decode_with_pullback(GOOD)[2]
    with pytest.raises(NiceOverflowError, match="gradient of row 0 in z overflows float64"):
        pullback(GOOD + 1e200, np.zeros(2))
    flow.bijector.layers[-1].log_scale = np.full(DIM, 800.0)
    with pytest.raises(NiceOverflowError, match=r"layer 3 \(DiagonalScaling\)"):
        restore(flow, GOOD + 1, Identity(DIM), 1, space="image", start=GOOD + 1)


def test_overflow_names_the_image(rng):
    flow, y = stack(AdditiveCoupling, rng), np.zeros((3, DIM))
    y[2] = 1e200
    with pytest.raises(NiceOverflowError, match="LatentObjective: the objective of row 2"):
        restore(flow, y, Identity(DIM), 1)
    with pytest.raises(NiceOverflowError, match=r"^LatentObjective: the objective of row 2"):
        restore(flow, y, Identity(DIM), 1, optimizer="adam")


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_progress_goes_to_standard_error(optimizer, capsys, rng):
    flow = stack(AffineCoupling, rng)
    restore(flow, GOOD, Identity(DIM), SIGMA, optimizer=optimizer, steps=3)
    assert capsys.readouterr() == ("", "")
    restore(flow, GOOD, Identity(DIM), SIGMA, optimizer=optimizer, steps=3, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "step" in err
    assert "nats" in err


# -- many images, extreme values --------------------------------------------------------------------------------------


def test_many_images_are_solved_block_by_block(monkeypatch, rng):
    flow = stack(AffineCoupling, rng)
    y = flow.sample(7, rng)
    whole = restore(flow, y, Identity(DIM), SIGMA, steps=5)
    monkeypatch.setattr(lbfgs, "BLOCK", 3)
    shares, blocks = [], []
    show, block = Progress.show_state, lbfgs.minimize_block
    monkeypatch.setattr(
        Progress, "show_state", lambda self, share, *rest: (shares.append(share), show(self, share, *rest))
    )
    monkeypatch.setattr(
        lbfgs, "minimize_block", lambda o, u, images, *rest: blocks.append(images) or block(o, u, images, *rest)
    )
    found = restore(flow, y, Identity(DIM), SIGMA, steps=5)
    assert blocks == [range(3), range(3, 6), range(6, 7)]
    np.testing.assert_allclose(found.x, whole.x, rtol=1e-6, atol=1e-8)
    assert len(found.history) == 7
    assert shares[0] < 3 / 7
    assert shares[-1] <= 1
    assert (np.diff(shares) >= -1e-12).all()
    y[5] = 1e200  # in the second block
    with pytest.raises(NiceOverflowError, match="LatentObjective: the objective of row 5"):
        restore(flow, y, Identity(DIM), 1)


@pytest.mark.parametrize("started", [0, 2])
def test_a_thread_that_cannot_start_is_an_error_not_a_deadlock(started, monkeypatch, rng):
    flow, real = stack(AffineCoupling, rng), threading.Thread.start
    threads = []

    def start(thread):
        if len(threads) == started:
            raise RuntimeError("can't start new thread")
        threads.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(NiceError, match=r"cannot start 4 threads .*can't start new thread.*fewer images"):
        restore(flow, np.zeros((4, DIM)), Identity(DIM), 1)
    assert not any(thread.is_alive() for thread in threads)


def test_without_threads_the_images_are_restored_one_by_one(monkeypatch, rng):
    flow, y = stack(AffineCoupling, rng), rng.normal(size=(3, DIM))
    by_threads = restore(flow, y, Identity(DIM), 0.5)
    monkeypatch.setattr(sys, "platform", "emscripten")  # a browser tab
    monkeypatch.setattr(threading.Thread, "start", None)
    one_by_one = restore(flow, y, Identity(DIM), 0.5)
    np.testing.assert_allclose(one_by_one.x, by_threads.x, atol=1e-6)
    assert [len(history) for history in one_by_one.history] == [len(history) for history in by_threads.history]
    y[1] = 1e200
    with pytest.raises(NiceOverflowError, match="LatentObjective: the objective of row 1"):
        restore(flow, y, Identity(DIM), 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sigma", [1e-200, 1e-170])
@pytest.mark.parametrize("gamma", [None, 0.5])
def test_a_sigma_that_is_too_small_is_an_overflow_error(sigma, gamma, dtype, rng):
    flow = stack(AdditiveCoupling, rng).astype(dtype)
    with pytest.raises(NiceOverflowError, match="overflows"):
        restore(flow, GOOD + 1, Identity(DIM), sigma, space="proxy", gamma=gamma)


@pytest.mark.parametrize("gamma", [None, 0.5])
def test_with_a_huge_sigma_only_the_prior_counts(gamma, rng):
    flow = stack(AdditiveCoupling, rng)
    found = restore(flow, GOOD + 1, Identity(DIM), 1e200, space="proxy", gamma=gamma)
    assert np.isfinite(found.x).all()


def test_a_clip_outside_the_flows_interval(rng):
    flow = logit(rng)
    says = r"clip \(2\.0, 3\.0\) does not overlap \(-0\.0[0-9]*, 1\.0[0-9]*\)"
    for optimizer in ("lbfgs", "adam"):
        with pytest.raises(NiceValueError, match=f"restore: {says}"):
            restore(flow, GOOD, Identity(DIM), 1, space="image", optimizer=optimizer, clip=(2, 3))
    with pytest.raises(NiceValueError, match=f"inpaint: {says}"):
        inpaint(flow, GOOD + 0.5, MASK, clip=(2, 3))
    touching = restore(flow, GOOD, Identity(DIM), 1, space="image", clip=(0.9, 3), steps=2)
    assert (touching.x >= 0.9).all()


@pytest.mark.parametrize(
    ("function", "changes", "says"),
    [
        (
            restore,
            {"learning_rate": "banana"},
            'restore: learning_rate belongs to optimizer="adam", got learning_rate=',
        ),
        (inpaint, {"learning_rate": 0.1}, 'learning_rate belongs to optimizer="adam" or optimizer="annealed"'),
        (inpaint, {"space": "latent", "learning_rate": 0.1}, "inpaint: learning_rate belongs to"),
        (inpaint, {"drift": "batch"}, "inpaint: drift belongs to optimizer=\"annealed\", got drift='batch'"),
        (inpaint, {"drift": "image", "optimizer": "adam"}, "drift belongs to"),
        (inpaint, {"sigma": -5}, 'inpaint: sigma belongs to space="latent" or space="proxy", got sigma=-5'),
    ],
)
def test_arguments_that_would_be_ignored_are_refused(function, changes, says, rng):
    flow = stack(AdditiveCoupling, rng)
    rest = (Identity(DIM), 1) if function is restore else (MASK,)
    with pytest.raises(NiceValueError, match=re.escape(says)):
        function(flow, GOOD, *rest, **changes)


@pytest.mark.parametrize("rate", [0, "banana", lambda step: 0.1])
def test_a_wrong_learning_rate_names_the_function_called(rate, rng):
    flow = stack(AdditiveCoupling, rng)
    with pytest.raises((NiceValueError, NiceTypeError), match=r"^restore: learning_rate"):
        restore(flow, GOOD, Identity(DIM), 1, optimizer="adam", learning_rate=rate)
    for optimizer in ("adam", "annealed"):
        with pytest.raises((NiceValueError, NiceTypeError), match=r"^inpaint: learning_rate"):
            inpaint(flow, GOOD, MASK, optimizer=optimizer, learning_rate=rate)


def test_images_are_evaluated_in_their_order_not_in_that_of_the_threads():
    seen = []

    class Recorder:
        def rows(self, images):
            seen.append(images.tolist())
            return self

        def value_and_grad(self, u):
            return np.zeros(len(u)), np.zeros_like(u)

    questions, answers = SimpleQueue(), {n: SimpleQueue() for n in range(3)}
    for question in [(2, np.ones(1)), (0, np.ones(1)), (1, np.ones(1)), (0, None), (1, None), (2, None)]:
        questions.put(question)
    lbfgs.answer_all(Recorder(), np.zeros((3, 1)), questions, answers, 5, lambda *state: None)
    assert seen == [[0, 1, 2]]

"""What is measured, once for the tests and for scripts/reliability.py: errors of gradients, inverses, log-determinants.

Each function takes a seed and gives the largest error relative to what is allowed, or the error itself.
"""

import copy
import warnings

import numpy as np
from registry import BIJECTORS, CONDITIONERS, PRIORS, draw, shaken

from nice_np import AffineCoupling, Chain, Flow, MultiplicativeCoupling, Partition, Permutation, check_gradients, nice
from nice_np.checks.jacobian import numerical_jacobian

DEPTHS = (1, 2, 4, 16, 64)
SCALES = (1e-3, 1.0, 1e6)


def gradient_errors(seed, names):
    """The largest absolute error of a gradient, and the largest one relative to the tolerance, over components."""
    rng = np.random.default_rng(seed)
    worst = share = 0.0
    for name in names:
        component = {**BIJECTORS, **CONDITIONERS, **PRIORS}[name](rng)
        if name in BIJECTORS:
            x = draw(component, rng, (1 + seed % 3, component.dim))
        else:
            x = rng.normal(size=(1 + seed % 3, n_inputs(component)))
        report = check_gradients(component, x, rng=rng)  # the same seed again could draw weights equal to x
        report.raise_if_failed()
        worst = max([worst, *(row.max_error for row in report.rows)])
        share = max([share, *(row.max_error / row.tolerance for row in report.rows if row.tolerance > 0)])
    return worst, share


def n_inputs(component):
    sizes = getattr(component, "sizes", (getattr(component, "dim", None) or 5,))
    if hasattr(component, "image_shape"):
        return len(component.idx_a) + component.context_dim
    return sizes[0]


def log_det_error(seed, names=tuple(BIJECTORS)):
    """|log_det - slogdet of the Jacobian by finite differences|, both passes, over bijectors."""
    rng = np.random.default_rng(seed)
    worst = 0.0
    for name in names:
        layer = BIJECTORS[name](rng)
        for passes in ("forward", "inverse"):
            x = draw(layer, rng, (2, layer.dim), passes)
            pass_ = getattr(layer, passes)
            jacobians = numerical_jacobian(lambda x, f=pass_: f(x)[0], x)
            expected = np.linalg.slogdet(jacobians)[1]
            worst = max(worst, np.abs(pass_(x)[1] - expected).max())
    return worst


def inverse_error(seed, dtype, names=tuple(BIJECTORS)):
    """max |x' - x| / unit over exact bijectors, both ways; the map must not be the identity.

    The unit is eps max(|x|, |z|), or how far x' moves if z does by that, where this is more: a steep map back, such as
    that of a spline with a nearly level bin, cannot know x better than z is known.
    """
    rng = np.random.default_rng(seed)
    worst = 0.0
    for name in names:
        layer = BIJECTORS[name](rng)
        while isinstance(layer, Permutation) and (np.diff(layer.order) == 1).all():
            layer = BIJECTORS[name](rng)  # one random order in 120 is none
        if not layer.exact:
            continue  # its error is that of its steps
        layer.cast(np.dtype(dtype))
        for there, back in ((layer.forward, layer.inverse), (layer.inverse, layer.forward)):
            x = draw(layer, rng, (20, layer.dim), there.__name__).astype(dtype)
            z = there(x)[0]
            again = back(z)[0]
            assert np.abs(z - x).max() > 0.05, f"{name}: nearly the identity proves nothing"
            assert again.dtype == dtype
            unit = np.finfo(dtype).eps * max(np.abs(x).max(), np.abs(z).max())
            nudged = back(z + unit * np.sign(z.mean(axis=0) - z))[0]  # towards the mean: no interval is left
            worst = max(worst, np.abs(again - x).max() / max(unit, np.abs(nudged - again).max()))
    return worst


def deep_round_trip_error(seed, dtype, depth, scale):
    """The same for additive flows of any depth and inputs of any scale."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer than three couplings
        flow = nice(9, couplings=depth, hidden=(16, 16), preprocess=(), dtype=dtype, rng=seed)
    rng = np.random.default_rng(seed)
    shaken(flow, rng, 0.2)
    x = (scale * rng.normal(size=(20, 9))).astype(dtype)
    before_scaling = x
    for layer in flow.bijector.layers[:-1]:
        before_scaling = layer.forward(before_scaling)[0]
    assert np.abs(before_scaling - x).max() > 1e-2 * scale, "nearly the identity proves nothing"
    back = flow.decode(flow.encode(x))
    largest = max(np.abs(x).max(), np.abs(before_scaling).max())
    return np.abs(back - x).max() / (np.finfo(dtype).eps * largest)


def float32_gradient_error(seed):
    """|g32 - g64| / |g64| of a flow's gradient."""
    rng = np.random.default_rng(seed)
    single = shaken(nice(20, couplings=4, hidden=(30, 30), rng=seed), rng, 0.15)
    x = rng.normal(size=(50, 20)).astype(np.float32)
    exact = single.astype(np.float64).nll_and_grad(x)[1].copy()
    found = single.nll_and_grad(x)[1]
    assert found.dtype == np.float32
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def integral_error(seed, law, prior):
    """|1 - integral of exp(log_prob) over the plane|, by a grid."""
    rng = np.random.default_rng(seed)
    from registry import coupling

    if law == "additive":
        flow = shaken(nice(2, couplings=3, hidden=(8,), prior=prior, dtype=np.float64, rng=seed), rng)
    else:
        kind = {"affine": AffineCoupling, "multiplicative": MultiplicativeCoupling}[law]
        part = Partition.odd_even(2)
        parts = part, part.swapped(), part
        flow = Flow(prior, Chain([coupling(kind, p, rng, activation="tanh") for p in parts]))
    edges = np.linspace(-60, 60, 1201)
    points = np.stack(np.meshgrid(edges, edges), axis=-1).reshape(-1, 2)
    return abs(np.exp(flow.log_prob(points)).sum() * (edges[1] - edges[0]) ** 2 - 1)


def second_backward_differs(seed, names=tuple(BIJECTORS)):
    """Elements that a second backward pass, or a copy of the layer, gets otherwise: 0."""
    rng = np.random.default_rng(seed)
    differing = 0
    for name in names:
        layer = BIJECTORS[name](rng)
        x = draw(layer, rng, (4, layer.dim))
        z, _, cache = layer.forward(x)
        grads = []
        for module in (layer, layer, copy.deepcopy(layer)):
            dx = module.backward(np.ones_like(z), np.ones(4), cache)
            grads.append([dx, *(grad.copy() for _, _, grad in module.named_parameters())])
        for other in grads[1:]:
            differing += sum(int((a != b).sum()) for a, b in zip(grads[0], other, strict=True))
    return differing

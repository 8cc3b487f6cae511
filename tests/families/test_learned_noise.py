"""Learned noise of pixels as a layer: it stays within bins, and its likelihood is the variational bound."""

import copy

import numpy as np
import pytest
from registry import coupling, learned_noise, shaken

from nice_np import (
    AffineCoupling,
    Chain,
    DiagonalScaling,
    Flow,
    Inverse,
    Logit,
    NiceTypeError,
    NiceValueError,
    Partition,
    Permutation,
    VariationalDequantization,
    check_gradients,
    dequantize,
    log_prob_of_pixels,
)


def density(rng):
    """Of two numbers in [0, 1]: neither uniform within a bin nor independent."""
    return [Logit(2, alpha=1e-6), coupling(AffineCoupling, Partition(2, [0]), rng, activation="tanh")]


def cube(n=120):
    """Points u of the unit square (n^2, 2) and their weights, dense where densities have poles: at its edges."""
    t = np.linspace(-25, 25, n)
    u, du = 1 / (1 + np.exp(-t)), np.exp(-t) / (1 + np.exp(-t)) ** 2 * (t[1] - t[0])
    return np.stack(np.meshgrid(u, u), axis=-1).reshape(-1, 2), np.outer(du, du).ravel()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_stays_in_its_bin(dtype, rng):
    layer = VariationalDequantization(shaken(coupling(AffineCoupling, Partition(2, [0], 2), rng), rng, 1.0))
    layer.cast(np.dtype(dtype))
    x = dequantize(rng.integers(0, 256, (20_000, 2), dtype=np.uint8), rng, dtype)
    x[:4] = [[0, 1], [-1e-7, 1 + 1e-7], [0.5, 1 - 2.0**-24], [0.25, 0]]
    bins = np.clip(np.floor(256 * x), 0, 255)
    for z, log_det, _ in (layer.forward(x), layer.inverse(x)):
        assert z.dtype == dtype
        assert np.isfinite(log_det).all()
        np.testing.assert_array_equal(np.floor(256 * z), bins)
        assert np.abs(z - x).max() > 1e-3


def two_flows(rng):
    """The same density of two numbers, and the noise in front of the second one."""
    layers, noise = density(rng), learned_noise(rng)
    return Flow("normal", Chain(copy.deepcopy(layers))), Flow("normal", Chain([copy.deepcopy(noise), *layers])), noise


def test_the_probability_of_a_bin_does_not_depend_on_the_noise(rng):
    (plain, learned, _), (u, w) = two_flows(rng), cube()
    for corner in ((0.0, 0.0), (0.0, 0.5), (0.5, 0.5)):
        points, weights = u / 2 + corner, w / 4
        masses = [np.exp(flow.log_prob(points)) @ weights for flow in (plain, learned)]
        assert masses[1] == pytest.approx(masses[0], rel=2e-3)  # poles in a corner
        assert np.abs(plain.log_prob(points) - learned.log_prob(points)).max() > 0.1


def test_the_log_likelihood_is_the_bound_of_the_paper(rng):
    """E_q[log p((k + u) / L) - log q(u | k)], q as the density of the noise itself, by a sum over cells of u."""
    plain, learned, noise = two_flows(rng)
    k, (u, w) = np.array([[0.0, 1.0]]), cube()
    # v = sigmoid(h^-1(logit u; k)) is uniform, so q(u | k) is |det dv/du|
    logits, first, _ = Logit(2, 0.0).forward(u)
    moved, second, _ = noise.noise.inverse(np.concatenate([logits, np.repeat(k / 2, len(u), 0)], axis=1))
    log_q = first + second + Logit(2, 0.0).inverse(moved[:, :2])[1]
    assert np.exp(log_q) @ w == pytest.approx(1, rel=1e-6)
    log_p = plain.log_prob((k + u) / 2)
    bound = (np.exp(log_q) * (log_p - log_q)) @ w
    assert learned.log_prob((k + u) / 2) @ w == pytest.approx(bound, rel=1e-6)  # here u stands for v
    assert bound < np.log(np.exp(log_p) @ w) - 0.01
    assert abs(bound - log_p @ w) > 0.1  # it is not the bound of uniform noise


def test_many_draws_tend_to_the_probability(rng):
    flow = Flow("normal", Chain([VariationalDequantization(DiagonalScaling(4)), Logit(2, 1e-6)]))
    pixels = np.array([[1, 250]], np.uint8)
    u, w = cube()
    log_mass = np.log(np.exp(flow.log_prob((pixels + u) / 256)) @ w)
    one, many = (log_prob_of_pixels(flow, np.repeat(pixels, 500, 0), k, rng).mean() for k in (1, 100))
    assert one < log_mass - 0.1
    assert many == pytest.approx(log_mass, abs=0.02)


def test_gradients_of_a_flow(rng):
    flow = Flow("normal", Chain([learned_noise(rng), *density(rng)]))
    x = (rng.integers(0, 2, (3, 2)) + rng.uniform(0.2, 0.8, (3, 2))) / 2
    check_gradients(flow, x, rng=rng).raise_if_failed()
    nll, stored = flow.nll_and_grad(x)
    stored = stored.copy()
    rebuilt_nll, rebuilt = flow.nll_and_grad(x, recompute=True)
    assert rebuilt_nll == pytest.approx(nll, abs=1e-12)
    np.testing.assert_allclose(rebuilt, stored, rtol=1e-9, atol=1e-9)


def test_wrong_noise(rng):
    with pytest.raises(NiceTypeError, match="noise must be a Bijector"):
        VariationalDequantization(3)
    with pytest.raises(NiceValueError, match="got 3 features"):
        VariationalDequantization(DiagonalScaling(3))
    with pytest.raises(NiceValueError, match=r"got 4 features within"):
        VariationalDequantization(Logit(4))
    with pytest.raises(NiceValueError, match="changed the image"):
        VariationalDequantization(Permutation.reversal(4)).forward(np.full((1, 2), 0.3))
    with pytest.raises(NiceValueError, match=r"x\[0, 1\] = 1.1 is not between"):
        learned_noise(rng).forward(np.array([[0.5, 1.1]]))
    with pytest.raises(NiceValueError, match="levels must be"):
        VariationalDequantization(Inverse(DiagonalScaling(4)), levels=0)

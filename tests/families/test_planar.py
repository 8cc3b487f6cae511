"""Planar, radial and Sylvester flows: what makes them invertible, special cases, and a flow of them."""

import copy

import numpy as np
import pytest

from nice_np import Flow, Inverse, NiceTypeError, NiceValueError, check_gradients, fit, load, planar_flow
from nice_np.families import Planar, Radial, Sylvester
from nice_np.families.householder import reflections, reflections_backward

KINDS = {"planar": Planar, "radial": Radial, "sylvester": Sylvester}
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
@pytest.mark.parametrize("size", [1.0, 4.0])
def test_invertible_for_all_parameters(kind, size, rng):
    for _ in range(20):
        layer = KINDS[kind](3, rng=rng)
        for _, array, _ in layer.named_parameters():
            array[...] = rng.normal(0, size, array.shape)
        x = rng.normal(0, 3, (50, 3))
        z, log_det, _ = layer.forward(x)
        assert np.isfinite(log_det).all()
        np.testing.assert_allclose(layer.forward(layer.inverse(z)[0])[0], z, rtol=0, atol=1e-11)


def test_the_bound_on_u_is_needed():
    """With w.u = -5 the plain map folds the line; with u^ every step along w goes forward."""
    layer = Planar(1, rng=0)
    layer.w[:], layer.u[:], layer.b[:] = 1.0, -5.0, 0.0
    x = np.linspace(-3, 3, 601)[:, None]
    assert (np.diff((x + layer.u * np.tanh(x))[:, 0]) < 0).any()
    assert (np.diff(layer.forward(x)[0][:, 0]) > 0).all()
    assert layer.w @ layer.invertible()[0] == pytest.approx(np.log1p(np.exp(-5)) - 1)


def test_a_planar_layer_moves_points_along_one_direction(rng):
    layer = Planar(4, rng=rng)
    moved = layer.forward(x := rng.normal(size=(30, 4)))[0] - x
    assert np.linalg.matrix_rank(moved, tol=1e-12) == 1


def test_a_radial_layer_keeps_the_centre_and_every_direction(rng):
    layer = Radial(3, rng=rng)
    layer.a[:], layer.b[:] = -0.3, 1.7
    y = rng.normal(size=(10, 3))
    z = layer.forward(layer.c + y)[0] - layer.c
    np.testing.assert_allclose(np.cross(z, y), 0, atol=1e-12)
    at_centre = layer.c[None].copy()
    z, log_det, cache = layer.forward(at_centre)
    np.testing.assert_array_equal(z, at_centre)
    np.testing.assert_allclose(layer.inverse(z)[0], at_centre, atol=1e-15)
    assert np.isfinite(layer.backward(z, log_det, cache)).all()


def test_far_from_its_centre_a_radial_layer_is_the_identity_to_rounding():
    layer = Radial(2, rng=0)
    layer.b[:] = 3.0
    x = np.array([[1e12, -3e12]])
    np.testing.assert_allclose(layer.inverse(layer.forward(x)[0])[0], x, rtol=1e-15)


def test_a_sylvester_layer_of_one_direction_is_planar(rng):
    sylvester, planar = Sylvester(3, rank=1, rng=rng), Planar(3, rng=rng)
    q = reflections(sylvester.Y, 1)[:, 0]
    r, r_tilde = np.tanh([sylvester.r[0], sylvester.r_tilde[0]])
    planar.w[:], planar.b[:] = r_tilde * q, sylvester.b
    m = r * r_tilde  # w.u^ = m where w.u = log(e^(1 + m) - 1)
    planar.u[:] = np.log(np.expm1(1 + m)) * planar.w / (planar.w @ planar.w)
    x = rng.normal(size=(20, 3))
    for one, other in zip(sylvester.forward(x)[:2], planar.forward(x)[:2], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_across_its_columns_a_sylvester_layer_changes_nothing(rng):
    layer = Sylvester(5, rank=2, rng=rng)
    moved = layer.forward(x := rng.normal(size=(30, 5)))[0] - x
    assert np.linalg.matrix_rank(moved, tol=1e-12) == 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 4), (4, 4)], ids=str)
def test_reflections_give_orthonormal_columns_and_their_gradient(shape, rng):
    Y, dQ = rng.normal(size=shape), rng.normal(size=shape[::-1])
    Q = reflections(Y, len(Y))
    np.testing.assert_allclose(Q.T @ Q, np.eye(shape[0]), atol=1e-14)
    dY, eps = reflections_backward(dQ @ Q.T, Y), 1e-6
    for place in np.ndindex(shape):
        step = np.zeros(shape)
        step[place] = eps
        numeric = ((reflections(Y + step, len(Y)) - reflections(Y - step, len(Y))) * dQ).sum() / (2 * eps)
        assert dY[place] == pytest.approx(numeric, abs=1e-8)


def test_a_rank_beyond_the_dimension_is_refused():
    with pytest.raises(NiceValueError, match="rank must be at most dim = 3, got 4"):
        Sylvester(3, rank=4)


@kinds
def test_a_flow_of_them_learns_and_is_saved(kind, rng, tmp_path):
    x = rng.normal(size=(400, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    x[:, 1] += 0.5 * x[:, 0] ** 2
    flow = planar_flow(2, layers=6, kind=kind, dtype=np.float64, rng=0)
    flow.nll_and_grad(x[:5])
    fit(flow, x, epochs=1, rng=0, progress=False)  # measures Standardize
    before = flow.log_prob(x).mean()
    fit(flow, x, epochs=10, learning_rate=0.01, rng=0, progress=False)
    assert flow.log_prob(x).mean() > before + 0.02
    check_gradients(flow, x[:4], rng=rng).raise_if_failed()
    flow.save(tmp_path / "flow.npz")
    again = load(tmp_path / "flow.npz")
    np.testing.assert_array_equal(again.log_prob(x), flow.log_prob(x))
    np.testing.assert_allclose(again.decode(again.encode(x)), x, atol=1e-8)
    stored, rebuilt = flow.nll_and_grad(x)[1].copy(), flow.nll_and_grad(x, recompute=True)[1]
    np.testing.assert_allclose(rebuilt, stored, rtol=1e-7, atol=1e-12)


@kinds
def test_the_inverse_as_a_layer(kind, rng):
    """For variational inference: samples by the formula, their gradient by `backward`."""
    layer = KINDS[kind](3, rng=rng)
    flow = Flow("normal", Inverse(copy.deepcopy(layer)))
    z = rng.normal(size=(5, 3))
    np.testing.assert_allclose(flow.decode(z), layer.forward(z)[0], atol=1e-14)
    check_gradients(flow, z, rng=rng).raise_if_failed()


def test_arguments_are_checked():
    with pytest.raises(NiceValueError, match=r"unknown kind 'sylvestre'.*did you mean 'sylvester'"):
        planar_flow(2, kind="sylvestre")
    with pytest.raises(NiceTypeError, match="did you mean layers"):
        planar_flow(2, n_layers=3)

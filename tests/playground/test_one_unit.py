"""The playground's flows: each knob is one parameter of the formulas, and neutral knobs give the identity."""

from math import e

import numpy as np
import pytest

from nice_np import (
    Flow,
    NiceTypeError,
    NiceValueError,
    nice,
    numerical_jacobian,
    one_hot,
    real_nvp,
    variational_autoencoder,
)
from nice_np.bijectors import AffineCoupling, Chain, DiagonalScaling, Logit, Partition
from nice_np.networks.mlp import MLP
from nice_np.playground.one_unit import LAWS, tiny_flow, trained_flow

FIRST = {"w1": 0.7, "b1": -0.4, "a1": 1.3, "r1": 0.6}
SETTINGS = {**FIRST, "w2": -1.1, "b2": 0.5, "a2": -0.9, "r2": -0.8, "s1": 0.3, "s2": -0.2}


def turned(law, couplings=2, prior="normal"):
    ground = tiny_flow(law, couplings, prior)
    for name in ground.knobs.keys() & SETTINGS.keys():
        ground.turn(name, SETTINGS[name])
    return ground


def by_hand(law, x):
    """The module's formulas for two couplings, written independently; x (2,) -> z, log-determinant."""
    p, (x1, x2) = SETTINGS, x
    h1 = np.tanh(p["w1"] * x1 + p["b1"])
    r1, a1, r2, a2 = (p[name] if name[0] in {"additive": "a", "multiplicative": "r", "affine": "ar"}[law] else 0.0
                      for name in ("r1", "a1", "r2", "a2"))  # fmt: skip
    x2 = x2 * e ** (r1 * h1) + a1 * h1
    h2 = np.tanh(p["w2"] * x2 + p["b2"])
    x1 = x1 * e ** (r2 * h2) + a2 * h2
    return [x1 * e ** p["s1"], x2 * e ** p["s2"]], r1 * h1 + r2 * h2 + p["s1"] + p["s2"]


@pytest.mark.parametrize("law", LAWS)
def test_the_knobs_are_the_numbers_of_the_formulas(law, rng):
    flow = turned(law).flow
    for x in rng.standard_normal((5, 2)):
        z, log_det = by_hand(law, x)
        found, found_log_det, _ = flow.bijector.forward(x[None])
        np.testing.assert_allclose(found[0], z, rtol=1e-12)
        np.testing.assert_allclose(found_log_det[0], log_det, atol=1e-12)
        jacobian = numerical_jacobian(flow.bijector.forward, x[None])[0]
        np.testing.assert_allclose(np.linalg.slogdet(jacobian)[1], log_det, atol=1e-7)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("couplings", [1, 2, 3])
@pytest.mark.parametrize("prior", ["normal", "logistic"])
def test_it_begins_as_the_identity_and_reset_leads_back(law, couplings, prior, rng):
    ground = tiny_flow(law, couplings, prior)
    x = rng.standard_normal((20, 2))
    np.testing.assert_array_equal(ground.flow.encode(x), x)
    ground.randomize(rng)
    assert np.abs(ground.flow.encode(x) - x).max() > 0.1
    ground.reset()
    np.testing.assert_array_equal(ground.flow.encode(x), x)
    np.testing.assert_array_equal(ground.flow.log_prob(x), ground.flow.prior.log_prob(x))


def test_every_weight_but_the_output_biases_has_a_knob():
    ground = tiny_flow("affine", 3)
    assert list(ground.knobs) == [f"{letter}{k}" for k in (1, 2, 3) for letter in "wbra"] + ["s1", "s2"]
    assert len(ground.flow.params) == len(ground.knobs) + 3 * 2
    for name in ground.knobs:
        before = ground.flow.params.values.copy()
        ground.turn(name, 0.25)
        assert (ground.flow.params.values != before).sum() == 1
        assert 0.25 in ground.flow.params.values


def test_random_values_repeat_and_keep_the_volume_of_an_additive_flow(rng):
    first, second = tiny_flow("additive", 3), tiny_flow("additive", 3)
    first.randomize(7)
    second.randomize(7)
    assert first.positions == second.positions
    second.randomize(8)
    assert first.positions != second.positions
    np.testing.assert_array_equal(first.flow.bijector.forward(rng.standard_normal((9, 2)))[1], 0)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("a9", 1.0, NiceValueError, "unknown knob 'a9'; choose one of w1"),
        ("a1", 3.01, NiceValueError, "a1 goes from -3 to 3, got 3.01"),
        ("a1", np.nan, NiceValueError, "a1 must be finite"),
        ("a1", "1", NiceTypeError, "a1 must be a number"),
    ],
)
def test_unknown_knobs_and_values_out_of_range(name, value, error, message):
    ground = tiny_flow()
    before = ground.flow.params.values.copy()
    with pytest.raises(error, match=message):
        ground.turn(name, value)
    np.testing.assert_array_equal(ground.flow.params.values, before)


@pytest.mark.parametrize("options", [{"law": "cubic"}, {"couplings": 4}, {"couplings": 0}, {"prior": "cauchy"}])
def test_tiny_flow_refuses(options):
    with pytest.raises(NiceValueError, match="tiny_flow: "):
        tiny_flow(**options)


# -- trained flows ---------------------------------------------------------------------------------------------------


def trained(make, rng, **options):
    flow = make(2, couplings=3, hidden=(5,), rng=0, **options)
    flow.params.values[:] = rng.normal(0, 0.5, len(flow.params))
    return flow


@pytest.mark.parametrize(
    ("make", "options"),
    [(nice, {}), (real_nvp, {}), (real_nvp, {"scale": "exp"}), (real_nvp, {"scale": "softplus"})],
)
def test_a_trained_flow_is_itself_at_1_and_the_identity_at_0(make, options, rng):
    flow, x = trained(make, rng, **options), rng.standard_normal((20, 2))
    before = flow.params.values.copy()
    ground, exact = trained_flow(flow), flow.astype(np.float64)
    np.testing.assert_array_equal(ground.flow.encode(x), exact.encode(x))
    ground.reset()
    np.testing.assert_allclose(ground.flow.encode(x), x, atol=1e-14)  # softplus(log(e - 1)) is 1 up to rounding
    ground.complete()
    np.testing.assert_array_equal(ground.flow.params.values, exact.params.values)
    np.testing.assert_array_equal(flow.params.values, before)  # the given flow is unchanged


def test_a_knob_of_a_trained_flow_switches_its_own_layer(rng):
    ground = trained_flow(trained(nice, rng))
    assert list(ground.knobs) == ["l2", "l3", "l4", "l5"]  # the first layer, Standardize, has no parameters
    x = rng.standard_normal((20, 2))
    for name in ground.knobs:
        ground.reset()
        ground.turn(name, 0.5)
        moved = [not np.allclose(layer.forward(x)[0], x, atol=1e-12) for layer in ground.flow.layers]
        assert moved == [f"l{k}" == name for k in range(1, 6)]
    half = ground.flow.layers[-1].log_scale.copy()
    ground.turn("l5", 1.0)
    np.testing.assert_allclose(ground.flow.layers[-1].log_scale, 2 * half)


def test_flows_that_cannot_be_scaled_to_the_identity():
    with pytest.raises(NiceValueError, match=r"layer 2 cannot be scaled to the identity: AffineCoupling"):
        trained_flow(real_nvp(2, couplings=3, hidden=(4,), scale="sigmoid", rng=0))
    with pytest.raises(NiceValueError, match="dimension 2 without a context, got dimension 3"):
        trained_flow(nice(3, couplings=3, hidden=(4,), rng=0))
    with pytest.raises(NiceValueError, match="got dimension 2 with a context"):
        trained_flow(nice(2, couplings=3, hidden=(4,), context_dim=len(one_hot([0], 3)[0]), rng=0))
    with pytest.raises(NiceValueError, match="1 to 16 layers with parameters, got 0"):
        trained_flow(Flow("normal", Logit(2)))
    with pytest.raises(NiceValueError, match="got 17"):
        trained_flow(Flow("normal", Chain([DiagonalScaling(2) for _ in range(17)])))


def test_arguments_that_are_not_flows():
    for bad in (None, variational_autoencoder(2, 1, hidden=(3,), rng=0)):
        with pytest.raises(NiceTypeError, match=f"expected a Flow, got {type(bad).__name__}"):
            trained_flow(bad)


def test_a_single_layer_will_do():
    layer = AffineCoupling(Partition.odd_even(2), MLP((1, 2), output_scale=1.0, rng=0))
    ground = trained_flow(Flow("normal", layer))
    assert list(ground.knobs) == ["l1"]

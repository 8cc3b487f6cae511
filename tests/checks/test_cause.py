"""One mistake in a layer, one line that names it: the mistakes of a first affine coupling."""

import numpy as np
import pytest

from nice_np import MLP, Bijector, Chain, DiagonalScaling, Flow, check_gradients, check_inverse, check_log_det
from nice_np.errors import NiceTypeError, NiceValueError

CHECKS = {"gradients": check_gradients, "inverse": check_inverse, "log_det": check_log_det}
LAYER = """
class Layer(Bijector):
    param_names = ("shift",)

    def __init__(self):
        self.dim = 4
        self.m = MLP((2, 6, 4), "tanh", output_scale=1.0, rng=0)
        self.shift, self.dshift = np.full(4, 0.3), np.zeros(4)

    def forward(self, x):
        x = x + self.shift
        x_a, x_b = x[:, :2], x[:, 2:]
        theta, m_cache = self.m.forward(x_a)
        log_s, t = theta[:, :2], theta[:, 2:]
        y_b = x_b * np.exp(log_s) + t
        return np.hstack([x_a, y_b]), log_s.sum(axis=1), (m_cache, x_b, log_s)

    def inverse(self, z):
        z_a, z_b = z[:, :2], z[:, 2:]
        theta, m_cache = self.m.forward(z_a)
        log_s, t = theta[:, :2], theta[:, 2:]
        x_b = (z_b - t) * np.exp(-log_s)
        return np.hstack([z_a, x_b]) - self.shift, -log_s.sum(axis=1), (m_cache, x_b, log_s)

    def backward(self, dz, dlog_det, cache):
        m_cache, x_b, log_s = cache
        dz_a, dz_b = dz[:, :2], dz[:, 2:]
        dx_b = dz_b * np.exp(log_s)
        dlog_s = dx_b * x_b + dlog_det[:, None]
        dx_a = dz_a + self.m.backward(np.hstack([dlog_s, dz_b]), m_cache)
        dx = np.hstack([dx_a, dx_b])
        self.dshift[...] = dx.sum(axis=0)
        return dx

    def inverse_backward(self, dx, dlog_det, cache):
        m_cache, x_b, log_s = cache
        self.dshift[...] = -dx.sum(axis=0)
        dx_a, dx_b = dx[:, :2], dx[:, 2:]
        dz_b = dx_b * np.exp(-log_s)
        dlog_s = -(dx_b * x_b) - dlog_det[:, None]
        dz_a = dx_a + self.m.backward(np.hstack([dlog_s, -dz_b]), m_cache)
        return np.hstack([dz_a, dz_b])
"""
# what, the right line, the wrong one, the check, words of the first line
MISTAKES = [
    (
        "z in place",
        "x_b = (z_b - t)",
        "z_b -= t; x_b = z_b",
        "inverse",
        "inverse changes its input z in columns [2, 3]",
    ),
    ("x in place", "x = x + self.shift", "x += self.shift", "log_det", "write x_b = x_b + ..., not x_b += ..."),
    (
        "dz in place",
        "dx_b = dz_b *",
        "dz_b *= 2; dx_b = dz_b *",
        "gradients",
        "backward changes the incoming dz in columns",
    ),
    (
        "cache in place",
        "-(dx_b * x_b)",
        "-np.multiply(x_b, dx_b, out=x_b)",
        "gradients",
        "inverse_backward changes item 1",
    ),
    (
        "parameter changed",
        "    theta, m_cache = self.m.forward(z_a)",
        "    self.shift *= 0.9; theta, m_cache = self.m.forward(z_a)",
        "gradients",
        "changes shift: a pass reads",
    ),
    (
        "log-det part missing",
        "+ dlog_det[:, None]",
        "",
        "gradients",
        "the part of dlog_det in backward: columns [0, 1] of",
    ),
    ("its sign", "- dlog_det[:, None]", "+ dlog_det[:, None]", "gradients", "the part of dlog_det in inverse_backward"),
    ("x_a counted once", "dx_a = dz_a +", "dx_a =", "gradients", "columns [0, 1] of dshift"),
    (
        "sign of dt",
        "[dlog_s, -dz_b]",
        "[dlog_s, dz_b]",
        "gradients",
        "columns [2, 3] of the gradient that it gives to m",
    ),
    (
        "dt not scaled",
        "[dlog_s, -dz_b]",
        "[dlog_s, -dx_b]",
        "gradients",
        "columns [2, 3] of the gradient that it gives",
    ),
    (
        "s and t exchanged",
        "[dlog_s, dz_b]",
        "[dz_b, dlog_s]",
        "gradients",
        "the two parts of the columns are exchanged",
    ),
    (
        "mean for sum",
        "log_s.sum(axis=1), (m",
        "log_s.mean(axis=1), (m",
        "log_det",
        "every log_det is 0.5 of what it should",
    ),
    ("no m.backward", "self.m.backward(np.hstack([dlog_s, dz_b]), m_cache)", "0", "gradients", "the gradient is zero"),
    (
        "mean in dshift",
        "= dx.sum(axis=0)",
        "= dx.mean(axis=0)",
        "gradients",
        "backward: dshift: every element is N = 5 times",
    ),
    ("shift not undone", " - self.shift, -log_s", ", -log_s", "inverse", "inverse(forward(x)): no feature comes back"),
    ("not announced", 'param_names = ("shift",)', "", "gradients", "shift: it is not in param_names"),
]


def layer(right="", wrong=""):
    assert not right or LAYER.count(right) >= 1
    names = {"Bijector": Bijector, "MLP": MLP, "np": np}
    exec(LAYER.replace(right, wrong, 1) if right else LAYER, names)
    return names["Layer"]()


@pytest.fixture
def x(rng):
    return rng.normal(size=(5, 4))


def test_the_right_layer_passes(x):
    for check in CHECKS.values():
        report = check(layer(), x)
        assert report
        assert report.cause == ""


@pytest.mark.parametrize(("right", "wrong", "check", "words"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_the_first_line_names_the_mistake(right, wrong, check, words, x):
    report = CHECKS[check](layer(right, wrong), x)
    assert not report
    lines = str(report).splitlines()
    assert lines[0].startswith("most likely: ")
    assert words in lines[0]
    assert len(lines) <= 5


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("log_s.sum(axis=1), (m_cache, x_b, log_s)", "log_s.sum(axis=1)", "forward returned 2 values, expected three"),
        ("log_s.sum(axis=1), (", "log_s.sum(axis=1, keepdims=True), (", r"one number per sample, the sum"),
        ("-log_s.sum(axis=1), (", "-log_s.sum(axis=1, keepdims=True), (", r"inverse returned shapes .*one number"),
        ("self.dim = 4", "pass", r"Layer has no dim; write self.dim = 4"),
        ("self.dim = 4", "self.dim = 3", r"x has 4 features, Layer has dim = 3"),
    ],
    ids=["two outputs", "a column", "a column in inverse", "no dim", "wrong dim"],
)
def test_what_breaks_the_protocol_is_refused(right, wrong, words, check, x):
    with pytest.raises((NiceTypeError, NiceValueError), match=words):
        check(layer(right, wrong), x)


def test_of_a_chain_the_guilty_layer_is_named(x):
    chain = Chain([DiagonalScaling(4, 0.1), layer("x_b = (z_b - t)", "z_b -= t; x_b = z_b"), DiagonalScaling(4)])
    for check in CHECKS.values():
        assert "layers[1], Layer: inverse changes its input z" in check(chain, x).cause


def test_a_flow_does_not_let_a_layer_change_the_callers_array(x):
    flow = Flow("normal", layer("x = x + self.shift", "x += self.shift"))
    before = x.copy()
    with pytest.raises(ValueError, match="read-only"):
        flow.log_prob(x)
    np.testing.assert_array_equal(x, before)


def test_a_chain_needs_the_layers_dim():
    with pytest.raises(NiceTypeError, match=r"Chain: Layer has no dim"):
        Chain([layer("self.dim = 4", "pass")])


class Sum:
    """y = exp(x) + sin(x): the output sees x twice."""

    def forward(self, x):
        return np.exp(x) + np.sin(x), x

    def backward(self, dy, x):
        return dy * np.cos(x)


def test_a_forgotten_direct_path_is_named(x):
    assert "the incoming gradient times something positive is missing" in check_gradients(Sum(), x).cause


@pytest.mark.parametrize("turn", [1, 2])
def test_exchanged_parts_of_different_width_are_named(turn, x):
    class Turned(Sum):
        def backward(self, dy, x):
            return np.roll(dy * (np.exp(x) + np.cos(x)), turn, axis=1)

    assert "the two parts of the columns are exchanged" in check_gradients(Turned(), x[:, :3]).cause

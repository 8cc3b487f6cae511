"""`check_gradients` must pass right gradients and fail wrong ones; most layers here do not use nice_np."""

import copy
import itertools
import json
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from nice_np import Bijector, Chain, Flow, Logit
from nice_np.checks.diagnosis import compare_gradients
from nice_np.checks.differences import Slopes, Tolerance, is_kink
from nice_np.checks.gradients import GradientError, GradientReport, check_gradients
from nice_np.checks.objects import find_numbers, find_parameters, float64_copy
from nice_np.errors import NiceError, NiceTypeError, NiceValueError

WRONG = 1.0005  # the factor that HIPS autograd's checker must catch


class Linear:
    """y = x W + b.  `wrong` maps a gradient's name to the mistake that is planted in it."""

    def __init__(self, n_in, n_out, rng, wrong=None, dtype=np.float64):
        self.W = (rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)).astype(dtype)
        self.b = (0.1 * rng.standard_normal(n_out)).astype(dtype)
        self.dW, self.db = np.zeros_like(self.W), np.zeros_like(self.b)
        self.wrong = wrong or {}

    def plant(self, name, gradient):
        return self.wrong.get(name, lambda g: g)(gradient)

    def forward(self, x):
        return x @ self.W + self.b, x

    def backward(self, dy, x):
        self.dW += self.plant("dW", x.T @ dy)
        self.db += self.plant("db", dy.sum(axis=0))
        return self.plant("dx", dy @ self.W.T)


class AssigningLinear(Linear):
    """A student's layer: it caches in itself, assigns its gradients and creates them in backward."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        del self.dW, self.db

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b, None

    def backward(self, dy, cache):
        self.dW = self.plant("dW", self.x.T @ dy)
        self.db = self.plant("db", dy.sum(axis=0))
        self.dx = self.plant("dx", dy @ self.W.T)
        return self.dx


class WritingLinear(Linear):
    """A layer that writes its gradients, as those of nice_np do."""

    def backward(self, dy, x):
        self.dW[...] = self.plant("dW", x.T @ dy)
        self.db[...] = self.plant("db", dy.sum(axis=0))
        return self.plant("dx", dy @ self.W.T)


class Stretch(Bijector):
    """z = x exp(s), with `store(self, gradient)` to put the gradient into ds."""

    param_names = ("s",)

    def __init__(self, dim, store, wrong=1.0):
        self.dim, self.store, self.wrong = dim, store, wrong
        self.s, self.ds = np.linspace(-0.5, 1, dim), np.zeros(dim)

    def forward(self, x):
        return x * np.exp(self.s), np.full(len(x), self.s.sum()), x

    def inverse(self, z):
        return z * np.exp(-self.s), np.full(len(z), -self.s.sum()), z

    def backward(self, dz, dlog_det, x):
        self.store(self, self.wrong * (dz * x * np.exp(self.s) + dlog_det[:, None]).sum(axis=0))
        return dz * np.exp(self.s)

    def inverse_backward(self, dx, dlog_det, z):
        self.store(self, -self.wrong * (dx * z * np.exp(-self.s) + dlog_det[:, None]).sum(axis=0))
        return dx * np.exp(-self.s)


def write(layer, gradient):
    layer.ds[...] = gradient


def assign(layer, gradient):
    layer.ds = gradient


def add(layer, gradient):
    layer.ds += gradient


class Activation:
    def __init__(self, kind, wrong=1.0):
        self.kind, self.wrong = kind, wrong

    def forward(self, x):
        return (np.tanh(x) if self.kind == "tanh" else np.maximum(x, 0)), x

    def backward(self, dy, x):
        slope = 1 - np.tanh(x) ** 2 if self.kind == "tanh" else x > 0
        return self.wrong * dy * slope


class Network:
    """Linear, activation, ..., Linear."""

    def __init__(self, sizes, kind, rng, wrong=None, where=0, layer=Linear):
        self.layers = []
        for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            self.layers += [layer(n_in, n_out, rng, wrong if i == where else None), Activation(kind)]
        self.layers.pop()

    def forward(self, x):
        caches = []
        for layer in self.layers:
            x, cache = layer.forward(x)
            caches.append(cache)
        return x, caches

    def backward(self, dy, caches):
        for layer, cache in zip(self.layers[::-1], caches[::-1], strict=True):
            dy = layer.backward(dy, cache)
        return dy


class AffineCoupling:
    """z_b = x_b exp(s) + t with (s, t) from x_a.  Mistakes: factors of the terms of the gradients."""

    def __init__(self, dim, rng, kind="tanh", **wrong):
        self.kept = dim // 2
        self.conditioner = Network([self.kept, 5, 2 * (dim - self.kept)], kind, rng)
        names = ("ds", "ds_log_det", "dt", "dx_b", "back_ds", "back_ds_log_det", "back_dt", "back_dx_b", "log_det")
        self.factor = dict.fromkeys(names, 1.0) | wrong

    def _split(self, x):
        theta, cache = self.conditioner.forward(x[:, : self.kept])
        s, t = np.split(theta, 2, axis=1)
        return x[:, : self.kept], x[:, self.kept :], np.tanh(s), t, cache

    def forward(self, x):
        x_a, x_b, s, t, cache = self._split(x)
        log_det = self.factor["log_det"] * s.sum(axis=1)
        return np.hstack([x_a, x_b * np.exp(s) + t]), log_det, (x_b, s, cache)

    def inverse(self, z):
        z_a, z_b, s, t, cache = self._split(z)
        x_b = (z_b - t) * np.exp(-s)
        return np.hstack([z_a, x_b]), -self.factor["log_det"] * s.sum(axis=1), (x_b, s, cache)

    def backward(self, dz, dlog_det, cache):
        x_b, s, inner = cache
        f, dz_b = self.factor, dz[:, self.kept :]
        ds = f["ds"] * dz_b * x_b * np.exp(s) + f["ds_log_det"] * dlog_det[:, None]
        return self._merge(dz, f["dx_b"] * dz_b * np.exp(s), ds, f["dt"] * dz_b, s, inner)

    def inverse_backward(self, dx, dlog_det, cache):
        x_b, s, inner = cache
        f, dx_b = self.factor, dx[:, self.kept :]
        ds = -f["back_ds"] * dx_b * x_b - f["back_ds_log_det"] * dlog_det[:, None]
        scaled = dx_b * np.exp(-s)
        return self._merge(dx, f["back_dx_b"] * scaled, ds, -f["back_dt"] * scaled, s, inner)

    def _merge(self, d_out, d_b, ds, dt, s, inner):
        d_a = self.conditioner.backward(np.hstack([ds * (1 - s**2), dt]), inner)
        return np.hstack([d_out[:, : self.kept] + d_a, d_b])


class AdditiveCoupling(AffineCoupling):
    """The affine one with s = 0."""

    def _split(self, x):
        x_a, x_b, s, t, cache = super()._split(x)
        return x_a, x_b, 0 * s, t, cache

    def _merge(self, d_out, d_b, ds, dt, s, inner):
        return super()._merge(d_out, d_b, 0 * ds, dt, s, inner)


class LogisticPrior:
    def __init__(self, wrong=1.0):
        self.wrong = wrong

    def log_prob(self, z):
        return -(np.logaddexp(0, z) + np.logaddexp(0, -z)).sum(axis=1)

    def grad_log_prob(self, z):
        return -self.wrong * np.tanh(z / 2)


class Slot(NamedTuple):
    path: str
    start: int
    stop: int
    shape: tuple


class GaussianFlow:
    """z = (x - b) exp(w) under a standard normal; all parameters in one vector, as a flow has them."""

    def __init__(self, dim, rng, nll_factor=1.0, score_factor=1.0, mean=True, dtype=np.float32):
        slots = (Slot("scale.w", 0, dim, (dim,)), Slot("shift.b", dim, 2 * dim, (dim,)))
        self.params = SimpleNamespace(values=rng.standard_normal(2 * dim).astype(dtype) / 2, slots=slots)
        self.nll_factor, self.score_factor, self.mean = nll_factor, score_factor, mean

    def astype(self, dtype):
        twin = copy.deepcopy(self)
        twin.params.values = twin.params.values.astype(dtype)
        return twin

    def log_prob(self, x):
        w, b = np.split(self.params.values, 2)
        return (-0.5 * ((x - b) * np.exp(w)) ** 2 + w - 0.5 * np.log(2 * np.pi)).sum(axis=1)

    def grad_log_prob(self, x):
        w, b = np.split(self.params.values, 2)
        return -self.score_factor * (x - b) * np.exp(2 * w)

    def nll_and_grad(self, x):
        w, b = np.split(self.params.values, 2)
        z = (x - b) * np.exp(w)
        grads = np.concatenate([(z**2 - 1).sum(axis=0), -(z * np.exp(w)).sum(axis=0)])
        return -self.log_prob(x).mean(), self.nll_factor * grads / (len(x) if self.mean else 1)


def find_arrays(obj):
    return [
        value for value, _ in find_numbers(obj).values() if isinstance(value, np.ndarray) and value.dtype.kind == "f"
    ]


def scaled(factor):
    return lambda gradient: factor * gradient


def failed(report):
    assert not report
    return {row.name for row in report.failures}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def x():
    return np.random.default_rng(5).standard_normal((6, 5))


def build(kind, rng, **kwargs):
    return Network([5, 7, 4, 3], kind, rng, **kwargs)


# -- right gradients pass -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("coupling", [AffineCoupling, AdditiveCoupling])
def test_correct_couplings_pass_with_small_errors(coupling, x):
    report = check_gradients(coupling(5, np.random.default_rng(0)), x)
    assert report.passed, str(report)
    assert max(row.max_error for row in report.rows) < 1e-9
    names = {row.name for row in report.rows}
    paths = [f"conditioner.layers.{i}.{name}" for i in (0, 2) for name in "Wb"]
    for passing in ("forward", "inverse", "cancellation"):
        assert {f"{passing}: {path}" for path in [*paths, "input"]} <= names
    assert ("forward log_det: input" in names) == (coupling is AffineCoupling)
    assert all(row.set_aside == 0 for row in report.rows)
    assert [row.checked for row in report.rows if row.name == "forward: input"] == [x.size]


@pytest.mark.parametrize("layer", [Linear, AssigningLinear, WritingLinear])
def test_networks_pass_whether_backward_adds_assigns_or_writes(layer, x):
    net = build("tanh", np.random.default_rng(0), layer=layer)
    report = check_gradients(net, x)
    assert report.passed, str(report)
    names = [row.name for row in report.rows]
    assert names == [f"forward: layers.{i}.{name}" for i in (0, 2, 4) for name in "Wb"] + ["forward: input"]
    net.forward(x), net.backward(np.ones((6, 3)), net.forward(x)[1])  # a used object: caches lie around now
    assert [row.name for row in check_gradients(net, x).rows] == names


@pytest.mark.parametrize("store", [write, assign, add])
def test_a_bijector_that_writes_assigns_or_adds_alone_and_in_a_flow(store, x):
    for build in (lambda layer: layer, lambda layer: Flow("normal", layer), lambda layer: Chain([layer])):
        assert check_gradients(build(Stretch(5, store)), x).passed
        names = failed(check_gradients(build(Stretch(5, store, WRONG)), x))
        assert all(name.endswith("s") for name in names)


def test_prior_and_flow_pass(x, rng):
    assert check_gradients(LogisticPrior(), x).passed
    report = check_gradients(GaussianFlow(5, rng), x)
    assert report.passed, str(report)
    assert [row.name for row in report.rows] == ["nll: value", "nll: scale.w", "nll: shift.b", "log_prob: x"]


def test_large_derivatives_pass(x, rng):
    net = build("tanh", rng)
    net.layers[0].W *= 1000.0
    assert check_gradients(net, x / 1000).passed
    net.layers[-1].W *= 1e4
    assert check_gradients(net, x / 1000).passed


# -- wrong gradients fail -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dW", "db", "dx"])
@pytest.mark.parametrize("layer", [Linear, AssigningLinear, WritingLinear])
def test_slightly_wrong_gradient_of_a_layer_fails(name, layer, x, rng):
    report = check_gradients(layer(5, 3, rng, {name: scaled(WRONG)}), x)
    assert failed(report) == {"forward: input" if name == "dx" else f"forward: {name[1:]}"}
    assert "same factor 1.0005" in report.failures[0].hint


@pytest.mark.parametrize(
    ("term", "passes"),
    [
        ("ds", {"forward"}), ("ds_log_det", {"forward", "forward log_det"}), ("dt", {"forward"}),
        ("dx_b", {"forward"}), ("back_ds", {"inverse"}), ("back_ds_log_det", {"inverse", "inverse log_det"}),
        ("back_dt", {"inverse"}), ("back_dx_b", {"inverse"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("factor", [WRONG, -1.0, 0.0])
def test_each_term_of_a_coupling_is_seen(term, passes, factor, x):
    report = check_gradients(AffineCoupling(5, np.random.default_rng(0), **{term: factor}), x)
    names = {name.split(":")[0] for name in failed(report)}
    assert passes <= names <= passes | {"cancellation"}
    assert ("cancellation" in names) == (not term.endswith("log_det"))


def test_log_det_row_alone_points_at_the_log_det_term(x):
    report = check_gradients(AffineCoupling(5, np.random.default_rng(0), log_det=2.0), x)
    assert {"forward log_det: input", "inverse log_det: input"} <= failed(report)
    assert all("log-det term" in row.hint for row in report.failures if "log_det" not in row.name)
    assert all("same factor 0.5" in row.hint for row in report.failures if "log_det" in row.name)


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        (scaled(-1), "wrong sign"),
        (scaled(6), "N = 6 times too large: mean and sum"),
        (scaled(1 / 6), "N = 6 times too small: mean and sum"),
        (scaled(0), "the gradient is zero"),
        (scaled(3), "same factor 3"),
        (scaled(np.nan), "NaN or inf"),
        (np.transpose, "transposed"),
        (lambda g: g + (np.arange(25).reshape(5, 5) == 7), "most elements are right"),
        (lambda g: g + np.arange(25).reshape(5, 5), "no simple factor"),
    ],
)
def test_hints(mistake, hint, x, rng):
    report = check_gradients(Linear(5, 5, rng, {"dW": mistake}), x)
    assert failed(report) == {"forward: W"}
    assert hint in report.failures[0].hint
    assert hint in str(report)


def test_one_wrong_element_is_named_with_both_values(x, rng):
    def mistake(g):
        g = g.copy()
        g[3, 2] *= -1
        return g

    row = check_gradients(Linear(5, 5, rng, {"dW": mistake}), x).failures[0]
    assert row.worst_index == (3, 2)
    assert row.numeric == pytest.approx(-row.analytic)
    assert row.max_error == pytest.approx(2 * abs(row.analytic))
    assert row.columns == (2,)
    assert "[3, 2]" in row.numbers()
    assert f"{row.analytic:.8g}" in row.numbers()
    assert "ratio -1 " in row.numbers()


def test_the_printed_error_belongs_to_the_printed_place():
    row = compare_gradients("W", (2,), np.array([[1e3, 1.0], [1e3 + 1e-5, 1.000001], [1e-4, 1e-9]]), n=1)
    assert row.numbers() == "W at [1]: numerical 1, analytical 1.000001, ratio 1 (off by 1e-06, allowed 1e-09)"
    assert row.max_error == pytest.approx(1e-5)


def test_gradient_of_another_shape_or_none_fails(x, rng):
    report = check_gradients(AssigningLinear(5, 3, rng, {"dW": np.transpose}), x)
    assert "has shape (3, 5), expected (5, 3)" in report.cause
    report = check_gradients(Linear(5, 3, rng, {"dx": lambda g: None}), x)
    assert failed(report) == {"forward: input"}
    assert "NoneType" in str(report)


def test_a_gradient_that_is_not_accumulated_over_two_uses_fails(x, rng):
    class Twice:
        def __init__(self, layer):
            self.layer = layer

        def forward(self, x):
            y, first = self.layer.forward(x)
            z, second = self.layer.forward(y)
            return z, (first, second)

        def backward(self, dz, cache):
            return self.layer.backward(self.layer.backward(dz, cache[1]), cache[0])

    class NotAccumulating(Linear):
        def backward(self, dy, x):
            self.dW, self.db = x.T @ dy, dy.sum(axis=0)
            return dy @ self.W.T

    assert check_gradients(Twice(Linear(5, 5, rng)), x).passed
    assert failed(check_gradients(Twice(NotAccumulating(5, 5, rng)), x)) == {"forward: layer.W", "forward: layer.b"}


def test_a_tiny_gradient_does_not_hide_below_the_absolute_tolerance(x, rng):
    right, wrong = (Linear(5, 3, rng, {"dx": scaled(f)}) for f in (1.0, WRONG))
    for layer in (right, wrong):
        layer.W *= 1e-4
    assert check_gradients(right, x).passed
    assert failed(check_gradients(wrong, x)) == {"forward: input"}


def test_wrong_prior_and_flow_fail(x, rng):
    assert failed(check_gradients(LogisticPrior(WRONG), x)) == {"log_prob: z"}
    assert failed(check_gradients(GaussianFlow(5, rng, score_factor=WRONG), x)) == {"log_prob: x"}
    assert failed(check_gradients(GaussianFlow(5, rng, nll_factor=WRONG), x)) == {"nll: scale.w", "nll: shift.b"}
    report = check_gradients(GaussianFlow(5, rng, mean=False), x)
    assert failed(report) == {"nll: scale.w", "nll: shift.b"}
    assert "a 1/N is missing" in str(report)


def test_nll_that_is_not_the_mean_fails(x, rng):
    class Sum(GaussianFlow):
        def nll_and_grad(self, x):
            nll, grads = super().nll_and_grad(x)
            return nll * len(x), grads

    assert failed(check_gradients(Sum(5, rng), x)) == {"nll: value"}


def test_a_gradient_left_over_from_the_last_call_fails(x, rng):
    class LeftOver(GaussianFlow):
        total = 0.0

        def nll_and_grad(self, x):
            nll, grads = super().nll_and_grad(x)
            self.total = self.total + grads
            return nll, self.total

    report = check_gradients(LeftOver(5, rng), x)
    assert failed(report) == {"nll: scale.w", "nll: shift.b"}
    assert "same factor 2" in report.failures[0].hint


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_rounding_of_a_large_log_density_is_no_error_and_hides_none(offset, rng):
    class Shifted(LogisticPrior):
        def log_prob(self, z):
            return super().log_prob(z) - offset

    z = rng.standard_normal((50, 5))
    assert check_gradients(Shifted(), z).passed
    assert failed(check_gradients(Shifted(WRONG), z)) == {"log_prob: z"}


# -- kinks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(k, marks=pytest.mark.slow) for k in range(5, 21))])
def test_relu_nets_raise_no_false_alarm_and_hide_no_error(seed):
    rng = np.random.default_rng(seed)
    sizes, x = [4, 16, 16, 16, 3], rng.standard_normal((20, 4))
    report = check_gradients(Network(sizes, "relu", np.random.default_rng(seed)), x)
    assert report.passed, str(report)
    assert sum(row.set_aside for row in report.rows) == 0
    for name in ("dW", "db", "dx"):
        wrong = Network(sizes, "relu", np.random.default_rng(seed), {name: scaled(WRONG)}, where=seed % 4)
        names = failed(check_gradients(wrong, x))
        if name == "dx":
            assert "forward: input" in names
        else:
            assert names == {f"forward: layers.{2 * (seed % 4)}.{name[1:]}"}


def test_exact_kink_is_set_aside(rng):
    x = rng.standard_normal((30, 4))
    x[3, 2] = 0
    (row,) = check_gradients(Activation("relu"), x).rows
    assert (row.checked, row.set_aside, row.status) == (119, 1, "passed")
    (row,) = check_gradients(Activation("relu", wrong=WRONG), x).rows
    assert (row.checked, row.set_aside, row.status) == (119, 1, "failed")


@pytest.mark.parametrize("distance", [3e-5, 1e-5, 6e-6, 3e-6, 1e-6, 3e-7, 5e-8])
def test_near_kink_is_checked_with_a_smaller_step_and_excuses_nothing(distance):
    x = np.linspace(-2, 2, 40).reshape(8, 5)
    x[1, 1], x[2, 2] = distance, -distance
    (row,) = check_gradients(Activation("relu"), x).rows
    assert (row.checked, row.set_aside, row.status) == (40, 0, "passed")

    class OneWrong(Activation):
        def backward(self, dy, x):
            return super().backward(dy, x) * np.where(x == distance, WRONG, 1.0)

    (row,) = check_gradients(OneWrong("relu"), x).rows
    assert (row.set_aside, row.status, row.worst_index) == (0, "failed", (1, 1))


def test_too_many_kinks_leave_the_check_undecided(rng):
    x = rng.standard_normal((10, 4))
    x[:3, 1] = 0
    report = check_gradients(Activation("relu"), x)
    assert (report.verdict, report.passed, report.rows[0].set_aside) == ("undecided", False, 3)
    assert "choose another x" in str(report)
    with pytest.raises(GradientError, match="UNDECIDED"):
        report.raise_if_failed()
    (row,) = check_gradients(Activation("relu"), np.zeros((2, 2))).rows
    assert (row.checked, row.set_aside, row.status) == (0, 4, "undecided")


def test_strong_curvature_is_no_kink():
    class Wiggle:
        def __init__(self, wrong):
            self.wrong = wrong

        def forward(self, x):
            return np.sin(3000 * x), x

        def backward(self, dy, x):
            return self.wrong * 3000 * np.cos(3000 * x) * dy

    x = np.linspace(-1, 1, 40).reshape(8, 5)
    assert check_gradients(Wiggle(1.0), x).passed
    (row,) = check_gradients(Wiggle(WRONG), x).rows
    assert (row.status, row.set_aside) == ("failed", 0)


def test_a_step_function_is_no_kink():
    class Step:
        def forward(self, x):
            return np.where(x > 0, 1.0, 0.0) + x, None

        def backward(self, dy, cache):
            return dy

    x = np.linspace(-1, 1, 40).reshape(8, 5)
    assert check_gradients(Step(), x).passed
    x[2, 2] = 0
    (row,) = check_gradients(Step(), x).rows
    assert (row.status, row.set_aside, row.worst_index) == ("failed", 0, (2, 2))


def test_is_kink_tells_a_jump_from_curvature():
    kink = [Slopes(0.5, 1.0, 1e-11), Slopes(0.5, 1.0, 1e-10)]
    smooth = [Slopes(0.005, 1e-2, 1e-11), Slopes(0.0005, 1e-3, 1e-10)]
    beyond = [Slopes(0.45, 0.9, 1e-11), Slopes(0.4, 0.8, 1e-10), Slopes(0.0, 0.0, 1e-9)]
    assert is_kink(kink, 1e-5)
    assert not is_kink(smooth, 1e-5)
    assert not is_kink(beyond, 1e-5)
    assert not is_kink(kink[:1], 1e-5)


@pytest.mark.parametrize(("largest", "floor"), [(1e-9, 1e-10), (1e-2, 1e-9), (1.0, 1e-7), (1e5, 1e-7)])
def test_the_absolute_tolerance_shrinks_with_the_largest_derivative(largest, floor):
    tolerance = Tolerance(rtol=1e-5, atol=1e-7, largest=largest, size=1.0)
    assert tolerance.at(Slopes(0.0, 0.0, 0.0)) == pytest.approx(floor)
    assert tolerance.at(Slopes(3.0, 0.0, 0.0)) == pytest.approx(floor + 3e-5)


def test_a_step_resolves_one_ten_thousandth_of_the_steeper_side():
    tolerance = Tolerance(rtol=1e-5, atol=1e-7, largest=1.0, size=1.0)
    assert tolerance.resolves(Slopes(0.5, 1.0, 0.9e-4), claimed=0.0)  # slopes 0 and 1 on the two sides
    assert not tolerance.resolves(Slopes(0.5, 1.0, 1.1e-4), claimed=0.0)
    assert tolerance.resolves(Slopes(0.0, 0.0, 0.9e-4), claimed=-1.0)


# -- sizes --------------------------------------------------------------------------------------------------------


def test_large_arrays_are_checked_along_directions_and_at_sampled_elements(rng):
    x = rng.standard_normal((4, 60))
    for factor in (1.0, WRONG):
        report = check_gradients(Linear(60, 50, rng, {"dW": scaled(factor)}), x, max_coordinates=500, directions=4)
        checked = {row.name: row.checked for row in report.rows}
        assert checked == {"forward: W": 54, "forward: b": 50, "forward: input": 240}
        assert report.passed == (factor == 1.0), str(report)


def test_one_wrong_element_of_a_large_array_shows_in_a_direction(rng):
    def mistake(g):
        return g + np.where(np.arange(g.size).reshape(g.shape) == 777, 0.01, 0.0)

    report = check_gradients(Linear(60, 50, rng, {"dW": mistake}), rng.standard_normal((4, 60)), max_coordinates=100)
    assert failed(report) == {"forward: W"}
    assert report.failures[0].worst_index is None
    assert "at a random direction" in str(report)


# -- the caller's object and x ------------------------------------------------------------------------------------


def test_object_and_x_stay_as_they_are(x):
    coupling = AffineCoupling(5, np.random.default_rng(0))
    for layer in coupling.conditioner.layers[::2]:
        layer.W, layer.dW = layer.W.astype(np.float32), np.full(layer.W.shape, 7, np.float32)
    arrays = find_arrays(coupling)
    before, x_before = [array.copy() for array in arrays], x.copy()
    assert check_gradients(coupling, x).passed
    after = find_arrays(coupling)
    assert all(a is b for a, b in zip(arrays, after, strict=True))
    assert all(a.tobytes() == b.tobytes() and a.dtype == b.dtype for a, b in zip(before, after, strict=True))
    assert x.tobytes() == x_before.tobytes()


def test_float32_read_only_and_integer_x(rng):
    net = Network([3, 4, 2], "tanh", rng)
    x = np.arange(12).reshape(4, 3) % 5
    x.flags.writeable = False
    for values in (x, x.astype(np.float32), x.tolist(), np.asfortranarray(x), x.astype(">f8")):
        assert check_gradients(net, values).passed


def test_float64_copy_reaches_everything_and_keeps_sharing(rng):
    shared = rng.standard_normal(3).astype(np.float32)
    obj = SimpleNamespace(a=shared, b=[shared, (shared, 1)], c={"k": shared}, n=np.arange(3), child=Linear(2, 2, rng))
    twin = float64_copy(obj, "check")
    assert {array.dtype for array in find_arrays(twin)} == {np.dtype(np.float64)}
    assert twin.a is twin.b[0] is twin.b[1][0] is twin.c["k"]
    assert twin.n.dtype == obj.n.dtype
    assert obj.a is shared


def test_same_seed_same_report(x):
    coupling = AffineCoupling(5, np.random.default_rng(0))
    first, second = (check_gradients(coupling, x, rng=3) for _ in range(2))
    assert first == second
    assert first != check_gradients(coupling, x, rng=4)
    assert first == check_gradients(coupling, x, rng=np.random.default_rng(3))


# -- finding parameters -------------------------------------------------------------------------------------------


def test_parameters_in_lists_tuples_dictionaries_and_by_name(x, rng):
    obj = SimpleNamespace(
        pair=(Linear(1, 1, rng), [Linear(1, 1, rng)]),
        table={"t": Linear(1, 1, rng)},
        W=[np.ones(2), np.ones(3)],
        dW=[np.zeros(2), np.zeros(3)],
        alone=np.ones(2),
        count=np.arange(2),
        dcount=np.arange(2),
    )
    obj.itself = obj
    assert sorted(find_parameters(obj, find_numbers(obj))) == [
        "W.0", "W.1", "pair.0.W", "pair.0.b", "pair.1.0.W", "pair.1.0.b", "table.t.W", "table.t.b",
    ]  # fmt: skip

    class Named(Linear):
        def named_parameters(self):
            yield "weights", self.W, self.dW

    names = [row.name for row in check_gradients(Named(5, 3, rng), x).rows]
    assert names == ["forward: weights", "forward: b", "forward: input"]


class Shift:
    """y = x + a + b, where backward gives `gradient` for a."""

    def __init__(self, a, gradient, before=0.0):
        self.a, self.b, self.gradient = a, np.ones(1), gradient
        self.da, self.db = before, np.zeros(1)
        self.t, self.dt, self.n = 2, 0.5, 3

    def forward(self, x):
        self.n, self.m = len(x), float(x.mean())
        return x + self.a + self.b, x

    def backward(self, dy, x):
        self.da, self.dn, self.dm = self.gradient(dy), 7.0, 8.0  # n and m are caches
        self.db += dy.sum()
        return dy


@pytest.mark.parametrize(
    ("a", "reason"),
    [
        (2.0, "it is float and cannot be moved"),
        (2, "it is int and cannot be moved"),
        (np.float64(2), "it is float64 and cannot be moved"),
        (np.array([2], np.int64), "it is int64 and cannot be moved"),
        (np.array([2.0]), r"the gradient is float, expected an array of shape \(1,\)"),
        (np.array(2.0), r"the gradient is float, expected an array of shape \(\)"),
    ],
)
@pytest.mark.parametrize("before", [0.0, None])
def test_a_gradient_that_cannot_be_checked_fails(a, reason, before, x):
    report = check_gradients(Shift(a, lambda dy: -99.0, before), x)
    assert failed(report) == {"forward: a"}
    with pytest.raises(GradientError, match=f"most likely: forward: a: .*{reason}"):
        report.raise_if_failed()
    right = Shift(np.array([2.0]), lambda dy: dy.sum(keepdims=True)[0], np.zeros(1))
    assert check_gradients(right, x).passed  # t and dt are no parameter


def test_a_named_parameter_that_is_no_float_array_fails(x):
    class Named(Shift):
        def named_parameters(self):
            yield "a", self.a, self.da
            yield "b", self.b, self.db

    assert failed(check_gradients(Named(2.0, np.sum), x)) == {"forward: a"}


def test_a_library_among_the_attributes_is_not_searched(rng):
    assert [name for name, _ in find_parameters(SimpleNamespace(np=np, layer=Linear(1, 1, rng)), {}).items()] == []
    assert len(find_arrays(SimpleNamespace(np=np, layer=Linear(1, 1, rng)))) == 4


def test_no_parameters_is_said_and_input_is_still_checked(x):
    report = check_gradients(Activation("tanh"), x)
    assert report.passed
    assert "no parameters found" in str(report)


# -- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("obj", [None, 3, object(), Linear, np.ones(3)])
def test_object_without_a_protocol_is_a_type_error_that_lists_them(obj, x):
    with pytest.raises(NiceTypeError, match=r"(?s)obeys none.*a bijector.*a layer.*a prior.*a flow"):
        check_gradients(obj, x)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones(3), r"of shape \(N, D\)"), (np.full((1, 3), np.nan), "NaN"), (np.ones((0, 3)), "at least 1 sample"),
        (None, "dtype object"), (np.ones((1, 3)) * 1j, "complex"),
    ],
)  # fmt: skip
def test_bad_x(bad, message):
    with pytest.raises(NiceError, match=message):
        check_gradients(Activation("tanh"), bad)


@pytest.mark.parametrize(
    "setting", [{"rng": -1}, {"eps": 0.0}, {"max_coordinates": 0}, {"directions": 0}, {"atol": -1}, {"rtol": np.nan}]
)
def test_bad_settings(setting, x):
    with pytest.raises(NiceValueError, match=next(iter(setting))):
        check_gradients(Activation("tanh"), x, **setting)


def test_an_x_at_the_edge_of_the_domain_is_not_blamed_on_the_data():
    near = [[0.0, 0.5, 0.2, 0.3]]
    for obj in (Logit(4), Flow("normal", Logit(4))):
        with pytest.raises(NiceValueError, match=r"lies within one step, 1e-05, of the edge .* further inside"):
            check_gradients(obj, near)
        assert check_gradients(obj, [[0.4, 0.5, 0.2, 0.3]]).passed


def test_complex_results_are_refused(x):
    class Complex(LogisticPrior):
        def log_prob(self, z):
            return super().log_prob(z) + 1j

    with pytest.raises(NiceValueError, match="log_prob or log_det is complex"):
        check_gradients(Complex(), x)


def test_outputs_that_break_the_protocol(x, rng):
    class Scalar(AffineCoupling):
        def forward(self, x):
            z, log_det, cache = super().forward(x)
            return z, log_det.sum(), cache

    with pytest.raises(NiceValueError, match=r"for log_det, \(N,\) = \(6,\): one number per sample"):
        check_gradients(Scalar(5, rng), x)

    class NoCache(Linear):
        def forward(self, x):
            return (super().forward(x)[0],)

    with pytest.raises(NiceTypeError, match="forward returned"):
        check_gradients(NoCache(5, 3, rng), x)


def test_an_object_that_cannot_be_copied(x):
    layer = Activation("tanh")
    layer.generator = (i for i in range(3))
    with pytest.raises(NiceTypeError, match="cannot be copied"):
        check_gradients(layer, x)


def test_values_that_are_not_finite_fail_without_an_exception(x):
    class Log:
        def forward(self, x):
            return np.log(x), x

        def backward(self, dy, x):
            return dy / x

    assert check_gradients(Log(), np.abs(x) + 0.1).passed
    report = check_gradients(Log(), x)
    assert failed(report) == {"forward: input"}
    assert "not finite" in str(report)


def test_randomness_is_reported(x):
    class Noisy:
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def forward(self, x):
            return x + self.rng.standard_normal(x.shape), None

        def backward(self, dy, cache):
            return dy

    assert "two calls with the same input" in str(check_gradients(Noisy(), x))


# -- the report ---------------------------------------------------------------------------------------------------


def test_report_text(x, rng):
    report = check_gradients(Linear(5, 3, rng), x)
    text = str(report)
    assert text == repr(report)
    lines = text.splitlines()
    assert lines[0] == "Gradients of Linear against central differences"
    assert lines[2].split()[:2] == ["forward:", "W"]
    assert lines[2].endswith("passed")
    assert "(5, 3)" in lines[2]
    assert lines[-1] == "PASSED: 3 of 3 arrays right, 48 derivatives checked, 0 set aside at kinks"
    bad = check_gradients(Linear(5, 3, rng, {"db": scaled(-1)}), x)
    lines = str(bad).splitlines()
    assert lines[0] == "most likely: backward: db: every element has the wrong sign"
    assert lines[1] == "Gradients of Linear against central differences"
    assert lines[2].startswith("forward: b at [")
    assert lines[3].startswith("FAILED: 2 of 3 arrays right")
    assert len(lines) == 4


def test_raise_if_failed_and_json(x, rng):
    good = check_gradients(Linear(5, 3, rng), x)
    good.raise_if_failed()
    bad = check_gradients(Linear(5, 3, rng, {"dW": scaled(np.inf)}), x)
    with pytest.raises(GradientError, match="most likely: backward: dW: the gradient contains NaN") as caught:
        bad.raise_if_failed()
    assert isinstance(caught.value, NiceError)
    assert isinstance(caught.value, AssertionError)
    assert json.loads(json.dumps(good.to_dict(), allow_nan=False))["verdict"] == "passed"
    rows = json.loads(json.dumps(bad.to_dict(), allow_nan=False))["rows"]
    assert (rows[0]["name"], rows[0]["status"], rows[0]["analytic"]) == ("forward: W", "failed", "inf")
    assert rows[1]["shape"] == [3]


def test_an_empty_report_has_not_passed():
    assert not GradientReport("Nothing", ())
    with pytest.raises(GradientError):
        GradientReport("Nothing", ()).raise_if_failed()

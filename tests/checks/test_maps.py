"""`check_inverse` and `check_log_det` pass right maps and fail wrong ones; most layers here do not use nice_np."""

import json
import re

import numpy as np
import pytest
from registry import BIJECTORS, draw, shaken

from nice_np import (
    DiagonalScaling,
    Logit,
    NiceError,
    NiceTypeError,
    NiceValueError,
    check_inverse,
    check_log_det,
    nice,
    real_nvp,
)
from nice_np.checks.diagnosis import compare_arrays
from nice_np.checks.report import CheckError


class Affine:
    """z_b = x_b exp(s(x_a)) + t(x_a); a subclass plants the mistake."""

    def __init__(self, dim=5, seed=0, dtype=np.float64):
        rng = np.random.default_rng(seed)
        self.kept = dim // 2
        self.S, self.T = rng.normal(0, 0.5, (2, self.kept, dim - self.kept)).astype(dtype)

    def theta(self, a):
        return np.tanh(a @ self.S), a @ self.T

    def forward(self, x):
        a, b = x[:, : self.kept], x[:, self.kept :]
        s, t = self.theta(a)
        return np.concatenate([a, b * np.exp(s) + t], axis=1), s.sum(axis=1), None

    def inverse(self, z):
        a, b = z[:, : self.kept], z[:, self.kept :]
        s, t = self.theta(a)
        return np.concatenate([a, (b - t) * np.exp(-s)], axis=1), -s.sum(axis=1), None


def with_log_det(change_forward, change_inverse=lambda log_det: log_det):
    class Wrong(Affine):
        def forward(self, x):
            z, log_det, cache = super().forward(x)
            return z, change_forward(log_det), cache

        def inverse(self, z):
            x, log_det, cache = super().inverse(z)
            return x, change_inverse(log_det), cache

    return Wrong()


def with_inverse(change):
    class Wrong(Affine):
        def inverse(self, z):
            return change(self, z), *super().inverse(z)[1:]

    return Wrong()


@pytest.fixture
def x(rng):
    return rng.normal(size=(6, 5))


@pytest.mark.parametrize("make", BIJECTORS.values(), ids=BIJECTORS.keys())
def test_every_layer_of_the_library_passes(make, rng):
    layer = make(rng)
    x = draw(layer, rng, (4, layer.dim))
    check_inverse(layer, x, **({} if layer.exact else {"rtol": 1e-7})).raise_if_failed()
    check_log_det(layer, x).raise_if_failed()


@pytest.mark.parametrize("n", [1, 6])
def test_a_layer_that_does_not_use_nice_np_passes(x, n):
    assert check_inverse(Affine(), x[:n]).passed
    assert check_log_det(Affine(), x[:n]).passed


def test_a_float32_layer_is_checked_in_float64(x):
    layer = Affine(dtype=np.float32)
    assert check_inverse(layer, x.astype(np.float32))
    assert check_log_det(layer, x.astype(np.float32))
    assert layer.S.dtype == np.float32


@pytest.mark.parametrize("make", [nice, real_nvp])
def test_a_flow_passes(make, rng):
    flow = make(4, couplings=3, hidden=(6,), preprocess=(), rng=rng)
    shaken(flow, rng)
    values = flow.params.values.copy()
    x = rng.normal(size=(3, 4))
    assert check_inverse(flow, x)
    assert check_log_det(flow, x)
    np.testing.assert_array_equal(flow.params.values, values)


def test_a_flow_with_a_context_is_checked_by_its_bijector(rng):
    flow = shaken(nice(4, couplings=3, hidden=(6,), context_dim=2, rng=rng), rng)
    x = rng.normal(size=(3, 6))
    with pytest.raises(NiceTypeError, match=r"check flow\.bijector"):
        check_inverse(flow, x[:, :4])
    assert check_inverse(flow.copy().bijector, x)


# -- wrong inverses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda self, z: Affine.forward(self, z)[0], "only features [2, 3, 4] are wrong"),
        (lambda self, z: z, "changes nothing"),
        (lambda self, z: -Affine.inverse(self, z)[0], "no feature comes back"),
        (lambda self, z: Affine.inverse(self, z)[0] * [1, 1, 1, 1, 1.0005], "only features [4] are wrong"),
        (lambda self, z: Affine.inverse(self, z)[0] + 1e-9, "nearly right"),
        (lambda self, z: Affine.inverse(self, z)[0].astype(np.float32), "nearly right"),
        (lambda self, z: np.log(Affine.inverse(self, z)[0]), "NaN or inf"),
    ],
    ids=["forward again", "nothing", "sign", "factor", "offset", "float32", "nan"],
)
def test_a_wrong_inverse_fails(change, hint, x):
    report = check_inverse(with_inverse(change), x)
    assert not report
    assert "inverse(forward(x))" in [row.name for row in report.failures]
    assert hint in report.failures[0].hint


def test_an_inverse_that_is_right_at_the_latents_only_fails_between_them(x):
    known = Affine().forward(x)[0]

    class Memory(Affine):
        def inverse(self, z):
            right, log_det, cache = super().inverse(z)
            return (right if np.array_equal(z, known) else right + 1e-3), log_det, cache

    assert [row.name for row in check_inverse(Memory(), x).failures] == ["forward(inverse(z))"]


def test_log_dets_that_do_not_cancel_fail(x):
    (row,) = check_inverse(with_log_det(lambda d: d, lambda d: -d), x).failures
    assert row.name == "log_det of inverse"
    assert "the sign" in row.hint
    (row,) = check_inverse(with_log_det(lambda d: 1.0005 * d), x).failures
    assert row.hint == "that of forward is wrong: every log_det is 1.0005 of what it should be"
    (row,) = check_inverse(with_log_det(lambda d: d, lambda d: 0 * d), x).failures
    assert row.hint.startswith("that of inverse is wrong: log_det is zero")
    assert check_inverse(with_log_det(lambda d: 2 * d, lambda d: 2 * d), x)  # wrong in both: see check_log_det


def test_the_identity_proves_nothing(rng):
    x = rng.normal(size=(3, 2))
    report = check_inverse(DiagonalScaling(2), x)
    assert report.verdict == "undecided"
    assert not report.passed
    assert "random values" in str(report)
    assert check_inverse(DiagonalScaling(2, log_scale=0.5), x)


def test_a_map_that_amplifies_rounding_too_much_is_undecided(rng):
    class Shear:
        def forward(self, x):
            return x + 1e12 * x[:, ::-1] * [0, 1], np.zeros(len(x)), None

        def inverse(self, z):
            return z - 1e12 * z[:, ::-1] * [0, 1], np.zeros(len(z)), None

    x = rng.normal(size=(3, 2))
    assert check_inverse(Shear(), x).verdict == "undecided"


# -- wrong log-determinants -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda d: 0 * d, "is zero"),
        (lambda d: -d, "sign"),
        (lambda d: d / 5, "1/5; sum over"),
        (lambda d: 1.0005 * d, "1.0005"),
        (np.exp, "determinant itself"),
        (lambda d: np.full_like(d, d.sum()), "sum over all samples"),
        (lambda d: np.full_like(d, d[0]), "same for all samples"),
        (lambda d: d + 1e-3 * np.arange(6), "no simple factor"),
        (lambda d: np.log(-np.abs(d)), "NaN or inf"),
    ],
    ids=["zero", "sign", "mean", "factor", "determinant", "sum", "first", "shift", "nan"],
)
def test_a_wrong_log_det_fails(change, hint, x):
    (row,) = check_log_det(with_log_det(change), x).failures
    assert (row.name, row.status) == ("forward: log_det", "failed")
    assert hint in row.hint
    (row,) = check_log_det(with_log_det(lambda d: d, change), x).failures
    assert (row.name, row.status) == ("inverse: log_det", "failed")


def test_a_log_det_wrong_in_both_directions_fails(x):
    names = [row.name for row in check_log_det(with_log_det(lambda d: 2 * d, lambda d: 2 * d), x).failures]
    assert names == ["forward: log_det", "inverse: log_det"]


def test_a_singular_jacobian_is_named(x):
    class Flat(Affine):
        def forward(self, x):
            z, log_det, cache = super().forward(x)
            return z * [1, 1, 1, 1, 0], log_det, cache

    assert "singular" in check_log_det(Flat(), x).failures[0].hint


class Bent:
    """z = x for x < 0, 2x above: a kink at 0."""

    def forward(self, x):
        return np.where(x > 0, 2 * x, x), np.log(2) * (x > 0).sum(axis=1), None

    def inverse(self, z):
        return np.where(z > 0, z / 2, z), -np.log(2) * (z > 0).sum(axis=1), None


def test_a_kink_nearby_excuses_nothing_and_one_at_x_is_undecided():
    assert check_log_det(Bent(), [[3e-6, 1.0]])
    report = check_log_det(Bent(), [[0.0, 1.0]])
    assert report.verdict == "undecided"
    assert "kink" in str(report)


class Log:
    """z = log x, or NaN."""

    def forward(self, x):
        return np.log(x), -np.log(x).sum(axis=1), None

    def inverse(self, z):
        return np.exp(z), z.sum(axis=1), None


def test_a_step_that_leads_to_nan_is_no_measure():
    x = [[5e-6, 1.0], [0.5, 3.0]]
    check_log_det(Log(), x, atol=0.05).raise_if_failed()  # by a step of 1e-6; one of 1e-5 leads to a negative number
    log_of_x = Log.forward

    class Wrong(Log):
        def forward(self, x):
            return log_of_x(self, x)[0], np.log(x).sum(axis=1), None

    row = check_log_det(Wrong(), x, atol=0.05).failures[0]
    assert (row.status, np.isfinite(row.expected)) == ("failed", True)


def test_an_x_at_the_edge_of_the_domain_is_not_blamed_on_the_data():
    with pytest.raises(
        NiceValueError, match=r"numerical_jacobian: x lies within one step, 1e-05, of the edge of the domain"
    ):
        check_log_det(Logit(2), [[0.0, 0.5]])
    with pytest.raises(NiceValueError, match=r"a point of x, .* edge of the domain; choose an x further inside"):
        check_inverse(Logit(4), np.zeros((1, 4)))


def test_the_printed_error_belongs_to_the_printed_place():
    row = compare_arrays(
        "z", np.array([[1e3], [1.0]]), np.array([[1e3 + 1e-5], [1.000001]]), np.array([[1e-4], [1e-9]])
    )
    assert row.numbers().endswith("expected 1, got 1.000001 (off by 1e-06, allowed 1e-09)")
    assert row.max_error == pytest.approx(1e-5)


# -- arguments --------------------------------------------------------------------------------------------------------

checks = pytest.mark.parametrize("check", [check_inverse, check_log_det])


@checks
def test_what_is_refused(check, x):
    with pytest.raises(NiceTypeError, match="pass an instance"):
        check(Affine, x)
    with pytest.raises(NiceTypeError, match=r"expected an object with forward\(x\)"):
        check(object(), x)
    with pytest.raises(NiceValueError, match="at least 1 sample"):
        check(Affine(), x[:0])
    with pytest.raises(NiceValueError, match="NaN"):
        check(Affine(), x * np.nan)
    with pytest.raises(NiceError, match="atol"):
        check(Affine(), x, atol=-1)


@checks
def test_wrong_outputs_are_named(check, x):
    class OneNumber(Affine):
        def forward(self, x):
            return super().forward(x)[0]

    class PerFeature(Affine):
        def forward(self, x):
            return super().forward(x)[0], np.zeros_like(x), None

    class Complex(Affine):
        def forward(self, x):
            z, log_det, cache = super().forward(x)
            return z, log_det + 1j, cache

    with pytest.raises(NiceValueError, match="forward's log_det is complex"):
        check(Complex(), x)
    with pytest.raises(NiceTypeError, match="forward returned one ndarray, expected three"):
        check(OneNumber(), x)
    with pytest.raises(NiceValueError, match=r"one number per sample, the sum over its features"):
        check(PerFeature(), x)


@checks
def test_an_unfinished_exercise_says_so(check, x):
    class ToDo(Affine):
        def inverse(self, z):
            raise NotImplementedError("TODO: return x")

    with pytest.raises(NotImplementedError, match="TODO"):
        check(ToDo(), x)


@checks
def test_neither_x_nor_the_layer_is_changed(check, x):
    layer, before = Affine(), x.copy()
    S = layer.S.copy()
    check(layer, x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(layer.S, S)


def test_the_report_prints_raises_and_becomes_json(x):
    good, bad = check_log_det(Affine(), x), check_log_det(with_log_det(lambda d: -d), x)
    good.raise_if_failed()
    assert "PASSED: 2 of 2" in repr(good)
    with pytest.raises(CheckError, match=r"^most likely: forward: log_det: the sign "):
        bad.raise_if_failed()
    numbers = re.compile(r"forward: log_det at \[\d\]: expected .*, got .* \(off by .*, allowed 1e-07\)")
    assert numbers.fullmatch(str(bad).splitlines()[2])
    written = json.loads(json.dumps(bad.to_dict()))
    assert written["verdict"] == "failed"
    assert written["cause"] == bad.cause
    assert bool(good)
    assert not bad

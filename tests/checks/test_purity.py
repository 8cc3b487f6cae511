"""A function or a prior that changes an argument is told; one that does not returns what it returned before."""

import numpy as np
import pytest

from nice_np import check_gradients
from nice_np.checks.purity import pure
from nice_np.checks.report import CheckError


def halves(x):
    return x / 2


def halves_in_place(x):
    x /= 2
    return x


def first(scores, patience):
    return scores.pop(0) + patience


def scaled(gradients, factor):
    for g in gradients:
        g *= factor
    return gradients


@pytest.mark.parametrize(
    ("function", "args", "name"),
    [
        (halves_in_place, [np.ones(3)], "x"),
        (first, [[1.0, 2.0], 1], "scores"),
        (scaled, [[np.ones(2)], 3.0], "gradients"),
    ],
)
def test_a_changed_argument_is_named(function, args, name):
    with pytest.raises(CheckError, match=f"most likely: {function.__name__} changes its argument {name}"):
        pure(function)(*args)


def test_nothing_is_said_where_nothing_changes():
    assert np.array_equal(pure(halves)(x=np.array([2.0, np.nan])), [1.0, np.nan], equal_nan=True)


class Halving:
    """The logistic prior; one of its methods works in the array that it is given."""

    def __init__(self, culprit):
        self.culprit = culprit

    def _half(self, z, method):
        half = z if method == self.culprit else z.copy()
        half /= 2
        return half

    def log_prob(self, z):
        return -2 * np.log(2 * np.cosh(self._half(z, "log_prob"))).sum(axis=1)

    def grad_log_prob(self, z):
        return -np.tanh(self._half(z, "grad_log_prob"))


def test_a_prior_that_changes_its_latents_is_told():
    z = np.random.default_rng(0).normal(size=(4, 2))
    assert check_gradients(Halving("neither"), z).passed
    for culprit in ("log_prob", "grad_log_prob"):
        report = check_gradients(Halving(culprit), z)
        assert not report.passed
        assert f"{culprit} changes its argument z" in str(report)

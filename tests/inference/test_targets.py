"""Targets: gradients against differences, densities that integrate to one, samples that have them."""

import numpy as np
import pytest

from nice_np import check_gradients
from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.inference import Banana, EightSchools, Funnel, LogisticRegression, Mixture
from nice_np.inference.targets import log_density


def regression(rng):
    X = np.column_stack([rng.standard_normal((30, 3)), np.ones(30)])
    return LogisticRegression(X, rng.integers(0, 2, 30), prior_std=2.0)


TARGETS = {
    "banana": lambda rng: Banana(2.0, 0.4),
    "funnel": lambda rng: Funnel(4),
    "mixture": lambda rng: Mixture([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]], 0.7, [1, 2, 3]),
    "eight schools": lambda rng: EightSchools(),
    "eight schools, centred": lambda rng: EightSchools(centred=True),
    "logistic regression": regression,
}


@pytest.mark.parametrize("name", TARGETS)
def test_gradients(name, rng):
    target = TARGETS[name](rng)
    check_gradients(target, rng.standard_normal((5, target.dim))).raise_if_failed()


def test_a_wrong_sign_is_seen(rng):
    class Wrong(Funnel):
        def _log_prob_and_grad(self, x):
            log_p, dlog_p = super()._log_prob_and_grad(x)
            return log_p, dlog_p * np.array([-1.0] + [1.0] * (self.dim - 1))

    assert not check_gradients(Wrong(3), rng.standard_normal((5, 3))).passed


@pytest.mark.parametrize(("target", "width"), [(Banana(1.0, 0.4), 9), (Mixture([[0, 1], [2, -1]], 0.7), 8)])
def test_densities_of_the_plane_integrate_to_one(target, width):
    grid = np.linspace(-width, width, 301)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    assert abs(np.exp(target.log_prob(points)).sum() * (grid[1] - grid[0]) ** 2 - 1) < 1e-3


def test_the_funnel_integrates_to_one():
    v = np.linspace(-15, 15, 601)[:, None, None]
    u = np.linspace(-8, 8, 201)[None, :, None] * np.exp(v / 2)  # in units of the width at v
    points = np.concatenate(np.broadcast_arrays(v, u), axis=2).reshape(-1, 2)
    cell = 0.05 * 0.08 * np.exp(points[:, 0] / 2)
    assert abs((np.exp(Funnel(2).log_prob(points)) * cell).sum() - 1) < 1e-3


@pytest.mark.parametrize("target", [Banana(1.5, 0.2), Funnel(3), Mixture([[0, 1], [4, -1]], 0.7, [1, 3])])
def test_samples_come_from_the_density(target, rng):
    """E_p[d log p / dx] = 0 and E_p[x d log p / dx] = -1 for each feature, by partial integration."""
    x = target.sample(100_000, rng)
    slope = target.grad_log_prob(x)
    for terms, expected in ((slope, 0.0), (x * slope, -1.0)):
        error = terms.std(axis=0) / np.sqrt(len(x))
        assert (np.abs(terms.mean(axis=0) - expected) < 5 * error).all()


def test_both_forms_of_the_eight_schools_are_one_density(rng):
    """theta = mu + tau eta, so p(mu, log tau, eta) = p(mu, log tau, theta) tau^8."""
    x = rng.standard_normal((6, 10))
    theta = EightSchools().parameters(x)
    same = np.column_stack([x[:, :2], theta[:, 2:]])
    expected = EightSchools(centred=True).log_prob(same) + 8 * x[:, 1]
    np.testing.assert_allclose(EightSchools().log_prob(x), expected, rtol=1e-12)
    np.testing.assert_allclose(EightSchools(centred=True).parameters(same), theta, rtol=1e-12)


def test_eight_schools_against_scipy(rng):
    from scipy.stats import halfcauchy, norm

    x = rng.standard_normal((4, 10))
    mu, tau, theta = (part for part in np.split(EightSchools().parameters(x), [1, 2], axis=1))
    expected = (
        norm.logpdf(mu, 0, 5)[:, 0]
        + halfcauchy.logpdf(tau, 0, 5)[:, 0]
        + x[:, 1]
        + norm.logpdf(x[:, 2:]).sum(axis=1)
        + norm.logpdf(EightSchools.y, theta, EightSchools.sigma).sum(axis=1)
    )
    np.testing.assert_allclose(EightSchools().log_prob(x), expected, rtol=1e-12)


def test_logistic_regression_far_out_stays_finite(rng):
    log_p, slope = regression(rng)(np.full((1, 4), 1e3))
    assert np.isfinite(log_p).all()
    assert np.isfinite(slope).all()


def test_the_mixture_far_out_stays_finite():
    target = Mixture([[0.0], [4.0]])
    log_p, slope = target([[1e4]])
    assert slope[0, 0] == pytest.approx(4 - 1e4)
    assert np.isfinite(log_p[0])
    assert target.nearest([[1.0], [3.0]]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda x: np.zeros(len(x)), NiceTypeError),
        (lambda x: (np.zeros((len(x), 1)), x), NiceValueError),
        (lambda x: (np.zeros(len(x)), x[:, :1]), NiceValueError),
        (lambda x: (np.full(len(x), np.nan), x), NiceOverflowError),
        (lambda x: (np.zeros(len(x)), np.full_like(x, np.inf)), NiceOverflowError),
        ("normal", NiceTypeError),
    ],
)
def test_a_density_of_another_form_is_refused(answer, error):
    with pytest.raises(error):
        log_density(answer, np.zeros((3, 2)))


def test_a_density_may_write_into_what_it_gets():
    """Otherwise the draws that come with its answer would be others."""

    def density(x):
        x -= 1.0
        return -0.5 * (x**2).sum(axis=1), -x

    x = np.array([[1.0, 2.0]])
    log_p, slope = log_density(density, x)
    np.testing.assert_array_equal(x, [[1.0, 2.0]])
    assert log_p == [-0.5]
    np.testing.assert_array_equal(slope, [[0.0, -1.0]])


@pytest.mark.parametrize("target", [Banana(), Funnel(), Mixture([[0.0]])])
@pytest.mark.parametrize(("n", "error"), [(-1, NiceValueError), (1.5, NiceTypeError)])
def test_a_wrong_number_of_samples_is_refused_by_name(target, n, error):
    with pytest.raises(error, match=rf"{type(target).__name__}.sample: n must be"):
        target.sample(n)


def test_far_out_is_an_overflow_without_a_warning():
    with pytest.raises(NiceOverflowError, match="not finite at x"):
        log_density(EightSchools(), np.full((1, 10), -1e200))


def test_wrong_arguments():
    for make in (
        lambda: Mixture([[0.0]], weights=[-1]),
        lambda: Mixture([[0.0]], weights=[1, 2]),
        lambda: Mixture([0.0]),
        lambda: Mixture(np.zeros((0, 2))),
        lambda: LogisticRegression([[0.0]], [2]),
        lambda: LogisticRegression([[0.0]], [1, 0]),
        lambda: Funnel(1),
        lambda: Banana(0),
    ):
        with pytest.raises(NiceValueError):
            make()

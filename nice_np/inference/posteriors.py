"""Two posteriors of Bayesian statistics: p(parameters, data) as a function of the parameters, with its gradient.

The integral of p(parameters, data) over the parameters is the evidence p(data).
"""

from __future__ import annotations

from math import log, pi

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceValueError
from nice_np.inference.targets import Target
from nice_np.validation import Array, as_flag, as_float, as_real_array, as_samples, check_shape


class EightSchools(Target):
    """The effect of coaching in eight schools (Rubin 1981; Gelman et al., Bayesian Data Analysis, section 5.5)

        y_j ~ N(theta_j, sigma_j^2),  theta_j ~ N(mu, tau^2),  mu ~ N(0, 5^2),  tau ~ half-Cauchy(0, 5)

    The features are (mu, log tau, theta_1 .. theta_8), centred, or (mu, log tau, eta_1 .. eta_8) with
    theta_j = mu + tau eta_j, not centred.  The second has no funnel: for small tau the width of theta_j given tau goes
    to zero, that of eta_j does not.

    Parameters
    ----------
    centred : bool

    Attributes
    ----------
    y, sigma : ndarray, shape (8,)
        The estimated effects and their standard errors.
    """

    dim = 10
    y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    sigma = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    names = ("mu", "tau", *(f"theta_{j}" for j in range(1, 9)))

    def __init__(self, centred: bool = False) -> None:
        self.centred = as_flag(centred, "EightSchools", "centred")

    def _log_prob_and_grad(self, x: Array) -> tuple[Array, Array]:
        mu, u, last = x[:, :1], x[:, 1:2], x[:, 2:]  # (N, 1), (N, 1), (N, 8); u = log tau
        tau = np.exp(u)
        eta = (last - mu) / tau if self.centred else last
        theta = last if self.centred else mu + tau * last
        residual = (self.y - theta) / self.sigma  # (N, 8)
        log_likelihood = -0.5 * (residual**2).sum(axis=1) - np.log(self.sigma).sum() - 4 * log(2 * pi)
        log_theta = -0.5 * (eta**2).sum(axis=1) - 8 * u[:, 0] - 4 * log(2 * pi)
        log_mu = -0.5 * (mu[:, 0] / 5) ** 2 - log(5) - 0.5 * log(2 * pi)
        # tau = e^u has the density p(tau) tau in u; p(tau) = 2 / (5 pi (1 + (tau/5)^2))
        log_u = log(2 / (5 * pi)) - np.log1p((tau[:, 0] / 5) ** 2) + u[:, 0]
        log_p = log_likelihood + log_theta + log_mu + log_u
        # eta = (theta - mu) / tau:  deta/dtheta = 1/tau,  deta/dmu = -1/tau,  deta/du = -eta
        dtheta = residual / self.sigma - eta / tau
        dmu = -mu / 25 + (eta / tau).sum(axis=1, keepdims=True)
        du = 1 - 2 * tau**2 / (25 + tau**2) + (eta**2).sum(axis=1, keepdims=True) - 8
        if self.centred:
            return log_p, np.concatenate([dmu, du, dtheta], axis=1)
        # A change of variables, theta = mu + tau eta: |det| = tau^8, and theta follows mu, u and eta.
        dmu = dmu + dtheta.sum(axis=1, keepdims=True)
        du = du + (dtheta * tau * eta).sum(axis=1, keepdims=True) + 8
        return log_p + 8 * u[:, 0], np.concatenate([dmu, du, dtheta * tau], axis=1)

    def parameters(self, x: npt.ArrayLike) -> Array:
        """mu, tau and theta_1 .. theta_8 of each row, named in `names`: (N, 10) -> (N, 10)."""
        samples = as_samples(x, self.dim, owner="EightSchools.parameters", dtype=np.float64)
        mu, tau, last = samples[:, :1], np.exp(samples[:, 1:2]), samples[:, 2:]
        return np.concatenate([mu, tau, last if self.centred else mu + tau * last], axis=1)


class LogisticRegression(Target):
    """y_n = 1 with the probability sigmoid(a_n), a = X w, and w ~ N(0, s^2 I)

        log p(w, y) = sum_n [y_n a_n - softplus(a_n)] + log N(w; 0, s^2 I)

    Parameters
    ----------
    X : array_like, shape (N, D)
        Features; add a column of ones for an intercept.
    y : array_like, shape (N,)
        Zeros and ones.
    prior_std : float
        s.
    """

    def __init__(self, X: npt.ArrayLike, y: npt.ArrayLike, prior_std: float = 1.0) -> None:
        who = "LogisticRegression"
        self.X = as_samples(X, None, owner=who, name="X", dtype=np.float64)
        self.y = as_real_array(y, who, "y").astype(np.float64)
        check_shape(self.y, (len(self.X),), who, "y")
        if not np.isin(self.y, (0, 1)).all():
            raise NiceValueError(f"{who}: y must hold zeros and ones, got {np.unique(self.y)[:5]}")
        self.dim, self.prior_std = self.X.shape[1], as_float(prior_std, who, "prior_std", above=0)

    def _log_prob_and_grad(self, x: Array) -> tuple[Array, Array]:
        a = x @ self.X.T  # (n, N): x holds n vectors w
        variance = self.prior_std**2
        log_likelihood = a @ self.y - np.logaddexp(0, a).sum(axis=1)
        log_prior = -0.5 * ((x**2).sum(axis=1) / variance + self.dim * log(2 * pi * variance))
        # d softplus(a)/da = sigmoid(a) = (1 + tanh(a/2)) / 2
        return log_likelihood + log_prior, (self.y - 0.5 * (1 + np.tanh(0.5 * a))) @ self.X - x / variance

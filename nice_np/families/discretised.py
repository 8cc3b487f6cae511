"""The probability of an integer: a mixture of logistics, integrated over the bin of width `step` around z.

    P(z) = sum_k w_k [sigmoid(b_k) - sigmoid(a_k)],   a_k, b_k = (z -+ step/2 - mu_k) / s_k      (Salimans et al. 2017)

With c = (z - mu) / s and d = step / s, a = c - d/2 and b = c + d/2.  The difference is never computed as one:

    sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - e^-d)

since sigmoid(b) / sigmoid(-b) = e^b.  So its logarithm l is a sum, which loses neither the tails nor thin bins, and

    dl/dc = sigmoid(-b) - sigmoid(a),    dl/dd = (sigmoid(-b) + sigmoid(a)) / 2 + 1 / (e^d - 1)

The sum of P over all integers is 1, for every w, mu and s.  z need not be on the grid: P is smooth in z.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nice_np.families.mixture import Mixture, log_sum_exp
from nice_np.families.rounding import SHIFT
from nice_np.validation import Array


class MassCache(NamedTuple):
    """For every z and component, (K, N, B): 1/s, w_k, the share of k in P, and c, d with the slopes of l in them."""

    inverse_width: Array
    weights: Array
    shares: Array
    c: Array
    d: Array
    to_c: Array
    to_d: Array


def mixture_of(theta: Array) -> Mixture:
    """theta (N, 3 K, B) as K logistics (K, N, B): logits, mu in units of 1/64, and r.

        log s = r / sqrt(1 + r^2 / 25) - 3.5

    At theta = 0 the places lie evenly over [0, 1], both ends included, and the widths are e^-3.5, eight of 256 levels.
    They stay between e^-8.5, a tenth of a level, and e^1.5.
    """
    n, k = theta.shape[0], theta.shape[1] // 3
    logits, mu, r = np.ascontiguousarray(theta.transpose(1, 0, 2)).reshape(3, k, n, -1)
    places = np.linspace(0, 1, k, dtype=theta.dtype)[:, None, None]
    return Mixture(logits, SHIFT * mu + places, r / np.sqrt(1 + r * r / 25) - theta.dtype.type(3.5))


def mixture_backward(dmixture: Mixture, mixture: Mixture) -> Array:
    """dL/dtheta (N, 3 K, B) from dL/d(mixture), (K, N, B)."""
    y = mixture.s + mixture.s.dtype.type(3.5)  # with y = r / sqrt(1 + r^2 / 25): dy/dr = (1 - y^2 / 25)^(3/2)
    dr = dmixture.s * np.maximum(1 - y * y / 25, 0) ** 1.5
    dtheta: Array = np.concatenate([dmixture.logits, SHIFT * dmixture.mu, dr]).transpose(1, 0, 2)
    return dtheta


def log_mass(z: Array, mixture: Mixture, step: float) -> tuple[Array, MassCache]:
    """log P (N, B) of z (N, B), and a cache; the mixture is (K, N, B) or (K, 1, B)."""
    logits, mu, s = mixture  # s is the logarithm of the width
    inverse_width = np.exp(-s)
    c, d = (z - mu) * inverse_width, z.dtype.type(step) * inverse_width  # (K, N, B)
    below, log_below = _softplus(c - d / 2)  # sigmoid(a), -log sigmoid(-a)
    above, log_above = _softplus(-c - d / 2)  # sigmoid(-b), -log sigmoid(b)
    e = np.expm1(-d)
    total, weights = log_sum_exp(logits)
    log_p, shares = log_sum_exp(logits - total - log_below - log_above + np.log(-e))
    to_d = (above + below) / 2 - (1 + e) / e  # 1 / (e^d - 1) = e^-d / (1 - e^-d)
    return log_p, MassCache(inverse_width, weights, shares, c, d, above - below, to_d)


def log_mass_backward(dlog_p: Array, cache: MassCache) -> tuple[Array, Mixture]:
    """dL/dz (N, B), and dL/d(mixture), (K, N, B), from dL/dlog P (N, B)."""
    dl = cache.shares * dlog_p  # log P is a log-sum-exp of log w_k + l_k, whose gradient is the shares
    dc, dd = dl * cache.to_c, dl * cache.to_d
    dx = dc * cache.inverse_width  # dc/dz = 1/s, dc/dmu = -1/s; with s = e^v, dc/dv = -c and dd/dv = -d
    return dx.sum(axis=0), Mixture(dl - cache.weights * dlog_p, -dx, -dc * cache.c - dd * cache.d)


def _softplus(u: Array) -> tuple[Array, Array]:
    """sigmoid(u) and log(1 + e^u)."""
    small = np.exp(-np.abs(u))  # never overflows
    return np.where(u > 0, 1, small) / (1 + small), np.maximum(u, 0) + np.log1p(small)

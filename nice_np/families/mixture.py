"""x through the distribution function of a mixture of logistics, and back to the line by a logit (Flow++).

    F(x) = sum_k pi_k sigmoid(u_k),    u_k = (x - mu_k) exp(-s_k)
    v = logit F = log F - log (1 - F),    dv/dx = f / (F (1 - F)),    f = F'      (Ho et al. 2019, section 3.2)

F, 1 - F and f are sums over k.  Their logarithms are log-sum-exps, which lose neither tail: 1 - F is never computed as
a difference, since 1 - sigmoid(u) = sigmoid(-u):

    log F       = lse_k(log pi_k + log sigmoid(u_k))
    log (1 - F) = lse_k(log pi_k + log sigmoid(-u_k))
    log f       = lse_k(log pi_k + log sigmoid(u_k) + log sigmoid(-u_k) - s_k)

v rises from -inf to inf, for every pi, mu and s.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nice_np.validation import Array


class Mixture(NamedTuple):
    """K logistics for every x, or the gradient with respect to them: arrays (K, N, B); pi = softmax(logits)."""

    logits: Array
    mu: Array
    s: Array


class MixtureCache(NamedTuple):
    """For every x and component, (K, N, B); in_F, in_G, in_f are the shares of the terms in F, G = 1 - F and f."""

    inverse_width: Array
    pi: Array
    u: Array
    sigmoid: Array
    in_F: Array
    in_G: Array
    in_f: Array


def logit_of_mixture(x: Array, mixture: Mixture) -> tuple[Array, Array, MixtureCache]:
    """v, log dv/dx, cache; x (N, B)."""
    logits, mu, s = mixture
    total, pi = log_sum_exp(logits)
    log_pi, inverse_width = logits - total, np.exp(-s)
    u = (x - mu) * inverse_width  # (K, N, B)
    log_sigmoid = -np.logaddexp(0, -u)
    log_rest = log_sigmoid - u  # log sigmoid(-u)
    log_F, in_F = log_sum_exp(log_pi + log_sigmoid)
    log_G, in_G = log_sum_exp(log_pi + log_rest)
    log_f, in_f = log_sum_exp(log_pi + log_sigmoid + log_rest - s)
    cache = MixtureCache(inverse_width, pi, u, np.exp(log_sigmoid), in_F, in_G, in_f)
    return log_F - log_G, log_f - log_F - log_G, cache


def logit_of_mixture_backward(dv: Array, dlog_slope: Array, cache: MixtureCache) -> tuple[Array, Mixture]:
    """dL/dx, and dL/d(mixture)."""
    inverse_width, pi, u, sigmoid, in_F, in_G, in_f = cache
    # v = log F - log G and log dv/dx = log f - log F - log G; the gradient of a log-sum-exp is its shares.
    to_F = in_F * (dv - dlog_slope)
    to_G = in_G * (-dv - dlog_slope)
    to_f = in_f * dlog_slope
    dlog_pi = to_F + to_G + to_f
    dlogits = dlog_pi - pi * dlog_pi.sum(axis=0)  # log pi_k = logits_k - lse(logits)
    # d log sigmoid(u) / du = 1 - sigmoid(u),  d log sigmoid(-u) / du = -sigmoid(u)
    du = (to_F + to_f) * (1 - sigmoid) - (to_G + to_f) * sigmoid
    dx = du * inverse_width  # of each component: du/dx = exp(-s), du/dmu = -exp(-s), du/ds = -u
    return dx.sum(axis=0), Mixture(dlogits, mu=-dx, s=-u * du - to_f)


def slope_of(cache: MixtureCache) -> Array:
    """dv/dx > 0 (N, B) as dF/F + dG/G, all terms positive: far out log f - log F - log G is lost in rounding."""
    with np.errstate(over="ignore"):  # 1 / inf is rightly 0
        rest = 1 / (1 + np.exp(cache.u))  # sigmoid(-u)
    slope: Array = ((cache.in_F * rest + cache.in_G * cache.sigmoid) * cache.inverse_width).sum(axis=0)
    return slope


def log_sum_exp(terms: Array) -> tuple[Array, Array]:
    """log sum_k exp(terms_k) (N, B), and the share of each term in the sum (K, N, B)."""
    largest = terms.max(axis=0)
    shares = np.exp(terms - largest)
    total = shares.sum(axis=0)
    shares /= total
    return largest + np.log(total), shares

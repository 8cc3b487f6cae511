"""UMNN: the integral of a positive network is an increasing function, and every smooth increasing one is an integral.

    y = h(x; theta) = beta + int_0^x g(t) dt,   g(t) = softplus(c + sum_k v_k tanh(w_k t + b_k)) + 1/1000 > 0

(Wehenkel & Louppe 2019, equation 1.)  In the paper one network g serves all features and sees, beside t, an
embedding of the features before; here theta holds the weights of a small g for each feature, so that only the
conditioner is trained.  g stays above 1/1000, so h maps the line onto the line.  The inverse is a search.

By Leibniz' rule, with the integrals as sums over Q nodes between 0 and x (Gauss-Legendre quadrature),

    dy/dx = g(x),   dy/dtheta = int_0^x dg(t)/dtheta dt,   log|det| = sum_j log g(x_j)

so dL/dtheta is a sum of dL/dg(t) dg(t)/dtheta, one backward pass of the network at all nodes t and at x.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nice_np.bijectors.coupling import Coupling
from nice_np.families.autoregressive import Autoregressive
from nice_np.families.implicit import ImplicitLaw
from nice_np.validation import Array

UNITS = 8  # K, of each network g
FLOOR = 1e-3
# At theta = 0, where training starts, h(x) = x and unit k bends at t = -BENDS_k: all over the data.
BENDS = np.linspace(-2.0, 2.0, UNITS)[:, None]  # (K, 1)
SHIFT = float(np.log(np.expm1(1 - FLOOR)))  # softplus(SHIFT) + FLOOR = 1
_nodes, _weights = np.polynomial.legendre.leggauss(32)
NODES = 0.5 * np.append(_nodes + 1, 2.0)  # (Q + 1,), of the interval from 0 to 1, and behind them its end
WEIGHTS = 0.5 * np.append(_weights, 0.0)  # int_0^1 f(u) du = sum_q WEIGHTS_q f(NODES_q); the end does not count


class UMNNCache(NamedTuple):
    """t = x NODES and g(t): (N, B, Q + 1), h = tanh(w t + b): (N, K, B, Q + 1), w and v: (N, K, B)."""

    t: Array
    g: Array
    h: Array
    w: Array
    v: Array


class UMNNLaw(ImplicitLaw):
    """y = beta + int_0^x g(t) dt,  theta = [beta | c | w | b | v];  log|det| = sum_j log g(x_j)"""

    thetas_per_feature = 2 + 3 * UNITS

    def _couple(self, x_b: Array, theta: Array) -> tuple[Array, Array, UMNNCache]:
        y_b, cache = self._integral(x_b, theta)
        return y_b, np.log(cache.g[..., -1]).sum(axis=1), cache

    def _value_and_slope(self, x_b: Array, theta: Array) -> tuple[Array, Array]:
        y_b, cache = self._integral(x_b, theta)
        return y_b, cache.g[..., -1]  # dy/dx = g(x)

    def _integral(self, x_b: Array, theta: Array) -> tuple[Array, UMNNCache]:
        dtype = x_b.dtype
        parts = theta.reshape(len(theta), self.thetas_per_feature, x_b.shape[1])  # (N, T, B)
        beta, c = parts[:, 0], parts[:, 1] + SHIFT  # (N, B)
        w, b, v = np.split(parts[:, 2:], 3, axis=1)  # (N, K, B)
        w, b = w + 1, b + BENDS.astype(dtype)
        t = x_b[..., None] * NODES.astype(dtype)  # (N, B, Q + 1)
        h = np.tanh(w[..., None] * t[:, None] + b[..., None])  # (N, K, B, Q + 1)
        g = np.logaddexp(0, c[..., None] + np.einsum("nkb,nkbq->nbq", v, h)) + FLOOR
        return beta + x_b * (g @ WEIGHTS.astype(dtype)), UMNNCache(t, g, h, w, v)

    def _couple_backward(self, dy_b: Array, dlog_det: Array, cache: UMNNCache) -> tuple[Array, Array]:
        t, g, h, w, v = cache
        # y = beta + x sum_q WEIGHTS_q g(t_q), log_det = log g(x):  dL/dg at the nodes, and at x behind them
        dg = (dy_b * t[..., -1])[..., None] * WEIGHTS.astype(g.dtype)  # (N, B, Q + 1)
        dg[..., -1] = dlog_det[:, None] / g[..., -1]
        da = dg * -np.expm1(FLOOR - g)  # g = softplus(a) + FLOOR:  dg/da = sigmoid(a) = 1 - exp(-softplus(a))
        dv = np.einsum("nbq,nkbq->nkb", da, h)  # a = c + sum_k v_k h_k
        du = da[:, None] * v[..., None] * (1 - h**2)  # h = tanh(u), u = w t + b: (N, K, B, Q + 1)
        dw, db = np.einsum("nkbq,nbq->nkb", du, t), du.sum(axis=3)
        # x is the end of the integral, dy/dx = g(x), and in log g(x), where du/dx = w
        dx_b = dy_b * g[..., -1] + (du[..., -1] * w).sum(axis=1)
        dtheta = np.concatenate([dy_b[:, None], da.sum(axis=2)[:, None], dw, db, dv], axis=1)  # (N, T, B)
        return dx_b, dtheta.reshape(len(dtheta), self.thetas_per_feature * dtheta.shape[2])


class UMNNCoupling(UMNNLaw, Coupling):
    """y_b = beta + int_0^x_b g(t) dt,  (beta, g) = m(x_a);  log|det J| = sum_j log g_j(x_j)

    Parameters
    ----------
    partition : Partition
    conditioner : Module
        m: (N, A) -> (N, 26 * B), see `UMNNLaw`.

    Examples
    --------
    >>> from nice_np import MLP, Partition
    >>> UMNNCoupling(Partition.odd_even(4), MLP((2, 16, 52), rng=0))
    UMNNCoupling(dim=4, kept=2, conditioner=MLP(2-16-52, relu))
    """


class UMNNAutoregressive(UMNNLaw, Autoregressive):
    """z_i = beta_i + int_0^x_i g_i(t) dt,  (beta_i, g_i) = m_i(x_<i, c);  log|det J| = sum_i log g_i(x_i)

    Parameters
    ----------
    conditioner : MaskedMLP
        m: (N, D + C) -> (N, 26 * D).
    """

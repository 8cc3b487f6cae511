"""A network evaluated together with tangents: y = m(x) and J v for K directions v, J = dm/dx, and the gradient of both.

A tangent says how a small step of x moves on through the layers.  Behind a = h W + b and f it is

    U = T W,    T <- f'(a) U                                    T = v in front of the first layer, J v behind the last

so K directions cost K more rows in every product, and no Jacobian is ever stored.  With the unit vectors they are J
itself, column by column.  For a random v with E[v v^T] = I

    tr J = E[v . J v]                                              (Hutchinson 1990; Grathwohl et al. 2019, section 3.1)

so a single direction estimates a trace.  Backwards h = f(a) and T = f'(a) U both depend on a:

    da = f'(a) dh + f''(a) sum_k U_k dT_k,    dU = f'(a) dT,    dW = h^T da + sum_k T_k^T dU_k

Hence f needs a second derivative.  That of a ReLU is 0: its J is constant piece by piece, and so is the trace.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from nice_np.errors import NiceTypeError
from nice_np.networks.activations import Smooth
from nice_np.networks.mlp import MLP, Linear
from nice_np.validation import Array


class TangentCache(NamedTuple):
    """What the gradient needs: what enters each linear layer, and behind all but the last one U and f'(a)."""

    values: list[Array]  # h (N, n_k)
    tangents: list[Array]  # T (N, K, n_k)
    products: list[Array]  # U (N, K, n_{k+1})
    slopes: list[Array]  # f'(a) (N, n_{k+1})


def smooth_activation(mlp: MLP, owner: str) -> Smooth:
    """The network's activation, or NiceTypeError if it has no second derivative."""
    if not isinstance(mlp.activation, Smooth):
        raise NiceTypeError(
            f"{owner}: the gradient of a Jacobian needs an activation with a second derivative; that of "
            f"{mlp.activation!r} is 0 or unknown; take activation='tanh' or 'softplus'"
        )
    return mlp.activation


def uniforms_of_rows(mlp: MLP, x: Array, n: int, seed: int = 0) -> Array:
    """Numbers as good as uniform in [0, 1), a fixed function of the row and the weights: (N, n).

    They are the fractional parts of x F, with random frequencies F of several periods per unit of x.  So an estimate
    made with them is a function of the row alone, whatever the batch, and has a gradient.  F changes as soon as the sum
    of all weights has moved by 0.1, in training every few steps: a flow could learn to exploit a fixed one.
    """
    total = sum(float(array.sum(dtype=np.float64)) for _, array, _ in mlp.named_parameters())
    place = int(np.nan_to_num(10 * total, posinf=0, neginf=0)) % 2**32
    F = np.random.default_rng([seed, place]).normal(0, 10, (x.shape[1], n)).astype(x.dtype)
    uniforms: Array = np.mod(x @ F, 1)
    return uniforms


def signs_of_rows(mlp: MLP, x: Array, k: int, seed: int = 0) -> Array:
    """K directions of signs / sqrt(K) for each row of x, (N, K, m): E[sum_k v_k v_k^T] = I.

    Of all v with independent entries, signs have the smallest variance: the diagonal of J adds none.
    """
    m = mlp.sizes[-1]
    signs = np.where(uniforms_of_rows(mlp, x, k * m, seed) < 0.5, -1, 1).astype(x.dtype)  # (N, K m)
    V: Array = signs.reshape(len(x), k, m) / x.dtype.type(sqrt(k))
    return V


def forward_with_tangents(mlp: MLP, x: Array, V: Array) -> tuple[Array, Array, TangentCache]:
    """m(x) and J V.

    Parameters
    ----------
    mlp : MLP
        With a smooth activation.
    x : ndarray, shape (N, n)
    V : ndarray, shape (N, K, n)
        K directions for each row.

    Returns
    -------
    y : ndarray, shape (N, m)
    JV : ndarray, shape (N, K, m)
        Row k is J v_k at this x.
    cache : TangentCache
    """
    f = smooth_activation(mlp, "forward_with_tangents")
    h, T = x, V
    cache = TangentCache([h], [T], [], [])
    for layer in mlp.layers[:-1]:
        U = _times(T, layer.W)  # (N, K, width)
        h = f.forward(layer.product(h), layer.b)  # (N, width)
        slope = f.backward(np.ones_like(h), h)  # f'(a), from h = f(a)
        T = slope[:, None] * U
        for kept, array in zip(cache, (h, T, U, slope), strict=True):
            kept.append(array)
    return mlp.layers[-1].forward(h), _times(T, mlp.layers[-1].W), cache


def backward_with_tangents(
    mlp: MLP, dy: Array, dJV: Array, cache: TangentCache, parameters: bool = True
) -> tuple[Array, Array]:
    """The gradient through both outputs: writes dL/dW and dL/db of each layer.

    Parameters
    ----------
    mlp : MLP
    dy : ndarray, shape (N, m)
    dJV : ndarray, shape (N, K, m)
    cache : TangentCache
        From `forward_with_tangents`.
    parameters : bool
        False leaves the gradients of the parameters as they are.

    Returns
    -------
    dx : ndarray, shape (N, n)
    dV : ndarray, shape (N, K, n)
    """
    f = smooth_activation(mlp, "backward_with_tangents")
    dh, dT = _linear_backward(mlp.layers[-1], dy, dJV, cache.values[-1], cache.tangents[-1], parameters)
    for k in range(len(mlp.layers) - 2, -1, -1):
        h, U, slope = cache.values[k + 1], cache.products[k], cache.slopes[k]
        dU = slope[:, None] * dT  # T = f'(a) U
        da = slope * dh + f.second(h) * (U * dT).sum(axis=1)  # h = f(a), and T = f'(a) U once more
        dh, dT = _linear_backward(mlp.layers[k], da, dU, cache.values[k], cache.tangents[k], parameters)
    return dh, dT


def _linear_backward(layer: Linear, da: Array, dU: Array, h: Array, T: Array, parameters: bool) -> tuple[Array, Array]:
    """Through a = h W + b and U = T W: dL/dh and dL/dT."""
    dh = layer.backward(da, h, parameters)
    if parameters:
        # (n_in, N K) @ (N K, n_out): W acts on every tangent as well, b on none
        layer.dW += T.reshape(-1, T.shape[2]).T @ dU.reshape(-1, dU.shape[2])
    return dh, _times(dU, layer.W.T)


def _times(T: Array, W: Array) -> Array:
    """T W for each row: (N, K, n) -> (N, K, width), as one product of two matrices."""
    N, K, n = T.shape
    product: Array = np.dot(T.reshape(N * K, n), W)  # (N K, width)
    return product.reshape(N, K, W.shape[1])

"""Spectral normalisation: a network that is a contraction, |g(x) - g(x')| <= c^K |x - x'| for K linear layers, c < 1.

A matrix stretches no vector by more than its largest singular value sigma, and an activation with slopes in [-1, 1]
(tanh, softplus) none at all.  So every W is used as W_c, whose sigma is at most c (Behrmann et al. 2019, section 2.1):

    W_c = W min(1, c / sigma(W))

With u and v the unit vectors of sigma = u^T W v, u.du = 0 and v.dv = 0 leave d sigma = u^T dW v, hence for sigma > c

    d sigma / dW = u v^T,    dL/dW = (c / sigma) (dL/dW_c - <dL/dW_c, W> / sigma  u v^T)
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from nice_np.networks.mlp import MLP, Linear
from nice_np.validation import Array

SQUARINGS = 30  # 2^30 steps of power iteration


class Normalised(NamedTuple):
    """W_c (n, m), the factor min(1, c / sigma), and sigma, u (n,), v (m,) of W."""

    W_c: Array
    factor: float
    sigma: Any
    u: Array
    v: Array


def normalised(W: Array, c: float) -> Normalised:
    """W min(1, c / sigma(W))."""
    sigma, u, v = largest_singular(W)
    factor = c / sigma if sigma > c else 1.0
    return Normalised(W * W.dtype.type(factor), factor, sigma, u, v)


def normalised_backward(dW_c: Array, W: Array, of: Normalised) -> Array:
    """dL/dW from dL/dW_c."""
    if of.factor == 1:
        return dW_c
    along = (dW_c * W).sum() / of.sigma * np.outer(of.u, of.v)  # (n, m)
    dW: Array = (of.factor * (dW_c - along)).astype(W.dtype)
    return dW


def contraction(network: MLP, weights: list[Normalised]) -> MLP:
    """The network with its W_c, one for each W: with its biases, but with gradients of its own."""
    made = copy.copy(network)
    made.layers = tuple(Linear(one.W_c, layer.b) for one, layer in zip(weights, network.layers, strict=True))
    return made


def contraction_backward(network: MLP, made: MLP, weights: list[Normalised]) -> None:
    """Write dL/dW and dL/db of the network from those of its contraction."""
    for layer, normal, one in zip(network.layers, made.layers, weights, strict=True):
        layer.db[...] = normal.db
        layer.dW[...] = normalised_backward(normal.dW, layer.W, one)


def largest_singular(W: Array) -> tuple[Any, Array, Array]:
    """The largest singular value of W (n, m), and its unit vectors u (n,) and v (m,), by power iteration.

    Multiplied by B = A^T A again and again, a vector turns into the direction that B stretches most.  Squaring B
    doubles the steps: B^2, B^4, B^8, ..., until B has rank one, when all its columns are that direction.
    """
    A = W.astype(np.float64)
    A = A if A.shape[0] >= A.shape[1] else A.T  # B is the smaller of the two products
    B = A.T @ A
    size = np.trace(B)  # the sum of the eigenvalues, here of the squared singular values
    if size == 0:  # nothing is stretched
        return 0.0, np.zeros(W.shape[0]), np.zeros(W.shape[1])
    for _ in range(SQUARINGS):
        B /= size
        B = B @ B
        size = np.trace(B)
        if size >= 1 - 1e-15:  # the eigenvalues add up to 1, and so do their squares: only one is left
            break
    v = B[:, np.diag(B).argmax()]
    u = A @ (v / np.sqrt(v @ v))
    sigma = np.sqrt(u @ u)
    u = u / sigma
    v = A.T @ u / sigma  # one more step, for the rounding of the squares
    return (sigma, u, v) if W.shape[0] >= W.shape[1] else (sigma, v, u)

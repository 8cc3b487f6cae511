"""What theta means to a spline law: K bins on [-bound, bound] (Durkan et al. 2019, section 3.1).

Of each feature's 3 K - 1 numbers, K give the widths, K the heights, and K - 1 the slopes at the inner knots:

    width_k = 2 bound (e + (1 - K e) softmax(theta)_k)     the height likewise;  e = 0.001
    slope_k = e + softplus(theta_k + a)                    a = log(exp(1 - e) - 1), so that 0 gives slope 1

The slope at the two ends is 1, that of the identity outside, so y and dy/dx are continuous everywhere.
"""

from __future__ import annotations

from math import expm1, log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nice_np.families.spline import Bin
from nice_np.validation import Array

LEAST = 1e-3  # e
SHIFT = log(expm1(1 - LEAST))  # a


class Knots(NamedTuple):
    """The bins of B features for N rows.  The first three hold widths before heights, (2, K, N, B)."""

    share: Array  # the softmax
    size: Array
    end: Array  # right and upper end of each bin
    raw: Array  # (K + 1, N, B), theta of the slopes; 0 at the ends


class Place(NamedTuple):
    """Where a number lies among the knots."""

    beyond: npt.NDArray[np.bool_]  # (K - 1, N, B), whether it is to the right of each inner knot
    where: npt.NDArray[np.intp]  # (N, B), the position of its bin among all K N B
    softplus: Array  # (2, N, B), at the two knots of this bin


def knots_of(theta: Array, bins: int, bound: float) -> Knots:
    """theta: (N, (3 K - 1) B), a block of B columns for each number."""
    T, N = 3 * bins - 1, len(theta)
    B = theta.shape[1] // T
    blocks = np.ascontiguousarray(theta.reshape(N, T, B).swapaxes(0, 1))  # (T, N, B): sums over bins are fast
    logits = blocks[: 2 * bins].reshape(2, bins, N, B)
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    size = 2 * bound * (1 - bins * LEAST) * share + 2 * bound * LEAST
    end = size - bound
    for k in range(1, bins):  # np.cumsum takes several times as long
        end[:, k] = end[:, k - 1] + size[:, k]
    raw = np.zeros((bins + 1, N, B), theta.dtype)
    raw[1:-1] = blocks[2 * bins :]
    return Knots(share, size, end, raw)


def place_of(value: Array, axis: int, knots: Knots) -> tuple[Place, Bin]:
    """The place and the bin of each x (axis = 0) or y (axis = 1): (N, B)."""
    beyond = value >= knots.end[axis, :-1]
    each = np.arange(value.size).reshape(value.shape)
    where = beyond.sum(axis=0) * value.size + each
    w, h = knots.size.reshape(2, -1).take(where, axis=1)
    x1, y1 = knots.end.reshape(2, -1).take(where, axis=1)
    raw = knots.raw.reshape(-1)
    softplus = np.logaddexp(0, np.stack([raw.take(where), raw.take(where + value.size)]) + SHIFT)
    d0, d1 = softplus + LEAST
    return Place(beyond, where, softplus), Bin(x1 - w, w, y1 - h, h, d0, d1)


def theta_gradient(dbin: Bin, knots: Knots, place: Place, bound: float) -> Array:
    """dL/dtheta, of theta's shape, from the gradient with respect to the bins."""
    _, K, N, B = knots.size.shape
    dblocks = np.empty((3 * K - 1, N, B), knots.raw.dtype)
    dlogits = dblocks[: 2 * K].reshape(2, K, N, B)  # a view, first of dL/dsize
    # x0 = -bound + the widths before, so each of those gets dx0; the bin's own width gets dw, those behind nothing.
    for axis, (dstart, dwidth) in enumerate(((dbin.x0, dbin.w), (dbin.y0, dbin.h))):
        np.multiply(place.beyond, dstart, out=dlogits[axis, :-1])
        dlogits[axis, -1] = 0
        dlogits[axis].reshape(-1)[place.where] = dwidth
    dlogits *= 2 * bound * (1 - K * LEAST)  # dL/dshare
    # softmax: dL/dtheta_i = share_i (dshare_i - sum_j share_j dshare_j)
    dlogits -= np.einsum("aknb,aknb->anb", knots.share, dlogits)[:, None]
    dlogits *= knots.share
    draw = np.zeros_like(knots.raw)
    sigmoid = -np.expm1(-place.softplus)  # softplus' = sigmoid = 1 - e^-softplus
    draw.reshape(-1)[place.where] = dbin.d0 * sigmoid[0]
    draw.reshape(-1)[place.where + N * B] = dbin.d1 * sigmoid[1]
    dblocks[2 * K :] = draw[1:-1]  # those at the ends are fixed
    dtheta: Array = dblocks.swapaxes(0, 1).reshape(N, len(dblocks) * B)
    return dtheta

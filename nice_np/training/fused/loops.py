"""A run of coupling layers with MLPs as two compiled loops; `couplings` says why, and which layers qualify.

The mathematics, the names and the order are those of `bijectors.coupling`, `bijectors.additive`, `bijectors.affine`
and `networks.mlp`; read them there.  The layers are described by tables of whole numbers, one row each:

    couplings   law, first linear layer, number of linear layers, n_a, n_b, start of its indices, start of its values
    linears     start of W in the flat vector, n_in, n_out; b follows W
    settings    slope of the (leaky) ReLU below 0, bound B of log_s: (2,) for each coupling, in the dtype of the values
    indices     idx_a, then idx_b, of one coupling after another

`kept` stores what the gradient needs: for each coupling x_a and the outputs of its linear layers, theta last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.kernels import Kernel

A = npt.NDArray[np.floating[Any]]
Table = npt.NDArray[np.int64]
Indices = npt.NDArray[np.uint64]  # unsigned: no negative-index check

ADDITIVE, AFFINE = 0, 1  # the laws
QUICK = 1_000_000  # up to this N n_in n_out OpenBLAS has special kernels, 1.4 times as fast


def _couple(
    z: A, log_det: A, values: A, couplings: Table, linears: Table, settings: A, indices: Indices, kept: A
) -> None:
    """z (N, D) passes the couplings in place; log_det (N,) is added to; kept (N * width,) is written."""
    N, one = len(z), values.dtype.type(1)
    for k in range(len(couplings)):
        slope, bound = settings[k]
        inverse_bound = one / bound
        law, first, count, n_a, n_b, at, start = couplings[k]
        h = kept[N * start : N * (start + n_a)].reshape(N, n_a)
        for n in range(N):
            for j in range(n_a):
                h[n, j] = z[n, indices[at + j]]  # x_a
        for i in range(first, first + count):
            w, n_in, n_out = linears[i]
            start += n_in
            a = kept[N * start : N * (start + n_out)].reshape(N, n_out)
            np.dot(h, values[w : w + n_in * n_out].reshape(n_in, n_out), a)
            b = values[w + n_in * n_out : w + (n_in + 1) * n_out]
            below_0 = slope if i < first + count - 1 else one  # the last layer has no activation
            for n in range(N):
                for j in range(n_out):
                    shifted = a[n, j] + b[j]
                    a[n, j] = shifted if shifted > 0 else below_0 * shifted  # f(h W + b)
            h = a
        at += n_a
        if law == ADDITIVE:  # y_b = x_b + t
            for n in range(N):
                for j in range(n_b):
                    z[n, indices[at + j]] += h[n, j]
        else:  # y_b = x_b e^log_s + t, log_s = B tanh(r / B); then (log_s, x_b e^log_s) replaces theta = (r, t)
            for n in range(N):
                for j in range(n_b):
                    log_s = bound * np.tanh(inverse_bound * h[n, j])
                    scaled = z[n, indices[at + j]] * np.exp(log_s)
                    z[n, indices[at + j]] = scaled + h[n, n_b + j]
                    h[n, j], h[n, n_b + j] = log_s, scaled
                    log_det[n] += log_s


def _couple_backward(
    dz: A, dlog_det: A, values: A, grads: A,
    couplings: Table, linears: Table, settings: A, indices: Indices, kept: A, add: bool,
) -> None:  # fmt: skip
    """dz (N, D) becomes dx in place; gradients are written into grads (P,), or with `add` added to it."""
    N, one = len(dz), values.dtype.type(1)
    for k in range(len(couplings) - 1, -1, -1):
        slope, bound = settings[k]
        inverse_bound = one / bound
        law, first, count, n_a, n_b, at, start = couplings[k]
        for i in range(first, first + count):
            start += linears[i, 1]
        n_theta = linears[first + count - 1, 2]
        d = np.empty((N, n_theta), dz.dtype)  # dL/dtheta
        b_at = at + n_a
        if law == ADDITIVE:
            for n in range(N):
                for j in range(n_b):
                    d[n, j] = dz[n, indices[b_at + j]]
        else:
            theta = kept[N * start : N * (start + n_theta)].reshape(N, n_theta)
            for n in range(N):
                for j in range(n_b):
                    dy, log_s, scaled = dz[n, indices[b_at + j]], theta[n, j], theta[n, n_b + j]
                    ratio = inverse_bound * log_s
                    d[n, j] = (dy * scaled + dlog_det[n]) * (one - ratio * ratio)  # log_s = B tanh(r / B)
                    d[n, n_b + j] = dy
                    dz[n, indices[b_at + j]] = dy * np.exp(log_s)
        for i in range(first + count - 1, first - 1, -1):
            w, n_in, n_out = linears[i]
            start -= n_in
            h = kept[N * start : N * (start + n_in)].reshape(N, n_in)
            dW = grads[w : w + n_in * n_out].reshape(n_in, n_out)
            db = grads[w + n_in * n_out : w + (n_in + 1) * n_out]
            if add:
                more = np.empty((n_in, n_out), dz.dtype)
                np.dot(h.T, d, more)
                for q in range(n_in):
                    for j in range(n_out):
                        dW[q, j] += more[q, j]
            else:
                np.dot(h.T, d, dW)
                for j in range(n_out):
                    db[j] = 0
            for n in range(N):
                for j in range(n_out):
                    db[j] += d[n, j]
            W = values[w : w + n_in * n_out].reshape(n_in, n_out)
            dh = np.empty((N, n_in), dz.dtype)
            if N * n_in * n_out <= QUICK:  # faster still with a contiguous matrix
                W_T = np.empty((n_out, n_in), dz.dtype)
                for j in range(n_in):
                    for q in range(n_out):
                        W_T[q, j] = W[j, q]
                np.dot(d, W_T, dh)
            else:
                np.dot(d, W.T, dh)
            if i > first:
                for n in range(N):
                    for j in range(n_in):
                        dh[n, j] = dh[n, j] if h[n, j] > 0 else slope * dh[n, j]
            d = dh
        for n in range(N):
            for j in range(n_a):
                dz[n, indices[at + j]] += d[n, j]


# Without Numba the loops give the same numbers, far too slowly for anything but stepping through.
couple = Kernel(_couple, _couple)
couple_backward = Kernel(_couple_backward, _couple_backward)

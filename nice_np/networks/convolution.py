"""The 3x3 convolution: y_p = b + sum_k x_{p + o_k} W_k over the nine neighbours p + o_k of every pixel p.

Images are (N, height, width, channels), x_p is a row of channels, W_k a matrix, and x is zero beyond the border.  With
the nine neighbours of a pixel in one row, the sum over k is one matrix product.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nice_np.parameters import Module
from nice_np.validation import Array


def neighbours(x: Array) -> Array:
    """The 3x3 surroundings of every pixel, zeros beyond the border: (N, h, w, c) -> (N h w, 9 c)."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = sliding_window_view(padded, (3, 3, x.shape[3]), axis=(1, 2, 3))  # (N, h, w, 1, 3, 3, c)
    return windows.reshape(-1, 9 * x.shape[3])


class Conv3x3(Module):
    """y_p = b + sum_k x_{p + o_k} W_k, the offsets o_k being (-1, -1), (-1, 0), ... (1, 1).

    Parameters
    ----------
    W : ndarray, shape (3, 3, c_in, c_out)
    b : ndarray, shape (c_out,)
    """

    param_names = ("W", "b")

    def __init__(self, W: Array, b: Array) -> None:
        self.W, self.b = W, b
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)

    def product(self, x: Array) -> Array:
        """y without b: the sum over the neighbours."""
        c_out = len(self.b)
        y: Array = neighbours(x) @ self.W.reshape(-1, c_out)  # (N h w, 9 c_in) @ (9 c_in, c_out) -> (N h w, c_out)
        return y.reshape(*x.shape[:3], c_out)

    def backward(self, dy: Array, x: Array, parameters: bool = True) -> Array:
        # With p + o_k = q and o_{8-k} = -o_k, both gradients are made of dy's neighbours:
        # dL/dx_q = sum_k dy_{q - o_k} W_k^T = sum_k dy_{q + o_k} W_{8-k}^T,    a convolution with the rotated kernel
        # dL/dW_k = sum_q x_q^T dy_{q - o_k},  so  dL/dW_{8-k} = sum_q x_q^T dy_{q + o_k}
        c_in, c_out = self.W.shape[2:]
        near = neighbours(dy)  # (N h w, 9 c_out)
        if parameters:
            rotated = x.reshape(-1, c_in).T @ near  # (c_in, N h w) @ (N h w, 9 c_out) -> (c_in, 9 c_out)
            self.dW[...] = rotated.reshape(c_in, 3, 3, c_out)[:, ::-1, ::-1].transpose(1, 2, 0, 3)
            self.db[...] = dy.sum(axis=(0, 1, 2))
        kernel = self.W[::-1, ::-1].swapaxes(2, 3).reshape(-1, c_in)  # (9 c_out, c_in)
        dx: Array = near @ kernel  # (N h w, 9 c_out) @ (9 c_out, c_in) -> (N h w, c_in)
        return dx.reshape(x.shape)

    def __repr__(self) -> str:
        return f"Conv3x3({self.W.shape[2]}, {self.W.shape[3]})"

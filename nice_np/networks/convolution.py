"""Convolutions of images (N, height, width, channels), each one matrix product over the rows of all pixels.

    1x1:    y_p = x_p W + b                          x_p a row of channels, W a matrix
    3x3:    y_p = b + sum_k x_{p + o_k} W_k          over the nine neighbours p + o_k of p, zeros beyond the border

`neighbours` is a linear map P: it puts the nine neighbours of a pixel side by side, so that y = P(x) W.  Its transpose
P^T, `add_to_neighbours`, is all that the gradient needs:

    y = P(x) W:     dL/dW = P(x)^T dL/dy,    dL/dx = P^T(dL/dy W^T)

P and P^T take time in proportion to the channels they move.  Where the output has fewer than the input, the same sum
is better written the other way round: pixel q adds x_q W_k to each p = q - o_k.  With o_{8-k} = -o_k that is
y = P^T(x V), where V holds the nine matrices W_k side by side in reversed order, and the gradient needs P:

    y = P^T(x V):   dL/dV = x^T P(dL/dy),    dL/dx = P(dL/dy) V^T
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nice_np.kernels import Kernel, add_to_neighbours_loop, neighbours_loop
from nice_np.networks.mlp import Linear
from nice_np.parameters import Module
from nice_np.validation import Array


def _neighbours_twin(padded: Array, u: Array) -> None:
    channels = u.shape[4] // 3
    images = padded.reshape(*padded.shape[:2], u.shape[2] + 2, channels)  # (N, h + 2, w + 2, c)
    windows = sliding_window_view(images, (3, 3, channels), axis=(1, 2, 3))  # (N, h, w, 1, 3, 3, c)
    u.reshape(windows.shape)[...] = windows


see_neighbours = Kernel(neighbours_loop, _neighbours_twin)


def neighbours(x: Array) -> Array:
    """P: the 3x3 surroundings of every pixel, zeros beyond the border: (N, h, w, c) -> (N h w, 9 c)."""
    n, height, width, channels = x.shape
    padded = np.zeros((n, height + 2, width + 2, channels), x.dtype)
    padded[:, 1:-1, 1:-1] = x
    u = np.empty((n, height, width, 3, 3 * channels), x.dtype)
    see_neighbours(padded.reshape(n, height + 2, (width + 2) * channels), u)
    return u.reshape(n * height * width, 9 * channels)


def _add_to_neighbours_twin(u: Array, padded: Array) -> None:
    _, height, width, _, row = u.shape
    images = padded.reshape(*padded.shape[:2], width + 2, row // 3)
    for k in range(9):
        i, j = divmod(k, 3)
        images[:, i : i + height, j : j + width] += u.reshape(*u.shape[:3], 9, row // 3)[:, :, :, k]


add_in_place = Kernel(add_to_neighbours_loop, _add_to_neighbours_twin)


def add_to_neighbours(u: Array, shape: tuple[int, ...]) -> Array:
    """P^T: a pixel adds nine rows to its neighbours, x_q = sum_k u_{q - o_k, k}: (N h w, 9 c) -> (N, h, w, c)."""
    n, height, width, channels = shape
    padded = np.zeros((n, height + 2, (width + 2) * channels), u.dtype)
    add_in_place(u.reshape(n, height, width, 3, 3 * channels), padded)
    return np.ascontiguousarray(padded.reshape(n, height + 2, width + 2, channels)[:, 1:-1, 1:-1])


class Conv1x1(Linear):
    """y_p = x_p W + b.

    Parameters
    ----------
    W : ndarray, shape (c_in, c_out)
    b : ndarray, shape (c_out,)
    """

    def product(self, x: Array) -> Array:
        """y without b: (N, h, w, c_in) -> (N, h, w, c_out)."""
        return super().product(x.reshape(-1, x.shape[3])).reshape(*x.shape[:3], len(self.b))

    def backward(self, dy: Array, x: Array, parameters: bool = True) -> Array:
        rows, drows = (v.reshape(-1, v.shape[3]) for v in (x, dy))  # (N h w, c_in), (N h w, c_out)
        return super().backward(drows, rows, parameters).reshape(x.shape)

    def __repr__(self) -> str:
        return f"Conv1x1({self.W.shape[0]}, {self.W.shape[1]})"


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
        """y without b: (N, h, w, c_in) -> (N, h, w, c_out)."""
        c_in, c_out = self.W.shape[2:]
        if c_in <= c_out:
            y: Array = neighbours(x) @ self.W.reshape(9 * c_in, c_out)  # (N h w, 9 c_in) @ (9 c_in, c_out)
            return y.reshape(*x.shape[:3], c_out)
        u = x.reshape(-1, c_in) @ self._reversed()  # (N h w, c_in) @ (c_in, 9 c_out)
        return add_to_neighbours(u, (*x.shape[:3], c_out))

    def backward(self, dy: Array, x: Array, parameters: bool = True) -> Array:
        c_in, c_out = self.W.shape[2:]
        rows, drows = x.reshape(-1, c_in), dy.reshape(-1, c_out)  # (N h w, c_in), (N h w, c_out)
        near = neighbours(dy) if c_in > c_out else None  # (N h w, 9 c_out)
        if parameters:
            if near is None:
                self.dW[...] = (neighbours(x).T @ drows).reshape(self.W.shape)  # (9 c_in, N h w) @ (N h w, c_out)
            else:
                dV = (rows.T @ near).reshape(c_in, 3, 3, c_out)  # (c_in, N h w) @ (N h w, 9 c_out)
                self.dW[...] = dV[:, ::-1, ::-1].transpose(1, 2, 0, 3)
            np.matmul(np.ones(len(drows), dy.dtype), drows, out=self.db)  # dL/db = sum_p dL/dy_p
        if near is None:
            return add_to_neighbours(drows @ self.W.reshape(9 * c_in, c_out).T, x.shape)
        dx: Array = near @ self._reversed().T  # (N h w, 9 c_out) @ (9 c_out, c_in)
        return dx.reshape(x.shape)

    def _reversed(self) -> Array:
        """V: W_8, W_7, ..., W_0 side by side, (c_in, 9 c_out)."""
        V: Array = self.W[::-1, ::-1].transpose(2, 0, 1, 3).reshape(self.W.shape[2], -1)
        return V

    def __repr__(self) -> str:
        return f"Conv3x3({self.W.shape[2]}, {self.W.shape[3]})"

"""One matrix for the rows of an image and one for its columns; Gaussian blur is the usual example."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from nice_np.errors import NiceValueError
from nice_np.restoration.operators.base import Operator, as_image_shape
from nice_np.validation import Array, as_batch, as_constants, as_float

TRUNCATE = 4.0  # the kernel of Blur is cut off at this many sigmas


class Separable(Operator):
    """Y = R X C^T for every channel X of an image: R mixes its rows, C its columns.

    Parameters
    ----------
    image_shape : (height, width) or (channels, height, width)
    rows : array_like, shape (height', height)
        R.
    columns : array_like, shape (width', width)
        C.

    Examples
    --------
    Only the first row of a 2 x 2 image, reflected left to right:

    >>> Separable((2, 2), rows=[[1, 0]], columns=[[0, 1], [1, 0]]).forward(np.array([[1.0, 2.0, 3.0, 4.0]]))
    array([[2., 1.]])
    """

    def __init__(self, image_shape: Any, rows: Any, columns: Any) -> None:
        owner = type(self).__name__
        self.image_shape = as_image_shape(image_shape, owner)
        self.rows, self.columns = as_constants(rows, 2, owner, "rows"), as_constants(columns, 2, owner, "columns")
        height, width = self.image_shape[-2:]
        for name, matrix, side in (("rows", self.rows, height), ("columns", self.columns, width)):
            if matrix.shape[1] != side:
                raise NiceValueError(
                    f"{owner}: {name} must have {side} columns for an image {self.image_shape}, got {matrix.shape}"
                )
        self.dim_in = prod(self.image_shape)
        self.dim_out = self.dim_in // (height * width) * len(self.rows) * len(self.columns)

    def forward(self, x: Array) -> Array:
        x = as_batch(x, self.dim_in, self)
        R, C = self.rows.astype(x.dtype, copy=False), self.columns.astype(x.dtype, copy=False)
        X = x.reshape(-1, R.shape[1], C.shape[1])  # (N channels, height, width)
        y: Array = R @ X @ C.T  # (N channels, height', width')
        return y.reshape(len(x), self.dim_out)

    def adjoint(self, u: Array) -> Array:
        # <R X C^T, U> = trace(C X^T R^T U) = trace(X^T R^T U C) = <X, R^T U C>
        u = as_batch(u, self.dim_out, self, "u")
        R, C = self.rows.astype(u.dtype, copy=False), self.columns.astype(u.dtype, copy=False)
        U = u.reshape(-1, len(R), len(C))  # (N channels, height', width')
        x: Array = R.T @ U @ C
        return x.reshape(len(u), self.dim_in)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(image_shape={self.image_shape}, dim_out={self.dim_out})"


class Blur(Separable):
    """Y = H_r X H_c^T,  H_ij = k(i - j),  k(d) ~ exp(-d^2 / (2 sigma^2)): Gaussian blur.  For deblurring.

    The kernel k is cut off at 4 sigma and sums to one.  The image is zero outside its border, so the blur darkens it
    near the border.

    Parameters
    ----------
    image_shape : (height, width) or (channels, height, width)
        All channels are blurred in the same way; M = D.
    sigma : float
        Width of the Gaussian in pixels, > 0 and less than the longer side of the image.

    Examples
    --------
    >>> spot = np.array([[0.0, 0.0, 1.0, 0.0, 0.0]])
    >>> Blur((1, 5), sigma=0.5).forward(spot).round(3)
    array([[0.   , 0.084, 0.619, 0.084, 0.   ]])
    """

    def __init__(self, image_shape: Any, sigma: float) -> None:
        shape = as_image_shape(image_shape, "Blur")
        height, width = shape[-2:]
        self.sigma = as_float(sigma, "Blur", "sigma", above=0, below=max(height, width))
        super().__init__(shape, gaussian_band(height, self.sigma), gaussian_band(width, self.sigma))

    def __repr__(self) -> str:
        return f"Blur(image_shape={self.image_shape}, sigma={self.sigma:g})"


def gaussian_band(size: int, sigma: float) -> Array:
    """H (size, size) with H_ij = k(i - j), banded and symmetric: blur along one axis as a matrix."""
    radius = int(TRUNCATE * sigma + 0.5)
    half = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)  # k(0) .. k(radius)
    half /= half[0] + 2 * half[1:].sum()
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    return np.where(distance <= radius, half[np.minimum(distance, radius)], 0.0)

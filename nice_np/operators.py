"""What a camera, a scratch or a sensor does to an image: y = A x, a linear map from D features to M measurements.

A flow knows which x are likely; an operator says what is left of x in y.  Together they answer inverse problems:
inpainting (Mask), denoising (Identity), deblurring (Blur), super-resolution (Downsample), colourisation (GreyOut) and
compressive sensing (RandomProjection), the noise of y apart.  The gradient of |y - A x|^2 / 2 with respect to x is
A^T (A x - y): hence every operator has its adjoint A^T, the map for which <A x, u> = <x, A^T u> for all x and u.

Samples are rows, as everywhere: forward maps (N, D) to (N, M), adjoint (N, M) to (N, D).  An image is a row of its
planes, channel after channel, each plane row after row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.checks import (
    Array,
    Rng,
    as_batch,
    as_choice,
    as_constants,
    as_float,
    as_int,
    as_real_array,
    as_rng,
    as_sizes,
)
from nice_np.errors import NiceTypeError, NiceValueError

TRUNCATE = 4.0  # where the Gaussian of Blur ends, in sigmas
RANDOM_PERCENT = {"random75": 75, "random90": 90}  # of the pixels are missing


class Operator(ABC):
    """y = A x, a linear map.  Write your own by subclassing: two numbers, forward and its adjoint.

    Results are new arrays of the input's dtype (float32 or float64; anything else becomes float64).

    Attributes
    ----------
    dim_in : int
        D, the number of features of x.
    dim_out : int
        M, the number of measurements in y.
    """

    dim_in: int
    dim_out: int

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """A x of every row: (N, D) -> (N, M)."""

    @abstractmethod
    def adjoint(self, u: Array) -> Array:
        """A^T u of every row: (N, M) -> (N, D)."""

    def matrix(self) -> Array:
        """A itself, (M, D), float64: for small D, since it takes the images of all D unit vectors."""
        A: Array = self.forward(np.eye(self.dim_in)).T  # row d of forward(I) is A e_d, column d of A
        return A

    def __matmul__(self, other: Operator) -> Composition:
        """(A @ B) x = A (B x)."""
        return Composition(self, other)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim_in={self.dim_in}, dim_out={self.dim_out})"


class Composition(Operator):
    """y = A (B x): first B, then A.  Also written A @ B.

    Parameters
    ----------
    after : Operator
        A, with as many inputs as B has outputs.
    first : Operator
        B.

    Examples
    --------
    A blurred image of which every other column is seen:

    >>> Mask(named_mask("even", 4, 4)) @ Blur((4, 4), sigma=1.0)
    Mask(dim_in=16, dim_out=8) @ Blur(image_shape=(4, 4), sigma=1)
    """

    def __init__(self, after: Operator, first: Operator) -> None:
        for operator in (after, first):
            if not isinstance(operator, Operator):
                raise NiceTypeError(
                    f"Composition: A @ B takes two operators, got {type(operator).__name__}; apply one to data by "
                    "A.forward(x)"
                )
        if after.dim_in != first.dim_out:
            raise NiceValueError(
                f"Composition: in A @ B, B gives {first.dim_out} measurements, but A expects {after.dim_in}; "
                f"A is {after!r}, B is {first!r}"
            )
        self.after, self.first = after, first
        self.dim_in, self.dim_out = first.dim_in, after.dim_out

    def forward(self, x: Array) -> Array:
        return self.after.forward(self.first.forward(x))

    def adjoint(self, u: Array) -> Array:
        return self.first.adjoint(self.after.adjoint(u))  # <A B x, u> = <B x, A^T u> = <x, B^T A^T u>

    def __repr__(self) -> str:
        return f"{self.after!r} @ {self.first!r}"


class Identity(Operator):
    """y = x: with noise added to y, denoising.

    Parameters
    ----------
    dim : int
        D = M.
    """

    def __init__(self, dim: int) -> None:
        self.dim_in = self.dim_out = as_int(dim, "Identity", "dim", 1)

    def forward(self, x: Array) -> Array:
        return np.array(as_batch(x, self.dim_in, self))  # a copy

    def adjoint(self, u: Array) -> Array:
        return np.array(as_batch(u, self.dim_out, self, "u"))  # <A x, u> = <x, u>

    def __repr__(self) -> str:
        return f"Identity(dim={self.dim_in})"


class Mask(Operator):
    """y_m = x_{observed[m]}: the pixels that are seen, in ascending order.  For inpainting.

    M is the number of observed pixels: what is hidden does not appear in y at all.

    Parameters
    ----------
    observed : array_like of bool, shape (D,), (height, width) or (channels, height, width)
        True where the pixel is seen, at one pixel at least; see `named_mask`.

    Attributes
    ----------
    observed, hidden : ndarray of int, shapes (M,) and (D - M,)
        The indices of the seen and of the missing features in a row x.

    Examples
    --------
    >>> mask = Mask([True, False, True])
    >>> mask.forward(np.array([[1.0, 2.0, 3.0]]))
    array([[1., 3.]])
    >>> mask.adjoint(np.array([[1.0, 3.0]]))
    array([[1., 0., 3.]])
    """

    def __init__(self, observed: Any) -> None:
        seen = as_real_array(observed, "Mask", "observed")
        if seen.dtype != bool:
            raise NiceTypeError(
                f"Mask: observed must be True or False for every pixel, got dtype {seen.dtype}; use observed != 0"
            )
        if seen.ndim not in (1, 2, 3) or not seen.any():
            raise NiceValueError(
                "Mask: observed must have shape (D,), (height, width) or (channels, height, width) and be True "
                f"somewhere, got shape {seen.shape} with {seen.sum()} times True"
            )
        self.observed = np.flatnonzero(seen)
        self.hidden = np.flatnonzero(~seen)
        self.dim_in, self.dim_out = seen.size, len(self.observed)

    def forward(self, x: Array) -> Array:
        return as_batch(x, self.dim_in, self)[:, self.observed]

    def adjoint(self, u: Array) -> Array:
        u = as_batch(u, self.dim_out, self, "u")
        x = np.zeros((len(u), self.dim_in), u.dtype)
        x[:, self.observed] = u  # <A x, u> = sum_m x_{observed[m]} u_m: u back in its places, zeros where hidden
        return x


def named_mask(name: str, height: int, width: int, rng: Rng = None) -> npt.NDArray[np.bool_]:
    """The masks of the NICE paper's inpainting experiment (section 5.2), and `center`, for `Mask`.

    Parameters
    ----------
    name : str
        What is missing, with the place in an image of 28 x 28:

        - "top", "bottom": rows 0-13, rows 14-27;
        - "left", "right": columns 0-13, columns 14-27;
        - "even", "odd": columns 0, 2, 4, ..., columns 1, 3, 5, ...;
        - "center-rows", "center-columns": rows 7-20, columns 7-20;
        - "random75", "random90": 75 %, 90 % of the pixels (rounded down), anywhere;
        - "center": a square of half the shorter side, rows 7-20 of columns 7-20.

        In other sizes halves and middle halves likewise; of an odd number, "top" and "left" miss the smaller half.
        The authors' code throws a coin for every pixel of the random masks; here the share is exact.
    height, width : int
        At least 2.
    rng : seed or numpy.random.Generator, optional
        For the two random masks.

    Returns
    -------
    ndarray of bool, shape (height, width)
        True where the pixel is observed.  ``np.broadcast_to(mask, (3, height, width))`` is that of a colour image.

    Examples
    --------
    >>> named_mask("left", 2, 4).astype(int)
    array([[0, 0, 1, 1],
           [0, 0, 1, 1]])
    """
    height, width = as_int(height, "named_mask", "height", 2), as_int(width, "named_mask", "width", 2)
    rows, columns = np.indices((height, width))
    side = min(height, width) // 2
    missing = {
        "top": rows < height // 2,
        "bottom": rows >= height // 2,
        "left": columns < width // 2,
        "right": columns >= width // 2,
        "even": columns % 2 == 0,
        "odd": columns % 2 == 1,
        "center-rows": _in_the_middle(rows, height // 2, height),
        "center-columns": _in_the_middle(columns, width // 2, width),
        "center": _in_the_middle(rows, side, height) & _in_the_middle(columns, side, width),
    }
    kind = as_choice(name, (*missing, *RANDOM_PERCENT), "named_mask", "name")
    if kind in RANDOM_PERCENT:
        order = as_rng(rng, "named_mask").permutation(height * width).reshape(height, width)
        missing[kind] = order < RANDOM_PERCENT[kind] * height * width // 100  # order holds each number once
    observed: npt.NDArray[np.bool_] = ~missing[kind]
    return observed


def _in_the_middle(positions: npt.NDArray[np.intp], length: int, of: int) -> npt.NDArray[np.bool_]:
    start = (of - length) // 2
    return (start <= positions) & (positions < start + length)


class Separable(Operator):
    """Y = R X C^T for every plane X of an image: one matrix acts along its columns, the other along its rows.

    Parameters
    ----------
    image_shape : (height, width) or (channels, height, width)
    rows : array_like, shape (height', height)
        R, which mixes the rows of the image.
    columns : array_like, shape (width', width)
        C, which mixes its columns.

    Examples
    --------
    Only the first row of an image of 2 x 2, reflected left to right:

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
        rows, columns = self.rows.astype(x.dtype, copy=False), self.columns.astype(x.dtype, copy=False)
        planes = x.reshape(-1, rows.shape[1], columns.shape[1])  # (N channels, height, width)
        y: Array = rows @ planes @ columns.T
        return y.reshape(len(x), self.dim_out)

    def adjoint(self, u: Array) -> Array:
        # <R X C^T, U> = trace(C X^T R^T U) = trace(X^T R^T U C) = <X, R^T U C>
        u = as_batch(u, self.dim_out, self, "u")
        rows, columns = self.rows.astype(u.dtype, copy=False), self.columns.astype(u.dtype, copy=False)
        planes = u.reshape(-1, len(rows), len(columns))  # (N channels, height', width')
        x: Array = rows.T @ planes @ columns
        return x.reshape(len(u), self.dim_in)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(image_shape={self.image_shape}, dim_out={self.dim_out})"


class Blur(Separable):
    """Y = H_r X H_c^T,  H_ij = k(i - j),  k(d) ~ exp(-d^2 / (2 sigma^2)): a Gaussian blur.  For deblurring.

    The kernel k ends at 4 sigma and sums to one.  Beyond the border the image is zero: near it the blur darkens.

    Parameters
    ----------
    image_shape : (height, width) or (channels, height, width)
        Every channel is blurred alike, and M = D.
    sigma : float
        Width of the Gaussian in pixels, greater than 0 and less than the longer side of the image.

    Examples
    --------
    >>> spot = np.array([[0.0, 0.0, 1.0, 0.0, 0.0]])
    >>> Blur((1, 5), sigma=0.5).forward(spot).round(3)
    array([[0.   , 0.084, 0.619, 0.084, 0.   ]])
    """

    def __init__(self, image_shape: Any, sigma: float) -> None:
        height, width = as_image_shape(image_shape, "Blur")[-2:]
        self.sigma = as_float(sigma, "Blur", "sigma", above=0, below=max(height, width))
        super().__init__(image_shape, gaussian_band(height, self.sigma), gaussian_band(width, self.sigma))

    def __repr__(self) -> str:
        return f"Blur(image_shape={self.image_shape}, sigma={self.sigma:g})"


def gaussian_band(size: int, sigma: float) -> Array:
    """H (size, size) with H_ij = k(i - j): the blur along one axis as a matrix, banded and symmetric."""
    radius = int(TRUNCATE * sigma + 0.5)
    half = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)  # k(0) .. k(radius)
    half /= half[0] + 2 * half[1:].sum()
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    return np.where(distance <= radius, half[np.minimum(distance, radius)], 0.0)


class Downsample(Operator):
    """Y_ij = mean of X over the block (i, j) of factor x factor pixels.  For super-resolution.

    Parameters
    ----------
    image_shape : (height, width) or (channels, height, width)
        Of x.  M = D / factor^2.
    factor : int
        Divides height and width.

    Examples
    --------
    >>> Downsample((2, 4), factor=2).forward(np.arange(8.0)[None])
    array([[2.5, 4.5]])
    """

    def __init__(self, image_shape: Any, factor: int) -> None:
        self.image_shape = as_image_shape(image_shape, "Downsample")
        self.factor = as_int(factor, "Downsample", "factor", 1)
        if any(side % self.factor for side in self.image_shape[-2:]):
            raise NiceValueError(
                f"Downsample: factor {self.factor} must divide height and width of image_shape, got "
                f"{self.image_shape}; crop or pad the images"
            )
        self.dim_in = prod(self.image_shape)
        self.dim_out = self.dim_in // self.factor**2

    def forward(self, x: Array) -> Array:
        x = as_batch(x, self.dim_in, self)
        height, width = (side // self.factor for side in self.image_shape[-2:])
        blocks = x.reshape(-1, height, self.factor, width, self.factor)
        y: Array = blocks.mean(axis=(2, 4))  # (N channels, height, width)
        return y.reshape(len(x), self.dim_out)

    def adjoint(self, u: Array) -> Array:
        # <A x, u> = sum_ij u_ij (sum of x over block ij) / factor^2: every pixel of block ij gets u_ij / factor^2.
        u = as_batch(u, self.dim_out, self, "u")
        height, width = (side // self.factor for side in self.image_shape[-2:])
        shares = u.reshape(-1, height, width) / self.factor**2
        return shares.repeat(self.factor, axis=1).repeat(self.factor, axis=2).reshape(len(u), self.dim_in)

    def __repr__(self) -> str:
        return f"Downsample(image_shape={self.image_shape}, factor={self.factor})"


class GreyOut(Operator):
    """Y = mean of the planes X_c over the channels c: a colour image in grey.  For colourisation.

    Parameters
    ----------
    channels, height, width : int
        Of x.  M = height * width.

    Examples
    --------
    >>> GreyOut(3, height=1, width=2).forward(np.array([[1.0, 0.0, 1.0, 3.0, 4.0, 6.0]]))
    array([[2., 3.]])
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.image_shape = as_sizes((channels, height, width), "GreyOut", "(channels, height, width)")
        self.channels, self.dim_out = self.image_shape[0], prod(self.image_shape[1:])
        self.dim_in = self.channels * self.dim_out

    def forward(self, x: Array) -> Array:
        x = as_batch(x, self.dim_in, self)
        y: Array = x.reshape(len(x), self.channels, self.dim_out).mean(axis=1)
        return y

    def adjoint(self, u: Array) -> Array:
        # <A x, u> = sum_c sum_m x_cm u_m / channels: every plane gets u / channels.
        u = as_batch(u, self.dim_out, self, "u")
        return np.tile(u / self.channels, (1, self.channels))

    def __repr__(self) -> str:
        channels, height, width = self.image_shape
        return f"GreyOut(channels={channels}, height={height}, width={width})"


class RandomProjection(Operator):
    """y = A x,  A_md ~ N(0, 1/M) independently, drawn once: compressive sensing.

    Each measurement looks at all the pixels.  The variance 1/M keeps the length on average: E |A x|^2 = |x|^2.

    Parameters
    ----------
    dim : int
        D.
    n_measurements : int
        M, as a rule far less than D.
    rng : seed or numpy.random.Generator, optional
        Draws A; the same seed gives the same A.

    Attributes
    ----------
    A : ndarray, shape (M, D), float64
    """

    def __init__(self, dim: int, n_measurements: int, rng: Rng = None) -> None:
        self.dim_in = as_int(dim, "RandomProjection", "dim", 1)
        self.dim_out = as_int(n_measurements, "RandomProjection", "n_measurements", 1)
        draws = as_rng(rng, "RandomProjection").standard_normal((self.dim_out, self.dim_in))
        self.A: Array = draws / sqrt(self.dim_out)

    def forward(self, x: Array) -> Array:
        x = as_batch(x, self.dim_in, self)
        y: Array = x @ self.A.T.astype(x.dtype, copy=False)  # row by row (A x)^T = x^T A^T
        return y

    def adjoint(self, u: Array) -> Array:
        u = as_batch(u, self.dim_out, self, "u")
        x: Array = u @ self.A.astype(u.dtype, copy=False)  # (A^T u)^T = u^T A
        return x

    def __repr__(self) -> str:
        return f"RandomProjection(dim={self.dim_in}, n_measurements={self.dim_out})"


def as_image_shape(value: Any, owner: str) -> tuple[int, ...]:
    """(height, width) or (channels, height, width)."""
    shape = as_sizes(value, owner, "image_shape")
    if len(shape) not in (2, 3):
        raise NiceValueError(f"{owner}: image_shape must be (height, width) or (channels, height, width), got {shape}")
    return shape

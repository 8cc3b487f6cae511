"""Missing pixels: the operator of inpainting, and the masks of the NICE paper."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.restoration.operators.base import Operator
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_batch, as_choice, as_int, as_real_array, as_rng

RANDOM_PERCENT = {"random75": 75, "random90": 90}  # share of missing pixels


class Mask(Operator):
    """y_m = x_{observed[m]}: the observed pixels, in ascending order.  For inpainting.

    M is the number of observed pixels: hidden pixels do not appear in y.

    Parameters
    ----------
    observed : array_like of bool, shape (D,), (height, width) or (channels, height, width)
        True where a pixel is observed, for at least one pixel; see `named_mask`.

    Attributes
    ----------
    observed, hidden : ndarray of int, shapes (M,) and (D - M,)
        The indices of observed and hidden features in a row x.

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
                "Mask: observed must have shape (D,), (height, width) or (channels, height, width) and at least one "
                f"True, got shape {seen.shape} with {seen.sum()} True"
            )
        self.observed = np.flatnonzero(seen)
        self.hidden = np.flatnonzero(~seen)
        self.dim_in, self.dim_out = seen.size, len(self.observed)

    def forward(self, x: Array) -> Array:
        return as_batch(x, self.dim_in, self)[:, self.observed]

    def adjoint(self, u: Array) -> Array:
        u = as_batch(u, self.dim_out, self, "u")
        x = np.zeros((len(u), self.dim_in), u.dtype)
        x[:, self.observed] = u  # <A x, u> = sum_m x_{observed[m]} u_m
        return x


@suggests
def named_mask(name: str, height: int, width: int, rng: Rng = None) -> npt.NDArray[np.bool_]:
    """The masks of the NICE paper's inpainting experiment (section 5.2), and `center`, for `Mask`.

    Parameters
    ----------
    name : str
        Which pixels are missing; rows and columns are those of a 28 x 28 image:

        - "top", "bottom": rows 0-13, rows 14-27;
        - "left", "right": columns 0-13, columns 14-27;
        - "even", "odd": columns 0, 2, 4, ..., columns 1, 3, 5, ...;
        - "center-rows", "center-columns": rows 7-20, columns 7-20;
        - "random75", "random90": 75 %, 90 % of the pixels (rounded down), at random places;
        - "center": rows 7-20 of columns 7-20, a square half as long as the shorter side.

        If height or width is odd, "top" and "left" miss the smaller half.  The authors' code decides about each pixel
        of a random mask independently; here the share is exact.
    height, width : int
        At least 2.
    rng : seed or numpy.random.Generator, optional
        For the two random masks.

    Returns
    -------
    ndarray of bool, shape (height, width)
        True where the pixel is observed.  For a colour image: ``np.broadcast_to(mask, (3, height, width))``.

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

"""The interface of a linear operator, the composition of two, and the identity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.validation import Array, as_batch, as_int, as_sizes


class Operator(ABC):
    """A linear map y = A x.  To write your own, subclass it: two dimensions, `forward` and its adjoint.

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
        """A x for every row: (N, D) -> (N, M)."""

    @abstractmethod
    def adjoint(self, u: Array) -> Array:
        """A^T u for every row: (N, M) -> (N, D)."""

    def matrix(self) -> Array:
        """A itself, (M, D), float64.  For small D only: it maps all D unit vectors."""
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
    A blurred image of which only every other column is observed:

    >>> from nice_np import Blur, Mask, named_mask
    >>> Mask(named_mask("even", 4, 4)) @ Blur((4, 4), sigma=1.0)
    Mask(dim_in=16, dim_out=8) @ Blur(image_shape=(4, 4), sigma=1)
    """

    def __init__(self, after: Operator, first: Operator) -> None:
        for operator in (after, first):
            if not isinstance(operator, Operator):
                raise NiceTypeError(
                    f"Composition: A @ B expects two operators, got {type(operator).__name__}; to apply A to data, "
                    "call A.forward(x)"
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
    """y = x.  For denoising.

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


def as_image_shape(value: Any, owner: str) -> tuple[int, ...]:
    """(height, width) or (channels, height, width)."""
    shape = as_sizes(value, owner, "image_shape")
    if len(shape) not in (2, 3):
        raise NiceValueError(f"{owner}: image_shape must be (height, width) or (channels, height, width), got {shape}")
    return shape

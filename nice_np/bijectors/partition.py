"""How a coupling layer divides the features: idx_a is kept and conditions, idx_b is transformed.

A context (the label of a digit, say) stands behind the features, and every coupling keeps it: x_a = [x_idx_a | c].
Then each conditioner sees it, no layer changes it, and its gradient is part of the input's.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.kernels import Kernel, put_pairs_loop, take_pairs_loop
from nice_np.validation import Array, as_choice, as_int, as_real_array, as_sizes, check_shape

Indices = npt.NDArray[np.intp]


def _take_pairs_twin(x: Array, even: Array, odd: Array) -> None:
    even[:], odd[:] = x[:, ::2], x[:, 1::2]


def _put_pairs_twin(x: Array, even: Array, odd: Array) -> None:
    x[:, ::2], x[:, 1::2] = even, odd


# Indexing alone makes a step of the demo's model, ten couplings of 200 hidden units, 6 % longer.
take_pairs = Kernel(take_pairs_loop, _take_pairs_twin)
put_pairs = Kernel(put_pairs_loop, _put_pairs_twin)


class Partition:
    """Two disjoint index sets that together hold 0 to dim-1, and perhaps a context behind them.

    Parameters
    ----------
    dim : int
        At least 2: with one feature there is nothing to condition on.
    idx_a : array_like of int
        The features that are kept and seen by the conditioner; the others, in ascending order, are transformed.  With
        a context it may be empty: then all features are transformed given the context alone.
    context_dim : int
        C, the number of context features that stand behind the `dim` others; all of them are kept.

    Attributes
    ----------
    idx_a, idx_b : ndarray of int
        Kept and transformed features.

    Examples
    --------
    >>> Partition.odd_even(5)
    Partition(dim=5, a=[0 2 4], b=[1 3])
    >>> Partition.odd_even(5).swapped()
    Partition(dim=5, a=[1 3], b=[0 2 4])
    """

    def __init__(self, dim: int, idx_a: Any, context_dim: int = 0) -> None:
        self.dim = as_int(dim, "Partition", "dim", 1)
        self.context_dim = as_int(context_dim, "Partition", "context_dim", 0)
        if self.dim < 2:
            raise NiceValueError("Partition: a coupling layer needs at least 2 features, got dim = 1")
        idx_a = as_real_array(idx_a, "Partition", "idx_a")
        if idx_a.size and idx_a.dtype.kind not in "iu":
            raise NiceTypeError(
                f"Partition: idx_a must hold whole numbers, got dtype {idx_a.dtype}; use np.flatnonzero(mask)"
            )
        if idx_a.size and not (idx_a.min() >= 0 and idx_a.max() < dim):
            raise NiceValueError(f"Partition: idx_a must lie in 0 .. {dim - 1}, got {idx_a.min()} .. {idx_a.max()}")
        kept = np.zeros(self.dim, bool)
        kept[idx_a.astype(np.intp)] = True
        fewest = 0 if self.context_dim else 1
        if idx_a.ndim != 1 or not fewest <= kept.sum() == len(idx_a) < dim:
            raise NiceValueError(
                f"Partition: idx_a must be a list of {fewest} to {dim - 1} different features, got shape {idx_a.shape}"
            )
        self.idx_a: Indices = idx_a.astype(np.intp)
        self.idx_b: Indices = np.flatnonzero(~kept)
        context = np.arange(self.dim, self.dim + self.context_dim)
        self._a, self._b = _columns(np.concatenate([self.idx_a, context])), _columns(self.idx_b)
        # Whether the sets are 0, 2, 4, ... and 1, 3, 5, ... of the same length.
        alternating = (np.array_equal(i, np.arange(i[0], dim, 2)) for i in (self.idx_a, self.idx_b))
        self._pairs = context_dim == 0 and dim % 2 == 0 and all(alternating)

    @classmethod
    def odd_even(cls, dim: int) -> Partition:
        """Keep 0, 2, 4, ... and transform 1, 3, 5, ...: the NICE paper's choice for pixels."""
        return cls(dim, np.arange(0, as_int(dim, "Partition", "dim", 1), 2))

    @classmethod
    def halves(cls, dim: int) -> Partition:
        """Keep the first half (the longer one where dim is odd), transform the second."""
        return cls(dim, np.arange((as_int(dim, "Partition", "dim", 1) + 1) // 2))

    @classmethod
    def checkerboard(cls, height: int, width: int, channels: int = 1) -> Partition:
        """Keep the black fields of an image (row + column even), transform the white ones, alike in every plane."""
        shape = as_sizes((channels, height, width), "Partition", "(channels, height, width)")
        _, rows, columns = np.indices(shape)  # a colour image is a row of planes, channel after channel
        return cls(rows.size, np.flatnonzero((rows + columns) % 2 == 0))

    def swapped(self) -> Partition:
        """The same sets with the roles of a and b exchanged."""
        return Partition(self.dim, self.idx_b, self.context_dim)

    def with_context(self, context_dim: int) -> Partition:
        """The same sets with a context of that many features behind them."""
        return Partition(self.dim, self.idx_a, context_dim)

    def split(self, x: Array) -> tuple[Array, Array]:
        """x (N, dim + C) -> x_a (N, A + C), x_b (N, B), copies; NiceValueError for any other shape."""
        check_shape(x, (*x.shape[:1], self.dim + self.context_dim), "Partition.split", "x")
        if self._pairs:
            even, odd = (np.empty((len(x), self.dim // 2), x.dtype) for _ in range(2))  # a cache keeps one of them
            take_pairs(x, even, odd)
            return (even, odd) if self.idx_a[0] == 0 else (odd, even)
        return np.array(x[:, self._a], order="C"), np.array(x[:, self._b], order="C")

    def merge(self, x_a: Array, x_b: Array) -> Array:
        """x_a (N, A + C), x_b (N, B) -> x (N, dim + C): undoes `split`; NiceValueError for any other shapes."""
        rows = x_a.shape[:1]
        check_shape(x_a, (*rows, len(self.idx_a) + self.context_dim), "Partition.merge", "x_a")
        check_shape(x_b, (*rows, len(self.idx_b)), "Partition.merge", "x_b")
        x = np.empty((*rows, self.dim + self.context_dim), np.result_type(x_a, x_b))
        if self._pairs:
            put_pairs(x, *((x_a, x_b) if self.idx_a[0] == 0 else (x_b, x_a)))
        else:
            x[:, self._a], x[:, self._b] = x_a, x_b
        return x

    def __repr__(self) -> str:
        context = f", context_dim={self.context_dim}" if self.context_dim else ""
        return f"Partition(dim={self.dim}, a={_short(self.idx_a)}, b={_short(self.idx_b)}{context})"


def get_partition(partition: str | Partition, dim: int, image_shape: tuple[int, ...] | None = None) -> Partition:
    """The partition called "odd-even", "halves" or "checkerboard" (needs `image_shape`), or a Partition as it is.

    Parameters
    ----------
    partition : {"odd-even", "halves", "checkerboard"} or Partition
    dim : int
        D, the number of features.
    image_shape : tuple of int, optional
        (H, W) or (channels, H, W), for a checkerboard.

    Returns
    -------
    Partition
    """
    if isinstance(partition, Partition):
        if partition.dim != dim:
            raise NiceValueError(f"partition: has {partition.dim} features, expected {dim}")
        return partition
    kind = as_choice(partition, ("odd-even", "halves", "checkerboard"), "partition", "partition", Partition)
    if kind == "odd-even":
        return Partition.odd_even(dim)
    if kind == "halves":
        return Partition.halves(dim)
    shape = () if image_shape is None else as_sizes(image_shape, "partition", "image_shape")
    if len(shape) not in (2, 3) or prod(shape) != dim:
        raise NiceValueError(
            f"partition: checkerboard needs image_shape=(height, width) or (channels, height, width) of {dim} "
            f"features, got {image_shape}"
        )
    return Partition.checkerboard(*shape[-2:], *shape[:-2])


def _short(indices: Indices) -> str:
    return np.array2string(indices, threshold=8, edgeitems=2)


def _columns(indices: Indices) -> Indices | slice:
    """The indices, or the slice that means the same where their step is constant: NumPy copies it in half the time."""
    step = int(indices[1] - indices[0]) if len(indices) > 1 else 1
    regular = np.arange(indices[0], indices[-1] + 1, step)
    return slice(indices[0], indices[-1] + 1, step) if step > 0 and np.array_equal(regular, indices) else indices

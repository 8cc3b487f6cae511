"""MADE, the masked MLP: one network that computes theta_i from the features before feature i, for all i at once.

Every unit gets a degree, the number of features that it may see.  The k-th feature in the order has the degree k, an
output for it may see k - 1 features, hidden units take the degrees in turn, and a context has the degree 0.  A weight
from unit i to unit j stays only where this cannot show a feature to an output that must not see it:

    M_ij = [degree_j >= degree_i]     y = x (W * M) + b          (Germain et al. 2015, equations 8 and 9)

M depends on nothing that is trained, so dy_j/dW_ij = x_i M_ij: what is masked has no effect and gets no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceValueError
from nice_np.networks.activations import Activation
from nice_np.networks.initialisation import effective_inputs
from nice_np.networks.mlp import MLP, Linear
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_choice, as_int, as_real_array, as_rng

Indices = npt.NDArray[np.intp]
ORDERS = ("natural", "reversed", "random")


class MaskedLinear(Linear):
    """y = x (W * M) + b, where M holds zeros and ones.

    The product W * M is computed in each pass: that takes 1/N of the time of x W, and a stored one would be out of date
    after a step of the optimiser.

    Parameters
    ----------
    W, M : ndarray, shape (n_in, n_out)
    b : ndarray, shape (n_out,)
    """

    def __init__(self, W: Array, b: Array, M: npt.NDArray[Any]) -> None:
        super().__init__(W, b)
        self.M = M.astype(W.dtype)

    def product(self, x: Array) -> Array:
        y: Array = np.dot(x, self.W * self.M)  # (N, n_in) @ (n_in, n_out) -> (N, n_out)
        return y

    def backward(self, dy: Array, x: Array, parameters: bool = True) -> Array:
        # The gradients of a linear layer with the weights W * M:
        # dL/dW = (x^T dy) * M,  dL/db_j = sum_n dy_nj,  dL/dx = dy (W * M)^T
        if parameters:
            np.matmul(x.T, dy, out=self.dW)  # (n_in, N) @ (N, n_out) -> (n_in, n_out)
            self.dW *= self.M
            np.matmul(np.ones(len(dy), dy.dtype), dy, out=self.db)
        dx: Array = np.dot(dy, (self.W * self.M).T)  # (N, n_out) @ (n_out, n_in) -> (N, n_in)
        return dx


class MaskedMLP(MLP):
    """An MLP whose outputs for feature i see the context and the features before i in the order, and nothing else.

    Parameters
    ----------
    sizes : sequence of int
        Widths from input to output: D features and C numbers of a context enter; the last width is T * D, T blocks of
        one column for each feature.
    order : {"natural", "reversed", "random"} or sequence of int
        The features, the first one first: (2, 0, 1) computes theta_2 from the context alone, theta_0 from feature 2.
    context_dim : int
        C.
    activation, init, output_scale, dtype, rng
        As for `MLP`; `rng` draws a random order as well.  Weights start as if only what is not masked were there.

    Examples
    --------
    >>> MaskedMLP((3, 16, 6), order="reversed", rng=0)
    MaskedMLP(3-16-6, relu)
    """

    layers: tuple[MaskedLinear, ...]

    @suggests
    def __init__(
        self,
        sizes: Sequence[int],
        order: str | Sequence[int] = "natural",
        context_dim: int = 0,
        activation: str | Activation = "relu",
        init: str = "spread",
        output_scale: float = 0.01,
        dtype: Any = np.float64,
        rng: Rng = None,
    ) -> None:
        rng = as_rng(rng, "MaskedMLP")
        super().__init__(sizes, activation, init, output_scale, dtype, rng)
        self.context_dim = as_int(context_dim, "MaskedMLP", "context_dim", 0)
        dim = self.sizes[0] - self.context_dim
        if dim < 1 or self.sizes[-1] % dim:
            raise NiceValueError(
                f"MaskedMLP: sizes must go from dim + {self.context_dim} to a multiple of dim, got {self.sizes}"
            )
        self.order = feature_order(order, dim, rng)
        degrees = self._degrees(dim)
        self.layers = tuple(
            self._masked(layer, above >= below[:, None])
            for layer, (below, above) in zip(self.layers, pairwise(degrees), strict=True)
        )

    def _degrees(self, dim: int) -> list[Indices]:
        """Of the units of every layer, input and output included."""
        inputs = np.zeros(self.sizes[0], np.intp)
        inputs[self.order] = np.arange(1, dim + 1)
        low = 0 if self.context_dim else 1  # without a context, a unit of degree 0 would see nothing
        n = max(dim - low, 1)
        # Hidden units share the degrees low .. dim - 1 evenly; the highest is always there, so no feature is lost.
        shares = [np.arange(1, width + 1) * n / width for width in self.sizes[1:-1]]  # 0 < share <= n
        hidden = [low - 1 + np.ceil(share).astype(np.intp) for share in shares]
        return [inputs, *hidden, np.tile(inputs[:dim] - 1, self.sizes[-1] // dim)]

    def _masked(self, layer: Linear, M: npt.NDArray[np.bool_]) -> MaskedLinear:
        # initial_weights counts all n_in inputs of a unit, and some of them are masked
        n_in, seen = (effective_inputs(self.init, n) for n in (len(M), np.maximum(M.sum(axis=0), 1)))
        more = 1.0 if self.init == "uniform" else np.sqrt(n_in / seen)
        return MaskedLinear((layer.W * more).astype(layer.W.dtype), (layer.b * more).astype(layer.b.dtype), M)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "order": self.order.tolist(), "context_dim": self.context_dim}

    def __repr__(self) -> str:
        return f"Masked{super().__repr__()}"


def feature_order(order: str | Sequence[int], dim: int, rng: Rng = None) -> Indices:
    """The features 0 .. dim - 1 in the order "natural", "reversed" or "random", or in the one that is given.

    Examples
    --------
    >>> feature_order("reversed", 4)
    array([3, 2, 1, 0])
    """
    if isinstance(order, str):
        kind = as_choice(order, ORDERS, "MaskedMLP", "order")
        if kind == "random":
            return as_rng(rng, "MaskedMLP").permutation(dim)
        return np.arange(dim) if kind == "natural" else np.arange(dim)[::-1]
    given = as_real_array(order, "MaskedMLP", "order")
    if given.dtype.kind not in "iu" or not np.array_equal(np.sort(given, axis=None), np.arange(dim)) or given.ndim != 1:
        raise NiceValueError(
            f"MaskedMLP: order must hold each of 0 .. {dim - 1} once, or be one of {', '.join(ORDERS)}; got {order!r}"
        )
    return given.astype(np.intp)

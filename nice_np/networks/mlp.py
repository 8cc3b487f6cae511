"""The conditioner m: a multilayer perceptron, h_k = f(h_{k-1} W_k + b_k), with a linear last layer.

A conditioner may be any differentiable function: a coupling layer needs its value and its gradient, never its inverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from nice_np.errors import NiceValueError
from nice_np.networks.activations import ACTIVATIONS, Activation, get_activation
from nice_np.networks.initialisation import INITS, initial_biases, initial_weights
from nice_np.parameters import Module
from nice_np.parameters.part import name_of
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_batch, as_choice, as_dtype, as_float, as_rng, as_sizes, check_shape


class Linear(Module):
    """y = x W + b.

    Parameters
    ----------
    W : ndarray, shape (n_in, n_out)
    b : ndarray, shape (n_out,)
    """

    param_names = ("W", "b")

    def __init__(self, W: Array, b: Array) -> None:
        self.W, self.b = W, b
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)

    def product(self, x: Array) -> Array:
        """x W, without b."""
        # np.dot and not @: for a single input feature @ does not use the BLAS and takes five times as long
        y: Array = np.dot(x, self.W)  # (N, n_in) @ (n_in, n_out) -> (N, n_out)
        return y

    def forward(self, x: Array) -> Array:
        y = self.product(x)
        y += self.b
        return y

    def backward(self, dy: Array, x: Array, parameters: bool = True) -> Array:
        # y_nj = sum_i x_ni W_ij + b_j, so
        # dL/dW_ij = sum_n x_ni dy_nj,  dL/db_j = sum_n dy_nj,  dL/dx_ni = sum_j dy_nj W_ij
        if parameters:
            np.matmul(x.T, dy, out=self.dW)  # (n_in, N) @ (N, n_out) -> (n_in, n_out)
            # The sum over n as a product with ones, (N,) @ (N, n_out) -> (n_out,): twice as fast as np.sum
            np.matmul(np.ones(len(dy), dy.dtype), dy, out=self.db)
        dx: Array = np.dot(dy, self.W.T)  # (N, n_out) @ (n_out, n_in) -> (N, n_in)
        return dx

    def __repr__(self) -> str:
        return f"Linear({self.W.shape[0]}, {self.W.shape[1]})"


class MLPCache(NamedTuple):
    """What the gradient needs: the input of every linear layer, ``inputs[0]`` being x itself."""

    inputs: list[Array]


class MLP(Module):
    """A multilayer perceptron with a linear output layer.

    Parameters
    ----------
    sizes : sequence of int
        Widths from input to output: (392, 1000, 392) has one hidden layer, (392, 392) none (a linear map).
    activation : {"relu", "leaky_relu", "tanh", "softplus"} or Activation
        "leaky_relu" has the slope 0.2 below 0; ``LeakyReLU(slope)`` takes any other.
    init : {"spread", "he", "uniform"}
        See `nice_np.networks.initialisation`.
    output_scale : float
        Factor on the initial weights of the last layer, not under "uniform".  Small, so that a flow starts near the
        identity; 0 starts it exactly there.
    dtype : {float64, float32}
    rng : seed or numpy.random.Generator

    Examples
    --------
    >>> mlp = MLP((2, 8, 3), rng=0)
    >>> y, cache = mlp.forward(np.ones((5, 2)))
    >>> y.shape, mlp.n_parameters
    ((5, 3), 51)
    """

    @suggests
    def __init__(
        self,
        sizes: Sequence[int],
        activation: str | Activation = "relu",
        init: str = "spread",
        output_scale: float = 0.01,
        dtype: Any = np.float64,
        rng: Rng = None,
    ) -> None:
        self.sizes = as_sizes(sizes, "MLP", "sizes")
        if len(self.sizes) < 2:
            raise NiceValueError(f"MLP: sizes must hold at least two widths (input, ..., output), got {self.sizes}")
        self.activation = get_activation(activation)
        self.init = as_choice(init, INITS, "MLP", "init")
        self.output_scale = as_float(output_scale, "MLP", "output_scale")
        dtype, rng = as_dtype(dtype, "MLP"), as_rng(rng, "MLP")

        layers = []
        for k, (n_in, n_out) in enumerate(pairwise(self.sizes), start=2):
            last = k == len(self.sizes)
            W = initial_weights(self.init, n_in, n_out, self.output_scale if last else 1.0, rng)
            b = np.zeros(n_out) if last else initial_biases(self.init, W, rng)
            layers.append(Linear(W.astype(dtype), b.astype(dtype)))
        self.layers = tuple(layers)

    def forward(self, x: Array) -> tuple[Array, MLPCache]:
        """m(x).

        Parameters
        ----------
        x : ndarray, shape (N, sizes[0])

        Returns
        -------
        y : ndarray, shape (N, sizes[-1])
        cache : MLPCache
        """
        inputs = [as_batch(x, self.sizes[0], self)]
        for layer in self.layers[:-1]:
            inputs.append(self.activation.forward(layer.product(inputs[-1]), layer.b))  # f(x W + b): (N, width)
        return self.layers[-1].forward(inputs[-1]), MLPCache(inputs)

    def backward(self, dy: Array, cache: MLPCache, parameters: bool = True) -> Array:
        """The gradient through m: writes dL/dW and dL/db of each layer, returns dL/dx.

        Parameters
        ----------
        dy : ndarray, shape (N, sizes[-1])
        cache : MLPCache
            From the forward pass.
        parameters : bool
            False gives dL/dx alone, in half the time, and leaves dW and db as they are.

        Returns
        -------
        dx : ndarray, shape (N, sizes[0])

        Raises
        ------
        NiceValueError
            If `dy` does not have the shape of the y that came with the cache.
        """
        check_shape(dy, (len(cache.inputs[0]), self.sizes[-1]), "MLP", "dy")
        dh = dy
        for layer, h in zip(self.layers[:0:-1], cache.inputs[:0:-1], strict=True):
            dh = self.activation.backward(layer.backward(dh, h, parameters), h)  # h = f(x W + b)
        return self.layers[0].backward(dh, cache.inputs[0], parameters)

    def config(self) -> dict[str, Any]:
        return {
            "sizes": list(self.sizes),
            "activation": name_of(self.activation, ACTIVATIONS),
            "init": self.init,
            "output_scale": self.output_scale,
            "dtype": self.layers[0].W.dtype.name,
        }

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """How many numbers ``MLP(**config)`` would hold, without making it."""
        return sum((n_in + 1) * n_out for n_in, n_out in pairwise(config["sizes"]))

    def __repr__(self) -> str:
        return f"MLP({'-'.join(map(str, self.sizes))}, {name_of(self.activation, ACTIVATIONS)})"

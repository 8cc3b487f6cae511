"""Activation functions h = f(a + b) of a product and a bias.

Each derivative is written in terms of the output h, so only h is kept.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from nice_np.kernels import InPlaceKernel, Kernel, bias_relu_loop, relu_backward_loop
from nice_np.parameters.part import Part, as_part
from nice_np.validation import Array, as_float, check_shape


class Activation(Part):
    """A function and its gradient, without parameters.

    Examples
    --------
    One of your own, for ``nice(2, activation=Square())``; `nice_np.load_model` is told about it by
    ``classes=[Square]``:

    >>> class Square(Activation):
    ...     def forward(self, a, b):
    ...         return np.maximum(a + b, 0) ** 2
    ...
    ...     def backward(self, dh, h):
    ...         return dh * 2 * np.sqrt(h)
    >>> Square().forward(np.array([[-1.0, 2.0]]), np.array([0.0, 1.0]))
    array([[0., 9.]])
    """

    @abstractmethod
    def forward(self, a: Array, b: Array) -> Array:
        """h = f(a + b), a (..., width), b (width,); may overwrite `a`."""

    @abstractmethod
    def backward(self, dh: Array, h: Array) -> Array:
        """da = dh * f'(a + b); may overwrite `dh`."""


class Smooth(Activation):
    """An activation with a second derivative: what the gradient of a network's Jacobian needs."""

    @abstractmethod
    def second(self, h: Array) -> Array:
        """f''(a + b)."""


def _bias_relu_twin(a: Array, b: Array) -> None:
    a += b
    np.maximum(a, 0, out=a)


def _relu_backward_twin(dh: Array, h: Array) -> None:
    dh *= h > 0


bias_relu = Kernel(bias_relu_loop, _bias_relu_twin)
relu_backward = InPlaceKernel(relu_backward_loop, _relu_backward_twin)


class ReLU(Activation):
    """f(a) = max(a, 0)."""

    name = "relu"

    def forward(self, a: Array, b: Array) -> Array:
        rows = a.reshape(-1, len(b))  # (N, width), or one row per pixel of an image
        bias_relu(rows, b)  # rows <- max(rows + b, 0)
        return rows.reshape(a.shape)

    def backward(self, dh: Array, h: Array) -> Array:
        check_shape(dh, h.shape, "relu", "dh")
        relu_backward(dh, h)  # f' = 1 where a + b > 0, that is where h > 0, and 0 elsewhere
        return dh


class LeakyReLU(Activation):
    """f(a) = a where a > 0, and slope * a elsewhere.

    Parameters
    ----------
    slope : float
        In (0, 1), so that the sign of h says on which side of 0 a was; 0.2 by default.
    """

    name = "leaky_relu"

    def __init__(self, slope: float = 0.2) -> None:
        self.slope = as_float(slope, "LeakyReLU", "slope", above=0, below=1)

    def forward(self, a: Array, b: Array) -> Array:
        a += b
        np.maximum(a, self.slope * a, out=a)  # a where a > 0; below, slope * a is the larger one
        return a

    def backward(self, dh: Array, h: Array) -> Array:
        return np.where(h > 0, dh, self.slope * dh)  # f' = 1 where h > 0, and slope elsewhere

    def config(self) -> dict[str, Any]:
        return {"slope": self.slope}


class Tanh(Smooth):
    """f(a) = tanh(a)."""

    name = "tanh"

    def forward(self, a: Array, b: Array) -> Array:
        a += b
        return np.tanh(a, out=a)

    def backward(self, dh: Array, h: Array) -> Array:
        return dh * (1 - h * h)  # tanh' = 1 - tanh^2

    def second(self, h: Array) -> Array:
        return -2 * h * (1 - h * h)  # d(1 - h^2)/da = -2 h h'


class Softplus(Smooth):
    """f(a) = log(1 + e^a)."""

    name = "softplus"

    def forward(self, a: Array, b: Array) -> Array:
        a += b
        return np.logaddexp(0, a, out=a)  # the naive form overflows in float32 from a = 89

    def backward(self, dh: Array, h: Array) -> Array:
        return dh * -np.expm1(-h)  # f' = sigmoid(a) = 1 - 1/(1 + e^a) = 1 - e^-h

    def second(self, h: Array) -> Array:
        return np.exp(-h) * -np.expm1(-h)  # d(1 - e^-h)/da = e^-h h'


ACTIVATIONS: dict[str, type[Activation]] = {kind.name: kind for kind in (ReLU, LeakyReLU, Tanh, Softplus)}


def get_activation(activation: str | Activation) -> Activation:
    """The activation called "relu", "leaky_relu" (slope 0.2 below 0), "tanh" or "softplus", or a copy of the given one.

    Examples
    --------
    >>> get_activation("relu").forward(np.array([[-1.0, 2.0]]), np.array([0.5, 0.5]))
    array([[0. , 2.5]])
    >>> get_activation(LeakyReLU(0.01))
    LeakyReLU(slope=0.01)
    """
    return as_part(activation, ACTIVATIONS, Activation, "activation")  # type: ignore[type-abstract]

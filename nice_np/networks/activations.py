"""Activation functions h = f(a + b) of a product and a bias.

Each derivative is written in terms of the output h, so only h is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nice_np.kernels import InPlaceKernel, Kernel, bias_relu_loop, relu_backward_loop
from nice_np.validation import Array, as_choice, check_shape


class Activation(NamedTuple):
    """A function and its gradient.

    ``forward(a, b)`` returns h = f(a + b), a (..., width), b (width,), and may overwrite `a`; ``backward(dh, h)``
    returns da = dh * f'(a + b) and may overwrite `dh`.
    """

    name: str
    forward: Callable[[Array, Array], Array]
    backward: Callable[[Array, Array], Array]


def _bias_relu_twin(a: Array, b: Array) -> None:
    a += b
    np.maximum(a, 0, out=a)


def _relu_backward_twin(dh: Array, h: Array) -> None:
    dh *= h > 0


bias_relu = Kernel(bias_relu_loop, _bias_relu_twin)
relu_backward = InPlaceKernel(relu_backward_loop, _relu_backward_twin)


def _relu(a: Array, b: Array) -> Array:
    rows = a.reshape(-1, len(b))  # (N, width), or one row per pixel of an image
    bias_relu(rows, b)  # rows <- max(rows + b, 0)
    return rows.reshape(a.shape)


def _relu_backward(dh: Array, h: Array) -> Array:
    check_shape(dh, h.shape, "relu", "dh")
    relu_backward(dh, h)  # f' = 1 where a + b > 0, that is where h > 0, and 0 elsewhere
    return dh


SLOPE = 0.2  # of the leaky ReLU below 0


def _leaky_relu(a: Array, b: Array) -> Array:
    a += b
    np.maximum(a, SLOPE * a, out=a)  # a where a > 0; below, SLOPE a is the larger one
    return a


def _leaky_relu_backward(dh: Array, h: Array) -> Array:
    return np.where(h > 0, dh, SLOPE * dh)  # f' = 1 where h > 0, and SLOPE elsewhere


def _tanh(a: Array, b: Array) -> Array:
    a += b
    return np.tanh(a, out=a)


def _tanh_backward(dh: Array, h: Array) -> Array:
    return dh * (1 - h * h)  # tanh' = 1 - tanh^2


def _softplus(a: Array, b: Array) -> Array:
    a += b
    return np.logaddexp(0, a, out=a)  # log(1 + e^a); the naive form overflows in float32 from a = 89


def _softplus_backward(dh: Array, h: Array) -> Array:
    return dh * -np.expm1(-h)  # f' = sigmoid(a) = 1 - 1/(1 + e^a) = 1 - e^-h


ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("relu", _relu, _relu_backward),
        Activation("leaky_relu", _leaky_relu, _leaky_relu_backward),
        Activation("tanh", _tanh, _tanh_backward),
        Activation("softplus", _softplus, _softplus_backward),
    )
}


def get_activation(name: str) -> Activation:
    """The activation called "relu", "leaky_relu" (slope 0.2 below 0), "tanh" or "softplus".

    Examples
    --------
    >>> get_activation("relu").forward(np.array([[-1.0, 2.0]]), np.array([0.5, 0.5]))
    array([[0. , 2.5]])
    """
    return ACTIVATIONS[as_choice(name, ACTIVATIONS, "activation", "activation")]

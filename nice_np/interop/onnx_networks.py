"""The ONNX operators of conditioners and activations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np

from nice_np.errors import NiceTypeError
from nice_np.interop.onnx_graph import Graph
from nice_np.networks.activations import Activation, LeakyReLU, ReLU, Softplus, Tanh
from nice_np.networks.convnet import ConvNet
from nice_np.networks.convolution import Conv3x3
from nice_np.networks.convolutions import Convolutions
from nice_np.networks.glownet import GlowNet
from nice_np.networks.masked import MaskedMLP
from nice_np.networks.mlp import MLP
from nice_np.validation import Array


@singledispatch
def activated(activation: Activation, graph: Graph, a: str) -> str:
    """f(a); see `nice_np.networks.activations`."""
    raise NiceTypeError(f"to_onnx: no graph is known for {activation!r}")


@activated.register
def _(activation: ReLU, graph: Graph, a: str) -> str:
    return graph.add("Max", a, 0.0)


@activated.register
def _(activation: LeakyReLU, graph: Graph, a: str) -> str:
    return graph.add("Max", a, graph.add("Mul", a, activation.slope))


@activated.register
def _(activation: Tanh, graph: Graph, a: str) -> str:
    return graph.add("Tanh", a)


@activated.register
def _(activation: Softplus, graph: Graph, a: str) -> str:
    return graph.softplus(a)


@singledispatch
def network(conditioner: Any, graph: Graph, x: str) -> str:
    """The name of m(x), (N, T * B), for kept features and context x, (N, A + C)."""
    raise NiceTypeError(f"to_onnx: no graph is known for {conditioner!r}")


@network.register
def _(conditioner: MLP, graph: Graph, x: str) -> str:
    return _layers(conditioner.activation, [(linear.W, linear.b) for linear in conditioner.layers], graph, x)


@network.register
def _(conditioner: MaskedMLP, graph: Graph, x: str) -> str:
    masked = [(linear.W * linear.M, linear.b) for linear in conditioner.layers]
    return _layers(conditioner.activation, masked, graph, x)


def _layers(activation: Activation, weights: Sequence[tuple[Array, Array]], graph: Graph, x: str) -> str:
    *hidden, (last_W, last_b) = weights
    for W, b in hidden:
        x = activated(activation, graph, graph.add("Add", graph.add("MatMul", x, W), b))
    return graph.add("Add", graph.add("MatMul", x, last_W), last_b)


@network.register
def _(conditioner: ConvNet, graph: Graph, x: str) -> str:
    order = conditioner._order_a
    pixels = graph.columns(x, order.ravel())
    pixels = graph.add("Reshape", pixels, np.array([-1, order.shape[0] * order.shape[1], order.shape[2]]))
    theta = graph.add(
        "Reshape", _convolutions(conditioner, graph, x, pixels, order.shape[:2]), np.array([-1, conditioner.sizes[1]])
    )
    return graph.columns(theta, np.argsort(conditioner._order_theta, axis=None))


@network.register
def _(conditioner: GlowNet, graph: Graph, x: str) -> str:
    area = conditioner.pixels[0] * conditioner.pixels[1]
    features = graph.columns(x, np.arange(conditioner.channels[0] * area))
    planes = graph.add("Reshape", features, np.array([0, conditioner.channels[0], area]))
    pixels = _convolutions(conditioner, graph, x, graph.add("Transpose", planes, perm=[0, 2, 1]), conditioner.pixels)
    return graph.add("Reshape", graph.add("Transpose", pixels, perm=[0, 2, 1]), np.array([0, conditioner.sizes[1]]))


def _convolutions(net: Convolutions, graph: Graph, x: str, pixels: str, shape: Sequence[int]) -> str:
    """The last image from the first, (N, h w, c) each; the context is the end of x."""
    area = shape[0] * shape[1]
    near = _neighbours(*shape)  # (h w, 9)
    for layer in net.layers:
        c_in, c_out = layer.W.shape[-2:]
        if isinstance(layer, Conv3x3):
            # One zero pixel appended to the image stands for all pixels beyond its border.
            padded = graph.add("Pad", pixels, np.array([0, 0, 0, 0, 1, 0]))
            rows = graph.add("Gather", padded, near, axis=1)  # (N, h w, 9, c)
            pixels = graph.add("Reshape", rows, np.array([-1, area, 9 * c_in]))
        pixels = graph.add("MatMul", pixels, layer.W.reshape(-1, c_out))
        if layer is net.layers[0] and net.context_dim:
            context = graph.columns(x, np.arange(net.sizes[0] - net.context_dim, net.sizes[0]))
            shift = graph.add("MatMul", context, net.W_context)
            pixels = graph.add("Add", pixels, graph.add("Reshape", shift, np.array([-1, 1, c_out])))
        pixels = graph.add("Add", pixels, layer.b)
        if layer is not net.layers[-1]:
            pixels = activated(net.activation, graph, pixels)
    return pixels


def _neighbours(height: int, width: int) -> Any:
    """The indices of the 3x3 neighbourhood of every pixel, (h w, 9); h w stands for all pixels beyond the border."""
    indices = np.full((height + 2, width + 2), height * width)
    indices[1:-1, 1:-1] = np.arange(height * width).reshape(height, width)
    return np.lib.stride_tricks.sliding_window_view(indices, (3, 3)).reshape(height * width, 9)

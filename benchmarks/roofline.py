"""What the machine could do at best: the matrix products of a step alone, and Adam's traffic at memory speed.

A training step cannot be faster than its products, computed by the same BLAS on matrices that lie as they do in the
step: all weights in one vector, all gradients in another, each conditioner with activations of its own, so that the
caches are as cold as in the step.  Adam reads values, gradients, m and v, and writes values, m and v: seven passes.
With a small model those vectors stay in the caches, and Adam can be faster than memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.contenders import check_installed
from benchmarks.model import Array, Model

ADAM_PASSES = 7
BYTES = 4  # of a float32


class Product(NamedTuple):
    """out = left @ right"""

    left: Array
    right: Array
    out: Array

    @property
    def flops(self) -> int:
        """A multiplication and an addition for each of the n m k terms."""
        return 2 * self.left.shape[0] * self.left.shape[1] * self.right.shape[1]


class Conditioner(NamedTuple):
    """The matrices of one conditioner: views of the flat vectors, and activations of its own."""

    W: list[Array]
    dW: list[Array]
    h: list[Array]  # the input of each layer, and the output


def training_products(model: Model) -> list[Product]:
    """Those of loss and gradient, in the order of the step.

    The input of the first layer is the data, and nobody asks for its gradient: that product is left out.
    """
    conditioners, dh = matrices(model, model.batch)
    products = forward(conditioners)
    for c in reversed(conditioners):
        for k in reversed(range(len(c.W))):
            products.append(Product(c.h[k].T, dh[k + 1], c.dW[k]))
            if k > 0 or c is not conditioners[0]:
                products.append(Product(dh[k + 1], c.W[k].T, dh[k]))
    return products


def latent_products(model: Model) -> list[Product]:
    """Those of a gradient with respect to latents: forward, and back to the input, with no weight's gradient."""
    conditioners, dh = matrices(model, model.batch)
    products = forward(conditioners)
    for c in reversed(conditioners):
        products += [Product(dh[k + 1], c.W[k].T, dh[k]) for k in reversed(range(len(c.W)))]
    return products


def scoring_products(model: Model, rows: int) -> list[Product]:
    """Those of log-likelihoods or samples of a chunk of rows."""
    return forward(matrices(model, rows)[0])


def forward(conditioners: list[Conditioner]) -> list[Product]:
    return [Product(c.h[k], c.W[k], c.h[k + 1]) for c in conditioners for k in range(len(c.W))]


def matrices(model: Model, rows: int) -> tuple[list[Conditioner], list[Array]]:
    """The conditioners, and the gradients of activations, which all of them share."""
    rng = np.random.default_rng(0)
    values = np.empty(model.n_parameters, np.float32)
    grads = np.zeros_like(values)
    conditioners, start = [], 0
    for _ in range(model.couplings):
        W, dW = [], []
        for n_in, n_out in zip(model.sizes[:-1], model.sizes[1:], strict=True):
            stop = start + n_in * n_out
            W.append(values[start:stop].reshape(n_in, n_out))
            dW.append(grads[start:stop].reshape(n_in, n_out))
            # He initialisation keeps numbers ordinary through the layers: neither inf nor denormal.
            W[-1][...] = rng.standard_normal((n_in, n_out), np.float32) * np.float32(np.sqrt(2 / n_in))
            start = stop + n_out  # behind W lies b
        conditioners.append(Conditioner(W, dW, activations(model, rows, rng)))
    return conditioners, activations(model, rows, rng)


def activations(model: Model, rows: int, rng: np.random.Generator) -> list[Array]:
    return [rng.standard_normal((rows, width), np.float32) for width in model.sizes]


def runner(products: list[Product], times: int = 1) -> Callable[[], None]:
    """A function that computes the products in order, `times` over."""

    def run() -> None:
        for _ in range(times):
            for left, right, out in products:
                np.matmul(left, right, out=out)

    return run


def torch_runner(products: list[Product]) -> Callable[[], None]:
    """The same products, of the same arrays, by the BLAS that PyTorch comes with.

    Raises
    ------
    Unavailable
        If PyTorch is not installed.
    """
    check_installed("torch")
    import torch

    tensors = [tuple(torch.from_numpy(array) for array in product) for product in products]

    def run() -> None:
        for left, right, out in tensors:
            torch.mm(left, right, out=out)

    return run


def gflops(products: list[Product], seconds: float) -> float:
    """The rate in 10^9 operations a second."""
    return sum(product.flops for product in products) / seconds / 1e9


def adam_seconds(n_parameters: int, bytes_per_second: float) -> float:
    """Adam's traffic at memory speed."""
    return ADAM_PASSES * BYTES * n_parameters / bytes_per_second

"""The model in PyTorch, eager or compiled, with Adam in its default or in its fused form."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from itertools import chain, pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.contender import LEARNING_RATE, Unavailable
from benchmarks.model import Array, Model
from benchmarks.weights import Weights

COMPILERS = ("g++", "clang++", "cl")  # torch.compile writes C++ and needs one of them
SMALLEST = 2.0**-24  # uniform float32 numbers are multiples of it: 0 would become an infinite latent


class Nice(nn.Module):
    """Additive couplings over even and odd features in turn, and a diagonal scaling.

    The halves stay apart between the couplings: merging and splitting them at each would only copy.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.conditioners = nn.ModuleList(mlp(model.sizes) for _ in range(model.couplings))
        self.log_scale = nn.Parameter(torch.zeros(model.dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x) of each row, with the logistic prior log p(z) = -z - 2 softplus(-z)."""
        kept, changed = x[:, ::2], x[:, 1::2]
        for conditioner in self.conditioners:
            kept, changed = changed + conditioner(kept), kept
        z = merge(kept, changed, len(self.conditioners)) * self.log_scale.exp()
        return self.log_prior(z) + self.log_scale.sum()

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        y = z * (-self.log_scale).exp()
        couplings = len(self.conditioners)
        kept, changed = (y[:, ::2], y[:, 1::2]) if couplings % 2 == 0 else (y[:, 1::2], y[:, ::2])
        for conditioner in reversed(self.conditioners):
            kept, changed = changed, kept - conditioner(changed)
        return merge(kept, changed, 0)

    @staticmethod
    def log_prior(z: torch.Tensor) -> torch.Tensor:
        return -(z + 2 * F.softplus(-z)).sum(dim=1)


def mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with a ReLU between any two."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def merge(kept: torch.Tensor, changed: torch.Tensor, swaps: int) -> torch.Tensor:
    """(N, D/2) twice -> (N, D): the halves in turn, feature by feature; after an odd number of swaps they changed."""
    even, odd = (kept, changed) if swaps % 2 == 0 else (changed, kept)
    return torch.stack((even, odd), dim=2).flatten(start_dim=1)


class TorchModel:
    """A `Nice` module with everything that is measured.

    Parameters
    ----------
    model : Model
    weights : Weights
    fused : bool
        Adam as one kernel over all parameters, ``Adam(fused=True)``, instead of PyTorch's default.
    compiled : bool
        The loss and its gradient through ``torch.compile``.
    learning_rate : float
    """

    def __init__(
        self,
        model: Model,
        weights: Weights,
        fused: bool = False,
        compiled: bool = False,
        learning_rate: float = LEARNING_RATE,
    ) -> None:
        if compiled and not any(map(shutil.which, COMPILERS)):
            raise Unavailable("no C++ compiler, which torch.compile needs")
        self.model, self.compiled = model, compiled
        self.net = Nice(model)
        self._load(weights)
        try:
            self.adam = torch.optim.Adam(self.net.parameters(), lr=learning_rate, fused=fused or None)
        except RuntimeError as error:
            raise Unavailable(f"no fused Adam: {first_line(error)}") from None
        self.loss: Callable[[torch.Tensor], torch.Tensor] = self._mean_nll
        if compiled:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch's about its own modules
                self.loss = torch.compile(self._mean_nll)

    def _load(self, weights: Weights) -> None:
        with torch.no_grad():
            for linear, (W, b) in zip(self._linears(), chain(*weights.couplings), strict=True):
                linear.weight.copy_(torch.from_numpy(W.T))  # PyTorch keeps (n_out, n_in)
                linear.bias.copy_(torch.from_numpy(b))
            self.net.log_scale.copy_(torch.from_numpy(weights.log_scale))

    def _linears(self) -> list[nn.Linear]:
        return [module for module in self.net.modules() if isinstance(module, nn.Linear)]

    def _mean_nll(self, x: torch.Tensor) -> torch.Tensor:
        return -self.net(x).mean()

    def prepare(self, array: Array) -> torch.Tensor:
        return torch.from_numpy(array)

    def wait(self, result: Any) -> None:
        """Nothing to wait for: on a CPU PyTorch returns when it is done."""

    def loss_and_gradients(self, x: torch.Tensor) -> tuple[float, Array]:
        loss = self._first_loss(x)
        pairs = [(linear.weight.grad.T.numpy(), linear.bias.grad.numpy()) for linear in self._linears()]
        return loss, Weights([pairs], self.net.log_scale.grad.numpy()).flat()

    def _first_loss(self, x: torch.Tensor) -> float:
        """Loss and gradients; here torch.compile does its work, and may fail."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's about its own modules
                self.adam.zero_grad(set_to_none=True)
                loss = self.loss(x)
                loss.backward()
        except Exception as error:  # any: it runs a compiler and loads what it made
            if not self.compiled:
                raise
            raise Unavailable(f"torch.compile failed: {first_line(error)}") from error
        return loss.item()

    def step(self, x: torch.Tensor) -> torch.Tensor:
        self.adam.zero_grad(set_to_none=True)
        loss = self.loss(x)
        loss.backward()
        self.adam.step()
        return loss

    @torch.inference_mode()
    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)

    @torch.inference_mode()
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.net.decode(z)

    @torch.inference_mode()
    def sample(self, rows: int) -> torch.Tensor:
        return self.net.decode(torch.rand(rows, self.model.dim).logit_(eps=SMALLEST))

    def latent_gradient(self, z: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """d/dz of |decode(z) - target|^2 / 2 - log p(z), summed over the rows."""
        z = z.detach().requires_grad_()
        objective = (self.net.decode(z) - target).square().sum() / 2 - self.net.log_prior(z).sum()
        return torch.autograd.grad(objective, z)[0]  # of z only: no gradient of a weight is computed


def first_line(error: Exception) -> str:
    """The kind and the first line of a message that may be a page long."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"

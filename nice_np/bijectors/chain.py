"""Composition f = f_K o ... o f_1: log-determinants add up, gradients run backwards through the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.permutation import Permutation
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.notebook import parts_table
from nice_np.parameters import run_backward
from nice_np.validation import Array, as_tuple


class Chain(Bijector):
    """Bijectors applied one after the other, the first one next to the data.

    Parameters
    ----------
    layers : sequence of Bijector
        At least one, all of the same dim.

    Notes
    -----
    z = f_K(... f_1(x)) and log|det df/dx| = sum_k log|det df_k|.  Every log_det enters the sum with factor 1, so all
    layers receive the same dlog_det.
    """

    def __init__(self, layers: Sequence[Bijector]) -> None:
        layers = as_tuple(layers, "Chain: expected a sequence of bijectors")
        if not layers:
            raise NiceValueError("Chain: expected at least one bijector, got none")
        for layer in layers:
            if not isinstance(layer, Bijector):
                raise NiceTypeError(f"Chain: expected bijectors, got {layer!r}; derive your own from nice_np.Bijector")
            if not hasattr(layer, "dim"):
                raise NiceTypeError(f"Chain: {type(layer).__name__} has no dim; write self.dim = ... in its __init__")
        dims = [layer.dim for layer in layers]
        if len(set(dims)) > 1:
            raise NiceValueError(f"Chain: all layers must have the same dim, got {dims}")
        self.layers = layers
        self.dim = dims[0]
        # A permutation changes no value, so the first layer that is none decides where x may lie.
        self.interval = next((layer.interval for layer in layers if not isinstance(layer, Permutation)), self.interval)

    def forward(self, x: Array) -> tuple[Array, Array, list[Any]]:
        z, log_det, cache = self.layers[0].forward(x)
        caches = [cache]
        for layer in self.layers[1:]:
            z, layer_log_det, cache = layer.forward(z)
            log_det = log_det + layer_log_det  # (N,)
            caches.append(cache)
        return z, log_det, caches

    def inverse(self, z: Array) -> tuple[Array, Array, list[Any]]:
        x, log_det, cache = self.layers[-1].inverse(z)
        caches = [cache]
        for layer in self.layers[-2::-1]:
            x, layer_log_det, cache = layer.inverse(x)
            log_det = log_det + layer_log_det  # (N,)
            caches.append(cache)
        return x, log_det, caches  # caches in the order of the inverse pass: last layer first

    def backward(self, dz: Array, dlog_det: Array, cache: list[Any], parameters: bool = True) -> Array:
        for layer, layer_cache in zip(self.layers[::-1], cache[::-1], strict=True):
            dz = run_backward(layer.backward, dz, dlog_det, layer_cache, parameters=parameters)
        return dz

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: list[Any], parameters: bool = True) -> Array:
        for layer, layer_cache in zip(self.layers, cache[::-1], strict=True):
            dx = run_backward(layer.inverse_backward, dx, dlog_det, layer_cache, parameters=parameters)
        return dx

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, place: int | slice) -> Bijector:
        """One layer, or for a slice the chain of these layers."""
        return Chain(self.layers[place]) if isinstance(place, slice) else self.layers[place]

    def config(self) -> dict[str, Any]:
        return {"layers": list(self.layers)}

    def __repr__(self) -> str:
        inner = "\n".join(f"  {line}" for layer in self.layers for line in repr(layer).splitlines())
        return f"Chain(\n{inner}\n)"

    def _repr_html_(self) -> str:
        head = f"Chain(dim={self.dim}, {len(self)} layers, {self.n_parameters:,} parameters)"
        return parts_table(head, self.layers)


def layers_of(bijector: Bijector) -> tuple[Bijector, ...]:
    """The layers of a Chain, data side first; any other bijector is its only layer.

    So is a subclass of Chain with a pass of its own: what its layers do one by one is not what it does.
    """
    passes = ("forward", "inverse", "backward", "inverse_backward")
    if isinstance(bijector, Chain) and all(getattr(type(bijector), name) is getattr(Chain, name) for name in passes):
        return bijector.layers
    return (bijector,)

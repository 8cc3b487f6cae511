"""Composition f = f_K o ... o f_1: log-determinants add up, gradients run backwards through the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.permutation import Permutation
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.validation import Array


class Chain(Bijector):
    """Bijectors applied one after the other, the first one next to the data.

    Parameters
    ----------
    layers : sequence of Bijector
        At least one, all of the same dim.

    Notes
    -----
    z = f_K(... f_1(x)) and log|det df/dx| = sum_k log|det df_k|.  Every layer's log_det enters the sum with factor 1,
    so each receives the same dlog_det.
    """

    def __init__(self, layers: Sequence[Bijector]) -> None:
        try:
            layers = tuple(layers)
        except TypeError:
            raise NiceTypeError(f"Chain: expected a sequence of bijectors, got {layers!r}") from None
        if not layers:
            raise NiceValueError("Chain: expected at least one bijector, got none")
        for layer in layers:
            if not isinstance(layer, Bijector):
                raise NiceTypeError(f"Chain: expected bijectors, got {layer!r}; derive your own from nice_np.Bijector")
        dims = [layer.dim for layer in layers]
        if len(set(dims)) > 1:
            raise NiceValueError(f"Chain: all layers must have the same dim, got {dims}")
        self.layers = layers
        self.dim = dims[0]
        # Permutations keep every number's value: what the first other layer asks of x, they ask, too.
        self.interval = next((layer.interval for layer in layers if not isinstance(layer, Permutation)), self.interval)
        # The first layer with parameters: the gradient with respect to them need not go below it.
        self._lowest = next((k for k, layer in enumerate(layers) if layer.n_parameters), len(layers))

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

    def backward(self, dz: Array, dlog_det: Array, cache: list[Any], accumulate: bool = True) -> Array:
        return self._back_through(0, dz, dlog_det, cache, accumulate)

    def backward_to_parameters(self, dz: Array, dlog_det: Array, cache: list[Any]) -> None:
        lowest = self._lowest
        if lowest < len(self.layers):
            dz = self._back_through(lowest + 1, dz, dlog_det, cache, True)
            self.layers[lowest].backward_to_parameters(dz, dlog_det, cache[lowest])

    def _back_through(self, first: int, dz: Array, dlog_det: Array, cache: list[Any], accumulate: bool) -> Array:
        """From dL/dz to the gradient of what layer `first` takes in."""
        for layer, layer_cache in zip(self.layers[first:][::-1], cache[first:][::-1], strict=True):
            dz = layer.backward(dz, dlog_det, layer_cache, accumulate)
        return dz

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: list[Any], accumulate: bool = True) -> Array:
        for layer, layer_cache in zip(self.layers, cache[::-1], strict=True):
            dx = layer.inverse_backward(dx, dlog_det, layer_cache, accumulate)
        return dx

    def config(self) -> dict[str, Any]:
        return {"layers": list(self.layers)}

    def __repr__(self) -> str:
        inner = "\n".join(f"  {line}" for layer in self.layers for line in repr(layer).splitlines())
        return f"Chain(\n{inner}\n)"

"""Backpropagation without stored activations: every layer's input is rebuilt from its output by the inverse.

Forward discards the caches and keeps z.  Backward goes down from the last layer: from z_k = x_{k+1} it rebuilds
x_k = f_k^-1(z_k) and the cache of forward at x_k, takes the gradient through this one layer, and discards both.  Memory
does not grow with the number of layers, at the price of one inverse each.  (Gomez et al. 2017)

Rounding errors drift: each inverse passes its own on to the next one down.  Where inverses expand, the rebuilt inputs
and so the gradient become wrong.  So forward keeps a mark of every layer's input, one number per row, and backward
refuses an input that does not match its mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.chain import layers_of
from nice_np.errors import DriftError
from nice_np.validation import Array

SMALL = 1e-3  # a feature smaller than this share of the mean is compared as if it had this size


class Trace(NamedTuple):
    """What is kept of a forward pass: its output z (N, D), and the mark of each layer's input."""

    z: Array
    marks: list[Mark]


class Rebuilding:
    """Forward and backward of a bijector; its layers keep nothing in between.

    Parameters
    ----------
    bijector : Bijector
        A Chain is split into its layers, also where it is a layer of another one.
    dim : int
        The number of features to compare with their marks; the rest is a context, which no layer changes.
    """

    def __init__(self, bijector: Bijector, dim: int) -> None:
        self.layers = list(named_layers(bijector))
        # Random signs: errors do not cancel in practice.  Sizes differ in case only few features err.
        rng = np.random.default_rng(0)
        self.weights = rng.uniform(1, 2, dim) * rng.choice([-1, 1], dim)  # (D,)

    def forward(self, x: Array) -> tuple[Array, Array, Trace]:
        """As the bijector's own, but with a `Trace` as the cache."""
        z, log_det, marks = x, np.zeros((), x.dtype), []
        for _, layer in self.layers:
            marks.append(Mark(z, self.weights))
            z, layer_log_det = layer.forward(z)[:2]  # without the cache
            log_det = log_det + layer_log_det  # (N,)
        return z, log_det, Trace(z, marks)

    def backward(self, dz: Array, dlog_det: Array, trace: Trace) -> Array:
        """As the bijector's own.

        Raises
        ------
        DriftError
            If a rebuilt input does not match its mark; only the layers above have their gradients by then.
        """
        z = trace.z
        for (name, layer), mark in zip(self.layers[::-1], trace.marks[::-1], strict=True):
            z, dz = rebuild_and_backward(name, layer, mark, z, dz, dlog_det)
        return dz


def named_layers(bijector: Bijector, path: str = "") -> Iterator[tuple[str, Bijector]]:
    """The layers of chains within chains with their names, data side first: layer 0, layer 1.0, layer 1.1, layer 2."""
    layers = layers_of(bijector)
    if layers != (bijector,):
        for i, layer in enumerate(layers):
            yield from named_layers(layer, f"{path}.{i}" if path else f"{i}")
    else:
        yield f"layer {path or 0} ({type(bijector).__name__})", bijector


def rebuild_and_backward(
    name: str, layer: Bijector, mark: Mark, z: Array, dz: Array, dlog_det: Array
) -> tuple[Array, Array]:
    """x and dx of one layer; its cache is freed on return, before the layer below makes one."""
    x, cache = layer.rebuild(z)
    mark.refuse_drift(x, name)
    return x, layer.backward(dz, dlog_det, cache)


class Mark:
    """A weighted sum of each row of an array, enough to recognise it.

    Every feature is measured in units of its mean size, so that drift of a small one shows next to a large one.

    Parameters
    ----------
    x : ndarray, shape (N, D + C)
    weights : ndarray, shape (D,)
    """

    def __init__(self, x: Array, weights: Array) -> None:
        self.dim = len(weights)
        size = np.abs(x[:, : self.dim]).mean(axis=0, dtype=np.float64)  # (D,)
        unit = np.maximum(size, SMALL * size.mean() + np.finfo(x.dtype).tiny)  # (D,), never 0
        self.per_unit = (1 / unit).astype(x.dtype)  # (D,)
        self.weights = (weights / unit).astype(x.dtype)  # (D,)
        self.norm = np.linalg.norm(weights)
        self.sums = self._sums(x)

    def _sums(self, x: Array) -> Array:
        sums: Array = np.dot(x[:, : self.dim], self.weights)  # (N, D) @ (D,) -> (N,)
        return sums

    def drift(self, x: Array) -> Array:
        """An estimate of the relative error of each row of a rebuilt x: (N, D + C) -> (N,)."""
        # Were the features' errors e independent, the mean of (sum_d w_d e_d)^2 would be |w|^2 times that of e^2.
        error = np.abs(self._sums(x) - self.sums) / self.norm  # (N,)
        size = np.dot(np.abs(x[:, : self.dim]), self.per_unit) / self.dim  # (N,)
        # For a row that is small by chance the size of a typical one counts; fmax ignores a NaN in another row.
        drift: Array = error / np.fmax(np.fmax(size, np.median(size)), np.finfo(x.dtype).tiny)
        return drift

    def refuse_drift(self, x: Array, name: str) -> None:
        """DriftError if a row of the rebuilt x has lost more than half of its digits."""
        drift = self.drift(x)
        row, tolerance = np.argmax(drift), np.sqrt(np.finfo(x.dtype).eps)  # argmax finds NaN before any number
        if not drift[row] <= tolerance:
            raise DriftError(
                f"Flow: the input of {name}, rebuilt from its output, is off by {drift[row]:.1e} of its size in row "
                f"{row} ({x.dtype} allows {tolerance:.1e}): inverses enlarge rounding errors; use recompute=False, "
                "float64, fewer layers, or scales nearer to 1"
            )

"""Layers with constants that are measured on the training data: what `nice_np.fit` does before its first step.

Such a layer has two things, ``fitted`` and ``fit(chunks)``, and needs no base class for them.  It sees the data as they
arrive at it, that is passed through the layers below, in chunks of some thousand rows, as often as it likes: a mean
takes one pass, a variance about that mean another, and nothing ever holds all the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import numpy as np

from nice_np.errors import NiceValueError
from nice_np.validation import Array

Chunks = Callable[[], Iterable[Array]]  # each call starts a new pass over the same numbers: (n, D), (n, D), ...


@runtime_checkable
class Fitted(Protocol):
    """A bijector that measures its constants on data.  Until then it is the identity."""

    @property
    def fitted(self) -> bool:
        """False while the layer waits for `fit`."""

    def fit(self, chunks: Chunks) -> None:
        """Measure the constants.

        Parameters
        ----------
        chunks : callable
            ``chunks()`` is an iterable over the data at this layer, arrays of shape (n, D) in the flow's dtype; every
            call gives the same numbers again.
        """


def mean_of(chunks: Chunks) -> tuple[Array, int]:
    """The mean of each feature, float64 of shape (D,), and the number of samples.

    Raises
    ------
    NiceValueError
        If there are no samples.
    """
    total, n_samples = np.zeros(1), 0
    for x in chunks():
        total = total + x.sum(axis=0, dtype=np.float64)  # (D,)
        n_samples += len(x)
    if n_samples == 0:
        raise NiceValueError("fit: 0 samples; there is nothing to measure")
    return total / n_samples, n_samples

"""Layers whose constants are measured on the training data, before the first step of `nice_np.fit`.

Such a layer has ``fitted`` and ``fit(chunks)``, and needs no base class.  It sees the data after the layers below it,
in chunks of a thousand rows and as often as it likes: a mean takes one pass, a variance about that mean another, and
the data are never held as a whole.
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
    """A bijector that measures its constants on data; the identity until then."""

    @property
    def fitted(self) -> bool:
        """False until `fit` has run."""

    def fit(self, chunks: Chunks) -> None:
        """Measure the constants.

        Parameters
        ----------
        chunks : callable
            ``chunks()`` iterates over the data at this layer: arrays of shape (n, D) in the flow's dtype, the same in
            every call.
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

"""What `fit` learns from: samples or pixels and, for a flow with a context, the context of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.checks import Array, Rng, as_context, as_real_array, as_samples, check_interval
from nice_np.dequantize import BIN_WIDTH, dequantize
from nice_np.errors import NiceValueError
from nice_np.flow import Flow


@dataclass(frozen=True)
class TrainingData:
    """Checked data.

    Attributes
    ----------
    x : ndarray, shape (N, D)
        uint8 pixels, or samples in the flow's dtype.
    context : ndarray, shape (N, C), or None
    """

    x: npt.NDArray[Any]
    context: Array | None

    @classmethod
    def checked(cls, flow: Flow, x: Any, context: Any, name: str) -> TrainingData:
        """The arguments of `fit`, called `name` and `name`'s context there, or an error."""
        raw = as_real_array(x, "fit", name)
        samples = as_samples(raw, flow.dim, owner="fit", name=name, dtype=flow.dtype)
        if len(samples) == 0:
            raise NiceValueError(f"fit: {name} has 0 samples")
        if flow.context_dim:
            context = as_context(context, len(samples), flow.context_dim, "fit", flow.dtype)
        elif context is not None:
            raise NiceValueError("fit: this flow takes no context; build one with context_dim, see nice(...)")
        if raw.dtype == np.uint8:
            return cls(raw, context)
        check_interval(samples, flow.bijector.interval, "fit")
        return cls(samples, context)

    @property
    def bin_width(self) -> float:
        """See `Flow.bits_per_dim`."""
        return BIN_WIDTH if self.x.dtype == np.uint8 else 1.0

    def rows(self, rows: Any) -> TrainingData:
        """Some of the samples."""
        return TrainingData(self.x[rows], None if self.context is None else self.context[rows])

    def dequantized(self, rng: Rng, dtype: npt.DTypeLike) -> TrainingData:
        """Pixels with fresh noise; anything else as it is."""
        if self.x.dtype != np.uint8:
            return self
        return TrainingData(dequantize(self.x, rng, dtype), self.context)

    def joined(self, dtype: npt.DTypeLike) -> Array:
        """As the flow's bijector sees them: (N, D), or (N, D + C) with the context behind."""
        arrays = [self.x] if self.context is None else [self.x, self.context]
        return np.concatenate(arrays, axis=1, dtype=dtype)

    def fingerprint(self) -> str:
        """Shape, dtype and SHA-256 of the values, to recognise a data set."""
        prints = [fingerprint(array) for array in (self.x, self.context) if array is not None]
        return ", given ".join(prints)

    def __len__(self) -> int:
        return len(self.x)


def fingerprint(x: npt.NDArray[Any]) -> str:
    """Shape, dtype and SHA-256 of the values of one array."""
    digest = hashlib.sha256(np.ascontiguousarray(x).view(np.uint8).data).hexdigest()[:16]
    return f"{x.shape[0]} x {x.shape[1]} {x.dtype} {digest}"

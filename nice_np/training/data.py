"""What `fit` learns from: samples or pixels and, for a flow with a context, the context of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceValueError
from nice_np.flows.model import Model
from nice_np.validation import Array, as_real_array, as_samples


@dataclass(frozen=True)
class TrainingData:
    """Checked data.

    Attributes
    ----------
    x : ndarray, shape (N, D)
        uint8 pixels, or samples in the model's dtype.
    context : ndarray, shape (N, C), or None
        After `drawn`, what goes into the model beside x: for a VAE that is noise.
    """

    x: npt.NDArray[Any]
    context: Array | None

    @classmethod
    def checked(cls, model: Model, x: Any, context: Any, name: str) -> TrainingData:
        """The arguments of `fit`, called `name` and `name`'s context there, or an error."""
        raw = as_real_array(x, "fit", name)
        samples = as_samples(raw, model.dim, owner="fit", name=name, dtype=model.dtype)
        if len(samples) == 0:
            raise NiceValueError(f"fit: {name} has 0 samples")
        owner = "fit" if name == "x" else f"fit: {name}"  # what follows speaks of x and context in general
        context = model.checked_context(context, len(samples), owner)
        if raw.dtype == np.uint8:
            return cls(raw, context)
        model.check_samples(samples, owner)
        return cls(samples, context)

    def bin_width(self, model: Model) -> float:
        """See `Flow.bits_per_dim`."""
        return model.pixel_width if self.x.dtype == np.uint8 else 1.0

    def rows(self, rows: Any) -> TrainingData:
        """Some of the samples."""
        return TrainingData(self.x[rows], None if self.context is None else self.context[rows])

    def seen_by(self, model: Model, rng: np.random.Generator) -> TrainingData:
        """Pixels as the model takes them, with fresh noise; anything else as it is."""
        if self.x.dtype != np.uint8:
            return self
        return TrainingData(model.from_pixels(self.x, rng), self.context)

    def drawn(self, model: Model, rng: np.random.Generator) -> TrainingData:
        """As `seen_by`, and with all that goes into the model beside x."""
        seen = self.seen_by(model, rng)
        return TrainingData(seen.x, model.beside(seen.context, len(seen), rng))

    def joined(self, dtype: npt.DTypeLike) -> Array:
        """As a flow's bijector sees them: (N, D), or (N, D + C) with the context behind."""
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

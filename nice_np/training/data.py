"""What `fit` learns from: samples or pixels and, for a flow with a context, the context of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceValueError
from nice_np.flows.model import Model
from nice_np.validation import Array, as_real_array, as_samples, check_samples_shape, is_pixels


@dataclass(frozen=True)
class TrainingData:
    """Checked data.

    Attributes
    ----------
    x : ndarray, shape (N, D)
        uint8 pixels as they are, or samples in the model's dtype.
    context : ndarray, shape (N, C), or None
    """

    x: npt.NDArray[Any]
    context: Array | None

    @classmethod
    def checked(cls, model: Model, x: Any, context: Any, name: str) -> TrainingData:
        """The data from two arguments of `fit`: the one called `name`, and its context; or an error."""
        owner = "fit" if name == "x" else f"fit: {name}"  # some messages below call the data x, whatever its name
        samples = as_real_array(x, "fit", name)
        if is_pixels(samples):
            check_samples_shape(samples, model.dim, "fit", name)
        else:
            samples = as_samples(samples, model.dim, owner="fit", name=name, dtype=model.dtype)
            model.check_samples(samples, owner)
        if len(samples) == 0:
            raise NiceValueError(f"fit: {name} has 0 samples")
        return cls(samples, model.checked_context(context, len(samples), owner))

    def rows(self, rows: Any) -> TrainingData:
        """Some of the samples."""
        return TrainingData(self.x[rows], None if self.context is None else self.context[rows])

    def seen_by(self, model: Model, rng: np.random.Generator) -> Array:
        """x as the model takes it: pixels with fresh noise, anything else as it is."""
        return model.from_data(self.x, rng)

    def drawn(self, model: Model, rng: np.random.Generator) -> tuple[Array, Array | None]:
        """The arguments of the model's loss: x as in `seen_by`, and the extra input, a context or noise."""
        return self.seen_by(model, rng), model.draw_extra(self.context, len(self), rng)

    def constant_features(self) -> npt.NDArray[np.intp]:
        """The features that never change except by rounding; there are none in pixels, whose noise changes them."""
        if is_pixels(self.x):
            return np.empty(0, np.intp)
        low, high = (edge(self.x, axis=0).astype(np.float64) / 2 for edge in (np.min, np.max))  # (D,); no overflow
        return np.flatnonzero(high - low <= 1e-12 * np.abs(high) + np.finfo(self.x.dtype).tiny)

    def fingerprint(self) -> str:
        """Shape, dtype and SHA-256 of the values, to recognise a data set."""
        return ", given ".join(fingerprint(array) for array in (self.x, self.context) if array is not None)

    def __len__(self) -> int:
        return len(self.x)


def fingerprint(x: npt.NDArray[Any]) -> str:
    """Shape, dtype and SHA-256 of the values of one array."""
    digest = hashlib.sha256(np.ascontiguousarray(x).view(np.uint8).data).hexdigest()[:16]
    return f"{x.shape[0]} x {x.shape[1]} {x.dtype} {digest}"

"""ActNorm: a shift and a scale per channel that start at zero mean and unit variance, and are then trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.fitted import Chunks
from nice_np.errors import NiceOverflowError, NiceValueError
from nice_np.families.channels import channels_and_pixels
from nice_np.suggestions import suggests
from nice_np.validation import Array, as_batch, as_dtype, as_flag, as_sizes


class ActNorm(Bijector):
    """z = (x + b) * exp(log_s),  log|det| = P sum_c log_s_c      (Kingma & Dhariwal 2018, section 3.1)

    Before its first step `nice_np.fit` lets the layer set b and log_s once, so that what arrives at it leaves with mean
    0 and variance 1 in every channel.  It does the work of batch normalisation without a batch: in training, too, a
    row's output depends on this row alone.

    Parameters
    ----------
    dim : int
        D.
    image_shape : (height, width) or (channels, height, width), optional
        All P pixels of a channel share b and log_s; otherwise each feature has its own, and P = 1.
    fitted : bool
        False marks a layer that `fit` will set.
    dtype : {float64, float32}

    Notes
    -----
    With dL/dz given:  dL/dx = dL/dz exp(log_s),  dL/db_c = sum dL/dx,
    dL/dlog_s_c = sum dL/dz z + P sum_n dL/dlog_det_n, the sums over the rows and the pixels of channel c.
    """

    param_names = ("b", "log_s")

    @suggests
    def __init__(
        self, dim: int, image_shape: Sequence[int] | None = None, fitted: bool = False, dtype: Any = np.float64
    ) -> None:
        channels, self.pixels = channels_and_pixels(dim, image_shape, "ActNorm")
        self.dim = channels * self.pixels
        self.image_shape = None if image_shape is None else as_sizes(image_shape, "ActNorm", "image_shape")
        self.fitted = as_flag(fitted, "ActNorm", "fitted")
        self.b, self.log_s = np.zeros((2, channels), as_dtype(dtype, "ActNorm"))  # (C,), (C,)
        self.db, self.dlog_s = np.zeros_like(self.b), np.zeros_like(self.log_s)

    def fit(self, chunks: Chunks) -> None:
        """Set b and log_s by the first chunk, a thousand rows; see `nice_np.bijectors.fitted`.

        As in the paper one batch is enough, since both are trained afterwards.  A channel that is constant there keeps
        its scale.
        """
        x = next(iter(chunks()), np.empty((0, self.dim)))  # (n, D)
        if len(x) == 0:
            raise NiceValueError("fit: 0 samples; there is nothing to measure")
        channels = x.astype(np.float64).reshape(len(x), -1, self.pixels)  # (n, C, P)
        with np.errstate(over="ignore", invalid="ignore"):  # looked for below
            mean, std = channels.mean(axis=(0, 2)), channels.std(axis=(0, 2))  # (C,), (C,)
        if not (np.isfinite(mean) & np.isfinite(std)).all():
            raise NiceOverflowError("fit: the standard deviation of the data overflows; rescale them")
        constant = std <= 1e-12 * np.abs(mean) + np.finfo(self.b.dtype).tiny
        self.b[...], self.log_s[...] = -mean, -np.log(np.where(constant, 1.0, std))
        self.fitted = True

    def forward(self, x: Array) -> tuple[Array, Array, Array]:
        z = (as_batch(x, self.dim, self) + self._spread(self.b)) * self._spread(np.exp(self.log_s))
        return z, np.full(len(z), self.pixels * self.log_s.sum(), z.dtype), z

    def inverse(self, z: Array) -> tuple[Array, Array, Array]:
        centred = as_batch(z, self.dim, self, "z") * self._spread(np.exp(-self.log_s))  # x + b
        return centred - self._spread(self.b), np.full(len(z), -self.pixels * self.log_s.sum(), centred.dtype), centred

    def backward(self, dz: Array, dlog_det: Array, cache: Array, parameters: bool = True) -> Array:
        dx = dz * self._spread(np.exp(self.log_s))  # dz/dx = exp(log_s)
        if parameters:
            self.db[...] = self._sum(dx)
            # dz/dlog_s = z;  dlog_det/dlog_s_c = P for every row
            self.dlog_s[...] = self._sum(dz * cache) + self.pixels * dlog_det.sum()
        return dx

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: Array, parameters: bool = True) -> Array:
        if parameters:
            self.db[...] = -self._sum(dx)
            # x + b = exp(-log_s) z: dx/dlog_s = -(x + b);  the inverse's log_det is -P sum log_s
            self.dlog_s[...] = -self._sum(dx * cache) - self.pixels * dlog_det.sum()
        return dx * self._spread(np.exp(-self.log_s))

    def config(self) -> dict[str, Any]:
        shape = None if self.image_shape is None else list(self.image_shape)
        return {"dim": self.dim, "image_shape": shape, "fitted": self.fitted, "dtype": self.b.dtype.name}

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """How many numbers ``ActNorm(**config)`` would hold at most, without making it."""
        return 2 * int(config["dim"])

    def __repr__(self) -> str:
        image = "" if self.image_shape is None else f", image_shape={self.image_shape}"
        return f"ActNorm(dim={self.dim}{image})"

    def _spread(self, v: Array) -> Array:
        """The channel's number at each of its pixels: (C,) -> (D,)."""
        return v if self.pixels == 1 else np.repeat(v, self.pixels)

    def _sum(self, v: Array) -> Array:
        """Over rows and pixels: (N, D) -> (C,)."""
        total: Array = v.sum(axis=0).reshape(-1, self.pixels).sum(axis=1)
        return total

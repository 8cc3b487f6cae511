"""Histogram equalisation as a bijector: a pixel becomes the share of training pixels that are darker than it.

Why it comes before the logit.  Four of five pixels of a digit are background: level 0, dequantised to u / 256 with
uniform noise u.  A logit alone makes log u of it, whose density is one-sided and steep; nothing else in the image says
which u it was, so no coupling can mend it, and the best Gaussian loses 0.4 nats for each such pixel.  Equalised first,
the background fills (0, 0.8), and its logit is close to a Gaussian.

The shares that `fit` measures are softened by a power: half of the interval goes to the background then, not four
fifths, and the strokes, which have the rest, are told apart more easily.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.fitted import Chunks
from nice_np.errors import NiceValueError
from nice_np.validation import Array, as_batch, as_constants, as_dtype, as_flag, as_int, refuse_outside

MARGIN = 1e-6  # around [0, 1]; as much as that of a logit, so that its samples can be judged
EVEN = 0.01  # the part of all pixels that every bin has a share of, so that F rises everywhere
POWER = 0.75  # of the shares; chosen among 1, 0.8 and 0.6 by the likelihood of validation digits


class Equalize(Bijector):
    """z = F(x),  log|det| = sum_d log f(x_d), with the histogram f of all features and its integral F.

    The unit interval has K bins, and bin k a share p_k of the data:

        f(x) = K p_k,    F(x) = p_0 + .. + p_{k-1} + p_k (K x - k)      for k = floor(K x)

    F rises from 0 to 1 in straight lines, and goes on as in the first and the last bin outside.  Nothing is trained.

    Parameters
    ----------
    dim : int
    shares : array_like, shape (K,)
        p > 0; they are divided by their sum.
    fitted : bool
        False marks a layer whose shares `fit` will set.

    Raises
    ------
    NiceValueError
        From forward, for a value that is not between -0.000001 and 1.000001.

    Examples
    --------
    >>> layer = Equalize(1, shares=[0.8, 0.2])  # 80 % are below 1/2
    >>> z, log_det, _ = layer.forward(np.array([[0.25], [0.75]]))
    >>> z.ravel(), log_det  # log 1.6 and log 0.4
    (array([0.4, 0.9]), array([ 0.47000363, -0.91629073]))
    """

    interval = (-MARGIN, 1 + MARGIN)

    def __init__(self, dim: int, shares: Any, fitted: bool = True) -> None:
        self.dim = as_int(dim, "Equalize", "dim", 1)
        self.shares = as_constants(shares, 1, "Equalize", "shares")  # (K,)
        if len(self.shares) == 0 or not (self.shares > 0).all():
            raise NiceValueError("Equalize: shares must be one number > 0 for each bin")
        self.shares = self.shares / self.shares.sum()
        self.fitted = as_flag(fitted, "Equalize", "fitted")

    @classmethod
    def unfitted(cls, dim: int, bins: int = 256, dtype: Any = np.float64) -> Equalize:
        """The identity, marked so that ``fit`` sets the shares from the training data before its first step."""
        bins, dtype = as_int(bins, "Equalize", "bins", 1), as_dtype(dtype, "Equalize")
        return cls(dim, np.ones(bins, dtype), fitted=False)

    def fit(self, chunks: Chunks) -> None:
        """Set the shares to those of the data; see `nice_np.bijectors.fitted`.

        They are softened, p_k^POWER, after one part in a hundred was spread evenly: an empty bin would have slope 0.
        """
        counts = np.zeros(len(self.shares))
        for x in chunks():
            counts += np.bincount(self._bin(x).ravel(), minlength=len(counts))
        if not counts.any():
            raise NiceValueError("fit: 0 samples; there is nothing to measure")
        shares = ((1 - EVEN) * counts / counts.sum() + EVEN / len(counts)) ** POWER
        self.shares = (shares / shares.sum()).astype(self.shares.dtype)
        self.fitted = True

    def forward(self, x: Array) -> tuple[Array, Array, Array]:
        x, (edges, below) = as_batch(x, self.dim, self), self.knots()
        k = self._bin(x)
        slope = (len(self.shares) * self.shares)[k]  # f(x), (N, D)
        return below[k] + slope * (x - edges[k]), np.log(slope).sum(axis=1), slope

    def inverse(self, z: Array) -> tuple[Array, Array, Array]:
        z, (edges, below) = as_batch(z, self.dim, self, "z"), self.knots()
        k = np.searchsorted(below[1:-1], z, side="right")  # below[k] <= z < below[k + 1]
        slope = 1 / (len(self.shares) * self.shares)[k]  # dx/dz, (N, D)
        return edges[k] + slope * (z - below[k]), np.log(slope).sum(axis=1), slope

    def backward(self, dz: Array, dlog_det: Array, cache: Array) -> Array:
        return dz * cache  # the slope is constant within a bin, so dlog_det adds nothing

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: Array) -> Array:
        return dx * cache

    def knots(self) -> tuple[Array, Array]:
        """k / K and F(k / K) for k = 0 .. K, in the dtype of the shares: (K + 1,), (K + 1,)."""
        bins, dtype = len(self.shares), self.shares.dtype
        below = np.concatenate([[0.0], np.cumsum(self.shares, dtype=np.float64)])
        return (np.arange(bins + 1) / bins).astype(dtype), below.astype(dtype)

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "shares": self.shares, "fitted": self.fitted}

    def __repr__(self) -> str:
        return f"Equalize(dim={self.dim}, {len(self.shares)} bins)"

    def _bin(self, x: Array) -> npt.NDArray[np.intp]:
        """k of every number, (N, D)."""
        refuse_outside(x, (x > self.interval[0]) & (x < self.interval[1]), self.interval, "Equalize")
        return np.clip((x * len(self.shares)).astype(np.intp), 0, len(self.shares) - 1)

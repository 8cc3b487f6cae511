"""Batch normalisation, and why it is awkward in a flow (Dinh et al. 2016, section 3.7; Papamakarios et al. 2017).

The original divides by the statistics of the batch itself: with the mean m, the variance v and s = sqrt(v + epsilon)
of each feature over the N rows of a batch,

    z_n = (x_n - m) / s,    log_det = -sum_d log s_d                                     `BatchStatistics`

Three things do not fit a bijector.  What becomes of a row depends on the other rows: a batch cut into shards for two
threads is another function, and one row alone becomes 0.  The map of the whole batch has no inverse, since it forgets m
and s; the log_det is that of a map with fixed m and s, which this is not.  And samples, or test data, need numbers
fixed in advance, so training and use are two functions: the original keeps moving averages of m and v for the second.

`BatchNorm` is the second function alone.  Its statistics are constants in every pass and every gradient, and move only
where nothing else depends on them: at the start of a `fit`.  `ActNorm` goes one step further and trains them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nice_np.bijectors.fitted import Chunks
from nice_np.bijectors.standardize import Standardize
from nice_np.validation import Array, as_float, as_int

Cache = tuple[Array, Array]  # z (N, D) and s (D,)


class BatchStatistics:
    """What the original does in training; no Bijector, as it has no inverse.  `check_gradients` can check it.

    Parameters
    ----------
    epsilon : float
        Added to the variance.

    Notes
    -----
    m and s depend on every row, so the gradient has three ways from x_n to L.  With g = sum_n dL/dlog_det_n, for each
    feature:

        dL/dm = -sum_n dL/dz_n / s                       dm/dx_n = 1 / N
        dL/ds = -(sum_n dL/dz_n z_n + g) / s             ds/dx_n = (x_n - m) / (N s) = z_n / N
        dL/dx_n = dL/dz_n / s + dL/dm / N + dL/ds z_n / N

    So dL/dx is dL/dz without its mean and without its part along z: a gradient neither shifts nor stretches a batch.
    """

    def __init__(self, epsilon: float = 1e-5) -> None:
        self.epsilon = as_float(epsilon, "BatchStatistics", "epsilon", minimum=0)

    def forward(self, x: Array) -> tuple[Array, Array, Cache]:
        """z (N, D), log_det (N,) and the cache, from x (N, D)."""
        s = np.sqrt(x.var(axis=0) + self.epsilon)  # (D,)
        z = (x - x.mean(axis=0)) / s
        return z, np.full(len(x), -np.log(s).sum()), (z, s)

    def backward(self, dz: Array, dlog_det: Array, cache: Cache) -> Array:
        """dL/dx (N, D)."""
        z, s = cache
        along = (dz * z).mean(axis=0) + dlog_det.sum() / len(z)  # (D,)
        dx: Array = (dz - dz.mean(axis=0) - z * along) / s
        return dx


class BatchNorm(Standardize):
    """z = (x - mean) / std with moving statistics, somewhere between the layers.  Nothing is trained.

    Before its first step every `nice_np.fit` measures mean and variance of the data as they arrive at an unfitted
    layer.  The first time they become the layer's own; later ones are averaged in:

        mean <- mean + rho (measured - mean),    rho = max(share, 1 / measurements so far)

    and std^2 likewise.  To move it set ``layer.fitted = False`` and go on with another `fit`.

    Parameters
    ----------
    mean, std, fitted
        As for `Standardize`; ``BatchNorm.unfitted(dim)`` makes one that `fit` will measure.
    share : float
        In (0, 1].
    measured : int
        How often it has been measured.

    Examples
    --------
    >>> layer = BatchNorm.unfitted(1)
    >>> for x in (np.array([[0.0], [2.0]]), np.array([[4.0], [6.0]])):
    ...     layer.fit(lambda: [x])
    >>> layer.mean, layer.std  # of two measurements: 1 and 5
    (array([3.]), array([1.]))
    """

    def __init__(self, mean: Any, std: Any, fitted: bool = True, share: float = 0.1, measured: int = 0) -> None:
        super().__init__(mean, std, fitted)
        self.share = as_float(share, "BatchNorm", "share", above=0, below=1 + 1e-12)
        self.measured = as_int(measured, "BatchNorm", "measured", 0)

    def fit(self, chunks: Chunks) -> None:
        """Measure, and move towards what was found; errors and warnings as those of `Standardize.fit`."""
        mean, var = self.mean, self.std**2
        super().fit(chunks)
        self.measured += 1
        rho = max(self.share, 1 / self.measured)
        self.set(mean + rho * (self.mean - mean), np.sqrt(var + rho * (self.std**2 - var)))

    def config(self) -> dict[str, Any]:
        return super().config() | {"share": self.share, "measured": self.measured}

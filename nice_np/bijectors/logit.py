"""The logit of a slightly shrunken interval: z = log p - log(1 - p), p = alpha + (1 - 2 alpha) x, from [0, 1] to R.

Pixels live in [0, 1], latents anywhere.  A flow behind a logit spends no probability outside the interval, and its
samples are images.  alpha keeps x = 0 and x = 1, where the logit is infinite, at a finite distance.

Numerically p and 1 - p are never formed.  With the margin m = alpha / (1 - 2 alpha) on both sides of [0, 1] and the
width w = 1 + 2 m = 1 / (1 - 2 alpha) with both margins,

    u = x + m = w p,    v = (1 - x) + m = w (1 - p),    z = log u - log v,    log dz/dx = log w - log u - log v

and 1 - x is exact in floating point for x near 1, where 1 - p in float32 would lose half of its digits.
"""

from __future__ import annotations

from math import log
from typing import Any, NamedTuple

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.validation import Array, as_batch, as_float, as_int, refuse_outside


class LogitCache(NamedTuple):
    """Distances to both ends: u and v in forward, p and 1 - p in inverse."""

    left: Array  # (N, D)
    right: Array  # (N, D)


class Logit(Bijector):
    """z = logit(alpha + (1 - 2 alpha) x),  log|det| = sum_d log w - log u_d - log v_d      (Dinh et al. 2017, 4.1)

    Parameters
    ----------
    dim : int
    alpha : float
        In [0, 0.5).  With 0 the ends themselves, x = 0 and x = 1, have no latent.

    Notes
    -----
    The flow's density of x lives on -m < x < 1 + m with m = alpha / (1 - 2 alpha), so a sample may leave [0, 1] by up
    to m; clip it for pictures.  In float32 latents beyond +-14 are within rounding of the ends.  The logit of a uniform
    variable is standard logistic: with that prior and alpha = 0, p(x) = 1.

    Raises
    ------
    NiceValueError
        From forward, for a value that is not between -m and 1 + m.

    Examples
    --------
    >>> z, log_det, _ = Logit(1, alpha=0.0).forward(np.array([[0.5]]))
    >>> z, log_det  # dz/dx = 1 / (x (1 - x)) = 4
    (array([[0.]]), array([1.38629436]))
    """

    def __init__(self, dim: int, alpha: float = 1e-6) -> None:
        self.dim = as_int(dim, "Logit", "dim", 1)
        self.alpha = as_float(alpha, "Logit", "alpha", minimum=0, below=0.5)
        self.margin = self.alpha / (1 - 2 * self.alpha)  # m
        self.width = 1 / (1 - 2 * self.alpha)  # w = 1 + 2 m
        self.interval = (-self.margin, 1 + self.margin)

    def forward(self, x: Array) -> tuple[Array, Array, LogitCache]:
        x = as_batch(x, self.dim, self)
        u, v = x + self.margin, (1 - x) + self.margin  # (N, D)
        refuse_outside(x, (u > 0) & (v > 0), self.interval, "Logit")
        log_u, log_v = np.log(u), np.log(v)
        return log_u - log_v, (log(self.width) - log_u - log_v).sum(axis=1), LogitCache(u, v)

    def inverse(self, z: Array) -> tuple[Array, Array, LogitCache]:
        z = as_batch(z, self.dim, self, "z")
        size = np.abs(z)
        small = np.exp(-size)  # in (0, 1]: nothing overflows
        large = 1 / (1 + small)
        small = small * large  # the smaller of p and 1 - p, to full precision however far out
        end = self.width * small - self.margin  # distance of x from the nearer of 0 and 1
        x = np.where(z < 0, end, 1 - end)
        # dx/dz = w p (1 - p), and log p (1 - p) = -|z| - 2 log(1 + exp(-|z|)) does not underflow where p does
        log_det = (log(self.width) - size + 2 * np.log(large)).sum(axis=1)
        return x, log_det, LogitCache(np.where(z < 0, small, large), np.where(z < 0, large, small))

    def backward(self, dz: Array, dlog_det: Array, cache: LogitCache) -> Array:
        # du/dx = 1, dv/dx = -1:  dz/dx = 1/u + 1/v,  dlog_det/dx = -1/u + 1/v
        u, v = cache
        return (dz - dlog_det[:, None]) / u + (dz + dlog_det[:, None]) / v

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: LogitCache) -> Array:
        # dp/dz = p (1 - p):  dx/dz = w p (1 - p),  dlog_det/dz = (1 - p) - p
        p, q = cache
        return self.width * dx * (p * q) + dlog_det[:, None] * (q - p)

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "alpha": self.alpha}

    def __repr__(self) -> str:
        return f"Logit(dim={self.dim}, alpha={self.alpha:g})"

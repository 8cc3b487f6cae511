"""The rational-quadratic function of one bin, its inverse and its gradient (Durkan et al. 2019, section 3.1).

A bin has the lower left corner (x0, y0), the width w, the height h, and the slopes d0 and d1 at its two knots.  With

    t = (x - x0) / w,    s = h / w,    c = d0 + d1 - 2 s
    p = s t^2 + d0 t (1 - t)
    q = s + c t (1 - t)
    r = d1 t^2 + 2 s t (1 - t) + d0 (1 - t)^2

    y = y0 + h p / q                (equation 4)
    dy/dx = (s / q)^2 r             (equation 5)

y goes from y0 to y0 + h, and its slope from d0 to d1, so neighbouring bins join with the same slope.  It rises: r is
a sum of positive numbers, and q is linear in t (1 - t), from s to (2 s + d0 + d1) / 4 at t = 1/2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nice_np.validation import Array


class Bin(NamedTuple):
    """The bin of every x, or the gradient with respect to it: arrays of x's shape."""

    x0: Array
    w: Array
    y0: Array
    h: Array
    d0: Array
    d1: Array


class SplineCache(NamedTuple):
    """Terms of the formulas at every x: u = t (1 - t), v = p / q, slope = dy/dx."""

    bin: Bin
    t: Array
    u: Array
    s: Array
    q: Array
    r: Array
    v: Array
    slope: Array


def spline(x: Array, bin: Bin) -> tuple[Array, Array, SplineCache]:
    """y, log dy/dx, cache; x lies in its bin."""
    _, w, _, h, d0, d1 = bin
    t, s = (x - bin.x0) / w, h / w
    u, square = t * (1 - t), t * t
    q = s + (d0 + d1 - 2 * s) * u
    r = d1 * square + 2 * s * u + d0 * (1 - t) ** 2
    v = (s * square + d0 * u) / q
    slope = (s / q) ** 2 * r
    return bin.y0 + h * v, np.log(slope), SplineCache(bin, t, u, s, q, r, v, slope)


def inverse_spline(y: Array, bin: Bin) -> Array:
    """x for a y of the bin (section 3.1 and appendix A, in a form in which nothing cancels).

    With v = (y - y0) / h the equation p = v q is quadratic in t.  For b = d0 - v c

        (s - b) t^2 + b t = s v,    discriminant b^2 + 4 (s - b) s v = (b - 2 s v)^2 + 4 s^2 v (1 - v) = root^2

    and the t in [0, 1] is 2 s v / (b + root) = (root - b) / (2 (s - b)).  All numbers in the first form are positive
    for b > 0, and in the second one for b < 0.
    """
    v, s = (y - bin.y0) / bin.h, bin.h / bin.w
    v = np.clip(v, 0, 1)  # rounding may take it out
    b = bin.d0 - v * (bin.d0 + bin.d1 - 2 * s)
    root = np.sqrt((b - 2 * s * v) ** 2 + 4 * s * s * v * (1 - v))
    above, below = np.where(b > 0, (2 * s * v, b + root), (root - b, 2 * (s - b)))
    x: Array = bin.x0 + bin.w * (above / below)
    return x


def curvature(cache: SplineCache) -> Array:
    """d log(dy/dx) / dx, where log(dy/dx) = 2 log s + log r - 2 log q and x acts through t."""
    (_, w, _, _, d0, d1), t, s = cache.bin, cache.t, cache.s
    dr_dt = 2 * (d1 * t + s * (1 - 2 * t) - d0 * (1 - t))
    dq_dt = (d0 + d1 - 2 * s) * (1 - 2 * t)
    return (dr_dt / cache.r - 2 * dq_dt / cache.q) / w  # dt/dx = 1/w


def spline_backward(dy: Array, dlog_slope: Array, cache: SplineCache) -> tuple[Array, Bin]:
    """dL/dx, and dL/d(bin)."""
    (_, w, _, h, _, _), t, u, s, q, r, v, slope = cache
    dx = dy * slope + dlog_slope * curvature(cache)
    # At fixed t, with y = y0 + h p / q and log slope = 2 log s + log r - 2 log q:
    dp = dy * h / q
    dq = -dp * v - 2 * dlog_slope / q
    dr = dlog_slope / r
    square = t * t
    ds = 2 * dlog_slope / s + dp * square + dq * (1 - 2 * u) + dr * 2 * u  # p = s t^2 + .., q = s (1 - 2 u) + ..
    dd0 = (dp + dq) * u + dr * (1 - t) ** 2
    dd1 = dq * u + dr * square
    # x0 and w act through t as x does, dt = (dx - dx0 - t dw) / w; w and h through s, ds = (dh - s dw) / w, as well.
    ds_w = ds / w
    return dx, Bin(x0=-dx, w=-t * dx - s * ds_w, y0=dy, h=v * dy + ds_w, d0=dd0, d1=dd1)

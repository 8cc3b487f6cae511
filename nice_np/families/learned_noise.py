"""Variational dequantisation: noise of the pixels that a flow has learned (Ho et al. 2019, section 3.1).

A flow has a density p of real numbers, a pixel k = 0 .. 255 has a probability, that of its bin.  For any density q of
noise in the unit cube, Jensen's inequality gives with 1/256 as the width of a bin

    log P(k) = log int p((k + u) / 256) du - D log 256
             >= E_q[ log p((k + u) / 256) - log q(u | k) ] - D log 256

Uniform noise has log q = 0, and the flow must make its density flat in every bin, with a jump at its edge.  Learned
noise goes where the flow's density is: at the best q, proportional to p within the bin, both sides are equal.

**As a layer.**  Let a bijection g of the unit cube, given k, move uniform noise: u = g(v; k), v ~ U[0, 1)^D.  Then
q(u | k) = 1 / |det dg/dv|, and the bound is the mean over v of

    log p(T(x)) + log|det dT/dx|,    x = (k + v) / 256,    T(x) = (k + g(v; k)) / 256

since dT/dx = dg/dv.  That is the log-likelihood of dequantised pixels, as ever, under a flow with one layer more next
to the data: T moves a number within its bin.  So the bound is trained, scored and saved as any likelihood is.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.chain import layers_of
from nice_np.bijectors.logit import Logit
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.parameters import run_backward
from nice_np.validation import Array, as_batch, as_int, refuse_outside

MARGIN = 1e-6  # by which rounding, or a flow's own logit, may put a number outside [0, 1]


class VariationalDequantization(Bijector):
    """T(x) = (k + u) / L,  k = floor(L x),  logit u = h(logit v; k),  v = L x - k;  log|det| = log|det du/dv|

    Parameters
    ----------
    noise : Bijector
        h, of 2 D features: D numbers, and behind them the image k / L as their context, which h leaves as it is.  Where
        h is the identity, the noise is uniform.  `variational_dequantization` makes one for images.
    levels : int
        L, 256 for 8-bit pixels x = (k + v) / 256.

    Attributes
    ----------
    dim : int
        D.

    Raises
    ------
    NiceTypeError, NiceValueError
        If `noise` is no bijector of 2 D features that takes any numbers; from a pass, if it changed the context.

    Notes
    -----
    T is constant in k, so its derivative is that within a bin; x and T(x) are always in the same one, and rounding down
    gives the pixels of either.  A number outside [0, 1] counts as one of the first or the last bin, near its end;
    forward refuses what is more than 1e-6 away.

    Examples
    --------
    >>> from nice_np import AffineCoupling, MLP, Partition
    >>> part = Partition(2, [0], context_dim=2)  # the second pixel's noise, given the first one's and the image
    >>> layer = VariationalDequantization(AffineCoupling(part, MLP((3, 4, 2), output_scale=1.0, rng=0)), levels=4)
    >>> z, log_det, _ = layer.forward(np.array([[0.3, 0.9]]))
    >>> np.floor(4 * z)
    array([[1., 3.]])
    """

    def __init__(self, noise: Bijector, levels: int = 256) -> None:
        if not isinstance(noise, Bijector):
            raise NiceTypeError(f"VariationalDequantization: noise must be a Bijector, got {noise!r}")
        self.dim, odd = divmod(noise.dim, 2)
        if odd or noise.interval != (-inf, inf):
            raise NiceValueError(
                "VariationalDequantization: noise must take 2 D features, any numbers: logits of the noise and the "
                f"image behind them; got {noise.dim} features within {noise.interval}"
            )
        self.levels = as_int(levels, "VariationalDequantization", "levels", 1, 2**16)
        self.noise, self.logit = noise, Logit(self.dim, alpha=0.0)
        self.interval = (-MARGIN, 1 + MARGIN)

    def forward(self, x: Array) -> tuple[Array, Array, Any]:
        x = as_batch(x, self.dim, self)
        refuse_outside(x, (self.interval[0] < x) & (x < self.interval[1]), self.interval, type(self).__name__)
        return self._moved(x, self.noise.forward)

    def inverse(self, z: Array) -> tuple[Array, Array, Any]:
        return self._moved(as_batch(z, self.dim, self, "z"), self.noise.inverse)  # v = g^-1(u; k), in the same bin

    def backward(self, dz: Array, dlog_det: Array, cache: Any, parameters: bool = True) -> Array:
        return self._moved_backward(dz, dlog_det, cache, self.noise.backward, parameters)

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: Any, parameters: bool = True) -> Array:
        return self._moved_backward(dx, dlog_det, cache, self.noise.inverse_backward, parameters)

    def _moved(self, x: Array, noise: Any) -> tuple[Array, Array, Any]:
        """(k + v) / L -> (k + sigmoid(h(logit v; k))) / L, with h either way."""
        L, D = self.levels, self.dim
        k = np.clip(np.floor(L * x), 0, L - 1)  # (N, D)
        logits, log_det_v, cache_v = self.logit.forward(self._inside(L * x - k))
        moved, log_det, cache = noise(np.concatenate([logits, k / L], axis=1))  # (N, 2 D)
        if not np.array_equal(moved[:, D:], k / L, equal_nan=True):
            raise NiceValueError("VariationalDequantization: noise changed the image behind it; see WithContext")
        u, log_det_u, cache_u = self.logit.inverse(moved[:, :D])
        return (k + self._inside(u)) / L, log_det_v + log_det + log_det_u, (cache_v, cache, cache_u)

    def _moved_backward(self, dz: Array, dlog_det: Array, cache: Any, noise: Any, parameters: bool) -> Array:
        cache_v, cache_h, cache_u = cache
        # z = (k + u) / L and v = L x - k, with k constant: dL/du = dL/dz / L, dL/dx = L dL/dv
        dh = self.logit.inverse_backward(dz / self.levels, dlog_det, cache_u)  # (N, D)
        dh = np.pad(dh, ((0, 0), (0, self.dim)))  # z depends on the image by k alone, which is constant
        dlogits = run_backward(noise, dh, dlog_det, cache_h, parameters=parameters)[:, : self.dim]
        return self.levels * self.logit.backward(dlogits, dlog_det, cache_v)

    def _inside(self, v: Array) -> Array:
        """Not at the ends of [0, 1], where logits are infinite, nor so near 1 that (k + v) / L rounds to k + 1."""
        eps = np.finfo(v.dtype).eps
        return np.clip(v, eps, 1 - eps * max(1, self.levels / 2))

    def config(self) -> dict[str, Any]:
        return {"noise": self.noise, "levels": self.levels}

    def __repr__(self) -> str:
        layers = len(layers_of(self.noise))
        return f"VariationalDequantization(dim={self.dim}, levels={self.levels}, noise={layers} layers)"

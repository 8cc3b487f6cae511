"""Householder reflections: an orthogonal matrix that stays orthogonal while it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nice_np.families.channel_map import ChannelMap
from nice_np.families.channels import channels_of, outer, times
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_dtype, as_int, as_rng


class Householder(ChannelMap):
    """W = H_K ... H_1,  H_k = I - 2 v_k v_k^T / |v_k|^2,  log|det W| = 0      (Tomczak & Welling 2016)

    Each H_k reflects at the plane orthogonal to v_k and is its own inverse, so W^-1 = W^T = H_1 ... H_K.  Any
    orthogonal C x C matrix is a product of at most C reflections; det W = (-1)^K.

    Parameters
    ----------
    dim : int
        D.
    reflections : int, optional
        K; by default C.
    image_shape : (height, width) or (channels, height, width), optional
        A 1x1 convolution: W is C x C and all P pixels share it.  Otherwise it is D x D.
    dtype : {float64, float32}
    rng : seed or numpy.random.Generator
        The v_k start as normal random numbers.

    Notes
    -----
    One reflection, z = x - 2 v (v.x) / |v|^2, with M = sum dL/dz x^T over rows and pixels:

        dL/dv = -2 (M + M^T) v / |v|^2 + 4 v (v^T M v) / |v|^4

    Its input is x = H z, so M = S H with S = sum dL/dz z^T, and H v = -v turns this into

        dL/dv = 2 (S - S^T) v / |v|^2

    In front of H both x = H z and dL/dx = H dL/dz, so S becomes H S H there, and the next reflection can use it: after
    one product over rows and pixels, all else is C x C.
    """

    param_names = ("v",)

    @suggests
    def __init__(
        self,
        dim: int,
        reflections: int | None = None,
        image_shape: Sequence[int] | None = None,
        dtype: Any = np.float64,
        rng: Rng = None,
    ) -> None:
        super().__init__(dim, image_shape)
        k = self.channels if reflections is None else as_int(reflections, "Householder", "reflections", 1)
        v = as_rng(rng, "Householder").standard_normal((k, self.channels))
        self.v: Array = v.astype(as_dtype(dtype, "Householder"))  # (K, C)
        self.dv = np.zeros_like(self.v)

    def matrix(self) -> Array:
        return reflections(self.v, self.channels)

    def _log_det(self) -> Any:
        return 0.0

    def _solve(self, z: Array, transposed: bool) -> Array:
        W = self.matrix()
        return times(W if transposed else W.T, z)  # W^-1 = W^T

    def _write(self, dz: Array, dlog_det: Any, x: Array, z: Array) -> None:
        self.dv[...] = reflections_backward(outer(dz, z, self.channels), self.v)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "reflections": len(self.v), "dtype": self.v.dtype.name}

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """How many numbers ``Householder(**config)`` would hold, without making it."""
        return int(config["reflections"]) * channels_of(config)


def reflections(V: Array, n: int) -> Array:
    """The first n columns of H_K ... H_1, one reflection for each row of V: (K, C) -> (C, n)."""
    Q = np.eye(V.shape[1], n, dtype=V.dtype)
    for v in V:
        Q = reflect(Q, v)
    return Q


def reflections_backward(S: Array, V: Array) -> Array:
    """dL/dV (K, C) from S (C, C) behind the last reflection: S = sum dL/dz z^T, or S = dL/dQ Q^T for the columns Q."""
    dV = np.zeros_like(V)
    for k in reversed(range(len(V))):
        dV[k] = 2 * (S - S.T) @ V[k] / (V[k] @ V[k])
        S = reflect(reflect(S, V[k]).T, V[k]).T  # H S H
    return dV


def reflect(A: Array, v: Array) -> Array:
    """H A for H = I - 2 v v^T / |v|^2: (C, M), (C,) -> (C, M)."""
    reflected: Array = A - np.outer(v * (2 / (v @ v)), v @ A)
    return reflected

"""The 1x1 convolution W = P L U: an invertible mixing of the channels that is learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.bijectors.fitted import Chunks
from nice_np.bijectors.permutation import Permutation
from nice_np.errors import NiceOverflowError, NiceValueError
from nice_np.families.channel_map import ChannelMap
from nice_np.families.channels import channels_of, columns, outer, rows
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_dtype, as_flag, as_rng


class LULinear(ChannelMap):
    """W = P L U,  log|det W| = sum_c log|U_cc|      (Kingma & Dhariwal 2018, equations 10 and 11)

    P is a fixed permutation, L has ones on its diagonal, U_cc = sign_c exp(log_diagonal_c) with a fixed sign: W stays
    invertible whatever the parameters are.  It starts as a random rotation, or where the data say.

    Parameters
    ----------
    dim : int
        D.
    image_shape : (height, width) or (channels, height, width), optional
        A 1x1 convolution: W is C x C and all P pixels share it.  Otherwise it is D x D.
    dtype : {float64, float32}
    rng : seed or numpy.random.Generator
    fitted : bool
        False marks a layer that `nice_np.fit` will start, once, as a whitening of the channels that arrive at it.

    Notes
    -----
    With G = dL/dW:  dL/dL = P^T G U^T below the diagonal,  dL/dU = (P L)^T G above it and on it, and
    dL/dlog_diagonal_c = dL/dU_cc U_cc + dL/dlog|det W|.
    """

    param_names = ("lower", "upper", "log_diagonal")

    @suggests
    def __init__(
        self,
        dim: int,
        image_shape: Sequence[int] | None = None,
        dtype: Any = np.float64,
        rng: Rng = None,
        fitted: bool = True,
    ) -> None:
        super().__init__(dim, image_shape)
        C, dtype = self.channels, as_dtype(dtype, "LULinear")
        self.fitted = as_flag(fitted, "LULinear", "fitted")
        self.lower: Array = np.zeros(C * (C - 1) // 2, dtype)
        self.upper, self.log_diagonal = np.zeros_like(self.lower), np.zeros(C, dtype)
        self.dlower, self.dupper = np.zeros_like(self.lower), np.zeros_like(self.upper)
        self.dlog_diagonal = np.zeros_like(self.log_diagonal)
        self.start_at(np.linalg.qr(as_rng(rng, "LULinear").standard_normal((C, C)))[0])

    def start_at(self, W: npt.ArrayLike) -> None:
        """Take the parameters, P and the signs of W (C, C), which must have an inverse."""
        from scipy.linalg import lu

        P, L, U = lu(np.asarray(W, np.float64))
        if np.shape(W) != (self.channels, self.channels) or not np.diag(U).all():
            raise NiceValueError(
                f"LULinear: W must be {self.channels} x {self.channels} and have an inverse, got shape {np.shape(W)}"
            )
        self._set(P.argmax(axis=1), np.sign(np.diag(U)))
        self.lower[...], self.upper[...] = L[self._below], U[self._above]
        self.log_diagonal[...] = np.log(np.abs(np.diag(U)))

    def fit(self, chunks: Chunks) -> None:
        """Start as a PCA whitening of the channels, z = Lambda^(-1/2) E^T x with their covariance E Lambda E^T.

        The smallest eigenvalue comes first.  As for `ActNorm`, the first chunk is enough.
        """
        x = next(iter(chunks()), np.empty((0, self.dim)))  # (n, D)
        if len(x) == 0:
            raise NiceValueError("fit: 0 samples; there is nothing to measure")
        with np.errstate(over="ignore", invalid="ignore"):  # looked for below
            covariance = np.atleast_2d(np.cov(columns(x.astype(np.float64), self.channels), bias=True))
        if not np.isfinite(covariance).all():
            raise NiceOverflowError("fit: the covariance of the data overflows; rescale them")
        eigenvalues, E = np.linalg.eigh(covariance)
        floor = max(1e-9 * eigenvalues[-1], np.finfo(self.lower.dtype).tiny)  # a channel that depends on the others
        self.start_at((E / np.sqrt(np.maximum(eigenvalues, floor))).T)
        self.fitted = True

    def _set(self, order: npt.NDArray[Any], signs: npt.NDArray[Any]) -> None:
        self.order: npt.NDArray[np.intp] = Permutation(order).order  # (C,): (P y)_c = y_order[c]
        self.signs = signs.astype(np.int8)  # (C,)
        if not self.order.shape == self.signs.shape == (self.channels,) or not (np.abs(self.signs) == 1).all():
            raise NiceValueError(f"LULinear: expected an order and signs, 1 or -1, of {self.channels} channels")
        self._below, self._above = np.tril_indices(self.channels, -1), np.triu_indices(self.channels, 1)

    def factors(self) -> tuple[Array, Array]:
        """L and U, (C, C) each."""
        L = np.eye(self.channels, dtype=self.lower.dtype)
        U: Array = np.diag(self.signs * np.exp(self.log_diagonal))
        L[self._below], U[self._above] = self.lower, self.upper
        return L, U

    def matrix(self) -> Array:
        L, U = self.factors()
        W: Array = L[self.order] @ U
        return W

    def _log_det(self) -> Any:
        return self.log_diagonal.sum()

    def _solve(self, z: Array, transposed: bool) -> Array:
        from scipy.linalg import solve_triangular

        L, U = self.factors()
        if len(z) == 0:
            return np.zeros_like(z)
        if not np.diag(U).all():
            raise NiceOverflowError(f"LULinear: exp(log_diagonal) is 0 in {U.dtype}, so W has no inverse; use float64")
        y = columns(z, self.channels)  # (C, N P)
        lower = {"lower": True, "unit_diagonal": True, "check_finite": False}
        if transposed:  # W^-T = P L^-T U^-T
            v = solve_triangular(L, solve_triangular(U, y, trans=1, check_finite=False), trans=1, **lower)[self.order]
        else:  # W^-1 = U^-1 L^-1 P^T
            v = solve_triangular(U, solve_triangular(L, y[np.argsort(self.order)], **lower), check_finite=False)
        return rows(v, len(z))

    def _write(self, dz: Array, dlog_det: Any, x: Array, z: Array) -> None:
        L, U = self.factors()
        dLU = outer(dz, x, self.channels)[np.argsort(self.order)]  # P^T G, the gradient of L U
        dL, dU = dLU @ U.T, L.T @ dLU
        self.dlower[...], self.dupper[...] = dL[self._below], dU[self._above]
        self.dlog_diagonal[...] = np.diag(dU) * np.diag(U) + dlog_det  # dU_cc/dlog_diagonal_c = U_cc

    def config(self) -> dict[str, Any]:
        return {
            **super().config(),
            "order": self.order,
            "signs": self.signs,
            "dtype": self.lower.dtype.name,
            "fitted": self.fitted,
        }

    @classmethod
    def from_config(cls, order: Any, signs: Any, **settings: Any) -> LULinear:
        """Rebuild a layer from what `config` returned; its parameters are those of another start."""
        layer = cls(rng=0, **settings)
        layer._set(order, signs)
        return layer

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """How many numbers ``LULinear(**config)`` would hold, without making it."""
        return channels_of(config) ** 2

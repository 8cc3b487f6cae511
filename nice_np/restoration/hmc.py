"""Hamiltonian Monte Carlo: samples from exp(-U(z)) with many chains at once, one per row.

A step draws a momentum p ~ N(0, M) and follows the equations of motion of H = U(z) + p^T M^-1 p / 2 by L leapfrogs

    p <- p - (e/2) dU/dz,      z <- z + e M^-1 p,      p <- p - (e/2) dU/dz

which preserve volume and are reversible.  The end point is accepted with probability min(1, exp(H_start - H_end)),
otherwise the chain stays; so the chain is exact for every e and M.  With L = 1 this is MALA, the Metropolis-adjusted
Langevin algorithm.

With M = R R^T and a white momentum w = R^-1 p the leapfrog is w <- w - (e/2) R^-1 dU/dz, z <- z + e R^-T w.
(Duane et al. 1987; Neal 2011; Roberts and Tweedie 1996.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nice_np._blas import BLAS
from nice_np.errors import NiceOverflowError
from nice_np.validation import Array

Rows = npt.NDArray[np.intp]
Potential = Callable[[Array, Rows], tuple[Array, Array]]  # z (N, D), rows (n,) -> U (n,) and dU/dz (n, D) of the rows
BLOCK = 500  # chains per pass through the flow: more are not faster and need more memory
JITTER = 0.2  # e varies by this share from step to step, so that no chain runs in a closed orbit


class Chains:
    """Chains with one metric M and one step size each.

    Parameters
    ----------
    z : ndarray, shape (N, D)
        Initial positions.
    whitener : ndarray, shape (D, D)
        R^-1, where M = R R^T.
    step_size : float
    rng : numpy.random.Generator

    Attributes
    ----------
    z : ndarray, shape (N, D)
        Current positions.
    step_size : ndarray, shape (N, 1)
    """

    def __init__(self, z: Array, whitener: Array, step_size: float, rng: np.random.Generator) -> None:
        self.z, self.whitener, self.rng = z, whitener, rng
        self.step_size = np.full((len(z), 1), step_size, z.dtype)

    def step(self, potential: Potential, leapfrogs: int) -> Array:
        """Move all chains by one step; returns their acceptance probabilities (N,)."""
        W = self.whitener
        w = self.rng.standard_normal(self.z.shape).astype(self.z.dtype)
        e = self.step_size * self.z.dtype.type(self.rng.uniform(1 - JITTER, 1 + JITTER))
        U, force = self._energy(potential, self.z)
        start = U + (w * w).sum(axis=1) / 2
        z = self.z
        with np.errstate(over="ignore", invalid="ignore"):  # a chain that diverges is not moved
            for _ in range(leapfrogs):
                w = w + e / 2 * force
                z = z + e * (w @ W)  # a row is (R^-T w)^T
                U, force = self._energy(potential, z)
                w = w + e / 2 * force
            change = U + (w * w).sum(axis=1) / 2 - start
            probability: Array = np.nan_to_num(np.exp(-np.maximum(change, 0)), nan=0.0)  # inf - inf: it diverged
        accepted = self.rng.random(len(z)) < probability
        self.z = np.where(accepted[:, None], z, self.z)
        return probability

    def _energy(self, potential: Potential, z: Array) -> tuple[Array, Array]:
        """U (N,) and the force on the white momenta, rows -(R^-1 dU/dz)^T (N, D)."""
        U, dU = in_blocks(potential, z)
        return U, -(dU @ self.whitener.T)

    def adapt(self, probability: Array, target: float = 0.7, gain: float = 0.2) -> None:
        """Lengthen steps accepted more often than `target`, shorten the others.  Only during the warm-up."""
        self.step_size *= np.exp(gain * (probability - target))[:, None].astype(self.z.dtype)


def in_blocks(potential: Potential, z: Array) -> tuple[Array, Array]:
    """U and dU/dz of all rows; inf and 0 for a row that overflows."""
    values, gradients = np.full(len(z), np.inf, z.dtype), np.zeros_like(z)
    rows = np.flatnonzero(np.isfinite(z).all(axis=1))
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    while blocks:
        block = blocks.pop()
        try:
            with BLAS.following_load():
                values[block], gradients[block] = potential(z, block)
        except NiceOverflowError:
            if len(block) > 1:  # bisect to isolate the rows that overflow
                blocks += np.array_split(block, 2)
    return values, gradients

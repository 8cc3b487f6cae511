"""Hamiltonian Monte Carlo: draws from exp(-U(z)) for many chains at once, each a row.

A step draws a momentum p ~ N(0, M) and follows the equations of motion of H = U(z) + p^T M^-1 p / 2 by L leapfrogs

    p <- p - (e/2) dU/dz,      z <- z + e M^-1 p,      p <- p - (e/2) dU/dz

which keep volume and are reversible.  The end is taken with probability min(1, exp(H_start - H_end)), else the chain
stays: that makes it exact for any e and M.  With L = 1 this is MALA, the Metropolis-adjusted Langevin algorithm.

With M = R R^T and a white momentum w = R^-1 p the leapfrog is w <- w - (e/2) R^-1 dU/dz, z <- z + e R^-T w.
(Duane et al. 1987; Neal 2011; Roberts and Tweedie 1996.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceOverflowError
from nice_np.validation import Array

Rows = npt.NDArray[np.intp]
Potential = Callable[[Array, Rows], tuple[Array, Array]]  # z (N, D), rows (n,) -> U (n,) and dU/dz (n, D) of the rows
BLOCK = 500  # chains that go through the flow together: more would not be faster, and take more memory
JITTER = 0.2  # e varies by this share from step to step, or a chain could come back to where it was again and again


class Chains:
    """Chains with one metric M and a step size each.

    Parameters
    ----------
    z : ndarray, shape (N, D)
        Where they start.
    whitener : ndarray, shape (D, D)
        R^-1, where M = R R^T.
    step_size : float
    rng : numpy.random.Generator

    Attributes
    ----------
    z : ndarray, shape (N, D)
        Where they are.
    step_size : ndarray, shape (N, 1)
    """

    def __init__(self, z: Array, whitener: Array, step_size: float, rng: np.random.Generator) -> None:
        self.z, self.whitener, self.rng = z, whitener, rng
        self.step_size = np.full((len(z), 1), step_size, z.dtype)

    def step(self, potential: Potential, leapfrogs: int) -> Array:
        """One step of all chains; returns the probability (N,) with which each was to move."""
        W = self.whitener
        w = self.rng.standard_normal(self.z.shape).astype(self.z.dtype)
        e = self.step_size * self.z.dtype.type(self.rng.uniform(1 - JITTER, 1 + JITTER))
        U, force = self._energy(potential, self.z)
        start = U + (w * w).sum(axis=1) / 2
        z = self.z
        with np.errstate(over="ignore", invalid="ignore"):  # a chain that runs away is not moved
            for _ in range(leapfrogs):
                w = w + e / 2 * force
                z = z + e * (w @ W)  # a row is (R^-T w)^T
                U, force = self._energy(potential, z)
                w = w + e / 2 * force
            change = U + (w * w).sum(axis=1) / 2 - start
            probability: Array = np.nan_to_num(np.exp(-np.maximum(change, 0)), nan=0.0)  # inf - inf: it has run away
        moves = self.rng.random(len(z)) < probability
        self.z = np.where(moves[:, None], z, self.z)
        return probability

    def _energy(self, potential: Potential, z: Array) -> tuple[Array, Array]:
        """U (N,) and the force on the white momenta, rows -(R^-1 dU/dz)^T (N, D)."""
        U, dU = in_blocks(potential, z)
        return U, -(dU @ self.whitener.T)

    def adapt(self, probability: Array, target: float = 0.7, gain: float = 0.2) -> None:
        """Longer steps where moves were likelier than `target`, shorter ones where less.  Only before draws count."""
        self.step_size *= np.exp(gain * (probability - target))[:, None].astype(self.z.dtype)


def in_blocks(potential: Potential, z: Array) -> tuple[Array, Array]:
    """U and dU/dz of all rows; inf and 0 for a row that leads out of the floating-point numbers."""
    values, gradients = np.full(len(z), np.inf, z.dtype), np.zeros_like(z)
    rows = np.flatnonzero(np.isfinite(z).all(axis=1))
    pieces = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    while pieces:
        piece = pieces.pop()
        try:
            values[piece], gradients[piece] = potential(z, piece)
        except NiceOverflowError:
            if len(piece) > 1:  # look for the culprits in each half
                pieces += np.array_split(piece, 2)
    return values, gradients

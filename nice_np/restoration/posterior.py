"""Draws from p(x | y): not the most probable image alone, but several, and their mean.

The chains of `nice_np.restoration.hmc` move in latent space, where

    U(z) = -log p(z | y) = |A g(z) - y|^2 / (2 sigma^2) - log p_Z(z) + const        LatentPosterior

and g(z) of a draw is a draw of x.  The mean of x given y is what has the least squared error, so the best PSNR.

The mass matrix is what U curves by on average, the information about z in the prior and in y:

    M = E[(dlog p_Z/dz)^2] I + E[J^T A^T A J] / sigma^2,      J = dg/dz

A random v = J^T A^T xi, xi ~ N(0, I), has E[v v^T] = J^T A^T A J: a pullback of noise at the chains' places is a draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceOverflowError, NiceValueError
from nice_np.flows.flow import Flow
from nice_np.flows.priors import Prior, checked_sample
from nice_np.restoration.arguments import as_clip, starting_images
from nice_np.restoration.hmc import BLOCK, Chains
from nice_np.restoration.objectives import LatentPosterior
from nice_np.restoration.operators import Operator
from nice_np.training.progress import Progress
from nice_np.validation import Array, Rng, as_int, as_real_array, as_rng

WIDE = 1.0  # sigma at the start of the warm-up, in the unit of pixels: all images can still be reached
ANNEALED = 0.7  # the share of the warm-up during which sigma comes down
METRIC_EVERY = 5  # steps of the warm-up between two estimates of M
PROBES = 2000  # draws v for an estimate of M
PRIOR_DRAWS = 10_000  # for the information in the prior
FIRST_STEP = 0.1


@dataclass
class Posterior:
    """What `sample_posterior` drew.

    Attributes
    ----------
    samples : ndarray, shape (N, K, D)
        The last image of each of the K chains.
    mean, std : ndarray, shape (N, D)
        Of all images that the chains came through after their warm-up.
    acceptance : ndarray, shape (N, K)
        The mean probability with which its steps were taken; near 0 a chain has hardly moved.
    """

    samples: Array
    mean: Array
    std: Array
    acceptance: Array


def sample_posterior(
    flow: Flow,
    y: npt.ArrayLike,
    operator: Operator,
    sigma: float,
    *,
    chains: int = 8,
    warmup: int = 20,
    steps: int = 10,
    leapfrogs: int = 10,
    start: npt.ArrayLike | None = None,
    clip: tuple[float, float] | None = None,
    context: npt.ArrayLike | None = None,
    rng: Rng = None,
    progress: bool = False,
) -> Posterior:
    """Images that could have been seen as y, drawn from p(x | y) by Hamiltonian Monte Carlo in latent space.

    Parameters
    ----------
    flow : Flow
    y : array_like, shape (N, M)
        y = A x + noise.
    operator : Operator
        A.
    sigma : float
        Standard deviation of the noise, > 0.  The smaller, the shorter the steps: where pixels are exact, take a
        twentieth of their range or so, and paste them into the result.
    chains : int
        K, independent of each other, for each image.
    warmup : int
        Steps that do not count.  They start with a sigma of 1, which comes down to `sigma`, and fit metric and step
        sizes.
    steps : int
        Steps that count.
    leapfrogs : int
        L of each step; 1 is MALA, whose chains walk at random.  For the same time few steps of many leapfrogs get
        further than many steps of few.
    start : array_like, shape (N, D) or (N, K, D), optional
        Images where the chains start, one for all of an image or one for each, at `sigma`; by default each starts at a
        draw from the prior.
    clip : (low, high), optional
        Range of the data: images are clipped to it before they are averaged.
    context : array_like, shape (N, C) or (C,)
        For a flow with a context.
    rng : seed or numpy.random.Generator
    progress : bool
        Show a progress bar.

    Returns
    -------
    Posterior
        Exact in the limit of many steps only: compare two seeds, or chains with each other.  Where p(x | y) has several
        modes, a chain mostly stays in the one that its warm-up found: their shares may be off, and `acceptance` does
        not show it.

    Raises
    ------
    NiceValueError, NiceTypeError
        For an argument of the wrong type or shape, and for NaN or inf.
    NiceOverflowError
        If a chain starts outside of the flow's floating-point numbers.

    Examples
    --------
    Prior N(0, 1), one measurement y = 2 with noise N(0, 1): x given y is N(1, 1/2).

    >>> from nice_np import DiagonalScaling, Identity
    >>> flow = Flow("normal", DiagonalScaling(1))
    >>> found = sample_posterior(flow, [[2.0]], Identity(1), sigma=1.0, chains=500, steps=50, rng=0)
    >>> bool(abs(found.mean[0, 0] - 1) < 0.05), bool(abs(found.std[0, 0] - 0.5**0.5) < 0.05)
    (True, True)
    """
    owner = "sample_posterior"
    target = LatentPosterior(flow=flow, operator=operator, y=y, sigma=sigma, context=context)
    chains, leapfrogs = as_int(chains, owner, "chains", 1), as_int(leapfrogs, owner, "leapfrogs", 1)
    warmup, steps = as_int(warmup, owner, "warmup", 0), as_int(steps, owner, "steps", 1)
    box, rng = as_clip(clip, owner), as_rng(rng, owner)
    n = len(target.y)
    target = target.rows(np.repeat(np.arange(n), chains))  # from here on a row is a chain
    if start is None:
        z = checked_sample(flow.prior, n * chains, flow.dim, rng).astype(flow.dtype)
    else:
        z = target.variables(starting_images(target, _one_a_chain(start, n, chains), owner))
    run = Run(target, z, leapfrogs, box, rng)
    bar = Progress(progress)
    try:
        for k in range(warmup):
            run.warm_up(k, warmup, wide=max(WIDE, target.sigma) if start is None else target.sigma)
            bar.show_state((k + 1) / (warmup + steps), f"warm-up {k + 1}", run.state)
        run.settle()
        for k in range(steps):
            run.count()
            bar.show_state((warmup + k + 1) / (warmup + steps), f"step {k + 1}", run.state)
    finally:
        bar.close()
    return run.result(n, chains)


def _one_a_chain(start: npt.ArrayLike, n: int, chains: int) -> Array:
    """The images to start from, one for each chain; counted here, as the caller counts them."""
    images = as_real_array(start, "sample_posterior", "start")
    if images.ndim in (2, 3) and len(images) != n:
        raise NiceValueError(f"sample_posterior: start has {len(images)} rows, expected {n}, one for each image")
    if images.ndim == 3 and images.shape[1] == chains:
        return images.reshape(-1, images.shape[2])
    return images.repeat(chains, axis=0) if images.ndim == 2 else images


class Run:
    """Chains on their way, and what was counted so far; the arguments are those of `sample_posterior`, checked."""

    def __init__(
        self, target: LatentPosterior, z: Array, leapfrogs: int, box: tuple[float, float], rng: np.random.Generator
    ) -> None:
        self.target, self.leapfrogs, self.box, self.rng = target, leapfrogs, box, rng
        self.chains = Chains(z, np.eye(z.shape[1], dtype=z.dtype), FIRST_STEP, rng)
        self.in_prior = information_in(target.flow.prior, rng)
        self.total, self.squares = np.zeros(z.shape), np.zeros(z.shape)
        self.probability, self.steps = np.zeros(len(z)), 0  # sums over the steps that counted
        self.state = ""

    def warm_up(self, k: int, warmup: int, wide: float) -> None:
        """Step k of the warm-up, with a sigma on its way from `wide` down to the target's."""
        sigma = wide * (self.target.sigma / wide) ** min(1.0, (k + 1) / (ANNEALED * warmup))
        target = self.target.at(sigma)
        if k % METRIC_EVERY == 0:
            self.chains.whitener = whitener(target, self.chains.z, self.in_prior, self.rng)
        self.chains.adapt(self._step(target))

    def settle(self) -> None:
        """The metric in which draws are made; from here on it stays, and so do the step sizes."""
        self.chains.whitener = whitener(self.target, self.chains.z, self.in_prior, self.rng)

    def count(self) -> None:
        """A step that counts."""
        self.probability += self._step(self.target)
        self.steps += 1
        x = self._images().astype(np.float64)  # the squares nearly cancel where std is small beside the mean
        self.total += x
        self.squares += x**2

    def result(self, n: int, chains: int) -> Posterior:
        """What was drawn, by image."""
        shape = (n, chains, self.chains.z.shape[1])
        total, squares = (sums.reshape(shape).sum(axis=1) for sums in (self.total, self.squares))
        count, dtype = self.steps * chains, self.chains.z.dtype
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        samples, acceptance = self._images().reshape(shape), (self.probability / self.steps).reshape(n, chains)
        return Posterior(samples, mean.astype(dtype), std.astype(dtype), acceptance)

    def _step(self, target: LatentPosterior) -> Array:
        probability = self.chains.step(lambda z, rows: target.rows(rows).value_and_grad(z[rows]), self.leapfrogs)
        self.state = f"acceptance {probability.mean():.2f}" if len(probability) else ""
        return probability

    def _images(self) -> Array:
        return np.clip(self.target.image(self.chains.z), *self.box)


def information_in(prior: Prior, rng: np.random.Generator) -> float:
    """E[(dlog p_Z/dz)^2] of one latent: 1 for a Gaussian prior, 1/3 for a logistic one."""
    score = prior.grad_log_prob(prior.sample(PRIOR_DRAWS, 1, rng))
    return float((score**2).mean())


def whitener(target: LatentPosterior, z: Array, in_prior: float, rng: np.random.Generator) -> Array:
    """R^-1 (D, D), where R R^T = M is the metric at the chains' places z (N, D)."""
    from scipy.linalg import solve_triangular

    M = in_prior * np.eye(z.shape[1])
    if len(z):
        rows = rng.choice(len(z), min(len(z), BLOCK), replace=False)
        M += information_in_measurements(target.rows(rows), z[rows], rng)
    if not np.isfinite(M).all():
        raise NiceOverflowError("sample_posterior: J^T A^T A J / sigma^2 overflows float64; check sigma and the flow")
    R = np.linalg.cholesky(M)
    inverse: Array = solve_triangular(R, np.eye(len(R)), lower=True)
    return inverse.astype(z.dtype)


def information_in_measurements(target: LatentPosterior, z: Array, rng: np.random.Generator) -> Array:
    """E[J^T A^T A J] / sigma^2 (D, D), estimated at the places z (N, D) by PROBES draws or more."""
    operator = target.operator
    _, log_det, pullback = target.flow.decode_with_pullback(z, target.context)
    total, repeats = np.zeros((z.shape[1],) * 2), -(-PROBES // len(z))
    for _ in range(repeats):
        noise = rng.standard_normal((len(z), operator.dim_out)).astype(z.dtype)  # xi
        v = pullback(operator.adjoint(noise), np.zeros_like(log_det))  # (N, D): rows J^T A^T xi
        total += v.T @ v
    with np.errstate(over="ignore"):  # looked for by `whitener`
        return total / (repeats * len(z)) / target.sigma / target.sigma

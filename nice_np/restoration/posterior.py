"""Samples from p(x | y), and their mean: not only the most probable image.

The chains of `nice_np.restoration.hmc` move in latent space, with the potential

    U(z) = -log p(z | y) = |A g(z) - y|^2 / (2 sigma^2) - log p_Z(z) + const        LatentPosterior

If z is a sample, so is x = g(z).  The mean of x given y has the least expected squared error, so the best PSNR.

The mass matrix is the average curvature of U, the information about z in the prior and in y:

    M = E[(dlog p_Z/dz)^2] I + E[J^T A^T A J] / sigma^2,      J = dg/dz

A random v = J^T A^T xi, xi ~ N(0, I), has E[v v^T] = J^T A^T A J, so a pullback of noise at the chains' positions is an
unbiased estimate.
"""

from __future__ import annotations

from contextlib import closing
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
from nice_np.suggestions import suggests
from nice_np.training.progress import Progress
from nice_np.validation import Array, Rng, as_flag, as_int, as_real_array, as_rng

WIDE = 1.0  # sigma at the start of the warm-up, in pixel units: no image is out of reach yet
ANNEALED = 0.7  # share of the warm-up in which sigma falls to its final value
METRIC_EVERY = 5  # warm-up steps between two estimates of M
PROBES = 2000  # vectors v in an estimate of M
PRIOR_DRAWS = 10_000  # samples for the information in the prior
FIRST_STEP = 0.1


@dataclass
class Posterior:
    """The result of `sample_posterior`.

    Attributes
    ----------
    samples : ndarray, shape (N, K, D)
        The last image of each of the K chains.
    mean, std : ndarray, shape (N, D)
        Over all images that the chains visited after the warm-up.
    acceptance : ndarray, shape (N, K)
        Mean acceptance probability of each chain; near 0 the chain has hardly moved.
    """

    samples: Array
    mean: Array
    std: Array
    acceptance: Array


@suggests
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
    """Sample images x from p(x | y), y = A x + noise, by Hamiltonian Monte Carlo in latent space.

    Parameters
    ----------
    flow, y, operator, context, progress
        As in `restore`.
    sigma : float
        Standard deviation of the noise, > 0.  The smaller, the shorter the steps: for exact pixels use about a
        twentieth of their range, and paste them into the result.
    chains : int
        K, the number of independent chains per image.
    warmup : int
        Steps that are not counted.  They start with a sigma of 1, which falls to `sigma`, and tune metric and step
        sizes.
    steps : int
        Steps that are counted.
    leapfrogs : int
        L per step; 1 is MALA, a random walk.  At equal time few steps of many leapfrogs move further than many steps
        of few.
    start : array_like, shape (N, D) or (N, K, D), optional
        Images where the chains start, one per image or one per chain, with `sigma` from the first step on; by default
        each chain starts at a sample from the prior.
    clip : (low, high), optional
        Range of the data: images are clipped to it before they are averaged.
    rng : seed or numpy.random.Generator

    Returns
    -------
    Posterior
        Exact only in the limit of many steps: compare two seeds, or the chains with each other.  If p(x | y) has
        several modes, a chain mostly stays in the one found during warm-up: their shares may be wrong, and
        `acceptance` does not show it.

    Raises
    ------
    NiceValueError, NiceTypeError
        For an argument of the wrong type or shape, and for NaN or inf.
    NiceOverflowError
        If the start of a chain overflows in the flow.

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
    box, rng, progress = as_clip(clip, owner), as_rng(rng, owner), as_flag(progress, owner, "progress")
    if start is not None:
        n = len(target.y)
        start = starting_images(target.rows(np.repeat(np.arange(n), chains)), _one_per_chain(start, n, chains), owner)
    return run_chains(target, WIDE, chains, warmup, steps, leapfrogs, start, box, rng, progress)


def run_chains(
    target: LatentPosterior,
    wide: float,
    chains: int,
    warmup: int,
    steps: int,
    leapfrogs: int,
    start: Array | None,
    box: tuple[float, float],
    rng: np.random.Generator,
    progress: bool,
) -> Posterior:
    """`sample_posterior` of arguments that are checked; `wide` is the sigma at the start of the warm-up."""
    flow, n = target.flow, len(target.y)
    target = target.rows(np.repeat(np.arange(n), chains))  # from here on a row is a chain
    if start is None:
        z, wide = checked_sample(flow.prior, n * chains, flow.dim, rng).astype(flow.dtype), max(wide, target.sigma)
    else:
        z, wide = target.variables(start), target.sigma
    walk = Chains(z, np.eye(flow.dim, dtype=z.dtype), FIRST_STEP, rng)
    in_prior = information_in(flow.prior, rng)
    with closing(Progress(progress)) as bar:

        def step(at: LatentPosterior, k: int, name: str) -> Array:
            probability = walk.step(lambda z, rows: at.rows(rows).value_and_grad(z[rows]), leapfrogs)
            state = f"acceptance {probability.sum() / max(len(probability), 1):.2f}"
            bar.show_state(k / (warmup + steps), name, state)
            return probability

        for k in range(1, warmup + 1):
            annealed = target.at(wide * (target.sigma / wide) ** min(1.0, k / (ANNEALED * warmup)))
            if (k - 1) % METRIC_EVERY == 0:
                walk.whitener = whitener(annealed, walk.z, in_prior, rng)
            walk.adapt(step(annealed, k, f"warm-up {k}"))
        walk.whitener = whitener(target, walk.z, in_prior, rng)  # metric and step sizes stay fixed from here on
        probability = np.zeros(len(z))
        total, squares = np.zeros((2, n, flow.dim))  # float64: mean of squares - square of mean cancels
        for k in range(warmup + 1, warmup + steps + 1):
            probability += step(target, k, f"step {k - warmup}")
            samples = np.clip(target.image(walk.z), *box).reshape(n, chains, flow.dim)
            total += samples.sum(axis=1, dtype=np.float64)
            squares += (samples.astype(np.float64) ** 2).sum(axis=1)
    count = steps * chains
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    acceptance = (probability / steps).reshape(n, chains)
    return Posterior(samples, mean.astype(flow.dtype), std.astype(flow.dtype), acceptance)


def _one_per_chain(start: npt.ArrayLike, n: int, chains: int) -> Array:
    """The images to start from, one for each chain; rows are counted here, as the caller counts them."""
    images = as_real_array(start, "sample_posterior", "start")
    if images.ndim in (2, 3) and len(images) != n:
        raise NiceValueError(f"sample_posterior: start has {len(images)} rows, expected {n}, one for each image")
    if images.ndim == 3 and images.shape[1] == chains:
        return images.reshape(-1, images.shape[2])
    return images.repeat(chains, axis=0) if images.ndim == 2 else images


def information_in(prior: Prior, rng: np.random.Generator) -> float:
    """E[(dlog p_Z/dz)^2] of one latent: 1 for a Gaussian prior, 1/3 for a logistic one; a mean over several."""
    dim = getattr(prior, "dim", None) or 1
    dlog_p = prior.grad_log_prob(prior.sample(-(-PRIOR_DRAWS // dim), dim, rng))
    return float((dlog_p**2).mean())


def whitener(target: LatentPosterior, z: Array, in_prior: float, rng: np.random.Generator) -> Array:
    """R^-1 (D, D), where R R^T = M is the metric, estimated at the positions z (N, D) of the chains."""
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
    """E[J^T A^T A J] / sigma^2 (D, D), estimated at z (N, D) from at least PROBES vectors v."""
    operator = target.operator
    _, log_det, pullback = target.flow.decode_with_pullback(z, target.context)
    total, repeats = np.zeros((z.shape[1],) * 2), -(-PROBES // len(z))
    for _ in range(repeats):
        noise = rng.standard_normal((len(z), operator.dim_out)).astype(z.dtype)  # xi
        v = pullback(operator.adjoint(noise), np.zeros_like(log_det))  # (N, D): rows J^T A^T xi
        total += v.T @ v
    with np.errstate(over="ignore"):  # checked in `whitener`
        return total / (repeats * len(z)) / target.sigma / target.sigma

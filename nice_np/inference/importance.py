"""Importance sampling: draws from a flow q stand for draws from a density p, each with its weight.

With x_i ~ q and r_i = p~(x_i) / q(x_i), where p~ = Z p is known up to Z,

    Z = E_q[r],    E_p[f] = E_q[r f] / E_q[r],    so    Z ~ (1/n) sum_i r_i,    E_p[f] ~ sum_i w_i f(x_i)
    w_i = r_i / sum_j r_j                             (self-normalised: needs no Z, and is biased by order 1/n)
    ESS = 1 / sum_i w_i^2                             effective sample size (Kong 1992), from 1 to n

n weighted draws are worth about ESS draws from p.  All this looks only where q has draws: a mode of p that q misses is
missing from the estimates and from the ESS.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.flows.flow import Flow
from nice_np.flows.model import in_chunks
from nice_np.flows.priors import checked_sample
from nice_np.inference.targets import Density, log_density
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_int, as_real_array, as_rng

POOR = 0.05  # share of the draws below which the ESS is worth a warning
FEW = 100  # an ESS below this gives means with more than a tenth of a standard deviation of error


@dataclass
class WeightedSample:
    """Draws from q with their weights for p.

    Attributes
    ----------
    x : ndarray, shape (N, D)
    log_ratio : ndarray, shape (N,)
        log p~(x) - log q(x), float64.
    """

    x: Array
    log_ratio: Array

    @property
    def weights(self) -> Array:
        """w (N,), with the sum one."""
        ratio = np.exp(self.log_ratio - self.log_ratio.max())  # the largest is 1: no overflow
        weights: Array = ratio / ratio.sum()
        return weights

    @property
    def effective_sample_size(self) -> float:
        """ESS, from 1 to N."""
        return float(1 / (self.weights**2).sum())

    @property
    def elbo(self) -> float:
        """The mean of log r, in nats: log Z - KL(q || p) on average."""
        return float(self.log_ratio.mean())

    @property
    def log_evidence(self) -> float:
        """log (1/N) sum_i r_i in nats: the estimate of log Z."""
        top = self.log_ratio.max()
        return float(top + np.log(np.exp(self.log_ratio - top).mean()))

    @property
    def log_evidence_error(self) -> float:
        """Its standard error, sqrt(1/ESS - 1/N): the relative one of the mean of r."""
        return float(np.sqrt(max(1 / self.effective_sample_size - 1 / len(self.x), 0.0)))

    def mean(self, values: npt.ArrayLike | None = None) -> Array:
        """E_p[f] from f at each draw: (N, K) -> (K,), or (N,) -> (); by default the mean of x."""
        average: Array = self.weights @ self._values(values)
        return average

    def std(self, values: npt.ArrayLike | None = None) -> Array:
        """The standard deviation of f under p: (N, K) -> (K,), or (N,) -> (); by default that of x."""
        f = self._values(values)
        deviation: Array = np.sqrt(self.weights @ (f - self.mean(f)) ** 2)
        return deviation

    def _values(self, values: npt.ArrayLike | None) -> Array:
        f = as_real_array(self.x if values is None else values, "WeightedSample", "values").astype(np.float64)
        if f.ndim not in (1, 2) or len(f) != len(self.x):
            raise NiceValueError(
                f"WeightedSample: expected values of shape ({len(self.x)},) or ({len(self.x)}, K), got {f.shape}"
            )
        return f

    def resample(self, n: int, rng: Rng = None) -> Array:
        """`n` of the draws, each chosen with the probability of its weight: (n, D), approximately from p."""
        n = as_int(n, "WeightedSample.resample", "n", 0)
        chosen = as_rng(rng, "WeightedSample.resample").choice(len(self.x), n, p=self.weights)
        return self.x[chosen]

    def __repr__(self) -> str:
        n, ess = len(self.x), self.effective_sample_size
        return (
            f"WeightedSample({n} draws, ESS {ess:.1f} ({ess / n:.1%}), "
            f"log evidence {self.log_evidence:.4g} +- {self.log_evidence_error:.2g} nats, ELBO {self.elbo:.4g} nats)"
        )


@suggests
def importance_sample(flow: Flow, log_density_and_grad: Density, n: int, rng: Rng = None) -> WeightedSample:
    """`n` draws from a flow with their weights for a density.

    Parameters
    ----------
    flow : Flow
        Without context; one that `fit_to_density` has trained, or any other.
    log_density_and_grad : callable
        As for `fit_to_density`.
    n : int
    rng : seed or numpy.random.Generator

    Returns
    -------
    WeightedSample

    Warns
    -----
    UserWarning
        If the effective sample size is below a twentieth of `n`, or below 100 and half of `n`.

    Raises
    ------
    NiceValueError, NiceTypeError, NiceOverflowError
        As `Flow.decode`, and for a density that returns other shapes, or no finite numbers.

    Examples
    --------
    >>> from nice_np import DiagonalScaling
    >>> from nice_np.inference import Mixture
    >>> flow = Flow("normal", DiagonalScaling(2))  # draws from N(0, I)
    >>> found = importance_sample(flow, Mixture([[0.5, 0.0]]), 10_000, rng=0)
    >>> bool(abs(found.log_evidence) < 0.02), bool(abs(found.mean() - [0.5, 0.0]).max() < 0.03)
    (True, True)
    """
    owner = "importance_sample"
    n, rng = as_int(n, owner, "n", 1), as_rng(rng, owner)
    if not isinstance(flow, Flow):
        raise NiceTypeError(f"{owner}: expected a Flow, got {flow!r}")
    if flow.context_dim:
        raise NiceValueError(f"{owner}: the flow has one density for each context; leave out context_dim")

    def draw(z: Array) -> Array:
        """x and log r side by side, (n, D + 1): by one inverse pass, with log q = log p_Z(z) - log|det dg/dz|."""
        x, log_det, _ = flow.decode_with_pullback(z)
        log_ratio = log_density(log_density_and_grad, x)[0] - (flow.prior.log_prob(z) - log_det)
        return np.column_stack([x, log_ratio])

    both = in_chunks(draw, checked_sample(flow.prior, n, flow.dim, rng).astype(flow.dtype))
    found = WeightedSample(both[:, :-1], both[:, -1].astype(np.float64))
    ess = found.effective_sample_size
    if ess < max(POOR * n, min(FEW, n / 2)):
        warnings.warn(
            f"{owner}: the {n} draws are worth {ess:.3g} draws from the density ({ess / n:.1%}): a few weights decide "
            "every estimate; train the flow longer, take a more flexible one, or draw more",
            stacklevel=3,
        )
    return found

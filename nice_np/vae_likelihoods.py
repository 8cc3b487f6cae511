"""The decoder of a variational autoencoder, p(x | z): a network's answer theta (N, D), and a law of x given theta.

    Bernoulli   log p(x | l)      = sum_d x_d l_d - log(1 + e^l_d)                            l: logits
    Gaussian    log p(x | m, s)   = sum_d -((x_d - m_d) / s_d)^2 / 2 - log s_d - log(2 pi) / 2

Every gradient takes dL/dlog p, one number a row, as the layers of a flow take dL/dlog_det.
"""

from __future__ import annotations

from abc import abstractmethod
from math import log, pi
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from nice_np.checks import Array, as_constants, refuse_outside
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.mlp import MLP
from nice_np.parameters import Module


class Likelihood(Module):
    """A law of x, independent in each feature, given a network's answer theta of x's shape."""

    @abstractmethod
    def log_prob(self, x: Array, theta: Array) -> Array:
        """log p(x | theta) in nats: (N, D), (N, D) -> (N,)."""

    @abstractmethod
    def backward(self, dlog_p: Array, x: Array, theta: Array) -> Array:
        """dL/dtheta (N, D) from dL/dlog p (N,); adds dL/d(parameter) to the parameter gradients."""

    @abstractmethod
    def mean(self, theta: Array) -> Array:
        """E[x | theta]: (N, D) -> (N, D)."""

    @abstractmethod
    def sample(self, theta: Array, rng: np.random.Generator) -> Array:
        """One draw of x for each row: (N, D) -> (N, D)."""

    def check(self, x: Array, owner: str) -> None:
        """Raise NiceValueError for an x (N, D) that the law does not know."""


class Bernoulli(Likelihood):
    """log p(x | l) = sum_d x_d l_d - softplus(l_d),   p(x_d = 1) = sigmoid(l_d)

    A probability where x is 0 or 1.  Of greys between them it is the cross-entropy that is often used in its place,
    which is no density in x.

    Examples
    --------
    >>> Bernoulli().log_prob(np.array([[1.0, 0.0]]), np.array([[0.0, -1000.0]]))  # log 1/2 + log 1
    array([-0.69314718])
    """

    def log_prob(self, x: Array, theta: Array) -> Array:
        log_p: Array = (x * theta - np.logaddexp(0, theta)).sum(axis=1)  # log(1 + e^l), without overflow
        return log_p

    def backward(self, dlog_p: Array, x: Array, theta: Array) -> Array:
        return dlog_p[:, None] * (x - self.mean(theta))  # softplus' = sigmoid

    def mean(self, theta: Array) -> Array:
        sigmoid: Array = 0.5 * (1 + np.tanh(0.5 * theta))  # 1 / (1 + e^-l), without overflow
        return sigmoid

    def sample(self, theta: Array, rng: np.random.Generator) -> Array:
        return (rng.random(theta.shape) < self.mean(theta)).astype(theta.dtype)

    def check(self, x: Array, owner: str) -> None:
        refuse_outside(x, (x >= 0) & (x <= 1), (0.0, 1.0), owner)


class Gaussian(Likelihood):
    """log p(x | m) = sum_d -r_d^2 / 2 - log_sigma_d - log(2 pi) / 2,   r = (x - m) / exp(log_sigma)

    Parameters
    ----------
    log_sigma : ndarray, shape (D,)
        Learned, one for each feature, the same in all rows.  See `FixedGaussian` for one that stays.
    """

    param_names: ClassVar[tuple[str, ...]] = ("log_sigma",)

    def __init__(self, log_sigma: npt.ArrayLike) -> None:
        self.log_sigma: Array = as_constants(log_sigma, 1, type(self).__name__, "log_sigma")
        self.dlog_sigma = np.zeros_like(self.log_sigma)

    def log_prob(self, x: Array, theta: Array) -> Array:
        r = self._residual(x, theta)  # (N, D)
        log_p: Array = -(0.5 * r**2 + self.log_sigma + 0.5 * log(2 * pi)).sum(axis=1)
        return log_p

    def backward(self, dlog_p: Array, x: Array, theta: Array) -> Array:
        r = self._residual(x, theta)  # (N, D)
        self.dlog_sigma += dlog_p @ (r**2 - 1)  # dr/dlog_sigma = -r, so d(-r^2/2 - log_sigma)/dlog_sigma = r^2 - 1
        dm: Array = dlog_p[:, None] * r * np.exp(-self.log_sigma)  # dr/dm = -1/sigma, so d(-r^2/2)/dm = r / sigma
        return dm

    def mean(self, theta: Array) -> Array:
        return theta

    def sample(self, theta: Array, rng: np.random.Generator) -> Array:
        x: Array = theta + np.exp(self.log_sigma) * rng.standard_normal(theta.shape).astype(theta.dtype)
        return x

    def _residual(self, x: Array, theta: Array) -> Array:
        r: Array = (x - theta) * np.exp(-self.log_sigma)
        return r

    def config(self) -> dict[str, Any]:
        return {"log_sigma": self.log_sigma}


class FixedGaussian(Gaussian):
    """A Gaussian whose log_sigma is given and not trained."""

    param_names = ()


class DecoderCache(NamedTuple):
    """x and theta: (N, D); and the network's cache."""

    x: Array
    theta: Array
    network: Any


class Decoder(Module):
    """p(x | z): a likelihood with theta = network(z).

    Parameters
    ----------
    network : MLP
        z (N, L) -> theta (N, D).
    likelihood : Likelihood
    """

    def __init__(self, network: MLP, likelihood: Likelihood) -> None:
        if not isinstance(network, MLP):
            raise NiceTypeError(f"Decoder: network must be an MLP, got {network!r}")
        if not isinstance(likelihood, Likelihood):
            raise NiceTypeError(f"Decoder: likelihood must be a Likelihood, got {likelihood!r}")
        self.latent, self.dim = network.sizes[0], network.sizes[-1]
        if isinstance(likelihood, Gaussian) and len(likelihood.log_sigma) != self.dim:
            raise NiceValueError(f"Decoder: log_sigma has {len(likelihood.log_sigma)} features, expected {self.dim}")
        self.network, self.likelihood = network, likelihood

    def forward(self, z: Array, x: Array) -> tuple[Array, DecoderCache]:
        """log p(x | z) in nats: z (N, L), x (N, D) -> (N,), cache."""
        theta, cache = self.network.forward(z)
        return self.likelihood.log_prob(x, theta), DecoderCache(x, theta, cache)

    def backward(self, dlog_p: Array, cache: DecoderCache) -> Array:
        """dL/dz (N, L) from dL/dlog p (N,); adds to the parameter gradients."""
        dtheta = self.likelihood.backward(dlog_p, cache.x, cache.theta)
        return self.network.backward(dtheta, cache.network)

    def mean(self, z: Array) -> Array:
        """E[x | z]: (N, L) -> (N, D)."""
        return self.likelihood.mean(self.network.forward(z)[0])

    def sample(self, z: Array, rng: np.random.Generator) -> Array:
        """One draw of x for each z: (N, L) -> (N, D)."""
        return self.likelihood.sample(self.network.forward(z)[0], rng)

    def config(self) -> dict[str, Any]:
        return {"network": self.network, "likelihood": self.likelihood}

    def __repr__(self) -> str:
        return f"Decoder({self.network!r}, {type(self.likelihood).__name__})"

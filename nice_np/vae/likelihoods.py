"""The decoder of a variational autoencoder, p(x | z): a network's output theta (N, D), and a law of x given theta.

    Bernoulli   log p(x | l)      = sum_d x_d l_d - log(1 + e^l_d)                            l: logits
    Gaussian    log p(x | m, s)   = sum_d -((x_d - m_d) / s_d)^2 / 2 - log s_d - log(2 pi) / 2

Every gradient starts from dL/dlog p, one number per row, as in the layers of a flow it starts from dL/dlog_det.
"""

from __future__ import annotations

from abc import abstractmethod
from math import log, pi
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nice_np.bijectors.scales import TanhScale
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.networks.mlp import MLP
from nice_np.parameters import Module
from nice_np.validation import Array, as_constants, as_dtype, as_int


class LogSigma(TanhScale):
    """log sigma = B tanh(r / B), B = 5: sigma stays within (0.007, 148), here and in q(z | x).

    Without it, a decoder that reproduces one feature exactly, such as an always black pixel, could drive its sigma to
    0 and the ELBO to infinity, whatever the other features.
    """

    bound = 5.0


LOG_SIGMA = LogSigma()


class Likelihood(Module):
    """A law of x with independent features, given a network's output theta of x's shape."""

    @abstractmethod
    def log_prob(self, x: Array, theta: Array) -> Array:
        """log p(x | theta) in nats: (N, D), (N, D) -> (N,)."""

    @abstractmethod
    def backward(self, dlog_p: Array, x: Array, theta: Array) -> Array:
        """dL/dtheta (N, D) from dL/dlog p (N,); writes dL/d(parameter)."""

    @abstractmethod
    def mean(self, theta: Array) -> Array:
        """E[x | theta]: (N, D) -> (N, D)."""

    @abstractmethod
    def sample(self, theta: Array, rng: np.random.Generator) -> Array:
        """One sample of x per row: (N, D) -> (N, D)."""

    def check(self, x: Array, owner: str) -> None:
        """Raise NiceValueError for an x (N, D) outside the law's domain."""


class Bernoulli(Likelihood):
    """log p(x | l) = sum_d x_d l_d - softplus(l_d),   p(x_d = 1) = sigmoid(l_d)

    For zeros and ones only; `binarize` samples them from pixels.  For greys the formula is a cross-entropy that is not
    normalised, so they are refused.

    Examples
    --------
    >>> Bernoulli().log_prob(np.array([[1.0, 0.0]]), np.array([[0.0, -1000.0]]))  # log 1/2 + log 1
    array([-0.69314718])
    """

    def log_prob(self, x: Array, theta: Array) -> Array:
        softplus = np.maximum(theta, 0) + np.log1p(np.exp(-np.abs(theta)))  # log(1 + e^l), without overflow
        log_p: Array = (x * theta - softplus).sum(axis=1)
        return log_p

    def backward(self, dlog_p: Array, x: Array, theta: Array) -> Array:
        return dlog_p[:, None] * (x - self.mean(theta))  # softplus' = sigmoid

    def mean(self, theta: Array) -> Array:
        sigmoid: Array = 0.5 * (1 + np.tanh(0.5 * theta))  # 1 / (1 + e^-l), without overflow
        return sigmoid

    def sample(self, theta: Array, rng: np.random.Generator) -> Array:
        return (rng.random(theta.shape) < self.mean(theta)).astype(theta.dtype)

    def check(self, x: Array, owner: str) -> None:
        binary = (x == 0) | (x == 1)
        if not binary.all():
            row, column = np.argwhere(~binary)[0]
            raise NiceValueError(
                f"{owner}: x[{row}, {column}] = {x[row, column]!s} is neither 0 nor 1, as a Bernoulli decoder expects; "
                "use binarize(pixels, rng) or a Gaussian decoder"
            )


class Gaussian(Likelihood):
    """log p(x | m) = sum_d -r_d^2 / 2 - log sigma_d - log(2 pi) / 2,   r = (x - m) / sigma

    sigma_d is learned, one per feature and the same for all rows: log sigma = LogSigma(u).  `FixedGaussian` does not
    learn it.

    Parameters
    ----------
    dim : int
        D.
    dtype : {float64, float32}

    Attributes
    ----------
    u : ndarray, shape (D,)
        Starts at 0, where sigma = 1.
    """

    param_names: ClassVar[tuple[str, ...]] = ("u",)

    def __init__(self, dim: int, dtype: Any = np.float64) -> None:
        self.dim = as_int(dim, "Gaussian", "dim", 1)
        self.u: Array = np.zeros(self.dim, as_dtype(dtype, "Gaussian"))
        self.du = np.zeros_like(self.u)

    @property
    def scale(self) -> LogSigma:
        """From u to log sigma; the same in every model, so files need not hold it."""
        return LOG_SIGMA

    @property
    def log_sigma(self) -> Array:
        """(D,)"""
        return self.scale.forward(self.u)

    def log_prob(self, x: Array, theta: Array) -> Array:
        log_sigma = self.log_sigma
        r = (x - theta) * np.exp(-log_sigma)  # (N, D)
        log_p: Array = -(0.5 * r**2 + log_sigma + 0.5 * log(2 * pi)).sum(axis=1)
        return log_p

    def backward(self, dlog_p: Array, x: Array, theta: Array) -> Array:
        log_sigma = self.log_sigma
        r = (x - theta) * np.exp(-log_sigma)  # (N, D)
        self._write_gradient(dlog_p @ (r**2 - 1), log_sigma)  # dr/dlog_sigma = -r: d(-r^2/2 - log_sigma) = r^2 - 1
        dm: Array = dlog_p[:, None] * r * np.exp(-log_sigma)  # dr/dm = -1/sigma, so d(-r^2/2)/dm = r / sigma
        return dm

    def _write_gradient(self, dlog_sigma: Array, log_sigma: Array) -> None:
        self.du[...] = self.scale.backward(dlog_sigma, self.u, log_sigma)

    def mean(self, theta: Array) -> Array:
        return theta

    def sample(self, theta: Array, rng: np.random.Generator) -> Array:
        x: Array = theta + np.exp(self.log_sigma) * rng.standard_normal(theta.shape).astype(theta.dtype)
        return x

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "dtype": self.u.dtype.name}

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """The number of parameters of ``Gaussian(**config)``, without building it."""
        return int(config["dim"])


class FixedGaussian(Gaussian):
    """A Gaussian with a given sigma that is not trained.

    Parameters
    ----------
    sigma : array_like, shape (D,)
        > 0, in units of x.  A `Decoder` converts it to the dtype of its network.
    """

    param_names = ()

    def __init__(self, sigma: npt.ArrayLike) -> None:
        self.sigma = as_constants(sigma, 1, "FixedGaussian", "sigma")
        self.dim = len(self.sigma)
        if not (self.sigma > 0).all():
            raise NiceValueError(f"FixedGaussian: sigma must be > 0, got {self.sigma.min()}")

    @property
    def log_sigma(self) -> Array:
        return np.log(self.sigma)

    def _write_gradient(self, dlog_sigma: Array, log_sigma: Array) -> None:
        pass

    def config(self) -> dict[str, Any]:
        return {"sigma": self.sigma}

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        return 0  # sigma is stored in the file as an array


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
        if isinstance(likelihood, Gaussian) and likelihood.dim != self.dim:
            raise NiceValueError(
                f"Decoder: the Gaussian has {likelihood.dim} features, expected {self.dim}, the network's outputs"
            )
        if isinstance(likelihood, FixedGaussian):
            likelihood.cast(network.layers[0].W.dtype)
        self.network, self.likelihood = network, likelihood

    def forward(self, z: Array, x: Array) -> tuple[Array, Any]:
        """log p(x | z) in nats: z (N, L), x (N, D) -> (N,), cache."""
        theta, cache = self.network.forward(z)
        return self.likelihood.log_prob(x, theta), (x, theta, cache)

    def backward(self, dlog_p: Array, cache: Any) -> Array:
        """dL/dz (N, L) from dL/dlog p (N,); adds to the parameter gradients."""
        x, theta, network_cache = cache
        return self.network.backward(self.likelihood.backward(dlog_p, x, theta), network_cache)

    def mean(self, z: Array) -> Array:
        """E[x | z]: (N, L) -> (N, D)."""
        return self.likelihood.mean(self.network.forward(z)[0])

    def sample(self, z: Array, rng: np.random.Generator) -> Array:
        """One sample of x per z: (N, L) -> (N, D)."""
        return self.likelihood.sample(self.network.forward(z)[0], rng)

    def config(self) -> dict[str, Any]:
        return {"network": self.network, "likelihood": self.likelihood}

    def __repr__(self) -> str:
        return f"Decoder({self.network!r}, {type(self.likelihood).__name__})"

"""The latents of a variational autoencoder: the approximate posterior q(z | x) and the prior p(z).

    Gaussian posterior   z = mu(x) + sigma(x) eps,    log q(z | x) = log N(eps; 0, I) - sum_l log sigma_l(x)
    flow posterior       z = f(z_0; h(x)),            log q(z | x) = log q(z_0 | x) - log|det df/dz_0|
    plain prior          log p(z) = log p_0(z)
    flow prior           log p(z) = log p_0(f(z)) + log|det df/dz|

The noise eps ~ N(0, I) is an argument: for given eps everything is an ordinary function with an ordinary gradient.
Then (x, eps) -> (x, z) is an affine coupling whose conditioner is the encoder (Dinh et al. 2014, appendix on the
variational autoencoder as NICE): log|det dz/deps| is sum_l log sigma_l, and log q follows by change of variables.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

import numpy as np

from nice_np.bijectors import Bijector
from nice_np.bijectors.chain import layers_of
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.flows.priors import Prior, StandardNormal, checked_backward, checked_sample, get_prior
from nice_np.networks.mlp import MLP
from nice_np.parameters import Module
from nice_np.vae.likelihoods import LOG_SIGMA, LogSigma
from nice_np.validation import Array, as_int


class Encoding(NamedTuple):
    """The encoder's output: mu, r and log_sigma (N, L), the context h (N, C); and the network's cache."""

    mu: Array
    r: Array
    log_sigma: Array
    context: Array
    network: Any

    def log_prob(self, z_0: Array) -> Array:
        """log N(z_0; mu, sigma^2): (N, L) -> (N,)."""
        log_q: Array = StandardNormal().log_prob((z_0 - self.mu) * np.exp(-self.log_sigma)) - self.log_sigma.sum(axis=1)
        return log_q


class GaussianPosterior(Module):
    """q(z | x) = N(z; mu(x), diag sigma(x)^2), reparameterised: z = mu + sigma eps.

    Parameters
    ----------
    network : MLP
        The encoder: x (N, D) -> (mu, r) (N, 2L), log_sigma = LogSigma(r).
    """

    context_dim = 0

    def __init__(self, network: MLP) -> None:
        who = type(self).__name__
        if not isinstance(network, MLP):
            raise NiceTypeError(f"{who}: network must be an MLP, got {network!r}")
        self.dim = network.sizes[0]
        self.latent, odd = divmod(network.sizes[-1] - self.context_dim, 2)
        if odd or self.latent < 1:
            raise NiceValueError(
                f"{who}: the network must have 2 L + {self.context_dim} outputs, for mu, r and the context; "
                f"{network!r} has {network.sizes[-1]}"
            )
        self.network = network

    @property
    def scale(self) -> LogSigma:
        """From r to log sigma; the same in every model, so files need not hold it."""
        return LOG_SIGMA

    def encode(self, x: Array) -> Encoding:
        """The network's output (N, 2L + C) for x (N, D), split, with log_sigma = LogSigma(r)."""
        theta, cache = self.network.forward(x)
        mu, r, context = np.split(theta, [self.latent, 2 * self.latent], axis=1)
        return Encoding(mu, r, self.scale.forward(r), context, cache)

    def moments(self, x: Array) -> tuple[Array, Array]:
        """mu and sigma of the Gaussian: (N, D) -> (N, L), (N, L)."""
        encoding = self.encode(x)
        return encoding.mu, np.exp(encoding.log_sigma)

    def forward(self, x: Array, eps: Array) -> tuple[Array, Array, Any]:
        """z, log q(z | x) in nats, cache: x (N, D), eps (N, L) -> (N, L), (N,), cache."""
        encoding = self.encode(x)
        noise = np.exp(encoding.log_sigma) * eps
        # (z - mu) / sigma = eps, so log N(z; mu, sigma^2) = log N(eps; 0, I) - sum_l log sigma_l
        log_q = StandardNormal().log_prob(eps) - encoding.log_sigma.sum(axis=1)
        return encoding.mu + noise, log_q, (encoding, noise)

    def log_prob(self, x: Array, z: Array) -> Array:
        """log q(z | x) in nats at any z: x (N, D), z (N, L) -> (N,)."""
        return self.encode(x).log_prob(z)

    def backward(self, dz: Array, dlog_q: Array, cache: Any) -> None:
        """Write the parameter gradients, from dL/dz (N, L) and dL/dlog q (N,)."""
        self._encoder_backward(dz, dlog_q, np.empty((len(dz), 0), dz.dtype), cache)

    def _encoder_backward(self, dz: Array, dlog_q: Array, dcontext: Array, cache: Any) -> None:
        # dz/dmu = 1;  dz/dlog_sigma = sigma eps;  dlog q/dlog_sigma_l = -1;  for given eps log q does not depend on mu
        encoding, noise = cache
        dr = self.scale.backward(dz * noise - dlog_q[:, None], encoding.r, encoding.log_sigma)
        self.network.backward(np.concatenate([dz, dr, dcontext], axis=1), encoding.network)

    def config(self) -> dict[str, Any]:
        return {"network": self.network}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.network!r})"


class FlowPosterior(GaussianPosterior):
    """z = f(z_0; h), z_0 ~ N(mu(x), diag sigma(x)^2):  log q(z | x) = log q(z_0 | x) - log|det df/dz_0|

    Parameters
    ----------
    network : MLP
        The encoder: x (N, D) -> (mu, r, h) (N, 2L + C).
    bijector : Bijector
        f, of L + C features; the last C are the context h, which all layers leave unchanged, as in `Flow`.
    context_dim : int
        C; with 0 the map f is the same for every x.
    """

    def __init__(self, network: MLP, bijector: Bijector, context_dim: int = 0) -> None:
        self.context_dim = as_int(context_dim, "FlowPosterior", "context_dim", 0)
        super().__init__(network)
        self.bijector = _checked_bijector(bijector, self.latent + self.context_dim, "FlowPosterior")

    def forward(self, x: Array, eps: Array) -> tuple[Array, Array, Any]:
        z_0, log_q_0, gaussian = super().forward(x, eps)
        context = gaussian[0].context  # (N, C)
        z, log_det, cache = self.bijector.forward(np.concatenate([z_0, context], axis=1))  # (N, L + C)
        if not np.array_equal(z[:, self.latent :], context, equal_nan=True):
            raise NiceValueError("FlowPosterior: the bijector changed the context; see WithContext")
        return z[:, : self.latent], log_q_0 - log_det, (gaussian, cache)

    def log_prob(self, x: Array, z: Array) -> Array:
        encoding = self.encode(x)
        z_0, log_det, _ = self.bijector.inverse(np.concatenate([z, encoding.context], axis=1))  # log_det of f^-1
        return encoding.log_prob(z_0[:, : self.latent]) + log_det

    def backward(self, dz: Array, dlog_q: Array, cache: Any) -> None:
        gaussian, bijector_cache = cache
        dout = np.pad(dz, ((0, 0), (0, self.context_dim)))  # (N, L + C): the loss does not depend on the context in z
        din = self.bijector.backward(dout, -dlog_q, bijector_cache)  # log q = log q_0 - log_det
        self._encoder_backward(din[:, : self.latent], dlog_q, din[:, self.latent :], gaussian)

    def config(self) -> dict[str, Any]:
        return {"network": self.network, "bijector": self.bijector, "context_dim": self.context_dim}

    def __repr__(self) -> str:
        context = f", context_dim={self.context_dim}" if self.context_dim else ""
        return f"FlowPosterior({self.network!r}{context}) and a flow:\n{_indented(self.bijector)}"


class PlainPrior(Module):
    """log p(z) = log p_0(z).

    Parameters
    ----------
    prior : {"normal", "logistic"} or Prior
        p_0.
    """

    def __init__(self, prior: str | Prior = "normal") -> None:
        self.prior = get_prior(prior)

    def forward(self, z: Array) -> tuple[Array, Any]:
        """log p(z) in nats, cache: (N, L) -> (N,), cache."""
        return self.prior.log_prob(z), z

    def backward(self, dlog_p: Array, cache: Any) -> Array:
        """dL/dz (N, L) from dL/dlog p (N,); writes the parameter gradients."""
        return checked_backward(self.prior, dlog_p, cache)

    def sample(self, n: int, latent: int, rng: np.random.Generator) -> Array:
        """`n` samples, (n, L)."""
        return checked_sample(self.prior, n, latent, rng)

    def config(self) -> dict[str, Any]:
        return {"prior": self.prior}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.prior!r})"


class FlowPrior(PlainPrior):
    """log p(z) = log p_0(f(z)) + log|det df/dz|: the prior is itself a flow, trained with the rest.

    Parameters
    ----------
    prior : {"normal", "logistic"} or Prior
        p_0.
    bijector : Bijector
        f, of L features.
    """

    def __init__(self, prior: str | Prior, bijector: Bijector) -> None:
        super().__init__(prior)
        self.bijector = _checked_bijector(bijector, None, "FlowPrior")

    def forward(self, z: Array) -> tuple[Array, Any]:
        u, log_det, cache = self.bijector.forward(z)
        return self.prior.log_prob(u) + log_det, (u, cache)

    def backward(self, dlog_p: Array, cache: Any) -> Array:
        u, bijector_cache = cache
        du = checked_backward(self.prior, dlog_p, u)
        return self.bijector.backward(du, dlog_p, bijector_cache)  # dlog p/dlog_det = 1

    def sample(self, n: int, latent: int, rng: np.random.Generator) -> Array:
        u = checked_sample(self.prior, n, latent, rng)
        dtypes = [array.dtype for _, array, _ in self.named_parameters()]
        return self.bijector.inverse(u.astype(dtypes[0]) if dtypes else u)[0]  # z = f^-1(u)

    def config(self) -> dict[str, Any]:
        return {"prior": self.prior, "bijector": self.bijector}

    def __repr__(self) -> str:
        return f"FlowPrior({self.prior!r}) and a flow:\n{_indented(self.bijector)}"


def _indented(bijector: Bijector) -> str:
    return "\n".join(f"    {layer!r}" for layer in layers_of(bijector))


def _checked_bijector(bijector: Bijector, dim: int | None, owner: str) -> Bijector:
    if not isinstance(bijector, Bijector):
        raise NiceTypeError(f"{owner}: expected a Bijector, got {bijector!r}")
    if dim is not None and bijector.dim != dim:
        raise NiceValueError(f"{owner}: the bijector has {bijector.dim} features, expected L + C = {dim}")
    if bijector.interval != (-inf, inf):
        raise NiceValueError(
            f"{owner}: latents are unbounded, but the bijector accepts {bijector.interval} only; leave out the layer "
            "that bounds it"
        )
    return bijector

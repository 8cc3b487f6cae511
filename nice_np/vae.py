"""A variational autoencoder: latents z, a decoder p(x | z), and a posterior q(z | x) that bounds log p(x) from below.

    ELBO = E_q[log p(x | z) + log p(z) - log q(z | x)] <= log p(x)      (Kingma and Welling 2013)

The gap is KL(q(z | x) || p(z | x)).  A flow can make it smaller in two places: behind the encoder, so that q is no
longer a Gaussian, or in the prior p(z).  All gradients are derived by hand, for given noise eps.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nice_np.bijectors import Bijector
from nice_np.checks import Array, Rng, as_choice, as_dtype, as_int, as_rng, as_samples, as_sizes
from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.flow import CHUNK
from nice_np.kernels import all_finite
from nice_np.mlp import MLP
from nice_np.models import nice
from nice_np.parameters import FlatParameters, Module
from nice_np.vae_latents import FlowPosterior, FlowPrior, GaussianPosterior, PlainPrior
from nice_np.vae_likelihoods import Bernoulli, Decoder, Gaussian, Likelihood

KINDS = ("plain", "nice-posterior", "nice-prior")
DECODERS = ("bernoulli", "gaussian")


class Terms(NamedTuple):
    """What the ELBO adds up, (N,) each, in nats; and the caches of the three parts."""

    log_likelihood: Array
    log_prior: Array
    log_posterior: Array
    caches: tuple[Any, Any, Any]

    @property
    def elbo(self) -> Array:
        return self.log_likelihood + self.log_prior - self.log_posterior


class VAE(Module):
    """A variational autoencoder.

    Parameters
    ----------
    posterior : GaussianPosterior
        q(z | x), or a `FlowPosterior`.
    prior : PlainPrior
        p(z), or a `FlowPrior`.
    decoder : Decoder
        p(x | z).

    Attributes
    ----------
    dim, latent : int
        D, the features of x, and L, those of z.
    dtype : dtype
        float32 or float64; input is converted to it.
    params : FlatParameters
        ``params.values`` and ``params.grads``, both (P,).

    Raises
    ------
    NiceTypeError, NiceValueError
        If a part is of another class, or the parts' dimensions differ.

    Examples
    --------
    >>> model = vae(6, latent=2, hidden=(5,), rng=0)
    >>> x = np.ones((3, 6))
    >>> model.elbo(x, np.zeros((3, 2))).shape
    (3,)
    >>> model.sample(4, rng=0).shape
    (4, 6)
    """

    def __init__(self, posterior: GaussianPosterior, prior: PlainPrior, decoder: Decoder) -> None:
        for name, part, kind in (
            ("posterior", posterior, GaussianPosterior),
            ("prior", prior, PlainPrior),
            ("decoder", decoder, Decoder),
        ):
            if not isinstance(part, kind):
                raise NiceTypeError(f"VAE: {name} must be a {kind.__name__}, got {part!r}")
        self.dim, self.latent = posterior.dim, posterior.latent
        if (decoder.latent, decoder.dim) != (self.latent, self.dim):
            raise NiceValueError(
                f"VAE: the decoder must map {self.latent} latents to {self.dim} features, "
                f"{decoder!r} maps {decoder.latent} to {decoder.dim}"
            )
        if isinstance(prior, FlowPrior) and prior.bijector.dim != self.latent:
            raise NiceValueError(f"VAE: the prior has {prior.bijector.dim} features, expected {self.latent}")
        self.posterior, self.prior, self.decoder = posterior, prior, decoder
        self._pack()

    def _pack(self) -> None:
        self.params = FlatParameters(self)
        self.dtype: np.dtype[Any] = self.params.values.dtype

    # -- the bound ------------------------------------------------------------------------------------------------

    def elbo(self, x: npt.ArrayLike, eps: npt.ArrayLike) -> Array:
        """log p(x | z) + log p(z) - log q(z | x) at the z that `eps` gives: an unbiased estimate of each row's ELBO.

        Parameters
        ----------
        x : array_like, shape (N, D)
            Within [0, 1] for a Bernoulli decoder.
        eps : array_like, shape (N, L)
            Standard normal noise, see `draw_noise`.

        Returns
        -------
        ndarray, shape (N,)
            In nats.

        Raises
        ------
        NiceValueError, NiceTypeError
            If `x` or `eps` is not a finite real array of its shape, or `x` outside of what the decoder knows.
        NiceOverflowError
            If the bound does not fit into the dtype; the message names the row.
        """
        x = self._checked(x, "elbo")
        return self._bound(x, self._noise(eps, len(x), "elbo"))

    def loss_and_grad(self, x: npt.ArrayLike, eps: npt.ArrayLike) -> tuple[float, Array]:
        """Minus the mean ELBO of a batch and its gradient for the given noise: what training minimises.

        Parameters
        ----------
        x : array_like, shape (N, D), N >= 1
        eps : array_like, shape (N, L)

        Returns
        -------
        loss : float
            -(1/N) sum_n ELBO_n, in nats.
        grads : ndarray, shape (P,)
            dloss/dvalues: ``params.grads`` itself, overwritten by the next call.

        Raises
        ------
        NiceValueError, NiceTypeError, NiceOverflowError
            As `elbo`; the last also for a gradient that does not fit into the dtype.
        """
        x = self._checked(x, "loss_and_grad")
        eps = self._noise(eps, len(x), "loss_and_grad")
        if len(x) == 0:
            raise NiceValueError("VAE.loss_and_grad: 0 samples; the mean needs at least one")
        terms = self._scored(x, eps)
        posterior_cache, prior_cache, decoder_cache = terms.caches
        # loss = -(1/N) sum_n [log p(x_n | z_n) + log p(z_n) - log q(z_n | x_n)]
        weight = np.full(len(x), -1 / len(x), self.dtype)  # (N,): dloss/dlog p of both p, minus dloss/dlog q
        with np.errstate(over="ignore", invalid="ignore"), self.params.gradients_from_zero():  # looked for below
            dz = self.decoder.backward(weight, decoder_cache) + self.prior.backward(weight, prior_cache)
            self.posterior.backward(dz, -weight, posterior_cache)
        if not all_finite(self.params.grads):
            raise NiceOverflowError(f"VAE: a gradient overflows {self.dtype}; check the scale of input and parameters")
        return -float(terms.elbo.mean(dtype=np.float64)), self.params.grads

    def iwae(self, x: npt.ArrayLike, k: int, rng: Rng = None) -> Array:
        """The importance-weighted bound log (1/k) sum_i w_i,  log w_i = ELBO with the i-th noise (Burda et al. 2015).

        For k = 1 it is the ELBO; it grows with k, on average, and tends to log p(x).

        Parameters
        ----------
        x : array_like, shape (N, D)
        k : int
        rng : seed or numpy.random.Generator

        Returns
        -------
        ndarray, shape (N,)
            In nats; errors as in `elbo`.
        """
        x, k, rng = self._checked(x, "iwae"), as_int(k, "VAE.iwae", "k", 1), as_rng(rng, "VAE.iwae")
        total = np.full(len(x), -np.inf, self.dtype)
        for _ in range(k):
            log_w = self._bound(x, self.draw_noise(len(x), rng))  # (N,)
            total = np.logaddexp(total, log_w)  # log sum_i w_i, without overflow
        total -= self.dtype.type(np.log(k))
        return total

    def draw_noise(self, n: int, rng: Rng = None) -> Array:
        """eps ~ N(0, I) for `n` samples: (n, L)."""
        n = as_int(n, "VAE.draw_noise", "n", 0)
        return as_rng(rng, "VAE.draw_noise").standard_normal((n, self.latent)).astype(self.dtype)

    # -- there and back -------------------------------------------------------------------------------------------

    def encode(self, x: npt.ArrayLike) -> tuple[Array, Array]:
        """mu and sigma of the Gaussian q(z_0 | x), before a posterior's flow: (N, D) -> (N, L), (N, L)."""
        return self.posterior.moments(self._checked(x, "encode"))

    def decode(self, z: npt.ArrayLike) -> Array:
        """E[x | z]: (N, L) -> (N, D)."""
        return self.decoder.mean(as_samples(z, self.latent, owner="VAE.decode", name="z", dtype=self.dtype))

    def reconstruct(self, x: npt.ArrayLike) -> Array:
        """E[x | z] at the z of x without noise, eps = 0: (N, D) -> (N, D)."""
        x = self._checked(x, "reconstruct")
        z, _, _ = self.posterior.forward(x, np.zeros((len(x), self.latent), self.dtype))
        return self.decoder.mean(z)

    def sample_latents(self, n: int, rng: Rng = None) -> Array:
        """`n` draws of z ~ p(z): (n, L); ``decode`` turns them into means of x."""
        n, rng = as_int(n, "VAE.sample_latents", "n", 0), as_rng(rng, "VAE.sample_latents")
        return self.prior.sample(n, self.latent, rng).astype(self.dtype, copy=False)

    def sample(self, n: int, rng: Rng = None) -> Array:
        """`n` draws from the model, z ~ p(z) and x ~ p(x | z): (n, D)."""
        rng = as_rng(rng, "VAE.sample")
        return self.decoder.sample(self.sample_latents(n, rng), rng)

    # -- copies ---------------------------------------------------------------------------------------------------

    def copy(self) -> VAE:
        """An independent copy."""
        return copy.deepcopy(self)

    def config(self) -> dict[str, Any]:
        return {"posterior": self.posterior, "prior": self.prior, "decoder": self.decoder}

    def __copy__(self) -> VAE:
        return self.copy()  # a shallow copy would share its layers, whose arrays can be views of one vector only

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "params"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._pack()

    def __repr__(self) -> str:
        head = f"VAE(dim={self.dim}, latent={self.latent}, {self.dtype}, {len(self.params):,} parameters)"
        return "\n".join([head, *(f"  {part!r}" for part in (self.posterior, self.prior, self.decoder))])

    # -- inside ---------------------------------------------------------------------------------------------------

    def _bound(self, x: Array, eps: Array) -> Array:
        """The ELBO of each row, CHUNK rows at a time, so that memory does not grow with the networks times N."""
        starts = range(0, max(len(x), 1), CHUNK)  # at least one, also of 0 samples: it has the right shape
        return np.concatenate([self._scored(x[i : i + CHUNK], eps[i : i + CHUNK], i).elbo for i in starts])

    def _scored(self, x: Array, eps: Array, start: int = 0) -> Terms:
        """All terms of the bound; `start` is the number of the first row, for the message."""
        with np.errstate(over="ignore", invalid="ignore"):  # looked for below
            z, log_q, posterior_cache = self.posterior.forward(x, eps)
            log_p_z, prior_cache = self.prior.forward(z)
            log_p_x, decoder_cache = self.decoder.forward(z, x)
            terms = Terms(log_p_x, log_p_z, log_q, (posterior_cache, prior_cache, decoder_cache))
            finite = np.isfinite(terms.elbo)
        if not finite.all():
            raise NiceOverflowError(
                f"VAE: the bound of row {start + finite.argmin()} overflows {self.dtype}; "
                "check the scale of the input and of the parameters"
            )
        return terms

    def _checked(self, x: npt.ArrayLike, method: str) -> Array:
        owner = f"VAE.{method}"
        samples = as_samples(x, self.dim, owner=owner, dtype=self.dtype)
        self.decoder.likelihood.check(samples, owner)
        return samples

    def _noise(self, eps: npt.ArrayLike, n: int, method: str) -> Array:
        owner = f"VAE.{method}"
        noise = as_samples(eps, self.latent, owner=owner, name="eps", dtype=self.dtype)
        if len(noise) != n:  # a single row would broadcast without a word
            raise NiceValueError(f"{owner}: eps has {len(noise)} rows, expected {n}, one for each sample")
        return noise


class NoisyLoss:
    """The loss of a VAE with fresh noise for each batch: what a training loop asks for a gradient.

    Parameters
    ----------
    model : VAE
    rng : seed or numpy.random.Generator
        Where the noise comes from.

    Examples
    --------
    >>> loss = NoisyLoss(vae(6, hidden=(5,), rng=0), rng=1)
    >>> loss.nll_and_grad(np.ones((3, 6)))[1].shape
    (110,)
    """

    def __init__(self, model: VAE, rng: Rng = None) -> None:
        if not isinstance(model, VAE):
            raise NiceTypeError(f"NoisyLoss: expected a VAE, got {model!r}")
        self.model, self.rng = model, as_rng(rng, "NoisyLoss")

    def nll_and_grad(self, x: npt.ArrayLike, context: npt.ArrayLike | None = None) -> tuple[float, Array]:
        """Minus the mean ELBO of x (N, D), a bound on the NLL from above, and its gradient (P,); takes no context."""
        if context is not None:
            raise NiceValueError("NoisyLoss: a VAE takes no context")
        x = as_samples(x, self.model.dim, owner="NoisyLoss", dtype=self.model.dtype)
        return self.model.loss_and_grad(x, self.model.draw_noise(len(x), self.rng))


def vae(
    dim: int,
    latent: int = 2,
    hidden: Sequence[int] = (200,),
    kind: str = "plain",
    decoder: str = "bernoulli",
    *,
    couplings: int = 4,
    flow_hidden: Sequence[int] = (50,),
    context_dim: int = 0,
    activation: str = "relu",
    dtype: Any = np.float32,
    rng: Rng = None,
) -> VAE:
    """A variational autoencoder in one of three forms.

    Parameters
    ----------
    dim : int
        D, the features of x.
    latent : int
        L, the features of z; at least 2 where there are couplings.
    hidden : sequence of int
        Widths of the hidden layers of the encoder, and in reverse order of the decoder.
    kind : {"plain", "nice-posterior", "nice-prior"}
        "plain": q Gaussian, p(z) = N(0, I).  "nice-posterior": additive couplings behind the encoder's Gaussian.
        "nice-prior": p(z) is a NICE flow with a Gaussian prior of its own.
    decoder : {"bernoulli", "gaussian"}
        The law of x given z; the Gaussian's log sigma, one a feature, is learned and starts at 0.
    couplings : int
        Of the flow, which ends with a diagonal scaling as in `nice`.
    flow_hidden : sequence of int
        Widths of the hidden layers of every coupling's conditioner.
    context_dim : int
        C > 0, for "nice-posterior": the encoder gives C numbers more, which every conditioner sees.
    activation : {"relu", "tanh", "softplus"}
    dtype : {float32, float64}
    rng : seed or numpy.random.Generator

    Returns
    -------
    VAE

    Raises
    ------
    NiceValueError, NiceTypeError
        If a name is unknown, a size out of range, or a context asked for where no flow could see it.

    Examples
    --------
    >>> vae(784, latent=8, hidden=(500,), rng=0)
    VAE(dim=784, latent=8, float32, 797,800 parameters)
      GaussianPosterior(MLP(784-500-16, relu))
      PlainPrior(StandardNormal())
      Decoder(MLP(8-500-784, relu), Bernoulli)
    """
    dim, latent = as_int(dim, "vae", "dim", 1), as_int(latent, "vae", "latent", 1)
    hidden, context_dim = as_sizes(hidden, "vae", "hidden"), as_int(context_dim, "vae", "context_dim", 0)
    kind, decoder = as_choice(kind, KINDS, "vae", "kind"), as_choice(decoder, DECODERS, "vae", "decoder")
    if context_dim and kind != "nice-posterior":
        raise NiceValueError(f'vae: context_dim is for kind "nice-posterior", got {kind!r}')
    dtype, rng = as_dtype(dtype, "vae"), as_rng(rng, "vae")
    # Both networks start with small answers, but not so small that they would not hear of each other.
    settings: dict[str, Any] = {"activation": activation, "output_scale": 0.1, "dtype": dtype, "rng": rng}
    encoder = MLP((dim, *hidden, 2 * latent + context_dim), **settings)
    network = MLP((latent, *hidden[::-1], dim), **settings)

    def couple() -> Bijector:
        """The layers of a NICE flow of z, near the identity at the start."""
        flow = nice(
            latent, couplings, flow_hidden, "normal",
            activation=activation, preprocess=(), context_dim=context_dim, dtype=dtype, rng=rng,
        )  # fmt: skip
        return copy.deepcopy(flow.bijector)  # the copy belongs to no flow

    if kind == "nice-posterior":
        posterior: GaussianPosterior = FlowPosterior(encoder, couple(), context_dim)
    else:
        posterior = GaussianPosterior(encoder)
    prior = FlowPrior("normal", couple()) if kind == "nice-prior" else PlainPrior("normal")
    likelihood: Likelihood = Bernoulli() if decoder == "bernoulli" else Gaussian(np.zeros(dim, dtype))
    return VAE(posterior, prior, Decoder(network, likelihood))

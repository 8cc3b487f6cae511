"""A variational autoencoder: latents z, a decoder p(x | z), and a posterior q(z | x) that bounds log p(x) from below.

    ELBO = E_q[log p(x | z) + log p(z) - log q(z | x)] <= log p(x)      (Kingma and Welling 2013)

The gap is KL(q(z | x) || p(z | x)).  A flow can reduce it in two places: after the encoder, so that q is not a
Gaussian, or in the prior p(z).  All gradients are derived by hand, for given noise eps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from nice_np.bijectors import Bijector
from nice_np.bijectors.chain import layers_of
from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.flows.model import Model, in_chunks, mean_of_finite
from nice_np.flows.priors import cast_like, check_dim
from nice_np.kernels import all_finite
from nice_np.pixels.binarize import binarize
from nice_np.suggestions import suggests
from nice_np.vae.latents import FlowPrior, GaussianPosterior, PlainPrior
from nice_np.vae.likelihoods import Bernoulli, Decoder
from nice_np.validation import Array, Rng, as_int, as_rng, as_samples, check_interval


class Terms(NamedTuple):
    """The terms of the ELBO, (N,) each, in nats; and the caches of the three parts."""

    log_likelihood: Array
    log_prior: Array
    log_posterior: Array
    caches: tuple[Any, Any, Any]

    @property
    def elbo(self) -> Array:
        return self.log_likelihood + self.log_prior - self.log_posterior


class Bounds(NamedTuple):
    """Two lower bounds on log p(x) from the same samples of z, in nats.

    Attributes
    ----------
    elbo, iwae : ndarray, shape (N,)
        The second is never below the first.
    """

    elbo: Array
    iwae: Array


class VAE(Model):
    """A variational autoencoder.

    Parameters
    ----------
    posterior : GaussianPosterior
        q(z | x), or a `FlowPosterior`.
    prior : PlainPrior
        p(z), or a `FlowPrior`.
    decoder : Decoder
        p(y | z).
    preprocess : Bijector, optional
        A map y = f(x) next to the data, without trainable parameters; by default y = x.  Its log|det df/dx| counts in
        the bound, which thus refers to x.  Not for a Bernoulli decoder.

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
        If a part is of the wrong class, or dimensions do not match.

    Examples
    --------
    >>> from nice_np import variational_autoencoder
    >>> model = variational_autoencoder(6, latent=2, hidden=(5,), rng=0)
    >>> x = np.ones((3, 6))
    >>> model.elbo(x, np.zeros((3, 2))).shape
    (3,)
    >>> model.sample(4, rng=0).shape
    (4, 6)
    """

    measure: ClassVar[str] = "elbo"

    def __init__(
        self,
        posterior: GaussianPosterior,
        prior: PlainPrior,
        decoder: Decoder,
        preprocess: Bijector | None = None,
    ) -> None:
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
        check_dim(prior.prior, self.latent, "VAE")
        cast_like(prior.prior, decoder)
        self.posterior, self.prior, self.decoder, self.preprocess = posterior, prior, decoder, preprocess
        self._check_preprocess()
        self._pack()

    def _check_preprocess(self) -> None:
        if self.preprocess is None:
            return
        if not isinstance(self.preprocess, Bijector):
            raise NiceTypeError(f"VAE: preprocess must be a Bijector, got {self.preprocess!r}")
        if isinstance(self.decoder.likelihood, Bernoulli):
            raise NiceValueError("VAE: a Bernoulli decoder models the zeros and ones themselves; leave out preprocess")
        if self.preprocess.dim != self.dim or self.preprocess.n_parameters:
            raise NiceValueError(
                f"VAE: preprocess must map {self.dim} features and have no parameters, got {self.preprocess!r}"
            )

    # -- the bound ------------------------------------------------------------------------------------------------

    def elbo(self, x: npt.ArrayLike, eps: npt.ArrayLike) -> Array:
        """log p(x | z) + log p(z) - log q(z | x) at the z given by `eps`: an unbiased estimate of each row's ELBO.

        Parameters
        ----------
        x : array_like, shape (N, D)
            Zeros and ones for a Bernoulli decoder.
        eps : array_like, shape (N, L)
            Standard normal noise, see `draw_noise`.

        Returns
        -------
        ndarray, shape (N,)
            In nats.

        Raises
        ------
        NiceValueError, NiceTypeError
            If `x` or `eps` is not a finite real array of its shape, or `x` is outside the decoder's domain.
        NiceOverflowError
            If the bound overflows the dtype; the message names the row.
        """
        return self._bound(*self._checked_with_noise(x, eps, "elbo"))

    def loss_and_grad(self, x: npt.ArrayLike, eps: Any = None) -> tuple[float, Array]:
        """Minus the mean ELBO of a batch, for the given noise, and its gradient: the training loss.

        Parameters
        ----------
        x, eps : array_like, shapes (N, D) and (N, L), N >= 1
            As in `elbo`.

        Returns
        -------
        loss : float
            -(1/N) sum_n ELBO_n, in nats.
        grads : ndarray, shape (P,)
            dloss/dvalues: ``params.grads`` itself, overwritten by the next call.

        Raises
        ------
        NiceValueError, NiceTypeError, NiceOverflowError
            As `elbo`; the last also for a gradient that overflows the dtype.
        """
        x, eps = self._checked_with_noise(x, eps, "loss_and_grad")
        if len(x) == 0:
            raise NiceValueError("VAE.loss_and_grad: 0 samples; the mean needs at least one")
        loss, grads = self.unchecked_loss_and_grad(x, eps)
        if not all_finite(grads):
            raise NiceOverflowError(f"VAE: a gradient overflows {self.dtype}; check the scale of input and parameters")
        return loss, grads

    def objective(self, x: npt.ArrayLike, extra: Any = None) -> Array:
        return self.elbo(x, extra)

    def unchecked_loss_and_grad(self, x: Array, extra: Array | None) -> tuple[float, Array]:
        eps: Any = extra
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            terms = self._terms(x, eps)
            posterior_cache, prior_cache, decoder_cache = terms.caches
            if not np.isfinite(terms.elbo).all():
                self._bound(x, eps)  # fails too, and names the row
            # loss = -(1/N) sum_n [log p(x_n | z_n) + log p(z_n) - log q(z_n | x_n)]
            weight = np.full(len(x), -1 / len(x), self.dtype)  # (N,): dloss/dlog p for both p; -dloss/dlog q
            with self.params.backward_pass():
                dz = self.decoder.backward(weight, decoder_cache) + self.prior.backward(weight, prior_cache)
                self.posterior.backward(dz, -weight, posterior_cache)
        return -mean_of_finite(terms.elbo), self.params.grads

    def bounds(self, x: npt.ArrayLike, k: int, rng: Rng = None) -> Bounds:
        """The ELBO as a mean over k samples of z, and their importance-weighted bound (Burda et al. 2015):

            log (1/k) sum_i w_i,    log w_i = log p(x | z_i) + log p(z_i) - log q(z_i | x)

        For k = 1 both are equal; in expectation the second increases with k and tends to log p(x).

        Parameters
        ----------
        x : array_like, shape (N, D)
        k : int
        rng : seed or numpy.random.Generator

        Returns
        -------
        Bounds
            (N,) each, in nats; errors as in `elbo`.
        """
        x, k, rng = self._checked(x, "bounds"), as_int(k, "VAE.bounds", "k", 1), as_rng(rng, "VAE.bounds")
        total, log_total = np.zeros(len(x)), np.full(len(x), -np.inf)  # float64: k numbers are added
        for _ in range(k):
            log_w = self._bound(x, self.draw_noise(len(x), rng))  # (N,)
            total += log_w
            log_total = np.logaddexp(log_total, log_w)  # log sum_i w_i, without overflow
        return Bounds((total / k).astype(self.dtype), (log_total - np.log(k)).astype(self.dtype))

    def iwae(self, x: npt.ArrayLike, k: int, rng: Rng = None) -> Array:
        """The importance-weighted bound, (N,) in nats; see `bounds`."""
        return self.bounds(x, k, rng).iwae

    def draw_noise(self, n: int, rng: Rng = None) -> Array:
        """eps ~ N(0, I) for `n` samples: (n, L)."""
        n = as_int(n, "VAE.draw_noise", "n", 0)
        return as_rng(rng, "VAE.draw_noise").standard_normal((n, self.latent)).astype(self.dtype)

    # -- between data and latents ---------------------------------------------------------------------------------

    def encode(self, x: npt.ArrayLike) -> tuple[Array, Array]:
        """mu and sigma of the Gaussian q(z_0 | x), before a posterior's flow: (N, D) -> (N, L), (N, L)."""
        x = self._checked(x, "encode")
        both = self._in_chunks(lambda part: np.hstack(self.posterior.moments(self._inner(part)[0])), x)
        return both[:, : self.latent], both[:, self.latent :]

    def decode(self, z: npt.ArrayLike) -> Array:
        """E[x | z]: (N, L) -> (N, D).  With a nonlinear `preprocess` it is f^-1(E[y | z])."""
        z = as_samples(z, self.latent, owner="VAE.decode", name="z", dtype=self.dtype)
        return self._in_chunks(lambda part: self._outer(self.decoder.mean(part)), z)

    def reconstruct(self, x: npt.ArrayLike) -> Array:
        """`decode` of the z of x without noise, eps = 0: (N, D) -> (N, D)."""
        x = self._checked(x, "reconstruct")
        eps = np.zeros((len(x), self.latent), self.dtype)
        return self.decode(self._in_chunks(lambda part, e: self.posterior.forward(self._inner(part)[0], e)[0], x, eps))

    def sample_latents(self, n: int, rng: Rng = None) -> Array:
        """`n` samples z ~ p(z): (n, L); `decode` gives their E[x | z]."""
        n, rng = as_int(n, "VAE.sample_latents", "n", 0), as_rng(rng, "VAE.sample_latents")
        return self.prior.sample(n, self.latent, rng).astype(self.dtype, copy=False)

    @suggests
    def sample(self, n: int, rng: Rng = None) -> Array:
        """`n` samples x ~ p(x | z) with z ~ p(z): (n, D)."""
        rng = as_rng(rng, "VAE.sample")
        return self._in_chunks(lambda z: self._outer(self.decoder.sample(z, rng)), self.sample_latents(n, rng))

    # -- what training needs --------------------------------------------------------------------------------------

    @property
    def layers(self) -> tuple[Bijector, ...]:
        """The layers of `preprocess`, data side first."""
        return () if self.preprocess is None else layers_of(self.preprocess)

    @property
    def is_binary(self) -> bool:
        """Whether x consists of zeros and ones."""
        return isinstance(self.decoder.likelihood, Bernoulli)

    @property
    def pixel_width(self) -> float:
        """1 for binary pixels, which are integers themselves."""
        return 1.0 if self.is_binary else super().pixel_width

    def from_pixels(self, pixels: npt.NDArray[np.uint8], rng: Rng) -> Array:
        """8-bit pixels (N, D), binarised at random for a Bernoulli decoder, dequantised for a Gaussian one."""
        return binarize(pixels, rng, self.dtype) if self.is_binary else super().from_pixels(pixels, rng)

    def check_samples(self, x: Array, owner: str) -> None:
        if self.preprocess is not None:
            check_interval(x, self.preprocess.interval, owner)
        self.decoder.likelihood.check(x, owner)

    def checked_context(self, context: Any, n: int, owner: str) -> Array | None:
        if context is not None:
            raise NiceValueError(f"{owner}: a VAE takes no context; its encoder computes one, see context_dim")
        return None

    def draw_extra(self, context: Array | None, n: int, rng: np.random.Generator) -> Array:
        """Fresh noise, (n, L)."""
        return self.draw_noise(n, rng)

    # -- inside ---------------------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        parts = {"posterior": self.posterior, "prior": self.prior, "decoder": self.decoder}
        return parts if self.preprocess is None else {**parts, "preprocess": self.preprocess}

    def __repr__(self) -> str:
        head = f"VAE(dim={self.dim}, latent={self.latent}, {self.dtype}, {len(self.params):,} parameters)"
        parts = (*self.layers, self.posterior, self.prior, self.decoder)
        return "\n".join([head, *(f"  {part!r}" for part in parts)])

    def _inner(self, x: Array) -> tuple[Array, Array | float]:
        """y = f(x) of `preprocess` and log|det df/dx|: (N, D) -> (N, D), (N,)."""
        return (x, 0.0) if self.preprocess is None else self.preprocess.forward(x)[:2]

    def _outer(self, y: Array) -> Array:
        """x = f^-1(y): (N, D) -> (N, D)."""
        return y if self.preprocess is None else self.preprocess.inverse(y)[0]

    def _in_chunks(self, function: Callable[..., Array], *arrays: Array) -> Array:
        def explain(rows: slice, result: Array) -> NoReturn:
            row = rows.start + np.argwhere(~np.isfinite(result))[0][0]
            raise NiceOverflowError(
                f"VAE: row {row} overflows {self.dtype}; check the scale of the input and of the parameters"
            )

        return in_chunks(function, *arrays, explain=explain)

    def _bound(self, x: Array, eps: Array) -> Array:
        """The ELBO of each row, for the given noise."""
        return self._in_chunks(lambda part, noise: self._terms(part, noise).elbo, x, eps)

    def _terms(self, x: Array, eps: Array) -> Terms:
        """All terms of the bound."""
        y, log_det = self._inner(x)
        z, log_q, posterior_cache = self.posterior.forward(y, eps)
        log_p_z, prior_cache = self.prior.forward(z)
        log_p_y, decoder_cache = self.decoder.forward(z, y)
        # p(x | z) = p(y | z) |det dy/dx|
        return Terms(log_p_y + log_det, log_p_z, log_q, (posterior_cache, prior_cache, decoder_cache))

    def _checked(self, x: npt.ArrayLike, method: str) -> Array:
        samples = as_samples(x, self.dim, owner=f"VAE.{method}", dtype=self.dtype)
        self.check_samples(samples, f"VAE.{method}")
        return samples

    def _checked_with_noise(self, x: npt.ArrayLike, eps: Any, method: str) -> tuple[Array, Array]:
        samples = self._checked(x, method)
        noise = as_samples(eps, self.latent, owner=f"VAE.{method}", name="eps", dtype=self.dtype)
        if len(noise) != len(samples):  # NumPy would broadcast a single row silently
            raise NiceValueError(
                f"VAE.{method}: eps has {len(noise)} rows, expected {len(samples)}, one for each sample"
            )
        return samples, noise

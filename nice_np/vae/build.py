"""The usual variational autoencoders, built by one function."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nice_np.bijectors import Bijector, Chain
from nice_np.errors import NiceValueError
from nice_np.flows.autoregressive_flows import maf
from nice_np.flows.builders import nice, preprocessing
from nice_np.flows.flow import Flow
from nice_np.networks.activations import Activation
from nice_np.networks.mlp import MLP
from nice_np.suggestions import suggests
from nice_np.vae.autoencoder import VAE
from nice_np.vae.latents import FlowPosterior, FlowPrior, GaussianPosterior, PlainPrior
from nice_np.vae.likelihoods import Bernoulli, Decoder, Gaussian, Likelihood
from nice_np.validation import Rng, as_choice, as_dtype, as_int, as_rng, as_widths

KINDS = ("plain", "nice-posterior", "nice-prior", "iaf-posterior", "maf-prior")
DECODERS = ("bernoulli", "gaussian")


@suggests
def variational_autoencoder(
    dim: int,
    latent: int = 2,
    hidden: int | Sequence[int] = (200,),
    kind: str = "plain",
    decoder: str = "bernoulli",
    *,
    preprocess: str | Bijector | Sequence[str | Bijector] = (),
    couplings: int = 4,
    flow_hidden: int | Sequence[int] = (50,),
    context_dim: int = 0,
    activation: str | Activation = "relu",
    dtype: Any = np.float32,
    rng: Rng = None,
) -> VAE:
    """A variational autoencoder in one of five forms.

    Parameters
    ----------
    dim : int
        D, the features of x.
    latent : int
        L, the features of z; at least 2 with couplings.
    hidden : int or sequence of int
        Widths of the encoder's hidden layers; the decoder has them in reverse order.
    kind : {"plain", "nice-posterior", "nice-prior", "iaf-posterior", "maf-prior"}
        "plain": q is Gaussian, p(z) = N(0, I).  "nice-posterior": additive couplings after the encoder's Gaussian.
        "nice-prior": p(z) is a NICE flow with a Gaussian prior.  "iaf-posterior" and "maf-prior": autoregressive layers
        in the same two places, both with one pass per layer in training (Kingma et al. 2016; Papamakarios et al. 2017):
        a posterior draws, a prior scores what is drawn.  Samples of x from a "maf-prior" take L passes.
    decoder : {"bernoulli", "gaussian"}
        The law of x given z: "bernoulli" for zeros and ones; the sigma of "gaussian", one per feature, is learned and
        starts at 1.
    preprocess : sequence of {"standardize", "logit", "equalize", "rescale", "zca", "pca"} or Bijector
        Fixed layers next to the data, for a Gaussian decoder, as in `nice`.  With "standardize" the decoder starts at
        the data's mean and standard deviation; for pixels put a "logit" before it, see docs/experiments.md.
    couplings : int
        Number of couplings in the flow, which ends with a diagonal scaling as in `nice`; or of autoregressive layers.
    flow_hidden : int or sequence of int
        Widths of the hidden layers of each conditioner.
    context_dim : int
        C > 0, for a flow as posterior: the encoder has C more outputs, which every conditioner receives.
    activation : {"relu", "leaky_relu", "tanh", "softplus"} or Activation
    dtype : {float32, float64}
    rng : seed or numpy.random.Generator

    Returns
    -------
    VAE

    Raises
    ------
    NiceValueError, NiceTypeError
        For an unknown name, a size out of range, or a context without a flow to receive it.

    Examples
    --------
    >>> variational_autoencoder(784, latent=8, hidden=(500,), rng=0)
    VAE(dim=784, latent=8, float32, 797,800 parameters)
      GaussianPosterior(MLP(784-500-16, relu))
      PlainPrior(StandardNormal())
      Decoder(MLP(8-500-784, relu), Bernoulli)
    """
    owner = "variational_autoencoder"
    dim, latent = as_int(dim, owner, "dim", 1), as_int(latent, owner, "latent", 1)
    hidden, context_dim = as_widths(hidden, owner, "hidden"), as_int(context_dim, owner, "context_dim", 0)
    kind, decoder = as_choice(kind, KINDS, owner, "kind"), as_choice(decoder, DECODERS, owner, "decoder")
    if context_dim and not kind.endswith("-posterior"):
        raise NiceValueError(f"{owner}: context_dim is for a flow as posterior, got kind={kind!r}")
    dtype, rng = as_dtype(dtype, owner), as_rng(rng, owner)
    # Both networks start with small outputs, but large enough for gradients to pass from one to the other.
    settings: dict[str, Any] = {"activation": activation, "init": "he", "output_scale": 0.1, "dtype": dtype, "rng": rng}
    encoder = MLP((dim, *hidden, 2 * latent + context_dim), **settings)
    network = MLP((latent, *hidden[::-1], dim), **settings)

    def layers() -> Bijector:
        """Those of a flow of z, initially near the identity.  A posterior uses them forwards: IAF is MAF's layers."""
        build: Callable[..., Flow] = nice if kind.startswith("nice") else maf
        flow = build(
            latent, couplings, flow_hidden, "normal",
            activation=activation, preprocess=(), init="he", context_dim=context_dim, dtype=dtype, rng=rng,
        )  # fmt: skip
        return copy.deepcopy(flow.bijector)  # the copy belongs to no flow

    posterior = (
        FlowPosterior(encoder, layers(), context_dim) if kind.endswith("-posterior") else GaussianPosterior(encoder)
    )
    prior = FlowPrior("normal", layers()) if kind.endswith("-prior") else PlainPrior("normal")
    likelihood: Likelihood = Bernoulli() if decoder == "bernoulli" else Gaussian(dim, dtype)
    fixed = preprocessing(preprocess, dim, dtype)
    return VAE(posterior, prior, Decoder(network, likelihood), Chain(fixed) if fixed else None)

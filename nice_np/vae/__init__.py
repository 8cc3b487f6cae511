"""The variational autoencoder: a decoder p(x | z), an encoder q(z | x) that guesses z, and a bound on log p(x).

`autoencoder` has the bound and its gradient, `latents` the posterior q and the prior p(z), each with a flow or without,
`likelihoods` the laws of x given z, `build` the usual architectures.
"""

from nice_np.vae.autoencoder import VAE, Bounds
from nice_np.vae.build import variational_autoencoder
from nice_np.vae.latents import FlowPosterior, FlowPrior, GaussianPosterior, PlainPrior
from nice_np.vae.likelihoods import Bernoulli, Decoder, FixedGaussian, Gaussian, Likelihood

__all__ = [
    "VAE",
    "Bernoulli",
    "Bounds",
    "Decoder",
    "FixedGaussian",
    "FlowPosterior",
    "FlowPrior",
    "Gaussian",
    "GaussianPosterior",
    "Likelihood",
    "PlainPrior",
    "variational_autoencoder",
]

"""The variational autoencoder: a decoder p(x | z), an encoder q(z | x), and a lower bound on log p(x).

Read `likelihoods` first, the laws of x given z; then `latents`, the posterior q and the prior p(z), each with or
without a flow; then `autoencoder`, the bound and its gradient.  `build` has the usual architectures.
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

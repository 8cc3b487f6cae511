"""Inverse problems with a flow as prior: which image x is likely, and could have been seen as y?

    y = A x + n,  n ~ N(0, sigma^2 I)           A: an Operator of nice_np.restoration.operators
    F(x) = |A x - y|^2 / (2 sigma^2) - log p(x)

F is -log p(x | y) in nats, up to a constant, and its minimiser the most probable image, the MAP.  With x = g(z), g the
inverse of the flow's bijector f, three objectives; each row is an image of its own:

    ImageObjective     F(x)                                                Helminger et al. 2021
    LatentObjective    F(g(z)),  log p(g(z)) = log p_Z(z) - log|det dg/dz|
    ProxyObjective     |A g(z) - y|^2 / (2 sigma^2) + gamma |z|^2 / (2 sigma^2)       Asim et al. 2020

The first two are one function in two coordinates and have the same minima: only the path of an optimiser differs.  The
third forgets the log-determinant.  Where that is constant, as in NICE with its additive couplings, and the prior is
Gaussian, gamma = sigma^2 gives F(g(z)) again, up to a constant; with affine couplings it is a different problem.

Where the observed pixels are exact (sigma = 0), `inpaint` moves the hidden ones alone: HiddenPixels, -log p(x), as in
section 5.2 of Dinh et al. 2014.
"""

from nice_np.restoration.doors import Restoration, inpaint, restore
from nice_np.restoration.gaussian import GaussianImages
from nice_np.restoration.objectives import (
    HiddenPixels,
    ImageObjective,
    LatentObjective,
    LatentPosterior,
    Objective,
    ProxyObjective,
)
from nice_np.restoration.posterior import Posterior, sample_posterior
from nice_np.restoration.scores import psnr

__all__ = [
    "GaussianImages",
    "HiddenPixels",
    "ImageObjective",
    "LatentObjective",
    "LatentPosterior",
    "Objective",
    "Posterior",
    "ProxyObjective",
    "Restoration",
    "inpaint",
    "psnr",
    "restore",
    "sample_posterior",
]

"""Inverse problems with a flow as prior: which images x are likely and explain the measurements y?

    y = A x + n,  n ~ N(0, sigma^2 I)                    A: an Operator of nice_np.restoration.operators
    F(x) = |A x - y|^2 / (2 sigma^2) - log p(x)          -log p(x | y) in nats, up to a constant

Read `operators`, then `objectives`: F as a function of pixels or of latents.  `restore` minimises it with a method of
`solvers` or `lbfgs`, the MAP estimate; `inpaint` does so where the observed pixels are exact, sigma = 0, by moving the
hidden ones only (Dinh et al. 2014, section 5.2).  `posterior` samples p(x | y) by `hmc`, Hamiltonian Monte Carlo, and
`completions` hidden pixels given the others.
`gaussian` is the linear baseline, `scores` has the PSNR, `arguments` checks what a user passes.
"""

from nice_np.restoration.completions import sample_completions
from nice_np.restoration.gaussian import GaussianImages
from nice_np.restoration.inpaint import inpaint
from nice_np.restoration.objectives import (
    HiddenPixels,
    ImageObjective,
    LatentObjective,
    LatentPosterior,
    Objective,
    ProxyObjective,
)
from nice_np.restoration.posterior import Posterior, sample_posterior
from nice_np.restoration.restore import Restoration, restore
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
    "sample_completions",
    "sample_posterior",
]

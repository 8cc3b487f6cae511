"""Draws of the missing pixels of images, which meet the observed ones where a flow's layers see them.

Behind a logit most latents of a dark pixel are equally black, and more so behind an `Equalize`: there x = g(z) is flat,
the misfit |A g(z) - y|^2 has no slope, and a chain that is black where y is white stays black.  But a map u = e(x) of
single pixels passes a mask, A e(x) = e(A x), so that the known pixels of u are e(y).  With z = f(u) for the layers
behind e,

    U(z) = |A f^-1(z) - e(y)|^2 / (2 s^2) - log p_Z(z) + const,      s = sigma std(u) / std(x)

has a slope in every pixel, and for a sigma near 0 it is the same posterior.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nice_np.bijectors import Bijector, Chain, DiagonalScaling, Equalize, Logit, Rescale, Standardize
from nice_np.bijectors.with_context import without_context
from nice_np.flows.flow import Flow
from nice_np.restoration.arguments import as_clip
from nice_np.restoration.inpaint import without_hidden
from nice_np.restoration.objectives import LatentPosterior
from nice_np.restoration.operators import Mask
from nice_np.restoration.posterior import WIDE, Posterior, run_chains
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_flag, as_float, as_int, as_rng

OF_PIXELS = (DiagonalScaling, Equalize, Logit, Rescale, Standardize)  # maps of single pixels
DRAWS = 200  # from the flow, to compare the units of u and x


@dataclass(kw_only=True)
class SeenByLayers(LatentPosterior):
    """The potential above: `flow` is that of u, `y` is e(y), and `sigma` is s.

    Parameters
    ----------
    flow, operator, y, sigma, context
        As for `LatentPosterior`.
    front : list of Bijector
        The maps whose composition is e, data side first.
    """

    front: list[Bijector]

    def image(self, u: Array) -> Array:
        return without(self.front, super().image(u))


def split(flow: Flow) -> tuple[list[Bijector], Flow]:
    """The layers of single pixels at the front of a flow of x, and the flow of u = e(x)."""
    layers = flow.layers
    plain = without_context(layers)
    count = next((k for k, layer in enumerate(plain[:-1]) if type(layer) not in OF_PIXELS), len(plain) - 1)
    if count == 0:
        return [], flow
    rest = deepcopy((flow.prior, layers[count:]))  # a layer belongs to one flow
    return plain[:count], Flow(rest[0], Chain(rest[1]), flow.context_dim)


def through(front: list[Bijector], x: Array) -> Array:
    """u = e(x): (N, D) -> (N, D)."""
    for layer in front:
        x = layer.forward(x)[0]
    return x


def without(front: list[Bijector], u: Array) -> Array:
    """x = e^-1(u): (N, D) -> (N, D)."""
    for layer in front[::-1]:
        u = layer.inverse(u)[0]
    return u


@suggests
def sample_completions(
    flow: Flow,
    x: npt.ArrayLike,
    mask: Mask | npt.ArrayLike,
    sigma: float = 0.08,
    *,
    chains: int = 8,
    warmup: int = 40,
    steps: int = 10,
    leapfrogs: int = 10,
    clip: tuple[float, float] | None = None,
    context: npt.ArrayLike | None = None,
    rng: Rng = None,
    progress: bool = False,
) -> Posterior:
    """Sample the hidden pixels of images given the others, by Hamiltonian Monte Carlo in latent space.

    Parameters
    ----------
    flow : Flow
    x : array_like, shape (N, D)
        The values of hidden pixels are ignored; they may be NaN.
    mask : Mask, or array_like of bool
        True where a pixel is observed; see `named_mask`.
    sigma : float
        > 0, the noise with which chains meet the observed pixels, in units of x.  The smaller, the shorter the steps.
    chains, warmup, steps, leapfrogs, clip, context, rng, progress
        As in `sample_posterior`.

    Returns
    -------
    Posterior
        The observed pixels of its samples and mean are those of `x`.

    Raises
    ------
    NiceValueError, NiceTypeError, NiceOverflowError
        As `sample_posterior`.

    Examples
    --------
    >>> from nice_np import DiagonalScaling
    >>> found = sample_completions(Flow("normal", DiagonalScaling(2)), [[2.0, np.nan]], [True, False], rng=0)
    >>> found.samples.shape, found.mean[0, 0]
    ((1, 8, 2), np.float64(2.0))
    """
    owner = "sample_completions"
    mask = mask if isinstance(mask, Mask) else Mask(mask)
    sigma, rng = as_float(sigma, owner, "sigma", above=0), as_rng(rng, owner)
    chains, leapfrogs = as_int(chains, owner, "chains", 1), as_int(leapfrogs, owner, "leapfrogs", 1)
    warmup, steps = as_int(warmup, owner, "warmup", 0), as_int(steps, owner, "steps", 1)
    box, progress = as_clip(clip, owner), as_flag(progress, owner, "progress")
    known = without_hidden(x, mask, owner)
    asked = LatentPosterior(flow=flow, operator=mask, y=known[:, mask.observed], sigma=sigma, context=context)
    known = known.astype(flow.dtype)
    flow.check_samples(known, owner)
    front, rest = split(flow)
    some = None if asked.context is None else np.resize(asked.context, (DRAWS, flow.context_dim))
    u = rest.sample(DRAWS, rng, context=some)
    unit = float(u.std() / without(front, u).std())
    y = through(front, known)[:, mask.observed]
    target = SeenByLayers(flow=rest, operator=mask, y=y, sigma=sigma * unit, context=asked.context, front=front)
    found = run_chains(target, WIDE * unit, chains, warmup, steps, leapfrogs, None, box, rng, progress)
    found.samples[..., mask.observed] = known[:, None, mask.observed]
    found.mean[:, mask.observed] = known[:, mask.observed]
    return found

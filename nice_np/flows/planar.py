"""Flows of planar, radial or Sylvester layers, as a plain function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nice_np.bijectors import Bijector, Chain
from nice_np.families.planar import Planar
from nice_np.families.radial import Radial
from nice_np.families.sylvester import Sylvester
from nice_np.flows.builders import preprocessing
from nice_np.flows.flow import Flow
from nice_np.flows.priors import Prior, get_prior
from nice_np.suggestions import suggests
from nice_np.validation import Rng, as_choice, as_dtype, as_int, as_rng

KINDS: dict[str, Callable[..., Bijector]] = {"planar": Planar, "radial": Radial, "sylvester": Sylvester}


@suggests
def planar_flow(
    dim: int,
    layers: int = 16,
    prior: str | Prior = "normal",
    *,
    kind: str = "planar",
    preprocess: str | Bijector | Sequence[str | Bijector] = ("standardize",),
    dtype: Any = np.float32,
    rng: Rng = None,
) -> Flow:
    """Planar, radial or Sylvester layers (Rezende & Mohamed 2015; van den Berg et al. 2018).

    Forward, data to latents, is a formula, so `log_prob` and training are cheap.  A sample needs a search in one
    dimension for each planar layer, M of them for a Sylvester layer, only a square root for a radial one.  The papers
    use the same maps the other way round, as the posterior in variational inference, where samples must be cheap:
    that is ``Inverse(layer)``.

    Parameters
    ----------
    dim : int
    layers : int
        K.  A planar layer has one bend, so many are needed; parameters in all: K (2 D + 1) for planar, K (D + 2) for
        radial and K (2 D^2 + 2 D) for Sylvester layers.
    prior : {"normal", "logistic"} or Prior
    kind : {"planar", "radial", "sylvester"}
    preprocess, dtype, rng
        As for `nice`.

    Returns
    -------
    Flow

    Examples
    --------
    >>> planar_flow(2, layers=2, rng=0)
    Flow(dim=2, prior=StandardNormal, float32, 10 parameters)
      Standardize(dim=2)             0
      Planar(dim=2)                  5
      Planar(dim=2)                  5
    """
    layer, dtype = KINDS[as_choice(kind, KINDS, "planar_flow", "kind")], as_dtype(dtype, "planar_flow")
    dim, rng = as_int(dim, "planar_flow", "dim", 1), as_rng(rng, "planar_flow")
    maps = [layer(dim, dtype=dtype, rng=rng) for _ in range(as_int(layers, "planar_flow", "layers", 1))]
    return Flow(get_prior(prior), Chain([*preprocessing(preprocess, dim, dtype), *maps]))

"""Start values: the one place where a network's W and b are drawn, layer by layer, W before b.

spread    W ~ N(0, 2 / n_in) as under "he", and in hidden layers b ~ U(-1, 1) / sqrt(n_in).  A unit bends where
          x w + b = 0: with b = 0 all units of the first layer bend at the origin, and m of a single number is two
          straight lines; with these b they bend all over the data
he        W ~ N(0, 2 / n_in): a ReLU halves the second moment of its input, the factor 2 restores it
          (He et al. 2015); b = 0
uniform   W ~ U(-0.01, 0.01), b = 0, as in the code of the NICE paper

In the last layer b is 0, and W is multiplied by `output_scale`, not under "uniform": a flow starts near the identity.
"""

from __future__ import annotations

import numpy as np

from nice_np.validation import Array

INITS = ("spread", "he", "uniform")


def initial_weights(init: str, n_in: int, n_out: int, output_scale: float, rng: np.random.Generator) -> Array:
    """W of shape (n_in, n_out), float64.

    Parameters
    ----------
    init : {"spread", "he", "uniform"}
    n_in, n_out : int
        Numbers that enter one sum of the layer, and sums.
    output_scale : float
        Factor under "spread" and "he": 1 except in the last layer.
    rng : numpy.random.Generator
    """
    if init == "uniform":
        return rng.uniform(-0.01, 0.01, (n_in, n_out))
    return rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)) * output_scale


def initial_biases(init: str, n_in: int, n_out: int, rng: np.random.Generator) -> Array:
    """b of a hidden layer, shape (n_out,), float64; only "spread" draws numbers."""
    return rng.uniform(-1, 1, n_out) / np.sqrt(n_in) if init == "spread" else np.zeros(n_out)

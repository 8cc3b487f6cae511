"""Start values of weights: the one place where a network's W are drawn.

he        W ~ N(0, 2 / n_in): a ReLU halves the second moment of its input, the factor 2 restores it
          (He et al. 2015); times `output_scale` in the last layer, so that a flow starts near the identity
uniform   W ~ U(-0.01, 0.01), as in the code of the NICE paper
"""

from __future__ import annotations

import numpy as np

from nice_np.validation import Array

INITS = ("he", "uniform")


def initial_weights(init: str, n_in: int, n_out: int, output_scale: float, rng: np.random.Generator) -> Array:
    """W of shape (n_in, n_out), float64.

    Parameters
    ----------
    init : {"he", "uniform"}
    n_in, n_out : int
        Numbers that enter one sum of the layer, and sums.
    output_scale : float
        Factor under "he": 1 but in the last layer.
    rng : numpy.random.Generator
    """
    if init == "uniform":
        return rng.uniform(-0.01, 0.01, (n_in, n_out))
    return rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)) * output_scale

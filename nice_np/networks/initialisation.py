"""Start values: the one place where a network's W and b are drawn, layer by layer, W before b.

spread    in hidden layers b = r U(-2, 2), r the root mean square of a unit's weights.  A unit bends where x w + b = 0:
          with b = 0 all units of a single number bend at the origin, and m is two straight lines; with these b they
          bend between -2 and 2, all over standardised data.  W ~ N(0, 2 / (n_in + 4/3)): b counts as 4/3 inputs
he        W ~ N(0, 2 / n_in): a ReLU halves the second moment of its input, the factor 2 restores it
          (He et al. 2015); b = 0
uniform   W ~ U(-0.01, 0.01), b = 0, as in the code of the NICE paper

In the last layer b is 0, and W is multiplied by `output_scale`, not under "uniform": a flow starts near the identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

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
    return rng.normal(0, np.sqrt(2 / effective_inputs(init, n_in)), (n_in, n_out)) * output_scale


def effective_inputs(init: str, n_in: float | npt.NDArray[Any]) -> Any:
    """How many inputs a sum has by its variance: under "spread", where E b^2 = 4/3 E w^2, the bias counts as 4/3."""
    return n_in + 4 / 3 if init == "spread" else n_in


def initial_biases(init: str, W: Array, rng: np.random.Generator) -> Array:
    """b of a hidden layer with the weights W (n_in, n_out): shape (n_out,), float64; only "spread" draws numbers."""
    if init != "spread":
        return np.zeros(W.shape[1])
    b: Array = rng.uniform(-2, 2, W.shape[1]) * np.sqrt(np.mean(W**2, axis=0))
    return b

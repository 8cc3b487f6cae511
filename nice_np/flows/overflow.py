"""Where a pass of a flow left the range of its dtype: walked through again, layer by layer, to name the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from nice_np.errors import NiceOverflowError
from nice_np.flows.priors import Prior
from nice_np.validation import Array

Passes = list[tuple[str, Callable[[Array], tuple[Array, Array, Any]]]]  # forward or inverse of each layer, by name
CURE = "check the scale of the input and of the parameters"


def explain_overflow(x: Array, passes: Passes, result: Array, prior: Prior, dim: int, start: int = 0) -> NoReturn:
    """Raise NiceOverflowError with the first row and the layer, or the prior, in which it overflowed.

    Parameters
    ----------
    x : ndarray, shape (n, D + C)
    passes : list of (name, pass)
        What x went through.
    result : ndarray, shape (n,) or (n, K)
        What came of it.
    prior : Prior
    dim : int
        D.
    start : int
        The number of the first row of `x`.
    """
    dtype = x.dtype
    for name, layer in passes:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            x, log_det, _ = layer(x)
        bad = ~(np.isfinite(x).all(axis=1) & np.isfinite(log_det))
        if bad.any():
            raise NiceOverflowError(f"Flow: row {start + bad.argmax()} overflows {dtype} in {name}; {CURE}")
    row = start + (~np.isfinite(result)).reshape(len(x), -1).any(axis=1).argmax()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        fine = all(np.isfinite(of(x[:, :dim])).all() for of in (prior.log_prob, prior.grad_log_prob))
    where = "on its way back through the layers" if fine else f"in {type(prior).__name__}"
    raise NiceOverflowError(f"Flow: the log-density of row {row}, or its gradient, overflows {dtype} {where}; {CURE}")

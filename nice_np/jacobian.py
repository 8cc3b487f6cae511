"""The Jacobian of a map by central differences, J_ij = (f_i(x + h e_j) - f_i(x - h e_j)) / 2h, for many x at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.checks import Array, as_float, as_samples
from nice_np.errors import NiceTypeError, NiceValueError

OWNER = "numerical_jacobian"


def numerical_jacobian(
    function: Callable[[Array], Any], x: npt.ArrayLike, eps: float = 1e-5
) -> npt.NDArray[np.float64]:
    """The matrix of all derivatives d f_i / d x_j, at each row of `x`.

    Parameters
    ----------
    function : callable
        (N, D) -> (N, M), each row by itself.  Of a tuple, such as a bijector's ``forward`` returns, the first item
        counts.
    x : array_like, shape (N, D)
    eps : float
        The step h; times \\|x_j\\| for an element above 1.

    Returns
    -------
    ndarray, shape (N, M, D)
        ``J[n, i, j] = d f_i / d x_j`` at x_n, float64.

    Raises
    ------
    NiceTypeError, NiceValueError
        If `x` is not a finite real (N, D) array, or `function` is not callable or does not return (N, M).

    Examples
    --------
    >>> numerical_jacobian(lambda x: x**2, [[1.0, 3.0]]).round(6)
    array([[[2., 0.],
            [0., 6.]]])
    """
    if not callable(function):
        raise NiceTypeError(f"{OWNER}: expected a function of x, got {function!r}; pass layer.forward, not its result")
    samples = as_samples(x, None, owner=OWNER, dtype=np.float64)
    right, left = one_sided(function, samples, as_float(eps, OWNER, "eps", above=0))
    return (right + left) / 2


def one_sided(function: Callable[[Array], Any], x: Array, eps: float) -> tuple[Array, Array]:
    """The forward and the backward difference quotients, (N, M, D) each: they differ at a kink, and only there."""
    here = _value(function, x)  # (N, M)
    right, left = np.empty((2, *here.shape, x.shape[1]))
    for j in range(x.shape[1]):
        step = eps * np.maximum(1.0, np.abs(x[:, j]))  # (N,)
        for sign, quotients in ((1, right), (-1, left)):
            moved = x.copy()
            moved[:, j] += sign * step
            quotients[:, :, j] = (_value(function, moved) - here) / (moved[:, j] - x[:, j])[:, None]
    return right, left


def _value(function: Callable[[Array], Any], x: Array) -> Array:
    result = function(x.copy())
    value: Array = np.asarray(result[0] if isinstance(result, tuple) else result, dtype=np.float64)
    if value.ndim != 2 or len(value) != len(x):
        raise NiceValueError(f"{OWNER}: the function must return shape (N, M), N = {len(x)}; got {value.shape}")
    return value

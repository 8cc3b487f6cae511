"""The Jacobian of a map by central differences, J_ij = (f_i(x + h e_j) - f_i(x - h e_j)) / 2h, for many x at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.checks.objects import explain_edge
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.validation import Array, as_float, as_real_array, as_samples

OWNER = "numerical_jacobian"


def numerical_jacobian(
    function: Callable[[Array], Any], x: npt.ArrayLike, eps: float = 1e-5
) -> npt.NDArray[np.float64]:
    """The matrix of all derivatives d f_i / d x_j, at each row of `x`.

    Parameters
    ----------
    function : callable
        (N, D) -> (N, M), row by row.  Of a tuple, such as a bijector's ``forward`` returns, the first item counts.
    x : array_like, shape (N, D)
    eps : float
        The step h, at least 1e-8 (with less, rounding hides the differences); times \\|x_j\\| for an element above 1.

    Returns
    -------
    ndarray, shape (N, M, D)
        ``J[n, i, j] = d f_i / d x_j`` at x_n, float64.

    Raises
    ------
    NiceTypeError, NiceValueError
        If `x` is not a finite real (N, D) array, `function` is not callable or does not return real numbers (N, M), or
        `eps` is too small, or so large that it leaves the domain of `function`.

    Examples
    --------
    >>> numerical_jacobian(lambda x: x**2, [[1.0, 3.0]]).round(6)
    array([[[2., 0.],
            [0., 6.]]])
    """
    if not callable(function):
        raise NiceTypeError(f"{OWNER}: expected a function of x, got {function!r}; pass layer.forward, not its result")
    samples = as_samples(x, None, owner=OWNER, dtype=np.float64)
    right, left = one_sided(function, samples, as_float(eps, OWNER, "eps", minimum=1e-8))
    return (right + left) / 2


def one_sided(function: Callable[[Array], Any], x: Array, eps: float) -> tuple[Array, Array]:
    """The forward and the backward difference quotients, (N, M, D) each: far apart only at a kink."""
    here = _value(function, x)  # (N, M)
    right, left = np.empty((2, *here.shape, x.shape[1]))
    with explain_edge("x", eps, OWNER):
        for j in range(x.shape[1]):
            step = eps * np.maximum(1.0, np.abs(x[:, j]))  # (N,)
            for sign, quotients in ((1, right), (-1, left)):
                moved = x.copy()
                moved[:, j] += sign * step
                quotients[:, :, j] = (_value(function, moved) - here) / (moved[:, j] - x[:, j])[:, None]
    return right, left


def _value(function: Callable[[Array], Any], x: Array) -> Array:
    result = function(x.copy())
    result = as_real_array(result[0] if isinstance(result, tuple) else result, OWNER, "the function's result")
    value: Array = result.astype(np.float64)
    if value.ndim != 2 or len(value) != len(x):
        raise NiceValueError(f"{OWNER}: the function must return shape (N, M), N = {len(x)}; got {value.shape}")
    return value

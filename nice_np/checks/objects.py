"""Look inside somebody's object: its parameters, their gradients after one pass, and a float64 copy of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nice_np.errors import NiceTypeError
from nice_np.parameters.search import containers, is_float_array, pairs
from nice_np.validation import Array

Numbers = dict[str, tuple[Any, Any]]  # by path a number or array, and its gradient or None


def is_numeric(value: Any) -> bool:
    """Whether it is a real number or an array of real numbers."""
    return isinstance(value, (int, float, np.number, np.ndarray)) and np.asarray(value).dtype.kind in "iuf"


def find_arrays(obj: Any) -> list[Array]:
    """All floating-point arrays in the object, wherever they lie."""
    found = []
    for _, container in containers(obj):
        items = container.values() if isinstance(container, dict) else container
        found += [item for item in items if is_float_array(item)]
    return found


def find_parameters(obj: Any, known: list[Array]) -> dict[str, tuple[Array, Any]]:
    """Parameters with their gradients by path: what ``named_parameters()`` names, and every pair ``W``, ``dW``.

    Parameters
    ----------
    obj : object
        Anything.  Its attributes, lists, tuples and dictionaries are searched.
    known : list of ndarray
        The arrays that were there before forward and backward ran.  A pair ``x``, ``dx`` whose ``x`` is not among
        them is a cache that the pass itself writes, not a parameter.
    """
    found: dict[str, tuple[Array, Any]] = {}
    if callable(getattr(obj, "named_parameters", None)):
        named = obj.named_parameters()
        found = {path: (array, gradient) for path, array, gradient in named if is_float_array(array)}
    taken = {id(array) for array, _ in found.values()}
    allowed = {id(array) for array in known}
    for path, container in containers(obj):
        for name, array, gradient in pairs(container) if isinstance(container, dict) else ():
            if id(array) in allowed and id(array) not in taken:
                taken.add(id(array))
                found[f"{path}.{name}" if path else name] = (array, gradient)
    return found


def find_numbers(obj: Any) -> Numbers:
    """Each number and array by path, with the number or array that lies beside it as its gradient, as of now."""
    found: Numbers = {}
    for path, container in containers(obj):
        for name, value in container.items() if isinstance(container, dict) else ():
            if is_numeric(value):
                gradient = container.get(f"d{name}")
                now = copy.copy(gradient) if is_numeric(gradient) else None
                found[f"{path}.{name}" if path else str(name)] = (value, now)
    return found


def why_unchecked(before: tuple[Any, Any], after: tuple[Any, Any]) -> str:
    """Why a gradient that backward has written cannot be compared; empty where there is no such gradient.

    `before` and `after` are pairs of `find_numbers`.  What backward leaves alone is no gradient: ``t`` and ``dt`` may
    be a time and a step of time.  A value that the passes change is a cache.
    """
    (old_value, old_gradient), (value, gradient) = before, after
    if gradient is None or np.array_equal(gradient, old_gradient) or not np.array_equal(value, old_value):
        return ""
    if not is_float_array(value):
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        return f"it is {kind} and cannot be moved by a small step in place; make it a float array"
    if not isinstance(gradient, np.ndarray):
        return f"the gradient is {type(gradient).__name__}, expected an array of shape {value.shape}"
    return ""


class Pass(NamedTuple):
    """A forward and its backward, with a way to look up the parameters and their gradients of this moment."""

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    parameters: Callable[[], dict[str, tuple[Array, Any]]]


def pull_back(passing: Pass, x: Array, weights: list[Array]) -> tuple[Any, dict[str, tuple[Array, Any]]]:
    """One forward and backward from cleared gradients: dx, and each parameter with a copy of its gradient."""
    for _, gradient in passing.parameters().values():
        if isinstance(gradient, np.ndarray) and gradient.flags.writeable:
            gradient.fill(0)
    *_, cache = passing.forward(x.copy())
    dx = passing.backward(*[w.copy() for w in weights], cache)
    # Look the gradients up again: a backward that assigns, self.dW = ..., has put new arrays there.
    return dx, {path: (array, np.copy(gradient)) for path, (array, gradient) in passing.parameters().items()}


def float64_copy(obj: Any, owner: str = "check_gradients") -> Any:
    """A deep copy whose floating-point arrays are all float64; `obj` stays as it is.

    Raises
    ------
    NiceTypeError
        If the object cannot be copied.
    """
    if callable(getattr(obj, "astype", None)):
        return obj.astype(np.float64)  # a flow: its layers see views of one vector, which only it can copy
    try:
        twin = copy.deepcopy(obj)
    except TypeError as error:
        who = type(obj).__name__
        raise NiceTypeError(f"{owner}: {who} cannot be copied with copy.deepcopy: {error}") from None
    converted: dict[int, tuple[Any, Array]] = {}  # an array that two layers share stays shared

    def convert(value: Any) -> Any:
        if is_float_array(value) and value.dtype != np.float64:
            return converted.setdefault(id(value), (value, value.astype(np.float64)))[1]
        if isinstance(value, tuple) and any(is_float_array(item) for item in value):
            items = [convert(item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        return value

    for _, container in list(containers(twin)):
        for key, item in list(container.items() if isinstance(container, dict) else enumerate(container)):
            container[key] = convert(item)
    return twin

"""Look inside somebody's object: its parameters, their gradients after one pass, and a float64 copy of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from nice_np.checks import Array
from nice_np.errors import NiceTypeError


def containers(value: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """The attribute dictionary of an object, and every list, dictionary and attribute dictionary below it, by path."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    if isinstance(value, (list, dict)):
        container: Any = value
    elif isinstance(value, tuple):
        container = list(value)
    elif hasattr(value, "__dict__"):
        container = vars(value)
        seen.add(id(container))
    else:
        return
    yield path, container
    items = container.items() if isinstance(container, dict) else enumerate(container)
    for key, item in list(items):
        yield from containers(item, f"{path}.{key}" if path else str(key), seen)


def is_float_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


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
        found = {path: (array, gradient) for path, array, gradient in obj.named_parameters()}
    taken = {id(array) for array, _ in found.values()}
    allowed = {id(array) for array in known}
    for path, container in containers(obj):
        for name, array, gradient in _pairs(container) if isinstance(container, dict) else ():
            if id(array) in allowed and id(array) not in taken:
                taken.add(id(array))
                found[f"{path}.{name}" if path else name] = (array, gradient)
    return found


def _pairs(attributes: dict[Any, Any]) -> Iterator[tuple[str, Array, Any]]:
    """Every float array ``W`` beside a ``dW``; also lists of arrays, ``W = [W1, W2]`` beside ``dW = [dW1, dW2]``."""
    for name, value in attributes.items():
        gradient = attributes.get(f"d{name}")
        if is_float_array(value) and isinstance(gradient, np.ndarray):
            yield name, value, gradient
        elif isinstance(value, (list, tuple)) and isinstance(gradient, (list, tuple)):
            for i, (item, part) in enumerate(zip(value, gradient, strict=False)):
                if is_float_array(item):
                    yield f"{name}.{i}", item, part


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

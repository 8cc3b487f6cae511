"""Find arrays and their gradients anywhere inside an object: an array ``W`` with a ``dW`` beside it."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from nice_np.validation import Array


def containers(value: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """The attribute dictionary of an object, and every list, dictionary and attribute dictionary inside, by path."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, (type, ModuleType)):
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
        if not isinstance(item, (np.ndarray, str, int, float)):  # numerous, with nothing inside
            yield from containers(item, f"{path}.{key}" if path else str(key), seen)


def is_float_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def pairs(attributes: dict[Any, Any]) -> Iterator[tuple[str, Array, Any]]:
    """Every float array ``W`` with a ``dW`` beside it; also in lists, ``W = [W1, W2]`` and ``dW = [dW1, dW2]``."""
    for name, value in attributes.items():
        gradient = attributes.get(f"d{name}")
        if isinstance(value, np.ndarray):
            if is_float_array(value) and isinstance(gradient, np.ndarray):
                yield name, value, gradient
        elif isinstance(value, (list, tuple)) and isinstance(gradient, (list, tuple)):
            for i, (item, part) in enumerate(zip(value, gradient, strict=False)):
                if is_float_array(item):
                    yield f"{name}.{i}", item, part

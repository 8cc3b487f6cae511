"""What goes through the pipe: objects to the student's process as pickles, and from it numbers and arrays as JSON.

Unpickling can run any code, so nothing that comes from the student's process is ever unpickled.  It may send plain
values, arrays of numbers, and references: to an argument it was given ("ref"), a copy of one with other numbers
("like"), or to an object that stays in its process ("held").
"""

from __future__ import annotations

import builtins
import copy
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nice_np import errors

PLAIN = (type(None), bool, int, float, str)
CONTAINERS = (dict, list, tuple, Exception)


class Held:
    """An object of the student's process, such as a cache of its own kind; only that process can use it."""

    def __init__(self, key: int) -> None:
        self.key = key


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything that can be changed inside a value, with its path; the same object comes once."""
    seen: set[int] = set()
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop(0)
        builtin = type(value).__module__ in ("builtins", "types")
        if id(value) in seen or isinstance(value, Held) or (builtin and not isinstance(value, CONTAINERS)):
            continue
        seen.add(id(value))
        if not isinstance(value, tuple):
            yield path, value
        waiting += [(f"{path}.{name}", item) for name, item in _parts(value)]


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, (np.ndarray, np.random.Generator)):
        return []
    if isinstance(value, dict):
        return sorted((str(name), item) for name, item in value.items() if isinstance(name, (str, int)))
    if isinstance(value, (list, tuple)):
        return [(str(k), item) for k, item in enumerate(value)]
    return sorted(getattr(value, "__dict__", {}).items())


def snapshot(value: Any) -> Any:
    """What `value` is now, to be compared with `changes` later."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, np.random.Generator):
        return copy.deepcopy(value.bit_generator.state)
    return copy.copy(value if isinstance(value, (dict, list)) else getattr(value, "__dict__", {}))


def content(value: Any, before: Any) -> Any:
    """The content of a value if it is no longer what it was in the snapshot, or None.

    Of an object that is a dictionary of the attributes that changed.
    """
    now = snapshot(value)
    if isinstance(value, np.ndarray):
        same = now.shape == before.shape and now.tobytes() == before.tobytes()
        return None if same else now
    if isinstance(value, np.random.Generator):
        return None if repr(now) == repr(before) else now
    if isinstance(value, list):
        return None if len(now) == len(before) and all(map(_same, now, before)) else now
    changed = {name: item for name, item in now.items() if name not in before or not _same(item, before[name])}
    return changed or None


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and isinstance(a, PLAIN) and a == b)


def encode(value: Any, references: dict[int, tuple[str, Any]], held: list[Any]) -> Any:
    """A value as JSON; `references` are the arguments by identity: (path, object)."""

    def of(item: Any) -> Any:
        return encode(item, references, held)

    if type(value) in PLAIN:
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind not in "biufc":
            raise TypeError(f"an array of dtype {value.dtype}: expected numbers")
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return {kind: [value.dtype.str, list(value.shape), b64encode(value.tobytes()).decode()]}
    if id(value) in references:
        return {"ref": references[id(value)][0]}
    if type(value) in (list, tuple, set):
        return {type(value).__name__: [of(item) for item in value]}
    if type(value) is dict:
        return {"dict": [[of(key), of(item)] for key, item in value.items()]}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, Exception):
        return {"error": [type(value).__name__, str(value)[:4000]]}
    alike = [path for path, other in references.values() if type(other) is type(value) and hasattr(value, "__dict__")]
    if alike:
        arrays = {path: of(item) for path, item in walk(value) if isinstance(item, np.ndarray)}
        return {"like": [alike[0], arrays]}
    held.append(value)
    return {"held": len(held) - 1}


def decode(code: Any, objects: dict[str, Any]) -> Any:
    """The value of a JSON code; `objects` are the arguments by path."""

    def of(item: Any) -> Any:
        return decode(item, objects)

    if isinstance(code, PLAIN):
        return code
    ((kind, body),) = code.items()
    make: dict[str, Callable[[], Any]] = {
        "array": lambda: _array(*body),
        "scalar": lambda: _array(*body)[()],
        "ref": lambda: objects[body],
        "list": lambda: [of(item) for item in body],
        "tuple": lambda: tuple(of(item) for item in body),
        "set": lambda: {of(item) for item in body},
        "dict": lambda: {of(key): of(item) for key, item in body},
        "complex": lambda: complex(*body),
        "error": lambda: _error(*body),
        "like": lambda: _alike(objects[body[0]], body[1]),
        "held": lambda: Held(int(body)),
    }
    return make[kind]()


def _array(dtype: str, shape: list[int], data: str) -> np.ndarray:
    kind = np.dtype(dtype)
    if kind.kind not in "biufc":
        raise TypeError(f"expected numbers, got dtype {kind}")
    array: np.ndarray = np.frombuffer(b64decode(data), kind).reshape(shape).copy()
    return array


def _error(name: str, message: str) -> Exception:
    """An exception of that name, if it is one of Python's or ours; any other one becomes a RuntimeError."""
    kind = getattr(errors, name, None) or getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(message)
        except TypeError:
            pass
    return RuntimeError(f"{name}: {message}")


def _alike(original: Any, arrays: dict[str, Any]) -> Any:
    twin = copy.deepcopy(original)
    places = dict(walk(twin))
    for path, code in arrays.items():
        places[path][...] = decode(code, {})
    return twin

"""An architecture as JSON and back: the modules and their settings.

A module is ``{"class": name, **config}``, an array ``{"array": member}`` (the array itself is stored separately), and a
module that occurred before, such as a permutation used twice, ``{"again": number}``.  "class" is a keyword, so no
argument has that name.  Sizes are checked before anything is built, and only known classes are built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from inspect import isabstract
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.parameters import Module
from nice_np.validation import as_tuple

MAX_DEPTH = 50  # modules inside modules
MAX_MODULES = 10_000  # each takes some 50 microseconds and 3 kB: ten thousand load in half a second
WIDTHS = ("sizes", "channels")  # settings of networks that make a layer, itself a module, of each entry
SPARE = 1_000_000  # numbers that an architecture may need in addition to those in the file, such as index arrays
Arrays = dict[str, npt.NDArray[Any]]


def own_classes() -> dict[str, type[Module]]:
    """nice_np's own modules by name: the classes that a file may always contain; imports all that are public."""
    package = import_module("nice_np")
    for name in package.__all__:
        getattr(package, name)
    found: dict[str, type[Module]] = {}
    waiting = Module.__subclasses__()
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if cls.__module__.startswith("nice_np.") and not isabstract(cls):
            found[cls.__name__] = cls
    return found


def is_ours(cls: type) -> bool:
    """Whether it is one of `own_classes`; imports nothing."""
    return issubclass(cls, Module) and cls.__module__.startswith("nice_np.")


def describe(value: Any, arrays: Arrays, seen: list[Module]) -> Any:
    """A module as JSON; arrays go to `arrays` and are replaced by names, modules go to `seen` and are numbered."""
    if isinstance(value, Module):
        for number, module in enumerate(seen):
            if module is value:
                return {"again": number}
        name = type(value).__name__
        if not is_ours(type(value)) and name in own_classes():
            raise NiceTypeError(f"save: your class {name} has the name of one of nice_np's; rename it")
        node = {"class": name, **{k: describe(v, arrays, seen) for k, v in value.config().items()}}
        seen.append(value)
        return node
    if isinstance(value, np.ndarray):
        name = f"array.{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, (list, tuple)):
        return [describe(item, arrays, seen) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise NiceTypeError(
        f"save: {type(value).__name__} cannot be saved; config() may hold numbers, strings, lists, arrays and modules"
    )


def build(node: Any, arrays: Arrays, seen: list[Module], classes: Mapping[str, type[Module]]) -> Any:
    """The inverse of `describe`; removes the arrays that it uses from `arrays`."""
    if isinstance(node, list):
        return [build(item, arrays, seen, classes) for item in node]
    if not isinstance(node, dict):
        return node
    if "array" in node and "class" not in node:
        return arrays.pop(node["array"])
    if "again" in node and "class" not in node:
        return _earlier(node["again"], seen)
    name = node["class"]
    if name not in classes:
        raise ValueError(f"unknown class {name!r}; pass your own classes as load(path, classes=[...])")
    settings = {key: build(value, arrays, seen, classes) for key, value in node.items() if key != "class"}
    make: Any = getattr(classes[name], "from_config", classes[name])
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            module: Module = make(**settings)
    except Exception as error:  # with damaged settings a constructor may raise anything
        raise ValueError(f"cannot build {name}: {str(error) or repr(error)}") from None
    seen.append(module)
    return module


def _earlier(number: Any, seen: list[Module]) -> Module:
    if type(number) is not int or not 0 <= number < len(seen):
        raise ValueError(f"there is no module number {number!r}")
    return seen[number]


def check_size(node: Any, classes: Mapping[str, type[Module]], limit: float) -> None:
    """Refuse an architecture, before anything is allocated, that needs more than `limit` numbers, or is too large.

    Raises
    ------
    NiceValueError
        For too many numbers, or more than MAX_MODULES modules, nested more than MAX_DEPTH deep.
    """
    numbers, modules = _measure(node, classes, [], 0)
    if modules > MAX_MODULES:
        raise NiceValueError(f"the architecture has {modules:.6g} modules, at most {MAX_MODULES} are allowed")
    if numbers > limit:
        raise NiceValueError(f"the architecture needs {float(numbers):.0f} numbers, far more than the file holds")


def _measure(node: Any, classes: Mapping[str, type[Module]], seen: list[int], depth: int) -> tuple[int, int]:
    """The numbers and the modules below a node; `seen` holds the modules in each module so far, as `build` has them.

    A module that occurs again counts again: a layer in two places is passed through twice.
    """
    if depth > 2 * MAX_DEPTH:  # a list in a module counts as a level too
        raise NiceValueError(f"the architecture is nested more than {MAX_DEPTH} modules deep")
    is_module = isinstance(node, dict) and "class" in node
    if isinstance(node, dict) and "again" in node and not is_module:
        again = node["again"]
        return 0, seen[again] if type(again) is int and 0 <= again < len(seen) else 0
    children = [
        child for child in (node.values() if isinstance(node, dict) else node) if isinstance(child, (list, dict))
    ]
    sizes = [_measure(child, classes, seen, depth + 1) for child in children]
    numbers, modules = sum(size[0] for size in sizes), sum(size[1] for size in sizes)
    if is_module:
        numbers += _numbers_of(node, classes)
        modules += 1 + sum(len(node[name]) for name in WIDTHS if isinstance(node.get(name), list))
        seen.append(modules)
    return numbers, modules


def _numbers_of(node: dict[str, Any], classes: Mapping[str, type[Module]]) -> int:
    # Only whole numbers are passed on: 10**9 * "abc" would itself fill the memory, and nan > limit is never true.
    whole = {key: value for key, value in node.items() if type(value) is int or _is_whole_list(value)}
    name = node.get("class")
    count = getattr(classes.get(name) if isinstance(name, str) else None, "count_parameters", None)
    if count is None:
        sizes = [whole.get(key) for key in ("dim", "context_dim")]
        return sum(size for size in sizes if isinstance(size, int) and size > 0)
    try:
        needed = int(count(whole))
    except KeyError as error:
        raise NiceValueError(f"{name}: {error} must be given in whole numbers") from None
    if needed < 0:
        raise NiceValueError(f"{name}: sizes must be positive whole numbers")
    return needed


def _is_whole_list(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


def by_name(classes: Iterable[type[Module]]) -> dict[str, type[Module]]:
    """nice_np's classes and the given ones by name; a given class cannot replace ours."""
    expected = "load: classes must be a list of Module subclasses, classes=[MyLayer, ...]"
    known = as_tuple(classes, expected)
    if not all(isinstance(cls, type) and issubclass(cls, Module) for cls in known):
        raise NiceTypeError(f"{expected}, got {classes!r}")
    return {**{cls.__name__: cls for cls in known}, **own_classes()}

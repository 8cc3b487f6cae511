"""A pass changes nothing that it is given: its caller, the cache and the next pass hold the same arrays.

A layer that writes into its input, as x_b += m does when x_b is a view of x, can pass every other check, since those
hand it a copy; in a flow it spoils the data, the cache of the layer below, or the user's own array.  So each pass is
run once here and all that went into it is compared with what it was.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from nice_np.checks.objects import find_numbers, find_parameters, has_methods
from nice_np.checks.report import CheckError
from nice_np.parameters.search import containers
from nice_np.validation import Array

PASSES = (("forward", "backward", "x", "dz"), ("inverse", "inverse_backward", "z", "dx"))


class Change(NamedTuple):
    """An array that a pass has changed: what it was, what it is, and what to do."""

    name: str
    before: Array
    after: Array
    hint: str


def find_changes(obj: Any, x: Array, gradients: bool, path: str = "") -> list[Change]:
    """What the passes of a bijector or layer change, (N, D) in; of a chain the first layer that changes anything.

    The passes are forward and inverse, and with `gradients` those that go back through them.
    """
    parameters = list(find_parameters(obj, find_numbers(obj)))  # before any pass: a later pair h, dh is a cache
    h = x.copy()
    for k, layer in enumerate(getattr(obj, "layers", ()) if has_methods(obj, "inverse") else ()):
        if found := find_changes(layer, h, gradients, f"{path}layers[{k}], {type(layer).__name__}: "):
            return found
        h = np.array(layer.forward(h.copy())[0])
    found, start = [], x
    for names in PASSES:
        if has_methods(obj, names[0]):
            found += _changes_of_one(obj, names, start, path, parameters, gradients)
            start = np.array(obj.forward(x.copy())[0])
    return found


def find_changes_of_density(density: Any, z: Array) -> list[Change]:
    """What a prior's methods change of the latents (N, D) that they are given."""
    hint = "the array is its caller's: write z = z / 2, not z /= 2"
    changed = []
    for name in ("log_prob", "grad_log_prob"):
        given = z.copy()
        getattr(density, name)(given)
        if not _same(z, given):
            changed.append(Change(f"{name} changes its argument z", z, given, hint))
    return changed


def pure(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, except that a call which changes an argument, an array or a list, raises a CheckError."""

    @wraps(function)
    def watched(*args: Any, **named: Any) -> Any:
        given = inspect.signature(function).bind(*args, **named).arguments
        before = {
            name: copy.deepcopy(value) for name, value in given.items() if isinstance(value, (np.ndarray, list, tuple))
        }
        result = function(*args, **named)
        for name, value in before.items():
            if not _same_parts(value, given[name]):
                raise CheckError(
                    f"most likely: {function.__name__} changes its argument {name}, which is its caller's: "
                    f"write {name} = {name} + ..., not {name} += ..."
                )
        return result

    return watched


def _same_parts(before: Any, after: Any) -> bool:
    if isinstance(before, np.ndarray):
        return _same(before, after)
    if isinstance(before, (list, tuple)):
        return len(before) == len(after) and all(map(_same_parts, before, after))
    return not isinstance(before, (int, float)) or before == after or before != before


def _changes_of_one(
    obj: Any, names: tuple[str, str, str, str], x: Array, path: str, parameters: list[str], gradients: bool
) -> list[Change]:
    there, back, given_name, incoming = names
    values = _values(obj, parameters)
    given = x.copy()
    *outputs, cache = getattr(obj, there)(given)
    changed = list(_written(f"{path}{there} changes its input {given_name}", given_name, x, given))
    if gradients and has_methods(obj, back) and not changed:
        kept = dict(_arrays(copy.deepcopy(cache)))
        weights = [np.full_like(output, 0.5) for output in outputs]  # ones would hide h *= dz
        handed = [weight.copy() for weight in weights]
        getattr(obj, back)(*handed, cache)
        for what, before, after in zip((incoming, "dlog_det"), weights, handed, strict=False):
            changed += _written(f"{path}{back} changes the incoming {what}", what, before, after)
        for where, after in _arrays(cache):
            if where in kept and not _same(kept[where], after):
                hint = "the array belongs to forward, and perhaps to its caller; write h = h * ..., not h *= ..."
                changed.append(Change(f"{path}{back} changes {where} of the cache", kept[where], after, hint))
    for name, after in _values(obj, parameters).items():
        if not _same(values[name], after):
            hint = "a pass reads its parameters; only an optimiser writes them"
            changed.append(Change(f"{path}{there} or {back} changes {name}", values[name], after, hint))
    return changed


def _written(what: str, name: str, before: Array, after: Array) -> Iterator[Change]:
    if not _same(before, after):
        columns = f" in columns {np.flatnonzero((before != after).any(axis=0)).tolist()}" if before.ndim == 2 else ""
        hint = f"a slice {name}_b of {name} is a view; write {name}_b = {name}_b + ..., not {name}_b += ..."
        yield Change(f"{what}{columns}", before, after, hint)


def _values(obj: Any, parameters: list[str]) -> dict[str, Array]:
    found = find_parameters(obj, find_numbers(obj))
    return {path: found[path][0].copy() for path in parameters if path in found}


def _arrays(cache: Any) -> Iterator[tuple[str, Array]]:
    """The arrays in a cache, with their places."""
    if isinstance(cache, np.ndarray):
        yield "the only array", cache
    for path, container in containers(cache):
        for key, value in container.items() if isinstance(container, dict) else enumerate(container):
            if isinstance(value, np.ndarray):
                yield f"item {path}.{key}" if path else f"item {key}", value


def _same(before: Array, after: Array) -> bool:
    return bool(np.array_equal(before, after, equal_nan=before.dtype.kind == "f"))

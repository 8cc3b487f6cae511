"""Look inside any object: its methods, its parameters with their gradients after a pass, and a float64 copy of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.parameters.module import Module, join
from nice_np.parameters.search import containers, is_float_array, pairs
from nice_np.validation import Array, as_real_array, as_samples

Parameters = dict[str, tuple[Array, Any]]  # by path: an array and its gradient
Numbers = dict[str, tuple[Any, Any]]  # by path: a number or array, and a copy of its gradient or None


def has_methods(obj: Any, *names: str) -> bool:
    """Whether `obj` is an instance (not a class) with all these methods."""
    return not isinstance(obj, type) and all(callable(getattr(obj, name, None)) for name in names)


def as_points(x: Any, owner: str) -> Array:
    """The points where a check is made, (N, D) with N, D >= 1: a float64 copy that the check may change."""
    points: Array = as_samples(x, None, owner=owner, dtype=np.float64).copy()
    if not points.size:
        raise NiceValueError(f"{owner}: x has shape {points.shape}; at least 1 sample with 1 feature is needed")
    return points


def refuse_wrong_dim(obj: Any, x: Array, owner: str) -> None:
    """A Bijector must say how many features it takes: a Chain asks for it."""
    if isinstance(obj, Bijector) and getattr(obj, "dim", None) != x.shape[1]:
        dim = f"dim = {obj.dim}" if hasattr(obj, "dim") else "no dim"
        raise NiceValueError(
            f"{owner}: x has {x.shape[1]} features, {type(obj).__name__} has {dim}; write self.dim = {x.shape[1]} in "
            "its __init__"
        )


def run_pass(obj: Any, name: str, x: Array, owner: str) -> tuple[Array, Array, Any]:
    """Value (N, D), log_det (N,) and cache of a bijector's pass, or an error that says what came instead."""
    result = getattr(obj, name)(x.copy())
    if not isinstance(result, tuple) or len(result) != 3:
        came = f"{len(result)} values" if isinstance(result, tuple) else f"one {type(result).__name__}"
        raise NiceTypeError(
            f"{owner}: {name} returned {came}, expected three: the result (N, D), log_det (N,), and a cache, "
            "None if nothing is needed"
        )
    value = as_real_array(result[0], owner, f"{name}'s result").astype(np.float64)
    log_det = as_real_array(result[1], owner, f"{name}'s log_det").astype(np.float64)
    if value.shape != x.shape or log_det.shape != (len(x),):
        raise NiceValueError(
            f"{owner}: {name} returned shapes {value.shape} and {log_det.shape}, expected (N, D) = {x.shape} and, for "
            f"log_det, (N,) = ({len(x)},): one number per sample, the sum over its features"
        )
    return value, log_det, result[2]


def find_unannounced(obj: Any, parameters: Parameters) -> list[str]:
    """The parameters of a Module, seen by their gradients, that no optimiser would find."""
    if not isinstance(obj, Module):
        return []
    announced = {path for path, _, _ in obj.named_parameters()}
    return [path for path in parameters if path not in announced]


@contextmanager
def explain_edge(x: str, step: float, owner: str) -> Iterator[None]:
    """For passes one step from points that were accepted: an error there is about the step, not the caller's data."""
    try:
        yield
    except NiceValueError as error:
        raise NiceValueError(
            f"{owner}: {x} lies within one step, {step:g}, of the edge of the domain; choose an x further inside"
        ) from error


def is_exact(obj: Any) -> bool:
    """Whether the inverse of every layer in it is right to rounding, see `nice_np.Bijector`."""
    inner = (module for _, module in obj.modules()) if has_methods(obj, "modules") else (obj,)
    return all(getattr(layer, "exact", True) for layer in inner)


def switch_rounding_off(obj: Any) -> bool:
    """Make layers that round smooth, if there are any; see `nice_np.families.rounding`."""
    inner = [module for _, module in obj.modules()] if has_methods(obj, "modules") else []
    rounding = [module for module in inner if has_methods(module, "without_rounding")]
    for module in rounding:
        module.without_rounding()
    return bool(rounding)


def find_numbers(obj: Any) -> Numbers:
    """Each number and array in the object, with a copy of what is stored as its gradient now: ``dW`` for ``W``."""
    found: Numbers = {}
    for path, container in containers(obj):
        attributes = container if isinstance(container, dict) else dict(enumerate(container))
        for name, value in attributes.items():
            if is_numeric(value):
                gradient = attributes.get(f"d{name}")
                found[join(path, str(name))] = (value, copy.copy(gradient) if is_numeric(gradient) else None)
    return found


def is_numeric(value: Any) -> bool:
    """Whether it is a real number or an array of real numbers."""
    return isinstance(value, (int, float, np.number, np.ndarray)) and np.asarray(value).dtype.kind in "iuf"


def find_parameters(obj: Any, before: Numbers) -> Parameters:
    """The parameters, with their gradients: what ``named_parameters()`` names, and every array ``W`` with a ``dW``.

    `before` is what the object held before its passes.  A pair ``x``, ``dx`` that is not there is a cache.
    """
    named = obj.named_parameters() if has_methods(obj, "named_parameters") else ()
    found = {path: (array, gradient) for path, array, gradient in named if is_float_array(array)}
    known = {id(value) for value, _ in before.values()} - {id(array) for array, _ in found.values()}
    for path, container in containers(obj):
        for name, array, gradient in pairs(container) if isinstance(container, dict) else ():
            if id(array) in known:
                known.remove(id(array))
                found[join(path, name)] = (array, gradient)
    return found


def find_unchecked(before: Numbers, after: Numbers) -> Iterator[tuple[str, Any, str]]:
    """Values with a gradient that backward has written and that cannot be checked: path, value and reason.

    A gradient that backward leaves alone is none: ``t`` and ``dt`` may be a time and a time step.  A value that the
    passes change is a cache.
    """
    for path, (value, gradient) in after.items():
        old_value, old_gradient = before.get(path, (None, None))
        if gradient is None or np.array_equal(gradient, old_gradient) or not np.array_equal(value, old_value):
            continue
        if not is_float_array(value):
            kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            yield path, value, f"it is {kind} and cannot be moved by a small step in place; make it a float array"
        elif not isinstance(gradient, np.ndarray):
            yield path, value, f"the gradient is {type(gradient).__name__}, expected an array of shape {value.shape}"


class Pass(NamedTuple):
    """A forward pass and its gradient, with a way to look up the parameters and their gradients afterwards."""

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    parameters: Callable[[], Parameters]

    def pull_back(self, x: Array, weights: list[Array]) -> tuple[Any, Parameters]:
        """One forward and backward pass: dx, and each parameter with a copy of its gradient.

        The gradients are set to zero first, for layers that add to them.
        """
        for _, gradient in self.parameters().values():
            if isinstance(gradient, np.ndarray) and gradient.flags.writeable:
                gradient.fill(0)
        *_, cache = self.forward(x.copy())
        dx = self.backward(*[w.copy() for w in weights], cache)
        # Look the gradients up again: a backward that assigns, self.dW = ..., has stored new arrays.
        return dx, {path: (array, np.copy(gradient)) for path, (array, gradient) in self.parameters().items()}


def float64_copy(obj: Any, owner: str) -> Any:
    """A deep copy with all floating-point arrays in float64; raises NiceTypeError if the object cannot be copied."""
    if has_methods(obj, "astype"):
        return obj.astype(np.float64)  # a model: its layers see views of one vector, which only it can copy
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

"""One contiguous vector of all parameters and one of all gradients; the layers hold views of both.

With one vector the optimiser is one loop, a checkpoint is one array, a gradient check perturbs one vector, and
``scipy.optimize.minimize`` can train a flow directly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.parameters.module import Module, Triple, join
from nice_np.parameters.search import containers, pairs
from nice_np.validation import FLOATS, Array


class Slot(NamedTuple):
    """The place of one parameter in the flat vector."""

    path: str
    start: int
    stop: int
    shape: tuple[int, ...]


class FlatParameters:
    """One contiguous vector of all parameters below `root`, one of all gradients; the layers hold views of both.

    Parameters
    ----------
    root : Module
        Its arrays are copied into the vector and replaced by views.  A module belongs to one vector at most.
    values : ndarray, shape (P,), optional
        The vector of parameters to use instead of a new one: that of a model which shares them, see `Packed.replica`.

    Attributes
    ----------
    values, grads : ndarray, shape (P,)
        All parameters and all gradients.  Write into them, ``values[:] = ...``; they cannot be replaced.
    slots : tuple of Slot
        The table: path, start, stop and shape of each parameter.

    Raises
    ------
    NiceValueError
        If a module below `root` is already packed elsewhere, or stands in two places; if dtypes differ, those of
        constants included; if an array has a gradient beside it and is no parameter, so that it would never be trained;
        if two parameters share memory.

    Examples
    --------
    >>> from nice_np import DiagonalScaling
    >>> layer = DiagonalScaling(3)
    >>> params = FlatParameters(layer)
    >>> params.values[:] = [0.1, 0.2, 0.3]
    >>> layer.log_scale
    array([0.1, 0.2, 0.3])
    """

    def __init__(self, root: Module, values: Array | None = None) -> None:
        if not isinstance(root, Module):
            raise NiceTypeError(f"FlatParameters: expected a Module, got {root!r}")
        modules = list(root.modules())
        for path, module in modules:
            if module.is_bound:
                raise NiceValueError(
                    f"{path or 'root'} ({type(module).__name__}) already belongs to a model; "
                    "copy.deepcopy it to use it in another one"
                )
        _refuse_twice("", root, {})
        triples = list(root.named_parameters())
        for path, array, grad in triples:
            if not all(
                isinstance(a, np.ndarray) and a.dtype in FLOATS and a.shape == array.shape for a in (array, grad)
            ):
                raise NiceValueError(f"{path}: parameter and gradient must be float arrays of one shape")
        _refuse_untrained(root, triples)
        _refuse_shared_memory(triples)
        dtype = _common_dtype(modules)
        ends = np.cumsum([0] + [array.size for _, array, _ in triples]).tolist()
        self._values = np.empty(ends[-1], dtype) if values is None else values  # (P,)
        self._grads = np.zeros_like(self._values)  # (P,)
        self.slots = tuple(
            Slot(path, start, stop, array.shape)
            for (path, array, _), start, stop in zip(triples, ends[:-1], ends[1:], strict=True)
        )
        by_path = {slot.path: slot for slot in self.slots}
        for path, array, grad in triples:
            self.view(by_path[path])[...] = array
            self.view(by_path[path], self._grads)[...] = grad
        for path, module in modules:
            views = {}
            for name in module.param_names:
                slot = by_path[join(path, name)]
                views[name], views["d" + name] = self.view(slot), self.view(slot, self._grads)
            module.bind(views)
        self._of_others = list(_gradients_of_others(root))

    @property
    def values(self) -> Array:
        return self._values

    @property
    def grads(self) -> Array:
        return self._grads

    def view(self, slot: Slot, vector: Array | None = None) -> Array:
        """The part of `vector` (by default of `values`) that holds one parameter, in its own shape."""
        vector = self._values if vector is None else vector
        return vector[slot.start : slot.stop].reshape(slot.shape)

    def zero_grad(self) -> None:
        """Set every gradient to zero; nice_np itself never needs it, since a backward pass writes them."""
        self._grads.fill(0)

    @contextmanager
    def backward_pass(self) -> Iterator[None]:
        """The block is one backward pass.  After an error `grads` is NaN, so a partial gradient is never used."""
        for grad in self._of_others:  # a layer that adds, as in other libraries, starts from zero
            grad.fill(0)
        try:
            yield
        except BaseException:  # an error in a user's layer, or Ctrl-C
            self._grads.fill(np.nan)
            raise

    def __len__(self) -> int:
        return len(self._values)

    def __reduce__(self) -> Any:
        raise NiceTypeError("FlatParameters cannot be copied or pickled alone; copy or pickle the model itself")

    def __repr__(self) -> str:
        rows = [f"FlatParameters({len(self)} x {self._values.dtype})"]
        rows += [f"  {slot.path:<48} {slot.shape}" for slot in self.slots]
        return "\n".join(rows)


def _refuse_twice(path: str, module: Module, places: dict[int, str]) -> None:
    """Backward writes gradients: of a module in two places, the second pass would overwrite the first one's."""
    if module.param_names and (first := places.setdefault(id(module), path)) != path:
        raise NiceValueError(
            f"{first} and {path} are one {type(module).__name__}; a module stands in a model once, since backward "
            "writes its gradients and the second pass would overwrite those of the first: copy.deepcopy it"
        )
    for name, child in module.children():
        _refuse_twice(join(path, name), child, places)


def _gradients_of_others(module: Module, theirs: bool = False) -> Iterator[Array]:
    """The gradients in layers that are not nice_np's own, and in whatever those hold."""
    if theirs:
        yield from (getattr(module, "d" + name) for name in module.param_names)
    for _, child in module.children():
        yield from _gradients_of_others(child, theirs or not type(child).__module__.startswith("nice_np."))


def _refuse_untrained(root: Module, triples: list[Triple]) -> None:
    """What `check_gradients` takes for a parameter must be one: an array W beside a dW that param_names forgot."""
    trained = {id(array) for _, array, _ in triples}
    for path, container in containers(root):
        for name, array, grad in pairs(container) if isinstance(container, dict) else ():
            if id(array) not in trained and array.shape == np.shape(grad):
                raise NiceValueError(
                    f"{join(path, name)}: an array with a gradient d{name} beside it, which would not be trained; name "
                    f'it in the param_names of its Module, ("{name}",), and keep that Module in an attribute, a list '
                    "or a tuple of another one (what a pass remembers belongs in its cache)"
                )


def _refuse_shared_memory(triples: list[Triple]) -> None:
    """Each parameter has a place of its own in the vector, so two that are one array would part."""
    first: dict[int, str] = {}  # by the address of the first number: W and W.T have the same
    for path, array, _ in triples:
        other = first.setdefault(array.__array_interface__["data"][0], path) if array.size else path
        if other != path:
            raise NiceValueError(f"{path} and {other} are one array, but would be trained as two; copy one of them")


def _common_dtype(modules: list[tuple[str, Module]]) -> np.dtype[Any]:
    """That of all parameters and constants, float64 where there are none.

    One constant in float64 would make everything after it float64, in a model that says it is float32.
    """
    found: dict[np.dtype[Any], str] = {}  # each dtype with the first array that has it
    for path, module in modules:
        for name, array in module.own_floats():
            if array.dtype in FLOATS:
                found.setdefault(array.dtype, join(path, name))
    if len(found) > 1:
        kinds, places = ", ".join(sorted(map(str, found))), " and ".join(found.values())
        raise NiceValueError(f"parameters or constants of different dtypes, {kinds}: {places}; use cast on one of them")
    return next(iter(found), np.dtype(np.float64))

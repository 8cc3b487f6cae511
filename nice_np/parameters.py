"""Parameters: layers own ordinary arrays, one flat vector holds them all, and the layers then see views of it.

With one vector the optimiser is one loop, clearing gradients one fill, a checkpoint one array, a gradient check
perturbs one vector, and ``scipy.optimize.minimize`` can train a flow directly.
"""

from __future__ import annotations

import copy
from abc import ABCMeta
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.validation import FLOATS, Array, as_dtype, as_real_array

Triple = tuple[str, Array, Array]  # path, parameter, gradient


class Module(metaclass=ABCMeta):  # noqa: B024 (subclasses declare their own abstract methods)
    """Something with parameters and with children that have parameters.

    A layer writes ordinary arrays in ``__init__`` and names them: ``param_names = ("W", "b")`` announces
    ``self.W`` and ``self.b`` with gradients ``self.dW`` and ``self.db`` of the same shapes.

    A layer with a large matrix may name it in ``overwritten``, too: where ``self.stale`` is true, its gradient holds
    the numbers of an earlier batch, and the layer sets ``stale = False`` and writes over them instead of adding.
    """

    param_names: ClassVar[tuple[str, ...]] = ()
    overwritten: ClassVar[tuple[str, ...]] = ()
    stale = False

    def children(self) -> Iterator[tuple[str, Module]]:
        """The modules among the attributes, also those inside lists and tuples, by name."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, (list, tuple)):
                for i, item in enumerate(value):
                    if isinstance(item, Module):
                        yield f"{name}.{i}", item

    def modules(self) -> Iterator[tuple[str, Module]]:
        """This module (named "") and everything below it; a module that is used twice comes once."""
        seen: set[int] = set()

        def walk(path: str, module: Module) -> Iterator[tuple[str, Module]]:
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module
                for name, child in module.children():
                    yield from walk(f"{path}.{name}" if path else name, child)

        return walk("", self)

    def named_parameters(self) -> Iterator[Triple]:
        """Each parameter as (path, array, gradient), for example ("layers.0.conditioner.layers.1.W", W, dW)."""
        for path, module in self.modules():
            for name in module.param_names:
                full = f"{path}.{name}" if path else name
                for attribute in (name, "d" + name):
                    if not hasattr(module, attribute):
                        raise NiceValueError(f"{type(module).__name__}: param_names has {name!r}, but no {attribute}")
                yield full, getattr(module, name), getattr(module, "d" + name)

    @property
    def n_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(array.size for _, array, _ in self.named_parameters())

    def zero_grad(self) -> None:
        """Set every gradient to zero; gradients accumulate from one backward pass to the next."""
        for _, module in self.modules():
            module.stale = False
        for _, _, grad in self.named_parameters():
            grad.fill(0)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments that rebuild this module, weights aside: JSON values, arrays and modules."""
        return {}

    def cast(self, dtype: npt.DTypeLike) -> None:
        """Turn every floating-point array of this module and its children to float32 or float64, in place.

        Raises
        ------
        NiceValueError
            If the parameters are packed into a model's vector: `Model.astype` makes a model of another dtype.
        """
        dtype = as_dtype(dtype, "cast")
        if any(module.is_bound for _, module in self.modules()):
            raise NiceValueError("cast: the parameters belong to a model; use model.astype(dtype), it copies")
        for _, module in self.modules():
            for name, array in module.own_floats():
                setattr(module, name, array.astype(dtype))

    def own_floats(self) -> list[tuple[str, Array]]:
        """The floating-point arrays among the attributes, parameters and constants, by name."""
        return [
            (name, value)
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray) and value.dtype.kind == "f"
        ]

    def _bind(self, views: dict[str, Array]) -> None:
        """Replace parameter arrays by views of a flat vector; from now on assignment copies into them."""
        vars(self).update(views)
        vars(self)["_views"] = views

    @property
    def is_bound(self) -> bool:
        """Whether the parameters are views of a flat vector."""
        return "_views" in vars(self)

    def __setattr__(self, name: str, value: Any) -> None:
        # ``layer.W = new`` on a bound layer would silently detach W from the vector that the optimiser updates:
        # copy into the view instead.  (``layer.dW += g`` ends here too, with the view itself as value.)
        views = vars(self).get("_views")
        if views is None:
            object.__setattr__(self, name, value)
        elif name in views:
            if self.stale:
                self._refuse_stale(name)
            if value is not views[name]:
                self._copy_into(views[name], name, value)
        elif isinstance(value, (Module, list, tuple)) and _holds_module(value):
            raise NiceValueError(
                f"{type(self).__name__}.{name}: the parameters are already packed into a flat vector, so a new module "
                "would not be trained; build a new model from the layers you want"
            )
        else:
            object.__setattr__(self, name, value)

    def _refuse_stale(self, name: str) -> None:
        # ``layer.dW += g`` from outside of the layer: an earlier batch's numbers are in the sum.
        if name.startswith("d") and name[1:] in self.overwritten:
            who = type(self).__name__
            raise NiceValueError(
                f"{who}.{name}: still holds the gradient of an earlier batch, to which nothing may be added; let the "
                f"{who} compute its gradients itself: layer.backward(dy, x) or layer.add_gradients(dy, x)"
            )

    def _copy_into(self, view: Array, name: str, value: Any) -> None:
        new = as_real_array(value, type(self).__name__, name)
        if new.shape != view.shape:
            raise NiceValueError(f"{type(self).__name__}.{name}: expected shape {view.shape}, got {new.shape}")
        view[...] = new

    def __getstate__(self) -> dict[str, Any]:
        # deepcopy and pickle copy a view as an array of its own: the copy is a free module, bound to nothing.
        return {name: value for name, value in vars(self).items() if name != "_views"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def containers(value: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """The attribute dictionary of an object, and every list, dictionary and attribute dictionary below it, by path."""
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
        if not isinstance(item, (np.ndarray, str, int, float)):  # of which there may be many, and nothing is below
            yield from containers(item, f"{path}.{key}" if path else str(key), seen)


def is_float_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def pairs(attributes: dict[Any, Any]) -> Iterator[tuple[str, Array, Any]]:
    """Every float array ``W`` beside a ``dW``; also lists of arrays, ``W = [W1, W2]`` beside ``dW = [dW1, dW2]``."""
    for name, value in attributes.items():
        if not (is_float_array(value) or isinstance(value, (list, tuple))):
            continue
        gradient = attributes.get(f"d{name}")
        if isinstance(value, np.ndarray):
            if isinstance(gradient, np.ndarray):
                yield name, value, gradient
        elif isinstance(gradient, (list, tuple)):
            for i, (item, part) in enumerate(zip(value, gradient, strict=False)):
                if is_float_array(item):
                    yield f"{name}.{i}", item, part


def _holds_module(value: Any) -> bool:
    return any(isinstance(item, Module) for item in (value if isinstance(value, (list, tuple)) else (value,)))


def _refuse_untrained(root: Module, triples: list[Triple]) -> None:
    """What `check_gradients` takes for a parameter must be one: an array W beside a dW that param_names forgot."""
    trained = {id(array) for _, array, _ in triples}
    for path, container in containers(root):
        for name, array, grad in pairs(container) if isinstance(container, dict) else ():
            if id(array) not in trained and array.shape == np.shape(grad):
                raise NiceValueError(
                    f"{path + '.' if path else ''}{name}: an array with a gradient d{name} beside it, which would not "
                    f'be trained; name it in the param_names of its Module, ("{name}",), and keep that Module in an '
                    "attribute, a list or a tuple of another one (what a pass remembers belongs into its cache)"
                )


def _refuse_shared(triples: list[Triple]) -> None:
    """Each parameter gets a place of its own in the vector, so two that are one array would part."""
    first: dict[int, str] = {}  # by the address of the first number: W and W.T have the same
    for path, array, _ in triples:
        other = first.setdefault(array.__array_interface__["data"][0], path) if array.size else path
        if other != path:
            raise NiceValueError(
                f"{path} and {other} are one array, but would be trained as two; use one Module in both places, or "
                "give each its own copy"
            )


def _common_dtype(modules: list[tuple[str, Module]]) -> np.dtype[Any]:
    """That of all parameters and constants, float64 where there are none.

    One constant in float64 would make all that comes after it float64, in a model that says it is float32.
    """
    found: dict[np.dtype[Any], str] = {}  # each dtype with the first array that has it
    for path, module in modules:
        for name, array in module.own_floats():
            if array.dtype in FLOATS:
                found.setdefault(array.dtype, f"{path}.{name}" if path else name)
    if len(found) > 1:
        kinds, places = ", ".join(sorted(map(str, found))), " and ".join(found.values())
        raise NiceValueError(f"parameters or constants of different dtypes, {kinds}: {places}; use cast on one of them")
    return next(iter(found), np.dtype(np.float64))


class Slot(NamedTuple):
    """Where one parameter lies in the flat vector."""

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
        The vector of parameters to use, instead of a new one: that of a model which shares them, see `Flow.replica`.

    Attributes
    ----------
    values, grads : ndarray, shape (P,)
        All parameters and all gradients.  Write into them, ``values[:] = ...``; they cannot be replaced.
    slots : tuple of Slot
        The table: path, start, stop and shape of each parameter.

    Raises
    ------
    NiceValueError
        If a module below `root` is already packed elsewhere, or the dtypes differ, those of constants included; if an
        array has a gradient beside it and is no parameter, so that it would never be trained; if two parameters share
        memory.

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
        triples = list(root.named_parameters())
        for path, array, grad in triples:
            if not all(
                isinstance(a, np.ndarray) and a.dtype in FLOATS and a.shape == array.shape for a in (array, grad)
            ):
                raise NiceValueError(f"{path}: parameter and gradient must be float arrays of one shape")
        _refuse_untrained(root, triples)
        _refuse_shared(triples)
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
                slot = by_path[f"{path}.{name}" if path else name]
                views[name], views["d" + name] = self.view(slot), self.view(slot, self._grads)
            module._bind(views)
        self._overwriting = [module for _, module in modules if module.overwritten]
        self._cleared = [
            getattr(module, "d" + name)
            for _, module in modules
            for name in module.param_names
            if name not in module.overwritten
        ]

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
        """Clear all gradients at once."""
        self._grads.fill(0)
        for module in self._overwriting:
            module.stale = False

    @contextmanager
    def gradients_from_zero(self) -> Iterator[None]:
        """What the backward passes of this block leave in `grads` is theirs alone, as after `zero_grad`.

        But a large matrix is not cleared first only to be added to, which would take a tenth of a training step: its
        layer writes the first gradient over the old one.  After an error `grads` is NaN: half a gradient shall not be
        taken for one.
        """
        for grad in self._cleared:
            grad.fill(0)
        for module in self._overwriting:
            module.stale = True
        try:
            yield
        except BaseException:  # also an error of somebody else's layer, and Ctrl-C
            self.zero_grad()
            self._grads.fill(np.nan)
            raise
        for module in self._overwriting:
            if module.stale:  # no gradient came
                module.zero_grad()

    def __len__(self) -> int:
        return len(self._values)

    def __reduce__(self) -> Any:
        raise NiceTypeError("FlatParameters cannot be copied or pickled alone; copy or pickle the model itself")

    def __repr__(self) -> str:
        rows = [f"FlatParameters({len(self)} x {self._values.dtype})"]
        rows += [f"  {slot.path:<48} {slot.shape}" for slot in self.slots]
        return "\n".join(rows)


P = TypeVar("P", bound="Packed")


class Packed(Module):
    """A module whose parameters lie in one vector: what is trained as a whole, and copied and saved as a whole.

    Attributes
    ----------
    dtype : dtype
        float32 or float64, that of all parameters and constants.
    params : FlatParameters
        ``params.values`` and ``params.grads``, both (P,).
    """

    def _pack(self, values: Array | None = None) -> None:
        self.params = FlatParameters(self, values)
        self.dtype: np.dtype[Any] = self.params.values.dtype

    def copy(self: P) -> P:
        """An independent copy."""
        return copy.deepcopy(self)

    def replica(self: P) -> P:
        """A model with the same vector of parameters and a vector of gradients of its own, for another thread.

        What is no parameter, such as a mean that was measured, is copied as it is now.
        """
        # deepcopy takes what its memo names as already copied: here the views of parameters and gradients.
        views = {id(array): array for _, *pair in self.named_parameters() for array in pair}
        twin = type(self).__new__(type(self))
        vars(twin).update(copy.deepcopy(self.__getstate__(), views))
        twin._pack(self.params.values)
        return twin

    def astype(self: P, dtype: npt.DTypeLike) -> P:
        """A copy in float32 or float64; NiceOverflowError if a parameter does not fit.

        A model that has neither parameters nor constants is float64, whatever was asked for.
        """
        owner = f"{type(self).__name__}.astype"
        dtype = as_dtype(dtype, owner)
        with np.errstate(over="ignore"):
            fits = np.isfinite(self.params.values.astype(dtype)).all()
        if np.isfinite(self.params.values).all() and not fits:
            raise NiceOverflowError(f"{owner}: a parameter is too large for {dtype}")
        parts = copy.deepcopy(self.config())
        for part in parts.values():
            if isinstance(part, Module):
                part.cast(dtype)
        return type(self)(**parts)

    def __copy__(self: P) -> P:
        return self.copy()  # a shallow copy would share its layers, whose arrays can be views of one vector only

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "params"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._pack()

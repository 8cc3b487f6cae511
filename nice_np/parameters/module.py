"""A module: ordinary arrays as parameters, each with its gradient beside it, and children that are modules, too.

The rule for gradients: **backward writes**.  After ``backward(dz, dlog_det, cache)`` the array ``self.dW`` is dL/dW of
that pass, whatever it held before.  A gradient is the result of one pass, so there is nothing to clear and nothing can
be added twice.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, Iterator
from functools import lru_cache
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceOverflowError, NiceValueError
from nice_np.validation import Array, as_dtype, as_real_array

Triple = tuple[str, Array, Array]  # path, parameter, gradient


class Module(metaclass=ABCMeta):  # noqa: B024 (subclasses declare their own abstract methods)
    """Something with parameters and with children that have parameters.

    A layer writes ordinary arrays in ``__init__`` and names them: ``param_names = ("W", "b")`` announces
    ``self.W`` and ``self.b`` with gradients ``self.dW`` and ``self.db`` of the same shapes.  Its backward pass writes
    them: ``self.dW[...] = x.T @ dy``.
    """

    param_names: ClassVar[tuple[str, ...]] = ()

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
                    yield from walk(join(path, name), child)

        return walk("", self)

    def named_parameters(self) -> Iterator[Triple]:
        """Each parameter as (path, array, gradient), for example ("layers.0.conditioner.layers.1.W", W, dW)."""
        for path, module in self.modules():
            for name in module.param_names:
                for attribute in (name, "d" + name):
                    if not hasattr(module, attribute):
                        raise NiceValueError(f"{type(module).__name__}: param_names has {name!r}, but no {attribute}")
                yield join(path, name), getattr(module, name), getattr(module, "d" + name)

    @property
    def n_parameters(self) -> int:
        """The number of trained numbers."""
        return sum(array.size for _, array, _ in self.named_parameters())

    def zero_grad(self) -> None:
        """Set every gradient to zero: for layers of your own that add to them; those of nice_np write."""
        for _, _, grad in self.named_parameters():
            grad.fill(0)

    def config(self) -> dict[str, Any]:
        """The constructor arguments that rebuild this module, weights aside: JSON values, arrays and modules."""
        return {}

    def cast(self, dtype: npt.DTypeLike) -> None:
        """Turn every floating-point array of this module and its children to float32 or float64, in place.

        Raises
        ------
        NiceValueError
            If the parameters are packed into a model's vector: `Packed.astype` makes a model of another dtype.
        NiceOverflowError
            If a number does not fit; nothing is changed then.
        """
        dtype = as_dtype(dtype, "cast")
        if any(module.is_bound for _, module in self.modules()):
            raise NiceValueError("cast: the parameters belong to a model; use model.astype(dtype), which copies")
        arrays = [(path, module, *own) for path, module in self.modules() for own in module.own_floats()]
        with np.errstate(over="ignore"):  # looked for below
            converted = [array.astype(dtype) for _, _, _, array in arrays]
        for (path, _, name, array), new in zip(arrays, converted, strict=True):
            if not np.isfinite(new).all() and np.isfinite(array).all():
                raise NiceOverflowError(f"cast: {join(path, name)} of {type(self).__name__} is too large for {dtype}")
        for (_, module, name, _), new in zip(arrays, converted, strict=True):
            setattr(module, name, new)

    def own_floats(self) -> list[tuple[str, Array]]:
        """The floating-point arrays among the attributes, parameters and constants, by name."""
        attributes = vars(self).items()
        return [(name, a) for name, a in attributes if isinstance(a, np.ndarray) and a.dtype.kind == "f"]

    # -- bound to a flat vector -----------------------------------------------------------------------------------

    def bind(self, views: dict[str, Array]) -> None:
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
            if value is not views[name]:
                self._copy_into(views[name], name, value)
        elif any(map(_has_parameters, (value, vars(self).get(name)))):
            raise NiceValueError(
                f"{type(self).__name__}.{name}: the parameters are already packed into a flat vector, so a new module "
                "would not be trained; build a new model from the layers you want"
            )
        else:
            object.__setattr__(self, name, value)

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


def _has_parameters(value: Any) -> bool:
    """Whether there are any in a module, or in the modules of a list or tuple."""
    items = value if isinstance(value, (list, tuple)) else (value,)
    return any(isinstance(item, Module) and item.n_parameters > 0 for item in items)


def join(path: str, name: str) -> str:
    """The path of an attribute or child `name` of the module at `path`."""
    return f"{path}.{name}" if path else name


def run_backward(backward: Callable[..., Array], *args: Any, parameters: bool) -> Array:
    """``backward(*args)`` of a layer; with ``parameters=False`` for the gradient of its input alone.

    Our layers have that keyword and take half the time.  One without it computes everything, and its parameter
    gradients are put back as they were.
    """
    if parameters:
        return backward(*args)
    if _has_keyword(getattr(backward, "__func__", backward)):
        return backward(*args, parameters=False)
    owner = getattr(backward, "__self__", None)
    kept = [(grad, grad.copy()) for _, _, grad in owner.named_parameters()] if isinstance(owner, Module) else []
    dx = backward(*args)
    for grad, before in kept:
        grad[...] = before
    return dx


@lru_cache(maxsize=256)
def _has_keyword(function: Callable[..., Any]) -> bool:
    return "parameters" in signature(function).parameters

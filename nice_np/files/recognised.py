"""Whether a module is nice_np's own: decided by its exact class, since a subclass may change every formula.

A file names classes and their settings, and other programs know only nice_np's formulas.  What neither can express is
refused when it is written, and never replaced by something similar.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

from nice_np.errors import NiceTypeError
from nice_np.files.architecture import Arrays, build, by_name, describe, is_ours
from nice_np.parameters import Module


def is_own(module: object) -> bool:
    """Whether it is of one of nice_np's classes, not of a subclass, and so are its methods and its helpers."""
    cls = type(module)
    replaced = any(callable(getattr(cls, name, None)) and name != "config" for name in vars(module))  # layer.forward =
    helpers = (type(value) for value in vars(module).values() if not isinstance(value, Module))
    return is_ours(cls) and not replaced and not any(map(_is_derived, helpers))


def _is_derived(cls: type) -> bool:
    """Whether it is not nice_np's, but derived from a class that is, such as a Partition of your own."""
    mine, *bases = (base.__module__.startswith("nice_np.") for base in cls.__mro__)
    return not mine and any(bases)


def refuse_foreign(model: Module, owner: str, what: str) -> None:
    """NiceTypeError for a model with a part that is not nice_np's own, where only `what` of those is known."""
    for path, module in model.modules():
        if not is_own(module):
            cls = type(module)
            changed = "has a method or a partition that is not nice_np's"
            found = changed if is_ours(cls) else f"is of class {cls.__name__}"
            raise NiceTypeError(
                f"{owner}: {path or 'the model'} {found}; only the library's own classes have {what}, and one derived "
                "from them may compute something else"
            )


def readable(model: Module) -> tuple[Any, Arrays]:
    """The architecture of a model and its arrays, see `describe`; `load` can build the same model from them.

    Raises
    ------
    NiceTypeError
        If `load` could not, or would build another model.
    """
    arrays: Arrays = {}
    architecture = describe(model, arrays, [])
    theirs = {type(module): path for path, module in model.modules() if not is_own(module)}
    if not theirs:
        return architecture, arrays
    for cls, path in theirs.items():
        if is_ours(cls):
            raise NiceTypeError(
                f"save: {path} has a method or a partition that is not nice_np's, and no file would hold it; derive a "
                f"class of your own from {cls.__name__} that has it"
            )
    names = ", ".join(sorted(cls.__name__ for cls in theirs))
    cure = "config() must return all arguments of the constructor, or of from_config"
    try:
        twin = build(architecture, dict(arrays), [], by_name(theirs))
    except (ValueError, TypeError, KeyError) as error:
        raise NiceTypeError(f"save: load(path, classes=[{names}]) would fail: {error}; {cure}") from None
    for (path, module), (_, again) in zip(model.modules(), twin.modules(), strict=False):
        loaded = _settings(again)
        for name, before in _settings(module).items():
            after = loaded.get(name)
            if isinstance(before, (type, str, int, float)) and before != after:
                raise NiceTypeError(f"save: {path}.{name} is {before!r}, but would be loaded as {after!r}; {cure}")
    if len(list(model.modules())) != len(list(twin.modules())):
        raise NiceTypeError(f"save: load(path, classes=[{names}]) would build other modules; {cure}")
    return architecture, arrays


def _settings(module: Module) -> dict[str, Any]:
    """A module's class, and its attributes that are named as arguments of the constructor.

    A partition of your own is compared by its class.
    """
    named = {name: vars(module).get(name) for name in signature(type(module)).parameters}
    return {"class": type(module)} | {
        name: type(value) if _is_derived(type(value)) else value for name, value in named.items()
    }

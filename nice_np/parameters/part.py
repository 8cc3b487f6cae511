"""Parts that a constructor takes by name or as an object, such as ``scale="tanh"`` or ``scale=TanhScale(3.0)``.

A file holds the name where the name gives exactly this part, and the part itself otherwise: class and settings.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

from nice_np.errors import NiceValueError
from nice_np.parameters.module import Module
from nice_np.validation import as_choice


class Part(Module):
    """A formula with settings and without parameters, for instance a scale or an activation.

    Derive your own from `nice_np.bijectors.scales.Scale` or `nice_np.networks.activations.Activation`; if its
    constructor takes settings, return them from `config`.
    """

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        return f"{type(self).__name__}({settings})"


P = TypeVar("P", bound=Part)


def as_part(value: str | P, known: Mapping[str, type[P]], kind: type[P], name: str) -> P:
    """A new part of the given name, or a copy of the given one: a part belongs to one layer.

    Raises
    ------
    NiceValueError, NiceTypeError
        If it is neither a name in `known` nor an instance of `kind`, or has parameters.
    """
    if not isinstance(value, kind):
        return known[as_choice(value, known, name, name, kind)]()
    if value.n_parameters:
        raise NiceValueError(f"{name}: {value!r} has parameters, which only layers and conditioners may have")
    return copy.deepcopy(value)


def name_of(part: P, known: Mapping[str, type[P]]) -> str | P:
    """The name for which `as_part` would make the same part, or the part itself if there is none."""
    for name, cls in known.items():
        if type(part) is cls and part.config() == cls().config():  # not a subclass, which may change anything
            return name
    return part

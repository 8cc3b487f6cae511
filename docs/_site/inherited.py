"""Below a class: the methods that it inherits, each with a line and a link to where it is defined."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import code_links
import docstrings
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective


class Inherited(SphinxDirective):
    """``.. inherited:: nice_np.AffineCoupling``"""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A table, or nothing if all methods are the class's own."""
        rows = [row for base, names in _by_base(code_links.find(self.arguments[0])) for row in _rows(base, names)]
        if not rows:
            return []
        head = [".. rubric:: Inherited", "", ".. list-table::", "   :widths: auto", "   :class: inherited", ""]
        box = nodes.container()
        self.state.nested_parse(StringList(head + rows), self.content_offset, box)
        return box.children


def _by_base(thing: type) -> Iterator[tuple[type, list[str]]]:
    """The bases of a class within nice_np, nearest first, with the public methods that it takes from each."""
    known = set(vars(thing))
    for base in thing.__mro__[1:]:
        methods = [name for name, value in vars(base).items() if _is_method(name, value) and name not in known]
        known |= set(vars(base))
        if base.__module__.startswith("nice_np.") and methods:
            yield base, methods


def _is_method(name: str, value: Any) -> bool:
    kinds = (property, cached_property, classmethod, staticmethod)
    return not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds))


def _rows(base: type, names: list[str]) -> Iterator[str]:
    page = code_links.public_name(base)
    for name in names:
        value = inspect.getattr_static(base, name)
        line = (inspect.getdoc(value) or "").partition("\n")[0]
        call = "" if isinstance(value, (property, cached_property)) else "()"
        if page:
            link, home = f":obj:`{name}{call} <{page}.{name}>`", f":obj:`{base.__name__} <{page}>`"
        else:
            info = {"module": base.__module__, "fullname": f"{base.__qualname__}.{name}"}
            link, home = f"`{name}{call} <{code_links.place_of_code('py', info)}>`__", f"``{base.__name__}``"
        yield from (f"   * - {link}", f"     - {docstrings.first_words(line)}", f"     - {home}")

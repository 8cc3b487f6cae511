"""Docstrings are written to be read as they are; here they become reStructuredText without losing their formulas.

Bars and stars are mathematics, not markup; an indented block is a formula with its line breaks, not a quotation.
What `formulas` can read is set as a formula.
"""

from __future__ import annotations

import inspect
import re
from itertools import groupby
from typing import Any

import code_links
import formulas
from sphinx.util.inspect import stringify_annotation, stringify_signature

FIELDS = ("Parameters", "Attributes", "Returns", "Raises", "Yields", "Warns", "Other Parameters")
CONSTANTS = {  # have no docstring of their own
    "nice_np.__version__": "The version, a string.",
    "nice_np.datasets.TOYS": "The densities in the plane: name -> function of a number of points and a generator.",
    "nice_np.plotting.COLOURS": "Seven colours that stay apart for colour-blind eyes, as #rrggbb (Okabe and Ito).",
    "nice_np.plotting.DPI": "Dots per inch of all figures.",
    "nice_np.plotting.STYLE": "Settings for a notebook's own figures: ``plt.rcParams.update(plotting.STYLE)``.",
}
WORD = re.compile(r"(?<![\w.'\"=`])[A-Z]\w+")
CODE = re.compile(r"(``.+?``|`[^`]+`)")


def keep_formulas(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape what reStructuredText would take for markup, and keep the lines of formulas; in place."""
    lines[:] = [CONSTANTS[name], ""] if name in CONSTANTS else _with_summary(lines)


def _with_summary(lines: list[str]) -> list[str]:
    end = lines.index("") if "" in lines else len(lines)  # of the first paragraph
    return [first_words(" ".join(lines[:end])), *_with_literal_blocks(_with_formulas(lines[end:]))] if end else lines


def _with_formulas(lines: list[str]) -> list[str]:
    """Indented blocks that are formulas, line by line, as formulas."""
    result: list[str] = []
    for is_indented, group in groupby(lines, lambda line: line.startswith("    ")):
        block = list(group)
        found = [formulas.latex(line.strip()) for line in block] if is_indented and result and not result[-1] else []
        if found and all(found):
            result += [line for formula in found for line in (f".. math:: {formula}", "")]
        else:
            result += block
    return result


def first_words(text: str) -> str:
    """The first paragraph of a docstring, which often begins with a formula."""
    formula, rest = formulas.split(text)
    parts = formula.split(r"\quad") if formula else []  # a telephone breaks the line between them
    return "\u2003 ".join(f":math:`{part.strip()}`" for part in parts) + escaped(rest)


def typed_signature(app: Any, what: str, name: str, obj: Any, options: Any, *said: str | None) -> tuple[Any, Any]:
    """The signature with its types as the code has them, in which names of the reference become links.

    It comes first: numpydoc would take z = exp(s) * y, (...) in the first line of a docstring for a signature.
    """
    signature = said[0]
    if not signature or not callable(obj) or what == "exception":
        return signature, None
    found = inspect.signature(obj)
    parameters = list(found.parameters.values())
    if what == "method" and not inspect.ismethod(obj) and parameters and parameters[0].name == "self":
        parameters = parameters[1:]
    typed = found.replace(parameters=parameters)
    returns = found.return_annotation
    return (
        _linked(stringify_signature(typed, show_return_annotation=False, unqualified_typehints=True)),
        None if what == "class" or returns is found.empty else _linked(stringify_annotation(returns, "smart")),
    )


def _linked(types: str) -> str:
    """`Flow` as `nice_np.Flow`, which Sphinx links and shows without the package; ArrayLike without its module."""
    return WORD.sub(lambda word: code_links.CLASSES.get(word[0], word[0]), types.replace("npt.", ""))


def _with_literal_blocks(lines: list[str]) -> list[str]:
    result: list[str] = []
    section, in_formula = "", False
    for k, line in enumerate(lines):
        following = lines[k + 1] if k + 1 < len(lines) else ""
        if re.fullmatch(r"-{3,}", following.strip()):
            section = line.strip()
        indented = line.startswith("    ")
        if in_formula and line.strip() and not indented:
            in_formula = False
        starts = indented and not in_formula and section not in FIELDS and not (result and result[-1].strip())
        if starts:
            result += [".. code-block:: text", ""]
            in_formula = True
        is_type = section in FIELDS and line and not indented and not re.fullmatch(r"-+", line)
        result.append(line if in_formula else _with_links(escaped(line)) if is_type else escaped(line))
    return result


def _with_links(line: str) -> str:
    """In "bijector : Bijector or None" the name of a class is a link."""
    name, colon, types = line.rpartition(" : ")
    known = code_links.CLASSES
    return name + colon + WORD.sub(lambda word: f"`~{known[word[0]]}`" if word[0] in known else word[0], types)


def escaped(line: str) -> str:
    if line.lstrip().startswith((">>>", "...", ".. math::")) or re.fullmatch(r"\s*-{3,}\s*", line):
        return line
    parts = CODE.split(line)
    parts[::2] = [re.sub(r"(?<!\\)([|*])", r"\\\1", part) for part in parts[::2]]
    parts[::2] = [re.sub(r"(?<=\w)_(?=\W|$)", r"\\_", part) for part in parts[::2]]
    return "".join(parts)

"""Docstrings are written to be read as they are; here they become reStructuredText without losing their formulas.

Bars and stars are mathematics, not markup; an indented block is a formula with its line breaks, not a quotation.
"""

from __future__ import annotations

import re
from typing import Any

FIELDS = ("Parameters", "Attributes", "Returns", "Raises", "Yields", "Warns", "Other Parameters")
CONSTANTS = {  # have no docstring of their own
    "nice_np.__version__": "The version, a string.",
    "nice_np.datasets.TOYS": "The densities in the plane: name -> function of a number of points and a generator.",
    "nice_np.plotting.COLOURS": "Seven colours that stay apart for colour-blind eyes, as #rrggbb (Okabe and Ito).",
    "nice_np.plotting.DPI": "Dots per inch of all figures.",
    "nice_np.plotting.STYLE": "Settings for a notebook's own figures: ``plt.rcParams.update(plotting.STYLE)``.",
}
CODE = re.compile(r"(``.+?``|`[^`]+`)")


def keep_formulas(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape what reStructuredText would take for markup, and keep the lines of formulas; in place."""
    lines[:] = [CONSTANTS[name], ""] if name in CONSTANTS else _with_literal_blocks(lines)


def keep_signature(*args: Any) -> tuple[str | None, str | None]:
    """The signature as Python has it: numpydoc would take z = exp(s) * y, (...) in a first line for one."""
    signature, returns = args[-2:]
    return signature, returns


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
        result.append(line if in_formula else _escaped(line))
    return result


def _escaped(line: str) -> str:
    if line.lstrip().startswith((">>>", "...")) or re.fullmatch(r"\s*-{3,}\s*", line):
        return line
    parts = CODE.split(line)
    parts[::2] = [re.sub(r"(?<!\\)([|*])", r"\\\1", part) for part in parts[::2]]
    parts[::2] = [re.sub(r"(?<=\w)_(?=\W|$)", r"\\_", part) for part in parts[::2]]
    return "".join(parts)

"""Formulas between dollar signs as MathML, which browsers draw by themselves: no script, no network."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging

CONVERTER = LatexToMathML(fancy_error=False)
# The prime of a mathematical font is raised already; as a superscript it would fly away.
PRIME = re.compile(r"<msup>(<mi>[^<]*</mi>)<mo>([\u2032-\u2034])</mo></msup>")
LOGGER = logging.getLogger(__name__)


def inline(writer: Any, node: nodes.math) -> None:
    """A formula within a line."""
    writer.body.append(_converted(node, displaystyle=False))
    raise nodes.SkipNode


def block(writer: Any, node: nodes.math_block) -> None:
    """A formula in a line of its own."""
    writer.body.append(f'<div class="math">{_converted(node, displaystyle=True)}</div>')
    raise nodes.SkipNode


def _converted(node: nodes.Element, displaystyle: bool) -> str:
    try:
        formula = CONVERTER.convert_with_local_state(node.astext(), displaystyle=displaystyle)
        return PRIME.sub(r'<mrow>\1<mo form="postfix" lspace="0" rspace="0">\2</mo></mrow>', formula)
    except LatexError as error:
        LOGGER.warning("%s in the formula %s", error, node.astext(), location=node)
        return f"<code>{escape(node.astext())}</code>"

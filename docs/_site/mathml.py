"""Formulas between dollar signs as MathML, which browsers draw by themselves: no script, no network."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.util import logging

CONVERTER = LatexToMathML(fancy_error=False)
# The prime of a mathematical font is raised already; as a superscript it would fly away.
PRIME = re.compile(r"<msup>(<mi>[^<]*</mi>)<mo>([\u2032-\u2034])</mo></msup>")
BEHIND = re.compile(r"[.,:;!?)\]]+")
LOGGER = logging.getLogger(__name__)


def take_punctuation(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """A formula within a line takes what stands right behind it: browsers break a line after every formula."""
    for node in list(doctree.findall(nodes.math)) if app.builder.format == "html" else ():
        at = node.parent.index(node) + 1
        text = node.parent[at] if at < len(node.parent) else None
        if isinstance(text, nodes.Text) and (found := BEHIND.match(text)):
            node["behind"] = found[0]
            node.parent[at] = nodes.Text(text[found.end() :])


def inline(writer: Any, node: nodes.math) -> None:
    """A formula within a line."""
    formula, behind = _converted(node, displaystyle=False), node.get("behind", "")
    writer.body.append(f'<span class="unbroken">{formula}{behind}</span>' if behind else formula)
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

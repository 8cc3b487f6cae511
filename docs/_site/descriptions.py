"""Each page has a description, which search engines and links in messages show: its first words."""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LONGEST = 160  # letters; search engines cut what is longer


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Add <meta name="description">, unless the page has one of its own."""
    if doctree is None or 'name="description"' in context.get("metatags", ""):
        return
    texts = (text.astext().replace("\n", " ") for text in doctree.findall(nodes.paragraph))
    words = next((text for text in texts if not text.startswith("Bases:")), f"{context['title']}, a file of nice_np.")
    if len(words) > LONGEST:
        words = words[:LONGEST].rpartition(" ")[0] + " ..."
    context["metatags"] = context.get("metatags", "") + f'<meta name="description" content="{escape(words)}" />\n'

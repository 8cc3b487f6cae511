"""What a notebook shows of an object: tables in HTML, with every text escaped, and pictures inside the page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def table(heading: str, columns: Sequence[str], rows: Iterable[Sequence[object]], below: str = "") -> str:
    """A table with a heading above it and lines of text below.

    Examples
    --------
    >>> "&lt;i&gt;" in table("a title", ["name", "number"], [["<i>", 3]])
    True
    """
    head = _row("th", columns)
    body = "".join(_row("td", row) for row in rows)
    foot = f"<pre>{escape(below)}</pre>" if below else ""
    return f"<table><caption>{escape(heading)}</caption>{head}{body}</table>{foot}"


def parts_table(heading: str, parts: Iterable[Any]) -> str:
    """The modules of a model: their settings, the shapes of their parameters, and how many numbers these are."""
    rows = [
        (repr(part), " ".join(str(array.shape) for _, array, _ in part.named_parameters()), f"{part.n_parameters:,}")
        for part in parts
    ]
    return table(heading, ["layer", "shapes", "parameters"], rows)


def picture(image: bytes, kind: str = "png") -> str:
    """An image inside the page: the bytes of a "png" or "gif"."""
    return f'<img src="data:image/{kind};base64,{b64encode(image).decode()}">'


def _row(tag: str, cells: Sequence[object]) -> str:
    first, *others = (escape(str(cell)) for cell in cells)  # notebooks align cells to the right, as numbers need it
    rest = "".join(f"<{tag}>{cell}</{tag}>" for cell in others)
    return f'<tr><{tag} style="text-align: left">{first}</{tag}>{rest}</tr>'

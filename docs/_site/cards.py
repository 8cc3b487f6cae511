"""The cards of the landing page: a picture and the question of each notebook, from the table of tutorials/README.md."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path

ROW = re.compile(r"^\| \[(\d\d) ([^\]]+)\]\((\w+)\.ipynb\) \| (.+?) \|", re.MULTILINE)
FIGURES = {  # which figure of the notebook; else the first
    **{"01": 1, "02": 2, "03": 3, "05": 2, "06": 6, "07": 5, "08": 6, "09": 1, "10": 6},
    **{"12": 2, "13": 2, "14": 3, "15": 0, "16": 4},
}
CARD = """:::{{grid-item-card}} {number} {title}
:link: /tutorials/{stem}
:link-type: doc
:img-top: /tutorials/card_{number}.png
:img-alt: A figure of the notebook
:class-card: notebook-card

{question}
:::
"""


def make_cards(docs: Path) -> list[Path]:
    """Write docs/tutorials/cards.md and a picture for each notebook; returns what was written."""
    folder = docs / "tutorials"
    rows = ROW.findall((docs.parent / "tutorials" / "README.md").read_text(encoding="utf-8"))
    cards, made = [], []
    for number, title, stem, question in rows:
        cards.append(CARD.format(number=number, title=title, stem=stem, question=question))
        figures = list(_figures(docs.parent / "tutorials" / f"{stem}.ipynb"))
        made.append(folder / f"card_{number}.png")
        made[-1].write_bytes(figures[FIGURES.get(number, 0)])
    made.append(folder / "cards.md")
    made[-1].write_text(
        "---\norphan: true\nnosearch: true\n---\n\n# Notebooks\n\n::::{grid} 1 2 3 3\n:gutter: 3\n\n"
        + "".join(cards)
        + "::::\n",
        encoding="utf-8",
    )
    return made


def _figures(path: Path) -> list[bytes]:
    """The PNG files in a notebook's outputs, in order."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return [b64decode(data["image/png"]) for data in outputs if "image/png" in data]

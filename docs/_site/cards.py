"""The cards of the notebooks, from the table of tutorials/README.md: for the landing page a picture and the question;
for the page of the course minutes and buttons, too, in place of the table."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path

import tab

ROW = re.compile(r"^\| \[(\d\d) ([^\]]+)\]\((\w+)\.ipynb\) \| (.+?) \| (\d+) \+ (\d+) \|$", re.MULTILINE)
TABLE = re.compile(r"^\| notebook .*\n(?:\|.*\n)+", re.MULTILINE)
FIGURES = {  # which figure of the notebook; else the first
    **{"01": 1, "02": 2, "03": 3, "05": 2, "06": 6, "07": 5, "08": 6, "09": 1, "10": 6},
    **{"11": 2, "12": 2, "13": 2, "14": 3, "15": 0, "16": 4},
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
COURSE = """:::{{grid-item-card}} {number} {title}
:link: /tutorials/{stem}
:link-type: doc
:img-top: /tutorials/card_{number}.png
:img-alt: A figure of the notebook
:class-card: notebook-card course-card

{question}

Reading {reading} minutes, exercises {exercises}.

{buttons}
:::
"""


def make_cards(docs: Path) -> list[Path]:
    """Write docs/tutorials/cards.md, course.md and a picture for each notebook; returns what was written."""
    folder = docs / "tutorials"
    table = (docs.parent / "tutorials" / "README.md").read_text(encoding="utf-8")
    cards, course, made = [], [], []
    for number, title, stem, question, reading, exercises in ROW.findall(table):
        words = {"number": number, "title": title, "stem": stem, "question": question}
        cards.append(CARD.format(**words))
        course.append(COURSE.format(**words, reading=reading, exercises=exercises, buttons=_buttons(stem)))
        figures = list(_figures(docs.parent / "tutorials" / f"{stem}.ipynb"))
        made.append(folder / f"card_{number}.png")
        made[-1].write_bytes(figures[FIGURES.get(number, 0)])
    for name, columns, items in (("cards", "1 2 3 3", cards), ("course", "1 1 2 2", course)):
        made.append(folder / f"{name}.md")
        grid = f"::::{{grid}} {columns}\n:gutter: 3\n\n{''.join(items)}::::\n"
        made[-1].write_text(grid, encoding="utf-8")
    return made


def in_place_of_the_table(text: str) -> str:
    """tutorials/README.md with cards where its table of notebooks was."""
    return TABLE.sub("```{include} course.md\n```\n", text)


def _buttons(stem: str) -> str:
    slides = f'<a class="tab" href="../slides/{stem}.html">Slides</a>'
    return f"{tab.links(stem, ('exercises',))} {slides}" if tab.AVAILABLE else slides


def _figures(path: Path) -> list[bytes]:
    """The PNG files in a notebook's outputs, in order."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return [b64decode(data["image/png"]) for data in outputs if "image/png" in data]

"""Slides of the notebooks, for a lecture: python tutorials/slides.py [NAME ...] --out DIR

Each notebook becomes one HTML file that needs nothing else: its headings, first sentences, displayed formulas,
exercises and figures, one idea a slide.  Arrow keys, space or a swipe turn the page, and the address remembers it;
printed, each slide is a page.
"""

from __future__ import annotations

import argparse
import re
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from markdown_it import MarkdownIt
from math_core import LatexToMathML
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode
from tutorial_cells import read, solved_notebooks

FONT = Path(__file__).parents[1] / "docs" / "_static" / "stix-two-math.woff2"
FORMULA = re.compile(r"\$\$.+?\$\$", re.DOTALL)
LINK = re.compile(r"\[([^\]]+)\]\((?!https:)[^)]*\)")  # to a file that a slide does not have beside it
SENTENCE = re.compile(r".+?[.?!](?=\s|$)", re.DOTALL)
PAGE = Path(__file__).with_name("slides.html")  # with $title, $font and $slides


def slides_of(notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    """(heading, HTML below it) of each slide; the first one is the title."""
    heading = ""
    for k, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for part in re.split(r"^(?=#{1,3} )", cell.source, flags=re.MULTILINE):
                found = re.match(r"#{1,3} (.+)\n?", part)
                heading = found[1] if found else heading
                text = part[found.end() :] if found else part
                formulas = FORMULA.findall(text)
                if found:  # a new idea: its first words, or all of an exercise
                    words = text if "Exercise" in heading else first_words(text)
                    formulas = [formula for formula in formulas if formula not in words]
                    yield heading, rendered(words) + "".join(map(rendered, formulas[:2]))
                    formulas = formulas[2:]
                for formula in formulas:
                    yield heading, rendered(formula)
        else:
            below = next((after.source for after in notebook.cells[k + 1 :] if after.cell_type == "markdown"), "")
            caption = "" if below.startswith("#") else first_words(below, 1)
            for output in cell.get("outputs", []):
                png = output.get("data", {}).get("image/png")
                if png:
                    yield (
                        heading,
                        f'<img alt="{escape(heading)}" src="data:image/png;base64,{png.strip()}">{rendered(caption)}',
                    )


def first_words(text: str, sentences: int = 3) -> str:
    """The first sentences of the first paragraph."""
    paragraph = text.strip().split("\n\n")[0]
    if paragraph.startswith(("|", "-", "```", "<")):
        return paragraph
    found = [sentence.strip() for sentence in SENTENCE.findall(paragraph)]
    return " ".join(found[:sentences]) or paragraph


def rendered(markdown: str) -> str:
    """Markdown with formulas as HTML with MathML."""
    html: str = parser().render(LINK.sub(r"\1", markdown))
    return html


def parser() -> MarkdownIt:
    """Of Markdown with formulas between dollar signs, which become MathML."""
    converter = LatexToMathML()

    def formula(content: str, options: dict[str, Any]) -> str:
        display = bool(options["display_mode"])
        mathml: str = converter.convert_with_local_state(content, displaystyle=display)
        return f'<div class="formula">{mathml}</div>' if display else mathml

    plain = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, renderer=formula)
    return plain.use(amsmath_plugin, renderer=lambda text: formula(text, {"display_mode": True}))


def page(notebook: NotebookNode) -> str:
    """All slides in one page."""
    found = list(slides_of(notebook))
    sections = []
    for k, (heading, below) in enumerate(found, start=1):
        tag, kind = ("h1", ' class="title"') if k == 1 else ("h2", "")
        title = parser().renderInline(heading)
        footer = f"<footer>{k} / {len(found)}</footer>"
        sections.append(f'<section id="{k}"{kind}><{tag}>{title}</{tag}>{below}{footer}</section>')
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        title=escape(found[0][0]), font=b64encode(FONT.read_bytes()).decode(), slides="\n".join(sections)
    )


def make(out: Path, names: list[str] | None = None) -> list[Path]:
    """Write the slides of the notebooks whose names begin so, or of all; returns the files."""
    out.mkdir(parents=True, exist_ok=True)
    made = []
    for path in solved_notebooks():
        if not names or path.name.startswith(tuple(names)):
            made.append(out / f"{path.stem}.html")
            made[-1].write_text(page(read(path)), encoding="utf-8")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 02 (default: all)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    made = make(options.out, options.names)
    if not made:
        raise SystemExit(f"no tutorial is called {' or '.join(options.names)}")
    for path in made:
        print(path)


if __name__ == "__main__":
    main()

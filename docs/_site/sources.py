"""Pages made from files outside of docs/: results, solved notebooks, source code.

They are copied, not linked, so that a clone on Windows builds them too, and their text stays where it is.  The copies
are byte for byte the originals; links are turned as Sphinx reads a page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path, PurePosixPath

import cards
import commands
import figures
import tab
from sphinx.application import Sphinx
from sphinx.util import logging

COPIED = {"results": ("*.md", "*.png", "*.html"), "tutorials": ("*.md", "*.ipynb", "exercises/*.ipynb")}
CODE = [  # the package, and what else pages link to
    "nice_np/**/*.py",
    "tutorials/nice_on_one_page.py",
    "scripts/mutants.py",
    "scripts/mutation/*.py",
    "scripts/reliability.py",
    "tests/grading/*.py",
    "tests/reliability/*.py",
    "tests/registry.py",
    "tests/test_contract.py",
    "tests/thread_ranks.py",
    "tests/tutorial_mistakes.py",
]
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")  # the target in [text](target#anchor)
TWIN = re.compile(r"\[([^\]]+)\]\((?:\.\./)*(tutorials/exercises/[^)]+)\)")  # a notebook to download, not a page
NAMED = re.compile(r"\[`?[\w./-]+\.(?:md|ipynb)`?\]\((?!\w+:)")  # [data.md](data.md): the site has the page's title
LOGGER = logging.getLogger(__name__)


def make_pages(docs: Path) -> None:
    """Copy results/ and tutorials/ into docs/, and write a page for every file of code into docs/source/."""
    root, made = docs.parent, set()
    for folder, patterns in COPIED.items():
        for original in (path for pattern in patterns for path in sorted((root / folder).glob(pattern))):
            made.add(_copy(original, docs / original.relative_to(root)))
    code = [path.relative_to(root) for pattern in CODE for path in sorted(root.glob(pattern))]
    made |= {_source_page(path, docs / "source") for path in code}
    made.add(_write(docs / "source" / "index.md", _source_index(code)))
    made.add(_write(docs / "source" / "commands.txt", commands.page()))
    made |= set(cards.make_cards(docs))
    for folder in (*COPIED, "source"):
        for old in (path for path in (docs / folder).rglob("*") if path.is_file() and path not in made):
            old.unlink()  # its original is gone


def _source_page(relative: Path, folder: Path) -> Path:
    name = relative.as_posix()
    page = folder / f"{name}.md"
    original = os.path.relpath(folder.parents[1] / relative, page.parent).replace(os.sep, "/")
    text = f"# {name}\n\n```{{literalinclude}} {original}\n:language: python\n:linenos:\n```\n"
    return _write(page, f"---\norphan: true\nnosearch: true\n---\n\n{text}")


def _source_index(code: list[Path]) -> str:
    lines = [f"- [`{path.as_posix()}`]({path.as_posix()}.md)" for path in code]  # code: __init__ is not bold
    return "\n".join(["# Source code", "", "Where to begin: [find your way](../find_your_way.md).", "", *lines, ""])


def _write(page: Path, text: str) -> Path:
    page.parent.mkdir(parents=True, exist_ok=True)
    if not page.exists() or page.read_text(encoding="utf-8") != text:  # Sphinx reads again what is newer
        page.write_text(text, encoding="utf-8", newline="\n")
    return page


def _copy(original: Path, copy: Path) -> Path:
    copy.parent.mkdir(parents=True, exist_ok=True)
    if not copy.exists() or copy.read_bytes() != original.read_bytes():
        shutil.copyfile(original, copy)
    return copy


def link_within_the_site(app: Sphinx, docname: str, text: list[str]) -> None:
    """Turn the links of a page, which are right in the repository, into links that are right on the site."""
    page = PurePosixPath(docname)
    if page.parts[0] in ("source", "api"):
        return  # made for the site
    docs, in_repository = Path(app.srcdir), page if page.parts[0] in COPIED else "docs" / page

    def turned(match: re.Match[str]) -> str:
        target, anchor = match.group(1), match.group(2) or ""
        path = PurePosixPath(os.path.normpath(in_repository.parent / target).replace(os.sep, "/"))
        found = _on_the_site(path)
        if found is None or not (docs / found).exists():
            LOGGER.warning("%s: nothing on the site for the link %s", docname, target)
            return match.group()
        return f"/{found}{anchor}"

    def with_links(prose: str) -> str:
        return LINK.sub(turned, NAMED.sub("[](", TWIN.sub(r"{download}`\1 </\2>`", prose)))

    if Path(app.env.doc2path(docname)).suffix != ".ipynb":
        text[0] = with_links(text[0])
        return
    notebook = json.loads(text[0])
    figures.describe(notebook)
    links = {"cell_type": "markdown", "id": "notebook-links", "metadata": {}, "source": notebook_links(page.stem)}
    notebook["cells"][1:1] = [links]  # below the title and the question
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":  # f[k](x) in code is no link
            cell["source"] = with_links("".join(cell["source"]))
    text[0] = json.dumps(notebook)


def notebook_links(notebook: str) -> str:
    """Below the title of a notebook: where it runs, and its files."""
    exercises, solved = (f"</tutorials/{folder}{notebook}.ipynb>" for folder in ("exercises/", ""))
    files = f"Download the {{download}}`exercises {exercises}` or the {{download}}`solved notebook {solved}`."
    return f"{tab.links(notebook)}\n\n{files}" if tab.AVAILABLE else files


def _on_the_site(path: PurePosixPath) -> str | None:
    """Where a file of the repository is on the site, from docs/."""
    if path.parts[0] == "docs":
        return str(PurePosixPath(*path.parts[1:]))
    if path.suffix == ".py":
        return f"source/{path}.md"
    if path.parts[0] in COPIED and path.suffix:
        return str(path)
    if path == PurePosixPath("tutorials/exercises"):
        return "teaching.md"  # which has them as downloads
    return None

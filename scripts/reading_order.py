"""The reading order of docs/find_your_way.md: what is wrong with it, and the minutes that each file takes.

    python scripts/reading_order.py            writes the minutes into the page
    python scripts/reading_order.py --check    changes nothing

Each file must come after all files that it imports, and every file of the core must be listed.  Minutes are counted:
25 lines of code per minute, and 250 words of docstrings and comments per minute.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "find_your_way.md"
CORE = (
    "*.py",
    *(
        f"{room}/**/*.py"
        for room in ("parameters", "bijectors", "checks", "families", "flows", "networks", "pixels", "training")
    ),
)
NOT_READ = {"__main__", "_blas", "_moved", "_version", "cli", "sklearn"}  # on top, and not part of the core
LINES, WORDS = 25, 250  # read in a minute
LINK = re.compile(r"\(\.\./((?:nice_np|tutorials)/[\w/]+\.py)\)")


def rows(text: str) -> list[tuple[int, list[Path]]]:
    """The rows of the tables: the number of the line, and the files that it links, left to right."""
    lines = enumerate(text.splitlines())
    found = ((k, [ROOT / name for name in LINK.findall(line)]) for k, line in lines if line.startswith("| "))
    return [(k, files) for k, files in found if files]


def minutes(files: list[Path]) -> int:
    """How long these files take to read: at least one minute."""
    lines, words = 0, 0
    for source in (file.read_text(encoding="utf-8") for file in files):
        prose = 0  # lines of docstrings
        for node in ast.walk(ast.parse(source)):
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if is_text and isinstance(node.value.value, str):
                words += len(node.value.value.split())
                prose += len(list(filter(str.strip, node.value.value.splitlines())))
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        words += sum(len(token.string.split()) for token in tokens if token.type == tokenize.COMMENT)
        lines += sum(1 for line in source.splitlines() if line.strip() and not line.strip().startswith("#")) - prose
    return max(1, round(lines / LINES + words / WORDS))


def imported(file: Path) -> set[Path]:
    """The files of nice_np whose names a file imports; a room's own name stands for the file that defines it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "nice_np":
            found |= {_defined_in(node.module, alias.name) for alias in node.names}
    return found - {file}


def _defined_in(module: str, name: str) -> Path:
    """Where `from module import name` finds the name."""
    folder = ROOT.joinpath(*module.split("."))
    if not folder.is_dir():
        return folder.with_suffix(".py")
    for inside in (folder / f"{name}.py", folder / name / "__init__.py"):
        if inside.exists():
            return inside
    room = folder / "__init__.py"
    for node in ast.walk(ast.parse(room.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            return _defined_in(node.module, name)
    return room


def problems(text: str) -> list[str]:
    """What is wrong with the page, a sentence each."""
    listed = [file for _, files in rows(text) for file in files]
    place = {file: k for k, file in enumerate(listed)}
    name = {file: file.relative_to(ROOT).as_posix() for file in (ROOT / "nice_np").rglob("*.py")}
    found = [
        f"{file.relative_to(ROOT).as_posix()} is listed, and does not exist" for file in listed if not file.exists()
    ]
    found += [f"{name[file]} is listed twice" for file in sorted(place) if listed.count(file) > 1]
    core = {file for pattern in CORE for file in (ROOT / "nice_np").glob(pattern) if file.stem != "__init__"}
    core -= {ROOT / "nice_np" / f"{stem}.py" for stem in NOT_READ}
    found += [f"{name[file]} is part of the core, and not listed" for file in sorted(core - set(listed))]
    for file in (file for file in listed if file.exists()):
        later = [needed for needed in sorted(imported(file)) if place.get(needed, -1) > place[file]]
        found += [f"{name[file]} needs {name[needed]}, which is listed after it" for needed in later]
    return found


def minutes_off(text: str) -> list[str]:
    """Rows whose minutes are a quarter off, and more than one."""
    lines, found = text.splitlines(), []
    for k, files in rows(text):
        written, measured = lines[k].split("|")[-2].strip(), minutes(files)
        if not written.isdigit() or abs(int(written) - measured) > max(1, measured / 4):
            found.append(f"line {k + 1}: {written} minutes, measured {measured}; run python scripts/reading_order.py")
    return found


def with_minutes(text: str) -> str:
    """The page with the measured minutes in the last column, and their sum below each table."""
    lines, total = text.splitlines(), 0
    files_of = dict(rows(text))
    for k, line in enumerate(lines):
        if line.startswith("## "):
            total = 0
        elif k in files_of:
            measured = minutes(files_of[k])
            total += measured
            lines[k] = "|".join([*line.split("|")[:-2], f" {measured} ", ""])
        elif line.startswith("| **together**"):
            lines[k] = "|".join([*line.split("|")[:-2], f" **{total}** ", ""])
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    if sys.argv[1:] != ["--check"] and not problems(page):
        PAGE.write_text(with_minutes(page), encoding="utf-8", newline="\n")
        page = with_minutes(page)
    wrong = problems(page) or minutes_off(page)
    print("\n".join(wrong) or "docs/find_your_way.md: every file comes after those that it needs")
    sys.exit(1 if wrong else 0)

"""Tutorials as lists of cells: exercises, checks and where the notebooks for students are."""

from __future__ import annotations

import ast
import json
import re
from contextlib import suppress
from pathlib import Path

from nice_np.errors import NiceFileError

EXERCISE = re.compile(r"# Exercise (\d+): (.+)")
CHECK = re.compile(r"# Check of exercise (\d+)")
USES = re.compile(r"# Uses exercise (\d+)")
DEFINITIONS = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
SOLUTION = re.compile(
    r"^(?P<indent> *)### BEGIN SOLUTION: (?P<todo>.+)\n(?P<lines>(?:.*\n)*?) *### END SOLUTION *$", re.MULTILINE
)


def folder() -> Path:
    """The notebooks for students: in an installed package inside it, in a checkout among the tutorials."""
    inside = Path(__file__).parent / "tutorials"
    return inside if inside.exists() else Path(__file__).parents[2] / "tutorials" / "exercises"


def tutorials() -> dict[str, Path]:
    """Name -> notebook for students, in order."""
    return {path.stem: path for path in sorted(folder().glob("[0-9][0-9]_*.ipynb"))}


def read(path: Path) -> tuple[list[str], str]:
    """The sources of a notebook's code cells, without the answers of a solved one, and its tutorial's name or ""."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
        return sources, str(notebook["metadata"].get("tutorial", ""))
    except OSError as error:
        raise NiceFileError(f"{path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NiceFileError(f"{path}: cannot be read as a notebook of version 4") from None


def number(pattern: re.Pattern[str], source: str) -> int | None:
    """The exercise that the first line of a code cell names, or None."""
    match = pattern.match(source)
    return int(match[1]) if match else None


def numbered(pattern: re.Pattern[str], sources: list[str]) -> dict[int, str]:
    """The cells whose first line names an exercise; if there are several for one exercise, the last."""
    return {k: source for source in sources if (k := number(pattern, source)) is not None}


def unsolved(source: str) -> str:
    """An exercise's source with every solution replaced by an error that says what to do."""
    return SOLUTION.sub(
        lambda m: f"{m['indent']}raise NotImplementedError({_quoted('TODO: ' + m['todo'].strip())})", source
    )


def _quoted(text: str) -> str:
    """The text as a Python string, in double quotes where that needs no backslash."""
    return f'"{text}"' if not set(text) & set('"\\') else repr(text)


def parsed(source: str) -> ast.Module | None:
    with suppress(SyntaxError, ValueError, RecursionError):
        return ast.parse(source)
    return None


def names_in(tree: ast.AST) -> tuple[set[str], set[str]]:
    """The names that a statement uses, and those that it defines or changes: f = ..., f[0] = ..., f.x = ..."""
    nodes = list(ast.walk(tree))
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    stored = [node for node in nodes if isinstance(getattr(node, "ctx", None), ast.Store)]
    defined = {name.id for node in stored for name in ast.walk(node) if isinstance(name, ast.Name)}
    mine = {
        node.arg for node in nodes if isinstance(node, ast.arg)
    } | defined  # local names, or made by the cell itself
    return used - mine if isinstance(tree, (ast.Module, *DEFINITIONS)) else used, defined

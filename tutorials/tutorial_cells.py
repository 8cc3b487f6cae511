"""Notebooks as cells: exercises and checks, how a solved notebook becomes its unsolved twin, problems in a notebook.

# Exercise 2: the inverse         the first line of an exercise: functions or classes for the reader to complete
### BEGIN SOLUTION: return x (N, D)      the twin raises this as a TODO instead of the lines up to
### END SOLUTION
# Check of exercise 2             the first line of the check that follows it, with asserts
# Uses exercise 2                 the first line of any other cell that needs the solution, such as a figure
"""

from __future__ import annotations

import ast
import platform
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from nice_np.grading.notebooks import CHECK, EXERCISE, SOLUTION, USES, unsolved

FOLDER = Path(__file__).resolve().parent
EXERCISES = FOLDER / "exercises"
LIMIT = 300_000  # bytes of a notebook with its outputs

TIMES = re.compile(r"(Reading\s+time:\s+about\s+)\d+(\s+minutes,\s+exercises:\s+about\s+)\d+(\s+minutes)")
TIME = re.compile(r"^### Exercise \d+: (\d+) minutes$", re.MULTILINE)
MARKER = "### (BEGIN|END) SOLUTION"
PLACES = re.compile(r"/(home|root|tmp|usr|var|opt|work|Users|mnt)/|[A-Z]:\\\\")

NOTE = """\
> This is the copy with exercises. Complete the cells that begin with `# Exercise`, and run the check below each.
> `nice-np grade` with the path of this file says how many are correct.
"""


def solved_notebooks() -> list[Path]:
    """The solved notebooks, in the order of their numbers."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))


def read(path: Path) -> NotebookNode:
    """A notebook of version 4."""
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook; nbformat validates it."""
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def number(pattern: re.Pattern[str], cell: NotebookNode) -> int | None:
    """The exercise that the first line of a code cell names, or None."""
    match = pattern.match(cell.source) if cell.cell_type == "code" else None
    return int(match[1]) if match else None


def numbered(pattern: re.Pattern[str], notebook: NotebookNode) -> dict[int, NotebookNode]:
    """The cells whose first line names an exercise; if there are several for one exercise, the last."""
    return {k: cell for cell in notebook.cells if (k := number(pattern, cell)) is not None}


def minutes(notebook: NotebookNode) -> tuple[int, int]:
    """Minutes for reading and for the exercises, rounded to five.

    A minute for 150 words of text, for 100 words of code that is not part of an exercise, for each displayed formula
    and for each figure; for each exercise the minutes in its heading, "### Exercise 2: 20 minutes", or 15.
    """
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    given = [cell.source for cell in code_cells(notebook) if number(EXERCISE, cell) is None]
    formulas = sum(text.count("$$") // 2 for text in texts)
    figures = sum("plt.show()" in source for source in given)
    reading = words(texts) / 150 + words(given) / 100 + formulas + figures
    stated = [int(m) for text in texts for m in TIME.findall(text)]
    exercises = sum(stated) + 15 * (len(numbered(EXERCISE, notebook)) - len(stated))
    return 5 * round(reading / 5), exercises


def words(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)


def tidy(notebook: NotebookNode, name: str) -> NotebookNode:
    """The same cells and outputs, with times and metadata that depend only on them, with those of nbgrader."""
    notebook = deepcopy(notebook)
    reading, exercises = minutes(notebook)
    notebook.cells[0].source = TIMES.sub(rf"\g<1>{reading}\g<2>{exercises}\g<3>", notebook.cells[0].source)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
            "tutorial": name,
        }
    )
    for k, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{k:02d}"
        cell.metadata = nbformat.from_dict(_nbgrader(cell))
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The outputs with adjacent pieces of printed text joined: where a kernel splits them is arbitrary."""
    joined: list[NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if output.get("name") and output.get("name") == before.get("name"):
            before["text"] += output.text
        else:
            joined.append(output)
    return joined


def _nbgrader(cell: NotebookNode) -> dict[str, object]:
    exercise, check = number(EXERCISE, cell), number(CHECK, cell)
    common = {"schema_version": 3, "task": False}
    if exercise is not None:
        own = {"grade_id": f"exercise-{exercise}", "grade": False, "solution": True, "locked": False}
    elif check is not None:
        own = {"grade_id": f"check-{check}", "grade": True, "solution": False, "locked": True, "points": 1}
    else:
        return {}
    return {"nbgrader": common | own}


def twin(solved: NotebookNode) -> NotebookNode:
    """The notebook for the reader: solutions and outputs removed, everything else unchanged."""
    notebook = deepcopy(solved)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
        cell.source = unsolved(cell.source)
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(NOTE.strip(), id="note"))
    return notebook


def problems(solved: NotebookNode) -> Iterator[str]:
    """What an author has to fix, one line each."""
    order = [
        (kind, k)
        for cell in code_cells(solved)
        for kind, pattern in (("exercise", EXERCISE), ("check", CHECK))
        if (k := number(pattern, cell)) is not None
    ]
    expected = [(kind, k) for k in range(1, len(order) // 2 + 1) for kind in ("exercise", "check")]
    if order != expected:
        yield f"exercises must be numbered from 1, each followed by its check; found {order}"
    if not TIMES.search(solved.cells[0].source):
        yield "the first cell lacks 'Reading time: about 0 minutes, exercises: about 0 minutes', which build.py counts"
    for at, cell in enumerate(solved.cells, start=1):
        for problem in (*_problems_of_source(cell), *_problems_of_outputs(cell)):
            yield f"cell {at}: {problem}"


def _problems_of_source(cell: NotebookNode) -> Iterator[str]:
    markers, solutions = re.findall(MARKER, cell.source), list(SOLUTION.finditer(cell.source))
    exercise = number(EXERCISE, cell)
    if len(markers) != 2 * len(solutions) or any(re.search(MARKER, m["lines"]) for m in solutions):
        yield "### BEGIN SOLUTION: (what to return) and ### END SOLUTION do not pair up"
    elif bool(solutions) != (exercise is not None):
        yield "solutions belong in a cell that begins with '# Exercise N: title', and such a cell needs one"
    elif exercise is not None:
        rest = unsolved(cell.source)
        if max(map(len, rest.splitlines())) > 120:
            yield "the TODO is longer than a line of 120"
        outside = ast.Module([n for n in ast.parse(rest).body if isinstance(n, ast.Raise)], [])
        if outside.body:
            yield "a solution must be inside a function, so that the unsolved cell itself runs"
    elif re.match(r"#\s*(exercise|check|uses)", cell.source, re.IGNORECASE) and cell.cell_type == "code":
        if not (CHECK.match(cell.source) or USES.match(cell.source)):
            yield "the first line is neither '# Check of exercise N' nor '# Uses exercise N'"
        elif CHECK.match(cell.source) and not re.search(r"\bassert\b|raise_if_failed", cell.source):
            yield "a check without an assert"


def _problems_of_outputs(cell: NotebookNode) -> Iterator[str]:
    for output in cell.get("outputs", []):
        if output.output_type == "error" or output.get("name") == "stderr":
            yield f"an error or a warning among the outputs: {str(output)[:200]}"
        text = "".join(v for k, v in _texts(output) if not k.startswith("image/"))
        if PLACES.search(text) or (len(platform.node()) > 4 and platform.node() in text):
            yield f"a path or a name of this machine among the outputs: {text[:200]}"


def _texts(output: NotebookNode) -> Iterator[tuple[str, str]]:
    yield "text", output.get("text", "")
    for kind, value in output.get("data", {}).items():
        yield kind, value if isinstance(value, str) else str(value)

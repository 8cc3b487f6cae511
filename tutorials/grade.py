"""Grade a reader's notebook: python tutorials/grade.py NOTEBOOK [NOTEBOOK ...]

The cells of the solved notebook run in a fresh kernel, with the reader's exercise cells in place of the solutions
(and any cells that the reader added before them), so the checks are always the original ones.  A file that cannot be
graded is reported, and the others are still graded.  The exit code is 0 if every exercise of every notebook passed.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode
from tutorial_cells import CHECK, EXERCISE, FOLDER, USES, code_cells, number, numbered, read, solved_notebooks, unsolved
from tutorial_kernel import Outcome, Session


class NotGraded(Exception):
    """A file that is not a notebook, or belongs to no tutorial; the message says so in one line."""


class Score(NamedTuple):
    """The result of one exercise: "passed", "failed" or "not done", and why."""

    exercise: int
    title: str
    status: str
    why: str = ""


class Grade(NamedTuple):
    """All exercises of a notebook, and notes about changed checks."""

    scores: list[Score]
    notes: list[str]

    @property
    def passed(self) -> bool:
        return all(score.status == "passed" for score in self.scores)


def reference_of(submitted: NotebookNode, path: Path) -> Path:
    """The solved notebook that belongs to a reader's copy: by its metadata, or else by its file name."""
    by_name = {solved.stem: solved for solved in solved_notebooks()}
    name = submitted.metadata.get("tutorial")
    found = by_name.get(name) or next((by_name[stem] for stem in by_name if path.name.startswith(stem)), None)
    if found is None:
        raise NotGraded(f"{path}: belongs to none of {', '.join(by_name)}; begin the file's name with one of them")
    return found


def grade(submitted: NotebookNode, reference: NotebookNode, timeout: float = 60) -> Grade:
    """Run the reader's exercises with the reference's checks; `timeout` is in seconds, for each cell."""
    theirs, added = numbered(EXERCISE, submitted), _added_cells(submitted, reference)
    setup = code_cells(reference)[0].source
    scores, said = [], {}  # said[k]: errors of the reader's own cells of exercise k
    with Session(timeout) as session:
        for cell in code_cells(reference):
            exercise, check = number(EXERCISE, cell), number(CHECK, cell)
            if exercise is not None:
                own = [*added.get(exercise, []), theirs[exercise].source] if exercise in theirs else []
                said[exercise] = [outcome for source in own if (outcome := session.run(source)).error]
            elif check is not None:
                title = EXERCISE.match(numbered(EXERCISE, reference)[check].source)[2]
                if check not in theirs:
                    scores.append(Score(check, title, "not done", f"there is no cell '# Exercise {check}: ...'"))
                    continue
                session.run(setup)  # restore the library's names, in case the reader reused them
                scores.append(_score(check, title, session.run(cell.source), said[check]))
                if check == max(numbered(CHECK, reference)):
                    break  # nothing after the last check is graded
            elif number(USES, cell) is None:
                session.run(cell.source)
    return Grade(scores, [*_changed_checks(submitted, reference)])


def _added_cells(submitted: NotebookNode, reference: NotebookNode) -> dict[int, list[str]]:
    """The code of cells that are not in the tutorial, by the exercise that follows them."""
    known = {cell.source.strip() for cell in code_cells(reference)}
    added: dict[int, list[str]] = {}
    waiting: list[str] = []
    for cell in code_cells(submitted):
        exercise = number(EXERCISE, cell)
        if exercise is not None:
            added[exercise] = added.get(exercise, []) + waiting
            waiting = []
        elif cell.source.strip() not in known and number(CHECK, cell) is None and number(USES, cell) is None:
            waiting.append(cell.source)
    return added


def _score(exercise: int, title: str, outcome: Outcome, before: list[Outcome]) -> Score:
    if not outcome.error:
        return Score(exercise, title, "passed")
    if outcome.error == "NotImplementedError" and outcome.message.startswith("TODO"):
        return Score(exercise, title, "not done", outcome.message)
    first = before[0] if before and outcome.error == "NameError" else outcome  # the cell itself failed: say so
    return Score(exercise, title, "failed", _one_line(first))


def _one_line(outcome: Outcome) -> str:
    """The most telling line of a message: in a report, that of the first failure."""
    lines = outcome.message.strip().splitlines() or [""]
    telling = [line for line in lines if line.startswith(("FAILED ", "UNDECIDED "))] or lines
    plain = outcome.error in ("AssertionError", "CheckError", "GradientError", "Stopped") and telling[0]
    return telling[0] if plain else f"{outcome.error}: {telling[0]}".rstrip(": ")


def _changed_checks(submitted: NotebookNode, reference: NotebookNode) -> list[str]:
    theirs = numbered(CHECK, submitted)
    notes = []
    for k, cell in numbered(CHECK, reference).items():
        if k not in theirs:
            notes.append(f"the check of exercise {k} was removed; the original one was used")
        elif theirs[k].source.strip() != unsolved(cell.source).strip():
            notes.append(f"the check of exercise {k} was changed; the original one was used")
    return notes


def report(path: Path, reference: Path | None, timeout: float) -> bool:
    """Grade one file and print its scores, or why there are none; True if every exercise passed."""
    try:
        submitted = opened(path)
        solved = reference or reference_of(submitted, path)
        result = grade(submitted, opened(solved), timeout)
    except NotGraded as error:
        print(error, file=sys.stderr)
        return False
    made_from = submitted.metadata.get("tutorial", solved.stem)
    if made_from != solved.stem:
        result.notes.append(f"made from {made_from}, graded by {solved.stem}")
    print(path)
    for score in result.scores:
        print(f"  exercise {score.exercise}  {score.status:<8}  {score.title}")
        print(f"              {score.why}\n" if score.why else "", end="")
    print("".join(f"  note: {note}\n" for note in result.notes), end="")
    right = sum(score.status == "passed" for score in result.scores)
    print(f"  {right} of {len(result.scores)} exercises passed", flush=True)
    return result.passed


def opened(path: Path) -> NotebookNode:
    """The notebook in a file."""
    try:
        return read(path)
    except OSError as error:
        raise NotGraded(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # nbformat raises many kinds
        raise NotGraded(f"{path}: cannot be read as a notebook: {str(error).splitlines()[0]}") from None


def seconds(text: str) -> float:
    """A positive number of seconds."""
    number_of = float(text)
    if not 0 < number_of < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0, got {text}")
    return number_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--timeout", type=seconds, default=60, help="seconds for each cell (default %(default)s)")
    parser.add_argument("--reference", type=Path, help=f"the solved notebook, by default the one in {FOLDER.name}/")
    args = parser.parse_args()
    try:
        passed = [report(path, args.reference, args.timeout) for path in args.notebooks]
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it would report the dead kernel at length
        print("stopped", file=sys.stderr)
        return 130
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())

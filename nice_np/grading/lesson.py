"""Grade many copies of one tutorial: python -m nice_np.grading.lesson JOB.json, started by `nice-np grade`.

This process runs the cells that every student has, once; then it forks for each copy.  It reads no copy itself: what
it has read would be in the memory of every fork, where a student's code could find the others' answers.  The verdict
on a copy is formed in its fork, by the original checks with the original seeds and with others that are drawn after
the student's process has been forked and locked.
"""

from __future__ import annotations

import ast
import json
import os
import secrets
import signal
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from nice_np.files.atomic import write_text
from nice_np.grading.notebooks import (
    CHECK,
    DEFINITIONS,
    EXERCISE,
    USES,
    names_in,
    number,
    numbered,
    parsed,
    read,
    unsolved,
)
from nice_np.grading.notes import of_checks, of_exercise
from nice_np.grading.remote import Stopped, Student, put_stubs


def given_names(sources: list[str], theirs: set[str]) -> dict[int, dict[str, Any]]:
    """Exercise -> the names that the notebook has defined before it, by the cells that every student has.

    Of these cells the first is run, and after it definitions, imports, and the statements whose names are used by them,
    by exercises, by checks, or by students, who use the names `theirs`.  The rest only trains, prints or draws.
    """
    graded = [source for source in sources if EXERCISE.match(source) or CHECK.match(source)]
    wanted = theirs.union(*(names_in(tree)[0] for source in graded if (tree := parsed(source))))
    kept: list[int | ast.stmt] = []
    for source in sources[::-1]:
        k = number(EXERCISE, source)
        if k is not None:
            kept.append(k)
        elif not CHECK.match(source) and not USES.match(source) and (tree := parsed(source)):
            for statement in tree.body[::-1]:
                used, defined = names_in(statement)
                if isinstance(statement, DEFINITIONS) or defined & wanted or source is sources[0]:
                    wanted |= used
                    kept.append(statement)
    names: dict[str, Any] = {"__name__": "__main__"}
    before: dict[int, dict[str, Any]] = {}
    for part in kept[::-1]:
        if isinstance(part, int):
            before[part] = dict(names)
        else:
            with suppress(Exception):  # what is of no use here, such as a measurement
                exec(compile(ast.Module([part], []), "notebook", "exec"), names)
    return before


def grade(
    sources: list[str], before: dict[int, dict[str, Any]], submitted: list[str], timeout: float
) -> dict[str, Any]:
    """The scores of one copy: {"exercises": [{"exercise", "title", "status", "why"}], "notes": [...]}."""
    theirs, added = numbered(EXERCISE, submitted), added_cells(submitted, sources)
    scores, notes, mine = [], of_checks(submitted, sources), []
    for k, cell in numbered(EXERCISE, sources).items():
        title = EXERCISE.match(cell)[2]  # type: ignore[index]
        status, why = "not done", f"there is no cell '# Exercise {k}: ...'"
        if k in theirs:
            mine += [*added.get(k, []), theirs[k]]
            notes += of_exercise(k, "\n\n".join([*added.get(k, []), theirs[k]]), cell)
            status, why = _graded(cell, theirs[k], numbered(CHECK, sources)[k], before[k], mine, timeout)
        scores.append({"exercise": k, "title": title, "status": status, "why": why})
    return {"exercises": scores, "notes": notes}


def _graded(
    cell: str, theirs: str, check: str, given: dict[str, Any], mine: list[str], timeout: float
) -> tuple[str, str]:
    """The status of an exercise, and why it is not "passed"."""
    with Student(given, mine, timeout) as student:
        names = dict(given)
        put_stubs(student, cell, names)
        try:
            written = answers_written_out(cell, theirs)
        except (ValueError, SyntaxError, RecursionError, StopIteration):
            return "failed", "the answer must be written out, return {...}, without a calculation"
        names |= written
        error = run_check(check, names, 10 * timeout)
        if error is None and with_other_seeds(check, 0) != with_other_seeds(check, 1):
            error = _at_other_seeds(check, names, 10 * timeout)
    if error is None:
        return "passed", ""
    if isinstance(error, NameError) and theirs in student.errors:
        error = student.errors[theirs]  # the cell itself failed: say so
    if isinstance(error, NotImplementedError) and str(error).startswith("TODO"):
        return "not done", str(error)
    return "failed", one_line(error)


def _at_other_seeds(check: str, names: dict[str, Any], seconds: float) -> Exception | None:
    """What a check says with seeds that nobody knew before: it must pass with the first, or else with two of three.

    Some checks compare averages of draws, and may fail by chance.
    """
    failed: list[Exception] = []
    for _ in range(3):
        error = run_check(with_other_seeds(check, secrets.randbelow(10**6) + 1000), names, seconds)
        if error is None and not failed:
            return None
        failed += [error] if error else []
        if len(failed) == 2:
            return AssertionError(f"passes with the seeds shown, but not with others: {one_line(failed[0])}")
    return None


def run_check(check: str, names: dict[str, Any], seconds: float) -> Exception | None:
    """Run a check in a copy of these names: what it raises, or None if it passes."""

    def too_late(*_: Any) -> None:
        raise Stopped(f"the check was stopped after {seconds:g} seconds")

    signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        exec(compile(check, "check", "exec"), dict(names))
    except Exception as error:
        return error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


class _Reseed(ast.NodeTransformer):
    def __init__(self, shift: int) -> None:
        self.shift = shift

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        keywords = [keyword.value for keyword in node.keywords if keyword.arg == "rng"]
        for seed in [*keywords, *(node.args if ast.unparse(node.func).endswith("default_rng") else [])]:
            if isinstance(seed, ast.Constant) and type(seed.value) is int:
                seed.value += self.shift
        return node


def with_other_seeds(check: str, shift: int) -> str:
    """A check with `shift` added to each seed: default_rng(1), rng=1."""
    return ast.unparse(_Reseed(shift).visit(ast.parse(check)))


def answers_written_out(cell: str, theirs: str) -> dict[str, Any]:
    """Functions that return what the student wrote: of an exercise whose docstring says "written out".

    Nothing is run for them, so the answer cannot be calculated from the checks; ValueError if it is no literal.
    """
    wanted = [
        node.name
        for node in ast.parse(cell).body
        if isinstance(node, ast.FunctionDef) and "written out" in (ast.get_docstring(node) or "")
    ]
    answers: dict[str, Any] = {}
    for name in wanted:
        last = next(n for n in ast.parse(theirs).body[::-1] if isinstance(n, ast.FunctionDef) and n.name == name).body[
            -1
        ]
        if not isinstance(last, ast.Raise):  # not done yet
            value = ast.literal_eval(last.value) if isinstance(last, ast.Return) and last.value else last
            answers[name] = lambda value=value: value
    return answers


def added_cells(submitted: list[str], sources: list[str]) -> dict[int, list[str]]:
    """The cells of a copy that are not in the tutorial, by the exercise that follows them."""
    known = {source.strip() for source in sources}
    added: dict[int, list[str]] = {}
    waiting: list[str] = []
    for source in submitted:
        k = number(EXERCISE, source)
        if k is not None:
            added[k] = added.get(k, []) + waiting
            waiting = []
        elif source.strip() not in known and number(CHECK, source) is None and number(USES, source) is None:
            waiting.append(source)
    return added


def one_line(error: Exception) -> str:
    """The most telling line of a message: in a report, that of the first failure."""
    lines = str(error).strip().splitlines() or [""]
    telling = [line for line in lines if line.startswith(("FAILED ", "UNDECIDED "))] or lines
    name = type(error).__name__
    plain = name in ("AssertionError", "CheckError", "GradientError", "Stopped") and telling[0]
    return (telling[0] if plain else f"{name}: {telling[0]}".rstrip(": "))[:300]


def main(job: Path) -> None:
    """Grade the files of a job, several at a time; each result is a file, and each line of output says one is there."""
    task = json.loads(job.read_text(encoding="utf-8"))
    said = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")
    sources = [unsolved(source) for source in read(Path(task["tutorial"]))[0]]
    before = given_names(sources, set(task["names"]))
    running = 0
    for k, copy in enumerate([*task["files"], *[None] * task["jobs"]]):
        if running == task["jobs"] or (copy is None and running):
            os.wait()
            running -= 1
            os.write(said, b"done\n")
        if copy is None:
            continue
        running += 1
        if os.fork() == 0:
            os.close(said)
            try:
                result = grade(sources, before, read(Path(copy))[0], task["timeout"])
                write_text(job.parent / f"{k}.json", json.dumps(result))
            finally:
                os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

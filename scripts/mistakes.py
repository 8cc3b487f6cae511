"""Plant every mistake of tests/tutorial_mistakes.py and tests/more_tutorial_mistakes.py, and table what the checks say.

    python scripts/mistakes.py             # all tutorials: writes results/mistakes.md
    python scripts/mistakes.py 03 12       # some: prints their rows

Whether the first line names the cause is judged by a reader: results/mistakes_vague.txt lists those where it does not.
"""

import sys
import warnings
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tutorials")]

import tutorial_cells as cells  # noqa: E402
from more_tutorial_mistakes import IN_PLACE, NEW  # noqa: E402
from tutorial_mistakes import MISTAKES  # noqa: E402

from nice_np.grading.lesson import given_names, one_line, run_check  # noqa: E402
from nice_np.grading.notebooks import CHECK, EXERCISE, numbered  # noqa: E402

FORK = get_context("fork")
KINDS = {"known": MISTAKES, "in place": IN_PLACE, "new": NEW}
VAGUE = ROOT / "results" / "mistakes_vague.txt"  # lines "03.2 what"
HEAD = """\
# Mistakes in the exercises

Each row is one mistake, planted in the solution of one exercise, whose check is then run as in the notebook. *Known*:
those of [teaching.md](../docs/teaching.md), for which the checks were written. *In place*: the caller's input, incoming
gradient or cache is changed, wherever an exercise makes that possible. *New*: thought up from the exercises' texts when
the checks were finished. *Cause*: whether the first line leads to what is wrong; a reader judged
each, strictly: a line that only says by how much a result is off does not.

```
python scripts/mistakes.py
```
"""


def plant(path: Path) -> list[tuple[str, ...]]:
    """(kind, exercise, mistake, first line or "" if nothing is said) of every mistake in one tutorial."""
    sources = [cell.source for cell in cells.code_cells(cells.read(path))]
    solved, checks = numbered(EXERCISE, sources), numbered(CHECK, sources)
    with redirect_stdout(None):
        before = given_names(sources, set())
    rows = []
    for kind, mistakes in KINDS.items():
        for exercise, tried in mistakes.get(path.stem, {}).items():
            for what, right, wrong in tried:
                assert solved[exercise].count(right) == 1, (path.stem, exercise, right)
                run = [source for k, source in solved.items() if k < exercise]
                run.append(solved[exercise].replace(right, wrong))
                said: Any = FORK.SimpleQueue()  # a process of its own, as cells may change what is given
                FORK.Process(target=check, args=[before[exercise], run, checks[exercise], said]).start()
                rows.append((kind, f"{path.stem[:2]}.{exercise}", what, said.get()))
    return rows


def check(names: dict[str, Any], run: list[str], cell: str, said: Any) -> None:
    """Send the first line of what a check says after these cells; nothing if it passes."""
    warnings.simplefilter("ignore")
    for source in run:
        exec(source, names)
    with redirect_stdout(None):
        error = run_check(cell, names, 60)
    said.put(one_line(error) if error else "")


def table(rows: list[tuple[str, ...]]) -> str:
    """The counts and the table."""
    vague = set(VAGUE.read_text(encoding="utf-8").splitlines())
    full = [(*row[:3], row[3] != "", f"{row[1]} {row[2]}" not in vague, row[3]) for row in rows]
    lines = ["| | mistakes | caught | first line names the cause |", "|---|---|---|---|"]
    for kind in [*KINDS, "all"]:
        some = [row for row in full if kind in (row[0], "all")]
        caught, named = sum(row[3] for row in some), sum(row[3] and row[4] for row in some)
        lines.append(
            f"| {kind} | {len(some)} | {caught} ({caught / len(some):.1%}) | {named} ({named / len(some):.1%}) |"
        )
    lines += ["", "| exercise | kind | mistake | caught | cause | the check says |", "|---|---|---|---|---|---|"]
    for kind, exercise, what, caught, named, said in full:
        yes = "yes" if caught and named else "no"
        quoted = f"`{said}`".replace("|", "\\|") if said else ""
        lines.append(f"| {exercise} | {kind} | {what} | {'yes' if caught else '**no**'} | {yes} | {quoted} |")
    return "\n".join(lines) + "\n"


def main(wanted: list[str]) -> None:
    paths = [path for path in cells.solved_notebooks() if not wanted or path.stem[:2] in wanted]
    rows = [row for path in paths for row in plant(path)]
    if wanted:
        print(table(rows))
    else:
        (ROOT / "results" / "mistakes.md").write_text(f"{HEAD}\n{table(rows)}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

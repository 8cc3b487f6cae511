"""The results as a table and a page, with the reason why each survivor is harmless."""

from __future__ import annotations

import platform
import time
from collections import Counter, defaultdict
from pathlib import Path

from children import KILLED, SURVIVED, TIMED_OUT, UNCOVERED
from operators import Mutant
from reach import BUDGET, ROOT

PAGE = ROOT / "results" / "mutation.md"
REASONS = Path(__file__).with_name("survivors.txt")
INTRODUCTION = """# Can the tests fail?  Mutants of the mathematical core

`{command}`, {date}, Python {python}, one core.

A mutant is the package with one small change: `+` for `-`, a sum that becomes a mean, a condition negated, an
update left out.  [operators.py](../scripts/mutation/operators.py) names the changes; they are made in every line of the
files below that computes, not in texts and type hints.  The tests that reach the line then run until one fails: the
mutant is killed.  One that no test notices is either no error or a gap in the tests, so each survivor is listed with
the reason why it is harmless.  Those that never end have timed out, which a test would notice.

Of the tests that reach a line, all those written for its file run first, then the quickest of the
others, up to {budget:.0f} seconds in total.  So a survivor may be seen by a slower test, and
one that is killed is seen by a quick one or by a test of its own file."""


def keys_of(mutants: list[Mutant], lines: list[str]) -> list[str]:
    """A name for each mutant of a file, the same when lines above it come and go or its comment changes."""
    seen: Counter[str] = Counter()
    keys = []
    for mutant in mutants:
        code = lines[mutant.line - 1].split("  # ")[0].strip()
        key = f"{mutant.file} | {code} | {mutant.what}"
        seen[key] += 1
        keys.append(key if seen[key] == 1 else f"{key} | {seen[key]}")
    return keys


def table(outcomes: dict[str, Counter[str]]) -> list[str]:
    """Markdown: one row per file, and one for each room and for all."""
    rows = [
        "| file | mutants | killed | timed out | survived | no test reaches it | killed or timed out |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for file, counts in outcomes.items():
        rows.append(_row(f"`{file}`", counts))
        groups[file.split("/")[0] + "/"].update(counts)
        groups["all"].update(counts)
    rooms = ("bijectors/", "networks/", "vae/", "all")
    return rows + [_row(f"**{name}**", groups[name]) for name in rooms if name in groups]


def _row(name: str, counts: Counter[str]) -> str:
    total = counts.total()
    share = (counts[KILLED] + counts[TIMED_OUT]) / total
    numbers = (total, *(counts[kind] for kind in (KILLED, TIMED_OUT, SURVIVED, UNCOVERED)), f"{100 * share:.1f} %")
    return f"| {name} | {' | '.join(map(str, numbers))} |"


def reasons() -> dict[str, str]:
    """Key -> why this mutant may survive: lines of the text file, each below its reason."""
    found, reason = {}, ""
    for line in REASONS.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            reason = line[2:]
        elif line.strip():
            found[line.strip()] = reason
    return found


def page(mutants: dict[str, Mutant], results: dict[str, str], command: str) -> str:
    """The report in Markdown."""
    why, rows, kinds = reasons(), defaultdict(list), Counter()
    for key, mutant in mutants.items():
        if results[key] not in (KILLED, TIMED_OUT):
            reason = why.get(key, "unexplained")
            cells = (f"`{mutant.file}`:{mutant.line}", _code(key.split(" | ")[1]), _code(mutant.what))
            rows[reason].append(f"| {' | '.join(cells)} |")
            kinds[reason.split(":")[0]] += 1
    facts = {"date": time.strftime("%Y-%m-%d"), "python": platform.python_version(), "budget": BUDGET}
    parts = [INTRODUCTION.format(command=command, **facts)]
    parts += ["## Killed and not", "\n".join(table(counted(mutants, results)))]
    parts += ["## Those that survive", ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()) + "."]
    for reason in sorted(rows):
        head = [f"{reason[0].upper()}{reason[1:]}.", "", "| line | code | change |", "|---|---|---|"]
        parts.append("\n".join(head + rows[reason]))
    return "\n\n".join(parts) + "\n"


def _code(text: str) -> str:
    short = text if len(text) <= 100 else f"{text[:58]} ... {text[-38:]}"
    return "`" + short.replace("|", "\\|") + "`"


def counted(mutants: dict[str, Mutant], results: dict[str, str]) -> dict[str, Counter[str]]:
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for key, mutant in mutants.items():
        outcomes[mutant.file][results[key]] += 1
    return outcomes

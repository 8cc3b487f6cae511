"""The results as a table, for the terminal and in Markdown, and as a JSON file with every number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.result import Result, Row

HEAD = ("", "median", "quartiles", "of nice_np", "of ideal", "")
Cells = tuple[str, ...]


def table(result: Result) -> str:
    """A case in Markdown, its columns aligned so that it reads well on a terminal, too."""
    rows = [cells(row, result) for row in result.rows]
    if result.ideal is not None:
        rows.append(("ideal", number(result.ideal), "", ratio(result.ideal, reference(result)), "", ""))
    head = (HEAD[0], f"{result.unit}, {HEAD[1]}", *HEAD[2:])
    used = [k for k in range(len(head)) if any(row[k] for row in rows)]
    lines = [[row[k] for k in used] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [aligned(line, widths) for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([f"### {result.title}", "", *text, "", *result.notes])


def cells(row: Row, result: Result) -> Cells:
    """A row as text."""
    if row.median is None or row.q1 is None or row.q3 is None:
        return (row.name, "-", "", "", "", row.note)
    counted = f"{row.rounds} x {row.calls}"
    return (
        row.name,
        number(row.median),
        f"{number(row.q1)} to {number(row.q3)} ({counted})",
        ratio(row.median, reference(result)),
        ratio(row.median, result.ideal),
        row.note,
    )


def reference(result: Result) -> float | None:
    """nice_np's own number, where there is one with just this name."""
    return next((row.median for row in result.rows if row.name == "nice_np"), None)


def number(value: float) -> str:
    """Three digits, never in powers of ten."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}"


def ratio(value: float, to: float | None) -> str:
    return "" if to is None else f"{value / to:.2f}"


def aligned(line: list[str], widths: list[int]) -> str:
    return "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"


def write(folder: Path, machine: dict[str, Any], settings: dict[str, Any], results: dict[str, Result]) -> None:
    """benchmarks.json and benchmarks.md in `folder`, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = {name: result.as_dict() for name, result in results.items()}
    everything = {"machine": machine, "settings": settings, "cases": cases}
    (folder / "benchmarks.json").write_text(json.dumps(everything, indent=2) + "\n", encoding="utf-8")
    tables = "\n\n".join(table(result) for result in results.values())
    (folder / "benchmarks.md").write_text(f"## Benchmarks\n\n{sentence(machine)}\n\n{tables}\n", encoding="utf-8")


def sentence(machine: dict[str, Any]) -> str:
    """The machine in two lines."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    return f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, {machine['date']}.\n{versions}."

"""Run the headline commands as they are printed, and compare what they give with what is printed beside them:

    python scripts/headlines.py             all of them, two hours: before a release
    python scripts/headlines.py --quick     those that take seconds, as CI does
    python scripts/headlines.py --only RE   those that match the regular expression RE
    python scripts/headlines.py --list      only show them

The commands and figures are read from the pages.  In a table, a row that begins with a command in code gives its
figures: log-likelihoods and bits/dim must agree within 0.5 %, label accuracy within half a point, steps exactly.  The
examples of `nice-np --help` run one after the other in one folder and must end without an error; without a figure of
seconds they are quick unless they train on MNIST, or read such a run.  `nice-np play`, which opens a window, is left
out, and with --quick so are data sets that are not at hand.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nice_np.commands import EXAMPLES

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "results/README.md", "results/vae.md")
QUICK = 20.0  # seconds
TOLERANCE = 0.005  # of a log-likelihood or bits/dim
COLUMNS = {  # of the tables: the score and split in metrics.json
    "nats": ("log_likelihood", "test"),
    "bits/dim": ("bits_per_dim", "test"),
    "train": ("log_likelihood", "train"),
    "validation": ("log_likelihood", "validation"),
    "test (nats)": ("log_likelihood", "test"),
    "test (bits/dim)": ("bits_per_dim", "test"),
    "test label accuracy": ("accuracy", "test"),
    "ELBO, train": ("elbo", "train"),
    "ELBO, validation": ("elbo", "validation"),
    "ELBO, test": ("elbo", "test"),
    "bits/dim of the ELBO": ("bits_per_dim", "test"),
    "steps": ("steps", ""),
}


@dataclass
class Headline:
    """A command and the figures that are printed beside it: (page, column, number)."""

    command: str
    figures: list[tuple[str, str, float]] = field(default_factory=list)
    seconds: float | None = None  # as printed

    @property
    def is_quick(self) -> bool:
        """Whether it takes seconds."""
        if self.seconds is not None:
            return self.seconds <= QUICK
        words = shlex.split(self.command)
        return words[1] != "demo" and not any(Path(word).name == "mnist" for word in words)


def in_tables(page: str, text: str) -> list[Headline]:
    """The rows of Markdown tables that begin with `nice-np ...`, with their numbers by column."""
    found: list[Headline] = []
    header: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        command = re.match(r"`(nice-np [^`]+)`", cells[0]) if cells else None
        if not cells:
            header = []
        elif not header:
            header = cells
        elif command is not None:
            numbers = {name: number(cell) for name, cell in zip(header, cells, strict=True)}
            figures = [(page, name, value) for name, value in numbers.items() if name in COLUMNS and value is not None]
            found.append(Headline(command[1], figures, numbers.get("seconds")))
    return found


def number(cell: str) -> float | None:
    """The number at the beginning of a cell: "2,040.40 +- 3.8" is 2040.4, "95.30 %" is 0.953."""
    match = re.match(r"-?\d[\d,]*(\.\d+)?", cell)
    if match is None:
        return None
    return float(match[0].replace(",", "")) / (100 if cell.endswith("%") else 1)


def of_pages() -> list[Headline]:
    """The headlines of all pages, each command once."""
    merged: dict[str, Headline] = {}
    for page in PAGES:
        for row in in_tables(page, (ROOT / page).read_text(encoding="utf-8")):
            known = merged.setdefault(row.command, row)
            if known is not row:
                known.figures += row.figures
                known.seconds = row.seconds if known.seconds is None else known.seconds
    return list(merged.values())


def of_help() -> list[Headline]:
    """The examples of `nice-np --help`."""
    commands = [re.split(r"\s{2,}", line.strip())[0] for line in EXAMPLES.splitlines()[1:]]
    return [Headline(command) for command in commands if command != "nice-np play"]


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in a folder, by this Python."""
    words = [sys.executable, "-m", "nice_np", *shlex.split(command)[1:]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def differences(figures: list[tuple[str, str, float]], metrics: dict[str, Any]) -> list[str]:
    """One line for each printed figure that is not what was found."""
    lines = []
    for page, column, printed in figures:
        name, split = COLUMNS[column]
        found = metrics[name][split] if split else metrics[name]
        allowed = {"steps": 0.0, "accuracy": 0.005}.get(name, TOLERANCE * abs(printed))
        if not abs(found - printed) <= allowed:
            lines.append(f"{page}, {column}: printed {printed:g}, found {found:.6g}, allowed +- {allowed:.3g}")
    return lines


def check(headline: Headline, folder: Path, quick: bool) -> str:
    """Run one command; "ok", "left out: ..." or "FAILED: ..."."""
    child = run(headline.command, folder)
    if child.returncode != 0:
        why = child.stderr.strip().splitlines()[-1] if child.stderr.strip() else f"exit code {child.returncode}"
        not_there = quick and re.search(r"cannot download|needs pooch|^nice-np: error: no \S+.* in ", why)
        return f"{'left out' if not_there else 'FAILED'}: {why}"
    if not headline.figures:
        return "ok"
    (metrics,) = folder.glob("runs/*/metrics.json")
    lines = differences(headline.figures, json.loads(metrics.read_text(encoding="utf-8")))
    return "\n    ".join(["FAILED:", *lines]) if lines else f"ok, {len(headline.figures)} figures"


def main() -> int:
    """Run what is asked for; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only commands that take seconds")
    parser.add_argument("--only", default="", metavar="RE", help="only commands that match")
    parser.add_argument("--list", action="store_true", help="show the commands, run nothing")
    arguments = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as together:
        for k, (headline, alone) in enumerate([*((h, True) for h in of_pages()), *((h, False) for h in of_help())]):
            if (arguments.quick and not headline.is_quick) or not re.search(arguments.only, headline.command):
                continue
            if arguments.list:
                print(f"{headline.command:<60} {len(headline.figures)} figures{', quick' * headline.is_quick}")
                continue
            folder = Path(together) / (str(k) if alone else "help")
            folder.mkdir(exist_ok=True)
            began = time.monotonic()
            verdict = check(headline, folder, arguments.quick)
            failed += verdict.startswith("FAILED")
            print(f"{time.monotonic() - began:6.0f} s  {headline.command}: {verdict}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

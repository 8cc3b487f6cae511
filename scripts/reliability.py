"""Measure the figures of docs/reliability.md and write them there.

python scripts/reliability.py                   errors and counts of cases, a minute
python scripts/reliability.py --tally FILE      and the counts of faults that a long run of the tests has collected

A figure stands between two comments, <!--name-->figure<!---->; this script fills in what is between them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
FIGURE = re.compile(r"<!--([\w ,-]+)-->([^<]*)<!---->")
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "reliability")]


def small(value: float) -> str:
    """Two digits, 2.4e-08."""
    return f"{value:.1e}"


def mutants() -> tuple[int, int]:
    """How many mutants scripts/mutation has planted in the core, and how many of them the tests noticed."""
    text = (ROOT / "results" / "mutation.md").read_text(encoding="utf-8")
    planted, killed, timed_out = map(int, re.findall(r"\| \*\*all\*\* \| (\d+) \| (\d+) \| (\d+) ", text)[0])
    return planted, killed + timed_out


def seconds_of_help() -> str:
    """Processor time, the fastest of five: wall time would depend on what else the machine does."""
    seconds = []
    for _ in range(5):
        start = os.times()
        subprocess.run([sys.executable, "-m", "nice_np", "--help"], check=True, capture_output=True, cwd=ROOT)
        end = os.times()
        seconds.append(end.children_user + end.children_system - start.children_user - start.children_system)
    return f"{min(seconds):.2f}"


def measurements() -> dict[str, Callable[[], str]]:
    """Name -> what measures it and writes it down."""
    import measures as m
    from registry import BIJECTORS, CONDITIONERS, PRIORS

    names = [*BIJECTORS, *CONDITIONERS, *PRIORS]
    return {
        "gradient": lambda: small(m.gradient_errors(0, names)[0]),
        "gradient share": lambda: f"{m.gradient_errors(0, names)[1]:.0%}",
        "log-det": lambda: small(m.log_det_error(0)),
        "integral": lambda: small(
            max(m.integral_error(0, law, p) for law in ("additive", "affine", "multiplicative") for p in PRIOR_NAMES)
        ),
        "differing elements": lambda: str(m.second_backward_differs(0)),
        "float32 gradient": lambda: small(max(map(m.float32_gradient_error, range(100)))),
        "inverse float32": lambda: f"{max(m.inverse_error(seed, np.float32) for seed in range(10)):.1f}",
        "inverse float64": lambda: f"{max(m.inverse_error(seed, np.float64) for seed in range(10)):.1f}",
        "deep": lambda: f"{max(map(deep, range(30))):.1f}",
        "planted errors": lambda: f"{mutants()[0]:,}",
        "noticed errors": lambda: f"{mutants()[1]:,}",
        "help": seconds_of_help,
        "notebooks": lambda: str(len(list((ROOT / "tutorials").glob("[0-9]*.ipynb")))),
    }


PRIOR_NAMES = ("normal", "logistic")


def deep(seed: int) -> float:
    """The largest round-trip error in both dtypes at one depth and scale; thirty seeds cover all of them twice."""
    from measures import DEPTHS, SCALES, deep_round_trip_error

    depth, scale = DEPTHS[seed % len(DEPTHS)], SCALES[seed // len(DEPTHS) % len(SCALES)]
    return max(deep_round_trip_error(seed, dtype, depth, scale) for dtype in (np.float32, np.float64))


def rows(text: str) -> list[tuple[str, str, str]]:
    """The rows of all tables of promises: promise, tests, measured."""
    cells = [re.split(r" \| ", line[2:-2]) for line in text.splitlines() if line.startswith("| ")]
    return [(row[0], row[1], row[2]) for row in cells if len(row) == 3 and row[0] != "promise"]


def collected(files: set[str]) -> Counter[tuple[str, str]]:
    """How many cases pytest finds for each (file, test) in the named files."""
    paths = [path for name in sorted(files) for path in (ROOT / "tests").rglob(name)]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", *map(str, paths)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return Counter(re.findall(r"^tests/(?:\w+/)?(test_\w+\.py)::(test_\w+)", found, re.MULTILINE))


def cases(tests: str, found: Counter[tuple[str, str]]) -> int:
    """The cases of a row."""
    return sum(found[test] for test in TEST.findall(tests))


def tallied(path: Path) -> Counter[str]:
    """The totals of what the tests have noted, one JSON object per line."""
    total: Counter[str] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        total.update(json.loads(line))
    return total


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure the figures of docs/reliability.md and write them there.")
    parser.add_argument("--tally", type=Path, metavar="FILE", help="what NICE_NP_TALLY=FILE has collected")
    arguments = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    figures = {name: measure() for name, measure in measurements().items()}
    if arguments.tally is not None:
        figures |= {name: f"{count:,}" for name, count in tallied(arguments.tally).items()}
    for name, figure in figures.items():
        print(f"{name:<60} {figure}")
    found = collected({file for file, _ in TEST.findall(text)})

    def filled(line: str) -> str:
        values = {**figures, "cases": str(cases(line, found))}
        return FIGURE.sub(lambda match: f"<!--{match[1]}-->{values.get(match[1], match[2])}<!---->", line)

    PAGE.write_text("\n".join(map(filled, text.split("\n"))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

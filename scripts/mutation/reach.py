"""Which tests execute which lines of the core, and how long each takes."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from operators import Mutant

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "nice_np"
CORE = ("bijectors/*.py", "flows/priors.py", "networks/*.py", "training/optim.py", "training/schedules.py", "vae/*.py")
BUDGET = 8.0  # seconds, traced: so much of the tests that reach a mutant, quickest first; a survivor runs them all


def core_files() -> list[Path]:
    return sorted(file for pattern in CORE for file in PACKAGE.glob(pattern) if file.name != "__init__.py")


class Reach:
    """A pytest plugin: which tests execute which lines of the core, and how long each takes."""

    def __init__(self, files: Iterable[Path], store: Path) -> None:
        self.names = {str(file): file.relative_to(PACKAGE).as_posix() for file in files}
        self.lines: dict[str, dict[str, set[int]]] = {}  # test -> file -> lines
        self.seconds: dict[str, float] = {}
        self.store = store
        self.load()

    def load(self) -> None:
        if self.store.exists():
            saved = json.loads(self.store.read_text(encoding="utf-8"))
            self.seconds = saved["seconds"]
            self.lines = {t: {f: set(ls) for f, ls in fs.items()} for t, fs in saved["lines"].items()}

    def save(self) -> None:
        lines = {test: {file: sorted(of) for file, of in files.items()} for test, files in self.lines.items()}
        self.store.write_text(json.dumps({"seconds": self.seconds, "lines": lines}), encoding="utf-8")

    def forget_others(self, tests: Iterable[str]) -> None:
        """Drop tests that no longer exist."""
        self.lines = {test: self.lines[test] for test in tests}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        reached: dict[str, set[int]] = defaultdict(set)

        def trace(frame: Any, event: str, argument: Any) -> Any:
            name = self.names.get(frame.f_code.co_filename)
            if name is None:
                return None
            reached[name].add(frame.f_lineno)

            def line(frame: Any, event: str, argument: Any) -> Any:
                reached[name].add(frame.f_lineno)
                return line

            return line

        start = time.process_time()
        threading.settrace(trace)
        sys.settrace(trace)
        yield
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        self.seconds[item.nodeid] = time.process_time() - start
        self.lines[item.nodeid] = reached

    def tests_for(self, mutant: Mutant) -> list[str]:
        """The tests that may notice a mutant, quickest first."""
        everywhere = mutant.imported and mutant.line in mutant.lines  # an attribute of a class or module
        mirror = mirror_of(mutant.file)
        chosen = [
            test
            for test, files in self.lines.items()
            if not files.get(mutant.file, set()).isdisjoint(mutant.lines)
            or (everywhere and (mutant.file in files or test.startswith(mirror)))
        ]
        chosen.sort(key=lambda test: (not test.startswith(mirror), self.seconds[test]))
        spent = accumulate(self.seconds[test] for test in chosen)
        return [t for t, seconds in zip(chosen, spent, strict=True) if seconds <= BUDGET or t.startswith(mirror)]


def mirror_of(file: str) -> tuple[str, ...]:
    """The tests that are written for a file: those of its name, or else of its room, and its own doctests."""
    room, module = file.removesuffix(".py").rsplit("/", 1)
    own = f"tests/{room}/test_{module}.py"
    return (own if (ROOT / own).exists() else f"tests/{room}/", f"nice_np/{file}")

"""The two rounds: on tests that are collected already, and from the import on."""

from __future__ import annotations

import ast
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numba  # noqa: F401 (imported once, here, and not in every child)
import pytest
import scipy.optimize  # noqa: F401
from children import (
    AGAIN,
    CANNOT,
    KILLED,
    SURVIVED,
    UNCOVERED,
    FirstFailure,
    change_constant,
    change_in_place,
    change_on_import,
    in_child,
    module_name,
)  # fmt: skip
from operators import Mutant
from reach import PACKAGE, Reach, core_files, mirror_of

# Tests of the core and of the models built from it; tests that only pass through it prove little.
TESTS = ["tests/test_contract.py", "tests/test_units.py", "tests/test_kernels.py", "tests/training/test_optim.py"]
TESTS += ["tests/bijectors", "tests/networks", "tests/flows", "tests/vae"]
TESTS += [f"tests/files/test_checkpoint.py::test_{name}_come{s}_back_bit_for_bit" for name, s in (
    ("every_bijector", "s"), ("the_papers_models", ""),
)]  # fmt: skip
# They run once before the first fork, so that the children find the compiled loops loaded: 0.02 s instead of 0.7.
WARM = (
    "tests/test_contract.py",
    "tests/training/test_optim.py",
    "tests/networks/test_mlp.py",
    "tests/vae/test_vae_training.py",
)
OPTIONS = [
    *["-q", "--capture=sys", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:faulthandler"], "-m", "not slow",
    "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning",
]  # fmt: skip


class FirstRound:
    """A pytest plugin: when the tests are collected, tries all mutants on them instead of running them."""

    def __init__(
        self, files: list[Path], mutants: list[Mutant], report: Callable[[Mutant, str], None], folder: Path
    ) -> None:
        self.files, self.mutants, self.report, self.note = files, mutants, report, folder / "killer"
        self.reach = Reach(core_files(), folder / "reach.json")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        manager = session.config.pluginmanager
        manager.register(FirstFailure(self.note))
        new = [item for item in session.items if item.nodeid not in self.reach.lines]
        if new and in_child(lambda: self.trace(manager, new)) != SURVIVED:
            raise pytest.UsageError(f"{self.note.read_text(encoding='utf-8')} fails without any mutant")
        self.reach.load()
        self.reach.forget_others(items)
        run([item for test, item in items.items() if test.startswith(WARM) and test in self.reach.lines])
        self.check_swap([items[test] for test in self.reach.lines])
        for mutant in self.mutants:
            tests = self.reach.tests_for(mutant)
            if not tests:
                self.report(mutant, UNCOVERED)
                continue
            chosen = [items[test] for test in tests]
            mutant.plant()
            outcome = in_child(lambda m=mutant, c=chosen: planted(m, c))
            mutant.heal()
            self.report(mutant, AGAIN if outcome == SURVIVED and mutant.imported else outcome)
        return True

    def trace(self, manager: pytest.PytestPluginManager, items: list[pytest.Item]) -> int:
        """Also in a child: many tests can use a parameter's value only once."""
        manager.register(self.reach)
        run(items)
        self.reach.save()
        return 0

    def check_swap(self, items: list[pytest.Item]) -> None:
        """All tests must pass when all code is replaced by its own copy; one that fails proves nothing."""

        def work() -> int:
            for file in self.files:
                change_in_place(ast.parse(file.read_text(encoding="utf-8")), file.relative_to(PACKAGE).as_posix())
            return run(items)

        if in_child(work) != SURVIVED:
            raise pytest.UsageError(f"{self.note.read_text()} fails when code is replaced by its own copy")


def planted(mutant: Mutant, items: list[pytest.Item]) -> int:
    """The exit code of a child of the first round."""
    try:
        if mutant.imported:
            live = sys.modules[module_name(mutant.file)]
            change_constant(mutant.tree.body, live, mutant.new, vars(live))
        else:
            change_in_place(mutant.tree, mutant.file)
    except ValueError as error:
        return CANNOT if "free vars" in str(error) else 1
    return run(items)


def run(items: list[pytest.Item]) -> int:
    for item, following in zip_longest(items, items[1:]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    return 0


class Chosen:
    """A pytest plugin: these tests alone, in this order."""

    def __init__(self, tests: list[str]) -> None:
        self.order = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.order), key=lambda item: self.order[item.nodeid])


def second_round(mutant: Mutant, tests: list[str], note: Path) -> str:
    """Tries one mutant in a process that has not imported its module yet.

    Without doctests: pytest loads the files that it is given in a way of its own.
    """
    tests = [test for test in tests if not test.startswith("nice_np/")]

    def work() -> int:
        change_on_import(mutant.tree, mutant.file)
        files = list(dict.fromkeys(test.split("::")[0] for test in tests))
        code = pytest.main([*OPTIONS, *files], plugins=[Chosen(tests), FirstFailure(note)])
        return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else int(code)

    mutant.plant()
    outcome = in_child(work)
    mutant.heal()
    return outcome


def read(log: Path) -> dict[str, str]:
    """Key -> outcome; the last word counts."""
    return dict(json.loads(line)[:2] for line in log.read_text(encoding="utf-8").splitlines())


def both_rounds(files: list[Path], mutants: dict[str, Mutant], results: dict[str, str], folder: Path) -> None:
    """Add to `results`, key -> outcome, what is not there yet; `folder` gets a record of it.

    The first round runs in a child, so that this process stays without the package.
    """
    left = {key: mutant for key, mutant in mutants.items() if key not in results}
    key_of = {id(mutant): key for key, mutant in left.items()}
    log = folder / "results.jsonl"
    tests, note = folder / "tests.json", folder / "killer"

    def report(mutant: Mutant, outcome: str) -> None:
        with open(log, "a", encoding="utf-8") as stream:
            killer = note.read_text(encoding="utf-8") if outcome == KILLED and note.exists() else ""
            note.unlink(missing_ok=True)
            stream.write(json.dumps([key_of[id(mutant)], outcome, killer]) + "\n")
        if not os.isatty(1):
            return
        print(f"{outcome:<10} {mutant.file}:{mutant.line}  {mutant.what}", flush=True)

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            plugin = FirstRound(files, list(left.values()), report, folder)
            code = pytest.main([*OPTIONS, *TESTS, *map(str, core_files())], plugins=[plugin])
            found = {key: plugin.reach.tests_for(mutant) for key, mutant in left.items()}
            tests.write_text(json.dumps(found), encoding="utf-8")
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(int(code))
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) not in (0, 5):
        raise SystemExit("the first round failed; see above")
    results.update(read(log))
    found = json.loads(tests.read_text(encoding="utf-8"))
    again = [key for key in left if results[key] == AGAIN]
    if again:
        harmless = replace(left[again[0]], new=left[again[0]].old)
        if second_round(harmless, found[again[0]], note) != SURVIVED:
            raise SystemExit("the second round fails without any mutant")
    for key in again:
        mutant = left[key]
        mirror = [test for test in found[key] if test.startswith(mirror_of(mutant.file))]
        for chosen in filter(None, (mirror, found[key])):  # to collect less is quicker
            results[key] = second_round(mutant, chosen, note)
            if results[key] != SURVIVED:
                break
        report(mutant, results[key])

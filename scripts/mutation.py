"""How much of the mathematics do the tests hold?  Change it in thousands of small ways and count what turns red.

python scripts/mutation.py                          all files; writes results/mutation.md
python scripts/mutation.py optim vae/               files whose name contains one of the words; prints only
python scripts/mutation.py --keep FOLDER            keep what is found there; what was killed is not tried again
python scripts/mutation.py --list optim             the mutants alone

`mutants.py` plants errors chosen by hand; here `mutation_operators.py` makes every change that it knows of.  What keeps
it to a second or less for each of them:

1. The tests are collected once and run once under a tracer, which notes the lines that each of them executes.
2. For a mutant the process forks.  The child changes the functions of the module in place and runs the tests that
   reach the changed lines, quickest first, until one fails.
3. What survives is tried once more from scratch: the module is imported with the change in it, and the slow tests run
   as well.  Only this sees a constant that another module or a test has copied.

A mutant that takes much longer than the tests take without it counts as killed: an endless loop would be noticed.
Needs a system with fork.
"""

from __future__ import annotations

import argparse
import ast
import importlib.machinery
import json
import os
import platform
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import accumulate, zip_longest
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: threads do not live through a fork
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import hypothesis
import numba  # noqa: F401 (imported once, here, and not in every child)
import pytest
import scipy.optimize  # noqa: F401
from mutants import ROOT
from mutation_operators import Mutant, mutants_of

PACKAGE = ROOT / "nice_np"
PAGE = ROOT / "results" / "mutation.md"
REASONS = Path(__file__).with_name("mutation_survivors.txt")
INTRODUCTION = """# Can the tests fail?  Mutants of the mathematical core

`{command}`, {date}, Python {python}, one core.

A mutant is the package with one small change: `+` for `-`, a sum that becomes a mean, a condition turned round, an
update left out.  [scripts/mutation_operators.py](../scripts/mutation_operators.py) names the changes; they are made in
every line of the files below that computes, not in texts and type hints.  The tests that reach the line then run,
quickest first, until one fails: the mutant is killed.  One that no test notices is either no error at all, or a hole
in the tests; so each survivor is listed with the reason why it may live.  `timed out` are those that never end.

Tests that take long seldom come to run here: of those that reach a line only the quickest are taken, 8 seconds of them.
A survivor may thus be seen by a slow test; no killed one is in doubt."""
# Those that mirror the core, and the models built of it; what only happens to pass through is no proof.
TESTS = [f"tests/test_{name}.py" for name in (
    "contract", "bijectors", "scales", "logit", "rescale", "fitted", "whitening", "rebuilding", "units", "mlp",
    "priors", "optim", "vae", "vae_training", "flow", "models", "conditional",
)]  # fmt: skip
TESTS += [f"tests/test_checkpoint.py::test_{name}_come{s}_back_to_the_bit" for name, s in (
    ("every_bijector", "s"), ("the_papers_models", ""),
)]  # fmt: skip
BUDGET = 8.0  # seconds, traced: so much of the tests that reach a mutant, quickest first; a survivor runs them all
# They run once before the first fork, so that the children find the compiled loops loaded: 0.02 s instead of 0.7.
WARM = tuple(f"tests/test_{name}.py" for name in ("contract", "optim", "mlp", "vae_training"))
CORE = ("bijectors/*.py", "priors.py", "mlp.py", "optim.py", "vae/*.py")
LIMIT = 30.0  # seconds of processor time for one test, traced: the longest takes a third of it
MEMORY = 8 << 30  # bytes a child may have
KILLED, TIMED_OUT, SURVIVED, UNCOVERED = "killed", "timed out", "survived", "no test"
Report = Callable[[Mutant, str], None]
CANNOT = 3  # exit code
AGAIN = "again"  # not to be planted in a module that is in use


# -- what the tests do --------------------------------------------------------------------------------------------


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
        """Tests that are there no longer."""
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
        everywhere = mutant.imported and mutant.lines.start == mutant.line  # an attribute of a class or module
        chosen = [
            test
            for test, files in self.lines.items()
            if mutant.file in files and (everywhere or not files[mutant.file].isdisjoint(mutant.lines))
        ]
        mirror = mirror_of(mutant.file)
        chosen.sort(key=lambda test: (not test.startswith(mirror), self.seconds[test]))
        spent = accumulate(self.seconds[test] for test in chosen)
        return [t for t, seconds in zip(chosen, spent, strict=True) if seconds <= BUDGET or t.startswith(mirror)]


def mirror_of(file: str) -> tuple[str, ...]:
    """The tests that are written for a file: those of its name, of its package's, and its own doctests."""
    module, package = Path(file).stem, file.split("/")[0]
    own = ROOT / "tests" / f"test_{module}.py"
    return (f"tests/test_{module if own.exists() else package}.py", f"nice_np/{file}")


# -- one mutant in a child ----------------------------------------------------------------------------------------


def in_child(work: Callable[[], int]) -> str:
    """What became of a mutant: `work` runs in a fork, and returns 0 where all tests pass."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.setitimer(signal.ITIMER_PROF, LIMIT)  # of this process, so that a busy machine kills nobody
            code = work()
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
        return TIMED_OUT
    return {0: SURVIVED, CANNOT: AGAIN}.get(os.waitstatus_to_exitcode(status), KILLED)


class FirstFailure:
    """A pytest plugin: the first test that fails ends the process; its name is left in a file.

    Before the report is made, since a traceback takes longer than most tests.
    """

    def __init__(self, note: Path) -> None:
        self.note = note

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.excinfo is not None and not call.excinfo.errisinstance((pytest.skip.Exception, pytest.xfail.Exception)):
            self.note.write_text(item.nodeid, encoding="utf-8")
            os._exit(1)

    def pytest_runtest_setup(self) -> None:
        if signal.getitimer(signal.ITIMER_PROF)[0]:  # in a child
            signal.setitimer(signal.ITIMER_PROF, LIMIT)


def swap_code(live: Any, codes: dict[tuple[str, int], CodeType], module: str) -> None:
    """Give the functions of a module or class in use the changed code of the same name and line, in place.

    Raises
    ------
    ValueError
        If a function cannot take the code, since it closes over other names.
    """
    for value in list(vars(live).values()):
        if isinstance(value, property):
            value = value.fget
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        if isinstance(value, FunctionType) and value.__module__ == module:
            value.__code__ = codes.get((value.__name__, value.__code__.co_firstlineno), value.__code__)
        elif isinstance(value, type) and value.__module__ == module:
            swap_code(value, codes, module)


def codes_in(code: CodeType) -> dict[tuple[str, int], CodeType]:
    """All code within a module's, by name and first line."""
    found = {}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= {(constant.co_name, constant.co_firstlineno): constant} | codes_in(constant)
    return found


def core_files() -> list[Path]:
    return sorted(file for pattern in CORE for file in PACKAGE.glob(pattern) if file.name != "__init__.py")


def module_name(file: str) -> str:
    return ".".join(("nice_np", *Path(file).with_suffix("").parts))


def compiled(tree: ast.Module, file: str) -> CodeType:
    return compile(tree, str(PACKAGE / file), "exec")


def change_in_place(tree: ast.Module, file: str) -> None:
    """Put the changed functions into the module that the collected tests use."""
    name = module_name(file)
    swap_code(sys.modules[name], codes_in(compiled(tree, file)), name)


def change_on_import(tree: ast.Module, file: str) -> None:
    """Let the next import of the module find the changed one."""
    path, original = str(PACKAGE / file), importlib.machinery.SourceFileLoader.get_code

    def get_code(self: Any, name: str) -> CodeType | None:
        return compiled(tree, file) if self.path == path else original(self, name)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]


# -- the two rounds -----------------------------------------------------------------------------------------------


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
            if not tests or mutant.imported:
                self.report(mutant, AGAIN if tests else UNCOVERED)
                continue
            chosen = [items[test] for test in tests]
            mutant.plant()
            self.report(mutant, in_child(lambda m=mutant, c=chosen: planted(m.tree, m.file, c)))
            mutant.heal()
        return True

    def trace(self, manager: pytest.PytestPluginManager, items: list[pytest.Item]) -> int:
        """In a child, too: many tests may use what a parameter holds only once."""
        manager.register(self.reach)
        run(items)
        self.reach.save()
        return 0

    def check_swap(self, items: list[pytest.Item]) -> None:
        """All tests must pass when all code is replaced by its own copy: what fails then is no proof of anything."""

        def work() -> int:
            for file in self.files:
                change_in_place(ast.parse(file.read_text(encoding="utf-8")), file.relative_to(PACKAGE).as_posix())
            return run(items)

        if in_child(work) != SURVIVED:
            raise pytest.UsageError(f"{self.note.read_text()} fails when code is replaced by its own copy")


def planted(tree: ast.Module, file: str, items: list[pytest.Item]) -> int:
    """The exit code of a child of the first round."""
    try:
        change_in_place(tree, file)
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
    """Tries one mutant in a process that has not imported its module yet."""

    def work() -> int:
        change_on_import(mutant.tree, mutant.file)
        files = list(dict.fromkeys(test.split("::")[0] for test in tests))
        return int(pytest.main([*OPTIONS, *files], plugins=[Chosen(tests), FirstFailure(note)]))

    mutant.plant()
    outcome = in_child(work)
    mutant.heal()
    return outcome


OPTIONS = [
    *["-q", "--capture=sys", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:faulthandler"], "-m", "not slow",
    "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning",
]  # fmt: skip


# -- the report ---------------------------------------------------------------------------------------------------


def keys_of(mutants: list[Mutant], lines: list[str]) -> list[str]:
    """A name for each mutant of a file that stays the same when lines above it come and go."""
    seen: Counter[str] = Counter()
    keys = []
    for mutant in mutants:
        key = f"{mutant.file} | {lines[mutant.line - 1].strip()} | {mutant.what}"
        seen[key] += 1
        keys.append(key if seen[key] == 1 else f"{key} | {seen[key]}")
    return keys


def table(outcomes: dict[str, Counter[str]]) -> list[str]:
    """Markdown: a row for each file, and one for each package in all."""
    rows = [
        "| file | mutants | killed | timed out | survived | no test reaches it | killed or timed out |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for file, counts in outcomes.items():
        rows.append(_row(f"`{file}`", counts))
        groups[file.split("/")[0] + ("/" if "/" in file else "")].update(counts)
        groups["all"].update(counts)
    return rows + [
        _row(f"**{name}**", counts) for name, counts in groups.items() if name in ("all", "bijectors/", "vae/")
    ]


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
    why, kinds, groups = reasons(), defaultdict(list), Counter()
    for key, mutant in mutants.items():
        if results[key] not in (KILLED, TIMED_OUT):
            reason = why.get(key, "unexplained")
            kinds[reason].append(f"| `{mutant.file}` | {mutant.line} | {_code(mutant.what)} |")
            groups[reason.split(":")[0]] += 1
    parts = [INTRODUCTION.format(command=command, date=time.strftime("%Y-%m-%d"), python=platform.python_version())]
    parts += ["## Killed and not", "\n".join(table(counted(mutants, results)))]
    parts += ["## Those that survive", ", ".join(f"{n} {kind}" for kind, n in groups.most_common()) + "."]
    for reason, rows in sorted(kinds.items()):
        parts.append(
            "\n".join([f"**{reason[0].upper() + reason[1:]}**\n", "| file | line | change |", "|---|---:|---|", *rows])
        )
    return "\n\n".join(parts) + "\n"


def _code(text: str) -> str:
    short = text if len(text) <= 160 else f"{text[:78]} ... {text[-78:]}"
    return "`" + short.replace("|", "\\|") + "`"


def counted(mutants: dict[str, Mutant], results: dict[str, str]) -> dict[str, Counter[str]]:
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for key, mutant in mutants.items():
        outcomes[mutant.file][results[key]] += 1
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only files whose name contains one of them")
    parser.add_argument("--keep", type=Path, help="a folder for what was found, to go on from")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--quick", action="store_true", help="without the second round")
    arguments = parser.parse_args()

    files = core_files()
    names = {file: file.relative_to(PACKAGE).as_posix() for file in files}
    files = [f for f in files if not arguments.words or any(word in names[f] for word in arguments.words)]
    mutants: dict[str, Mutant] = {}
    for file in files:
        source = file.read_text(encoding="utf-8")
        of_file = mutants_of(source, names[file])
        mutants.update(zip(keys_of(of_file, source.splitlines()), of_file, strict=True))
    if arguments.list:
        print("\n".join(f"{mutant.file}:{mutant.line}  {mutant.what}" for mutant in mutants.values()))
        return 0

    os.chdir(ROOT)
    if arguments.keep:
        arguments.keep.mkdir(exist_ok=True)
    results: dict[str, str] = {}
    if arguments.keep and (arguments.keep / "results.jsonl").exists():
        kept = read(arguments.keep / "results.jsonl")
        results = {key: what for key, what in kept.items() if what in (KILLED, TIMED_OUT) and key in mutants}
    hypothesis.settings.register_profile("mutation", database=None, derandomize=True, deadline=None)
    hypothesis.settings.load_profile("mutation")
    with tempfile.TemporaryDirectory() as folder:
        OPTIONS.append(f"--basetemp={folder}/tests")
        rounds(files, mutants, results, arguments.keep or Path(folder), arguments)
    for key in mutants:
        if results[key] not in (KILLED, TIMED_OUT):
            print(f"{results[key]:<10} {key}")
    print("\n".join(table(counted(mutants, results))))
    if not arguments.words and not arguments.quick:
        PAGE.write_text(page(mutants, results, "python scripts/mutation.py"), encoding="utf-8")
    return 0


def read(log: Path) -> dict[str, str]:
    """Key -> outcome; the last word counts."""
    return dict(json.loads(line)[:2] for line in log.read_text(encoding="utf-8").splitlines())


def rounds(
    files: list[Path], mutants: dict[str, Mutant], results: dict[str, str], folder: Path, arguments: argparse.Namespace
) -> None:
    """Both rounds; the first in a child, so that this process stays without the package."""
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
    for key, mutant in left.items():
        if results[key] == AGAIN and not arguments.quick:
            results[key] = second_round(mutant, found[key], note)
            report(mutant, results[key])


if __name__ == "__main__":
    sys.exit(main())

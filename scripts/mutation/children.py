"""One mutant in a child process: planted in the modules in use, or found by their next import."""

from __future__ import annotations

import ast
import importlib.machinery
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from reach import PACKAGE

LIMIT = 30.0  # seconds of processor time for one test: the longest takes a third of it, traced
PATIENCE = 4  # times as long in wall time: a change that writes beyond an array may make a test wait forever
MEMORY = 8 << 30  # bytes a child may have
KILLED, TIMED_OUT, SURVIVED, UNCOVERED = "killed", "timed out", "survived", "no test"
AGAIN = "again"  # not to be planted in a module that is in use
CANNOT = 77  # the exit code that says so


def in_child(work: Callable[[], int]) -> str:
    """The outcome of a mutant: `work` runs in a fork and returns 0 if all tests pass."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            start_clocks()
            code = work()
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM):
        return TIMED_OUT
    return {0: SURVIVED, CANNOT: AGAIN}.get(os.waitstatus_to_exitcode(status), KILLED)


def start_clocks() -> None:
    """End this process if the next test takes too long."""
    signal.setitimer(signal.ITIMER_PROF, LIMIT)  # processor time: a busy machine kills no mutant
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * LIMIT)


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
            start_clocks()


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


def module_name(file: str) -> str:
    return ".".join(("nice_np", *Path(file).with_suffix("").parts))


def compiled(tree: ast.Module, file: str) -> CodeType:
    return compile(tree, str(PACKAGE / file), "exec")


def change_in_place(tree: ast.Module, file: str) -> None:
    """Put the changed functions into the module that the collected tests use."""
    name = module_name(file)
    swap_code(sys.modules[name], codes_in(compiled(tree, file)), name)


def change_constant(statements: list[ast.stmt], live: Any, changed: ast.AST, names: dict[str, Any]) -> None:
    """Compute anew, in a module or class in use, the default or the constant that holds the node `changed`.

    What else was computed from it at import stays as it was; `change_on_import` sees that, too.
    """
    for statement in statements:
        if not any(node is changed for node in ast.walk(statement)):
            continue
        if isinstance(statement, ast.ClassDef):
            change_constant(statement.body, vars(live)[statement.name], changed, names)
        elif isinstance(statement, ast.FunctionDef):
            function = vars(live)[statement.name]
            function = getattr(function, "__func__", function)
            given = statement.args
            compute = lambda node: eval(compile(ast.Expression(node), "", "eval"), names)  # noqa: E731
            function.__defaults__ = tuple(map(compute, given.defaults)) or None
            pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
            function.__kwdefaults__ = {name.arg: compute(node) for name, node in pairs if node} or None
        else:
            found: dict[str, Any] = {}
            exec(compile(ast.Module([statement], []), "", "exec"), names | vars(live), found)
            for name in set(found) - {"__annotations__"}:
                setattr(live, name, found[name])


def change_on_import(tree: ast.Module, file: str) -> None:
    """Let the next import of the module find the changed one."""
    path, original = str(PACKAGE / file), importlib.machinery.SourceFileLoader.get_code

    def get_code(self: Any, name: str) -> CodeType | None:
        return compiled(tree, file) if self.path == path else original(self, name)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]

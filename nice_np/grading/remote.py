"""The student's functions as the checks see them: stubs that send each call to the student's process.

The check runs here, on the notebook's own code: of a class only the methods with a TODO are the student's.  What comes
back are numbers, so nothing the student's code does to its own process can change the check or its verdict.
"""

from __future__ import annotations

import ast
import importlib
import io
import json
import os
import pickle
import re
import signal
import socket
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import cloudpickle
import numpy as np

from nice_np.grading.student import receive, send, serve
from nice_np.grading.values import Held, decode, walk

# What an exercise may import: it is loaded before the student's process is locked.
MODULES = {
    "abc", "bisect", "cmath", "collections", "contextlib", "copy", "dataclasses", "decimal", "enum", "fractions",
    "functools", "heapq", "itertools", "math", "matplotlib", "nice_np", "numbers", "numpy", "operator", "random", "re",
    "scipy", "statistics", "string", "time", "typing", "warnings",
}  # fmt: skip


class Stopped(Exception):
    """The student's process took too long or has ended."""


class Student:
    """The process of one student, forked from this one before any check has run; use it as a context manager.

    Parameters
    ----------
    given : dict
        The names that the notebook defines before the exercise.
    sources : list of str
        The student's cells, in order.  A cell that never ends, or ends its process, is left out.
    timeout : float
        Seconds for each cell and each call.
    """

    def __init__(self, given: dict[str, Any], sources: list[str], timeout: float) -> None:
        self.given, self.timeout = given, timeout
        self.exercise: dict[int, tuple[str, str]] = {}  # id -> ("exercise", name) of stubs and their classes
        self.protected: set[str] = set()  # attributes of the exercise's objects that are not the student's
        self.errors: dict[str, Exception] = {}  # cell -> what running it raised
        self._sources, self._pid = sources, 0

    def __enter__(self) -> Student:
        self._start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def _start(self) -> None:
        good: list[str] = []
        for source in self._sources:
            if not self._pid:
                self._fork()
                for earlier in good:
                    self._ask(("run", earlier))
            try:
                reply = self._ask(("run", source))
            except Stopped as error:
                self.errors[source] = error
                continue
            good.append(source)
            if "raised" in reply:
                self.errors[source] = decode(reply["raised"], {})

    def _fork(self) -> None:
        load_modules(self._sources)
        here, there = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                here.close()
                serve(there, self.given)
            finally:
                os._exit(0)
        there.close()
        here.settimeout(self.timeout)
        self._channel = here

    def _end(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._channel.close()
            self._pid = 0

    def _ask(self, request: tuple[Any, ...]) -> dict[str, Any]:
        if not self._pid:
            raise Stopped("the student's process has ended")
        file = io.BytesIO()
        _pickler(file, self).dump(request)
        reply = None
        try:
            send(self._channel, file.getvalue())
            reply = json.loads(receive(self._channel) or "null")
        except TimeoutError:
            self._end()
            raise Stopped(f"stopped after {self.timeout:g} seconds") from None
        except (OSError, ValueError, RecursionError, MemoryError):
            pass
        if not isinstance(reply, dict):
            self._end()
            raise Stopped("the process ended, or did not answer as it should")
        return reply

    def call(self, owner: str, name: str, rules: str, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """What the student's function returns; arguments that it may change are changed.  `rules` is its docstring."""
        result, peak = self._call(owner, name, rules, {"given": given, "named": named})
        if tracemalloc.is_tracing():  # count what the call used in its process, not what sending it took
            tracemalloc.reset_peak()
            bytearray(peak)
        return result

    def _call(self, owner: str, name: str, rules: str, arguments: dict[str, Any]) -> tuple[Any, int]:
        places = dict(walk(arguments))
        reply = self._ask(("call", owner, name, arguments, np.geterr(), tracemalloc.is_tracing()))
        changes = {path: decode(code, places) for path, code in reply["changes"].items()}
        whole, hollow = f"{owner}.{name}".strip("."), any(map(_is_empty, places.values()))
        for path, new in changes.items():
            self._change(path, places[path], new, owner, whole, rules)
        if "raised" in reply:
            raise decode(reply["raised"], places)
        result = decode(reply["result"], places)
        arrays = [item for _, item in walk({"result": result, "changes": changes}) if isinstance(item, np.ndarray)]
        if not hollow and any(map(_is_empty, [result, *arrays])):
            raise AssertionError(f"{whole} gives an array or a list without elements: expected numbers")
        return result, int(reply["peak"])

    def _change(self, path: str, target: Any, new: Any, owner: str, name: str, rules: str) -> None:
        """Apply a change to an argument, as far as the exercise allows it."""
        last, free = path.rsplit(".", 1)[-1], "in place" in rules or name.endswith("__init__")
        of_self = bool(owner) and re.match(r"\.given\.0\b", path) is not None
        if isinstance(target, np.random.Generator):
            target.bit_generator.state = new
        elif isinstance(target, np.ndarray):
            if free or (of_self and not self._is_given(last)) or _is_gradient(last):
                if target.shape == new.shape and target.dtype == new.dtype:
                    target[...] = new
            elif of_self:
                raise AssertionError(f"{name} changes self.{last}, which it was given: write x = x + ..., not x += ...")
            elif _is_argument(path):
                raise AssertionError(
                    f"{name} changes an argument in place: write x = x + ..., not x += ..., and copy before x[i] = ..."
                )
        elif isinstance(target, list):
            if free or of_self:
                target[:] = new
            else:
                raise AssertionError(f"{name} changes a list that it was given: its caller needs it as it was")
        elif isinstance(target, dict):
            if free or of_self:
                target.clear()
                target.update(new)
        else:
            for attribute, value in new.items():
                mine = of_self and not self._is_given(attribute)
                if re.fullmatch(r"[A-Za-z]\w*|_[A-Za-z]\w*", attribute) and (free or mine or _is_gradient(attribute)):
                    setattr(target, attribute, value)

    def _is_given(self, attribute: str) -> bool:
        return attribute in self.protected


def _is_empty(value: Any) -> bool:
    """Whether there is nothing to compare: NumPy says that an array without elements is close to any other."""
    return value.size == 0 if isinstance(value, np.ndarray) else type(value) in (list, tuple) and not value


def _is_argument(path: str) -> bool:
    """Whether a path leads to an argument, or to what lies in lists and tuples that are one, such as a cache."""
    return re.fullmatch(r"\.(given|named)\.\w+(\.\d+)*", path) is not None


def _is_gradient(name: str) -> bool:
    return re.fullmatch(r"d\w+|_?grads", name) is not None


def load_modules(sources: list[str]) -> None:
    """Import what the student's cells import, as far as it is one of MODULES."""
    for source in sources:
        with suppress(SyntaxError, ValueError, RecursionError):
            for node in ast.walk(ast.parse(source)):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                for name in names:
                    if name.split(".")[0] in MODULES:
                        with suppress(ImportError):
                            importlib.import_module(name)


def put_stubs(student: Student, cell: str, names: dict[str, Any]) -> None:
    """Define the names of an exercise's unsolved cell: the notebook's code, with the student's where it says TODO."""
    exec(compile(cell, "notebook", "exec"), names)
    student.protected = {name for name in re.findall(r"self\.(\w+)", cell) if not _is_gradient(name)}
    for node in ast.parse(cell).body:
        if isinstance(node, ast.FunctionDef) and _is_todo(node):
            names[node.name] = _function_stub(student, node.name, names[node.name])
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and _is_todo(method):
                    kind = names[node.name]
                    setattr(kind, method.name, _method_stub(student, node.name, getattr(kind, method.name)))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            student.exercise[id(names[node.name])] = ("exercise", node.name)


def _is_todo(node: ast.FunctionDef) -> bool:
    return "NotImplementedError(" in ast.unparse(node) and "TODO: " in ast.unparse(node)


def _function_stub(student: Student, name: str, unsolved: Callable[..., Any]) -> Callable[..., Any]:
    def stub(*given: Any, **named: Any) -> Any:
        return student.call("", name, unsolved.__doc__ or "", given, named)

    return stub


def _method_stub(student: Student, owner: str, unsolved: Callable[..., Any]) -> Callable[..., Any]:
    def stub(self: Any, *given: Any, **named: Any) -> Any:
        return student.call(owner, unsolved.__name__, unsolved.__doc__ or "", (self, *given), named)

    stub.__name__, stub.__doc__ = unsolved.__name__, unsolved.__doc__
    return stub


def _pickler(file: io.BytesIO, student: Student) -> pickle.Pickler:
    """A pickler that names what the student's process has already, instead of sending it."""
    known = {id(value): ("given", name) for name, value in student.given.items() if callable(value)}
    known |= student.exercise

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def persistent_id(self, value: Any) -> Any:
            if isinstance(value, Held):
                return "held", value.key
            return known.get(id(value))

    return Pickler(file)

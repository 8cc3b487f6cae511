"""The process that runs the student's code: it is locked first, then it defines names and answers calls.

It never sees a check or a solution.  The lock is the operating system's: no file, socket or pipe can be opened any
more and no process started, so the code cannot read the disk, reach a network or another process.  Where the grader
runs as root, this process becomes "nobody".
"""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import sys
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np

from nice_np.grading.values import content, encode, snapshot, walk

NOBODY = 65534
MEMORY = 4 * 2**30  # bytes


def lock() -> None:
    """Give up all rights that a calculation does not need; none of them can be had back."""
    import resource

    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    with suppress(ValueError, OSError):  # not on every system
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    for limit in (resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NOFILE):
        resource.setrlimit(limit, (0, 0))


def serve(channel: socket.socket, given: dict[str, Any]) -> None:
    """Answer requests until the channel is closed.  `given` are the names that the notebook defines for everybody."""
    os.dup2(channel.fileno(), 3)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(4, 4096)
    stream = socket.socket(fileno=3)
    lock()
    sys.argv, sys.stdin = ["notebook"], io.StringIO()
    names, held = dict(given), list[Any]()
    while (request := receive(stream)) is not None:
        send(stream, _answer(request, given, names, held))


def _answer(request: bytes, given: dict[str, Any], names: dict[str, Any], held: list[Any]) -> bytes:
    references: dict[int, tuple[str, Any]] = {}
    before: dict[str, tuple[Any, Any]] = {}
    reply: dict[str, Any] = {}
    try:
        message = _Unpickler(io.BytesIO(request), given, names, held).load()
        if message[0] == "run":
            exec(compile(message[1], "notebook", "exec"), names)
            return b"{}"
        _, owner, name, arguments, float_errors, measured = message
        before = {path: (item, snapshot(item)) for path, item in walk(arguments)}
        references = {id(item): (path, item) for path, (item, _) in before.items()}
        if (owner or name) not in names:
            raise NameError(f"name {owner or name!r} is not defined")
        function = getattr(names[owner], name) if owner else names[name]
        if measured:
            tracemalloc.start()
        with np.errstate(**float_errors):
            result = function(*arguments["given"], **arguments["named"])
        reply["peak"] = tracemalloc.get_traced_memory()[1] if measured else 0
        reply["result"] = encode(result, references, held)
    except BaseException as error:
        if not isinstance(error, Exception):
            error = RuntimeError(f"{type(error).__name__}: {error}")
        reply["raised"] = encode(error, references, held)
    finally:
        tracemalloc.stop()
    reply["changes"] = _changes(before, references, held)
    return json.dumps(reply).encode()


def _changes(before: dict[str, Any], references: dict[int, tuple[str, Any]], held: list[Any]) -> dict[str, Any]:
    changed = {path: content(item, old) for path, (item, old) in before.items()}
    return {path: encode(new, references, held) for path, new in changed.items() if new is not None}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, given: dict[str, Any], names: dict[str, Any], held: list[Any]) -> None:
        super().__init__(file)
        self.given, self.names, self.held = given, names, held

    def persistent_load(self, key: Any) -> Any:
        kind, name = key
        tables: dict[str, Any] = {"exercise": self.names, "given": self.given, "held": self.held}
        return tables[kind][name]


def send(stream: socket.socket, message: bytes) -> None:
    """One message: its length in eight bytes, then the message."""
    stream.sendall(len(message).to_bytes(8, "big") + message)


def receive(stream: socket.socket, longest: int = 2**29) -> bytes | None:
    """The next message; None if the other side has gone, or claims more than `longest` bytes."""
    length = int.from_bytes(_exactly(stream, 8) or b"\xff" * 8, "big")
    return _exactly(stream, length) if length <= longest else None


def _exactly(stream: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        piece = stream.recv(min(size - len(data), 2**20))
        if not piece:
            return None
        data += piece
    return bytes(data)

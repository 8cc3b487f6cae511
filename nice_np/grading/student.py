"""The process that runs the student's code: it is locked first, then it defines names and answers calls.

It never sees a solution, another copy, or a value that a check expects.  The lock is the operating system's: no file,
socket or pipe can be opened any more and no process started, so the code cannot read or change the disk, reach a
network or another process.  Where the grader
runs as root, this process becomes "nobody".
"""

from __future__ import annotations

import ctypes
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

from nice_np._blas import BLAS
from nice_np.files.architecture import own_classes
from nice_np.grading.values import content, encode, snapshot, walk

NOBODY = 65534
MEMORY = 4 * 2**30  # bytes
LANDLOCK_CREATE, LANDLOCK_RESTRICT, PR_SET_NO_NEW_PRIVS = 444, 446, 38  # the same on all processors


def lock() -> None:
    """Give up all rights that a calculation does not need; none of them can be had back."""
    import resource

    own_classes()  # imports what could not be imported later
    BLAS.known = BLAS.libraries()
    forbid_files_and_signals()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    with suppress(ValueError, OSError):  # not on every system
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    for limit in (resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NOFILE):
        resource.setrlimit(limit, (0, 0))


def forbid_files_and_signals() -> int:
    """Landlock, of Linux 5.13 and later: no file can be opened, made, renamed or removed, and no process signalled.

    The limits of `lock` stop what needs a descriptor; to remove or rename a file of the same user takes none.  Returns
    the version of Landlock, below 1 where there is none; see landlock(7).
    """
    if not sys.platform.startswith("linux"):
        return 0
    system = ctypes.CDLL(None, use_errno=True)
    version = int(system.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1)))
    if version < 1:
        return version
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1  # all rights that this version knows
    network, scopes = 3 if version >= 4 else 0, 3 if version >= 6 else 0
    rules = (ctypes.c_uint64 * 3)(files, network, scopes)
    size = ctypes.c_size_t(24 if version >= 6 else 16 if version >= 4 else 8)
    ruleset = system.syscall(LANDLOCK_CREATE, ctypes.byref(rules), size, ctypes.c_uint(0))
    system.prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    if ruleset < 0 or system.syscall(LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0)) != 0:
        raise OSError(ctypes.get_errno(), "Landlock is there but does not lock")
    os.close(ruleset)
    return version


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

"""The command nice-np: how errors and signals end it.  The commands themselves are in `commands`.

Exit codes: 0 fine, 1 run-time error, 2 wrong usage, 130 SIGINT, 143 SIGTERM.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from nice_np.commands import COMMANDS, build_parser, messages
from nice_np.commands.parsing import Arguments, UsageError, did_you_mean
from nice_np.errors import NiceError, NiceFileError, TrainingInterrupted
from nice_np.runs.folder import printable, to_json
from nice_np.training.signals import StopSignals


def parse(argv: Sequence[str]) -> Arguments:
    """The command line as a namespace; UsageError if it cannot be understood."""
    parser, by_name = build_parser()
    # The first word that is no flag is the command.
    first = next((word for word in argv if not word.startswith("-")), None)
    if first is not None and first not in by_name:
        parser.error(f"unknown command {first!r}{did_you_mean(first, by_name)}; choose one of {', '.join(by_name)}")
    arguments, unknown = parser.parse_known_args(argv)
    if arguments.command is None:
        parser.error(f"expected a command: {', '.join(by_name)}")
    command = by_name[arguments.command]
    if unknown:
        flags = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", command.format_help())
        flag = unknown[0].split("=")[0]
        hint = f"; write it after {arguments.command}" if flag in flags else did_you_mean(flag, flags)
        command.error(f"unknown argument {unknown[0]!r}{hint}")
    if getattr(arguments, "resume", False) and arguments.force:
        command.error("--resume goes on with a run and --force replaces it: give one of them")
    return arguments


def entry() -> int:
    """What the command nice-np runs: `main`, in a process that it has for itself."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Outside main a Ctrl-C shall end the process, and not in a traceback: Python may be shutting down already.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return main()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a file's name still gets a line
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        with StopSignals(at_once=True):
            return _run(words)
    except TrainingInterrupted as stop:
        return _fail(str(stop), 128 + stop.signum)
    except KeyboardInterrupt:  # off the main thread, where nobody tells which signal it was
        return _fail("interrupted", 128 + signal.SIGINT)
    finally:
        if sys.stderr is not None:
            try:
                sys.stderr.flush()
            except OSError:
                _abandon(sys.stderr)


def _run(words: Sequence[str]) -> int:
    debug = "--debug" in words
    try:
        try:
            arguments = parse(words)
        except SystemExit:  # --help and --version have been answered
            _print("")
            return 0
        with messages.shown(arguments.verbose, arguments.quiet):
            result, text = COMMANDS[arguments.command].run(arguments)
        _print((to_json(result) if arguments.json else text) + "\n")
        return 0 if result.get("passed", True) else 1
    except UsageError as error:
        return _fail(str(error), 2)
    except Exception as error:
        if debug:
            raise
        return _fail(_explain(error), 1)


def _explain(error: Exception) -> str:
    if isinstance(error, NiceError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory ({error})" if str(error) else "out of memory"
    return f"{type(error).__name__}: {error} (--debug shows where)"


def _print(text: str) -> None:
    """Print all of it now: at exit nobody could say any more that standard output is full."""
    if sys.stdout is None:  # it was closed before Python started
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        _abandon(sys.stdout)
        if not isinstance(error, BrokenPipeError):  # there the reader, such as head, has seen enough
            raise NiceFileError(f"cannot write to standard output: {error.strerror or error}") from error


def _abandon(stream: TextIO) -> None:
    """Let what could not be written vanish: Python flushes once more at exit, and would complain again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _fail(message: str, code: int) -> int:
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(f"nice-np: error: {printable(message)}\n")
    return code

"""The command nice-np: errors, signals and exit codes.  The commands themselves are in `commands`.

Exit codes: 0 success, 1 run-time error, 2 usage error, 130 SIGINT, 143 SIGTERM.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import TextIO

from nice_np.commands import build_parser, messages, module_of
from nice_np.commands.parsing import Arguments, Parser, UsageError, did_you_mean
from nice_np.errors import NiceError, NiceFileError, TrainingInterrupted
from nice_np.files.text import printable, to_json
from nice_np.training.signals import StopSignals


def parse(argv: Sequence[str]) -> Arguments:
    """The command line as a namespace; UsageError if it cannot be parsed."""
    # The first word that is not an option is the command.
    first = next((word for word in argv if not word.startswith("-")), None)
    parser, by_name = build_parser(only=first or "")
    for word in takewhile(lambda word: word != "--", argv):
        if re.fullmatch(r"--?[\w-]+=--|-\w--", word):  # argparse would drop the value
            parser.error(f"argument {word[:-2].rstrip('=')}: expected a value, got '--'; a file of that name is ./--")
    if first is not None and first not in by_name:
        parser.error(f"unknown command {first!r}{did_you_mean(first, by_name)}; choose one of {', '.join(by_name)}")
    if first is not None:  # a misspelt flag before the flag that argparse then misses
        _refuse_unknown(takewhile(lambda word: word != "--", argv[argv.index(first) :]), by_name[first])
    arguments, unknown = parser.parse_known_args(argv)
    if arguments.command is None:
        parser.error(f"expected a command: {', '.join(by_name)}")
    command = by_name[arguments.command]
    if unknown:
        flag, flags = unknown[0].split("=")[0], _flags(command)
        hint = f"; write it after {arguments.command}" if flag in flags else did_you_mean(flag, flags)
        command.error(f"unknown argument {unknown[0]!r}{hint}")
    if getattr(arguments, "resume", False) and arguments.force:
        command.error("--resume continues a run and --force replaces it: give one of them")
    return arguments


def _flags(command: Parser) -> list[str]:
    return re.findall(r"(?<![\w-])--?[a-z][a-z-]*", command.format_help())


def _refuse_unknown(words: Iterable[str], command: Parser) -> None:
    flags = _flags(command)
    for word in words:
        flag = word.split("=")[0]
        if flag.startswith("--") and flag not in flags:
            command.error(f"unknown argument {word!r}{did_you_mean(flag, flags)}")


def entry() -> int:
    """The entry point of the command nice-np: `main` in a process of its own."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Outside `main`, Ctrl-C ends the process without a traceback: Python may already be shutting down.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return main()
    except Exception:  # after --debug
        for line in traceback.format_exc().splitlines():
            messages.say(line)
        return 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # for file names that the terminal cannot show
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        with StopSignals(at_once=True):
            return _run(words)
    except TrainingInterrupted as stop:
        return _fail(str(stop), 128 + stop.signum)
    except KeyboardInterrupt:  # off the main thread, where the signal is not known
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
        except SystemExit:  # after --help and --version
            _print("")
            return 0
        with messages.shown(arguments.verbose, arguments.quiet):
            result, lines = module_of(arguments.command).run(arguments)
        _print((to_json(result) if arguments.json else "\n".join(map(printable, lines))) + "\n")
        return 0 if result.get("passed", True) else 1
    except UsageError as error:
        return _fail(str(error), 2)
    except Exception as error:
        if isinstance(error.__cause__, TrainingInterrupted):  # in __set_name__ Python makes a RuntimeError of it
            raise error.__cause__ from None
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
    """Print and flush: at exit it would be too late to report that standard output is full."""
    if sys.stdout is None:  # closed before Python started
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        _abandon(sys.stdout)
        if not isinstance(error, BrokenPipeError):  # the reader, such as head, has closed the pipe
            raise NiceFileError(f"cannot write to standard output: {error.strerror or error}") from error


def _abandon(stream: TextIO) -> None:
    """Discard what could not be written: Python flushes again at exit and would report the error twice."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _fail(message: str, code: int) -> int:
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(f"nice-np: error: {printable(message)}\n")
    return code

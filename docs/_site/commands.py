"""The page of the command line, from the parser itself: each command with its examples, arguments and options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from textwrap import dedent

from nice_np.commands import COMMANDS, build_parser
from nice_np.commands.options import add_common
from nice_np.commands.parsing import Parser


def page() -> str:
    """Markdown for docs/commands.md."""
    shared = Parser(prog="nice-np")
    add_common(shared)
    _, parsers = build_parser()
    known = {action.dest for action in shared._actions}
    parts = [_table(shared, set())]
    for name in COMMANDS:
        parts += [f"## {name}", str(parsers[name].description), *_examples(parsers[name]), _table(parsers[name], known)]
        parts += _notes(parsers[name])
    return "\n\n".join(parts) + "\n"


def _table(parser: Parser, known: set[str]) -> str:
    rows = [f"| {words} | {text} |" for words, text in _arguments(parser, known)]
    return "\n".join(["| argument | meaning |", "|---|---|", *rows]) if rows else ""


def _arguments(parser: Parser, known: set[str]) -> Iterator[tuple[str, str]]:
    """(how it is written, what it means) of each argument that not all commands take."""
    formatter = parser._get_formatter()
    for action in parser._actions:
        if action.dest not in known and action.help != argparse.SUPPRESS:
            name = str(action.metavar or action.dest)
            value = f" {name}" if action.nargs != 0 and action.option_strings else ""
            words = ", ".join(f"`{flag}{value}`" for flag in action.option_strings) or f"`{name}`"
            text = formatter._expand_help(action)
            note = " **Required.**" if action.required and action.option_strings else ""
            yield words, re.sub(r"([|*<$])", r"\\\1", text) + note


def _examples(parser: Parser) -> Iterator[str]:
    for part in str(parser.epilog or "").strip("\n").split("\n\n"):
        if part.startswith("examples:\n"):
            lines = dedent(part[len("examples:\n") :])
            yield f"```sh\n{lines}\n```"


def _notes(parser: Parser) -> Iterator[str]:
    """The rest of what --help says, such as the names of presets, in its own lines."""
    parts = str(parser.epilog or "").strip("\n").split("\n\n")
    rest = "\n\n".join(part for part in parts if not part.startswith("examples:\n"))
    if rest:
        yield f"```text\n{rest}\n```"

"""The arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nice_np.commands.parsing import Parser, whole


def new_command(subparsers: Any, name: str, summary: str, epilog: str | None = None) -> Parser:
    """The parser of a command, with what all commands take."""
    parser: Parser = subparsers.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=epilog
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument(
        "-v", "--verbose", action="count", default=0, help="say what is read, written and chosen; -vv: more of it"
    )
    loudness.add_argument(
        "-q", "--quiet", action="store_true", help="no progress bar, and nothing but errors on standard error"
    )
    return parser


def add_model(parser: Parser) -> None:
    """MODEL, a trained one."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="run folder or model.npz")


def add_seed(parser: Parser, default: int = 0, of: str = "of all randomness") -> None:
    """--seed S."""
    parser.add_argument(
        "--seed", type=whole(0, 2**63 - 1), default=default, metavar="S", help=f"{of} (default: {default})"
    )


def add_force(parser: Parser) -> None:
    """--force, for commands that write files."""
    parser.add_argument("--force", action="store_true", help="replace what is already there")


def add_data_dir(parser: Parser) -> None:
    """--data-dir DIR, for commands that read a data set."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where the files of the data set are (default: $NICE_NP_DATA, else downloaded)",
    )

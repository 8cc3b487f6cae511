"""Arguments that several commands share."""

from __future__ import annotations

from nice_np.commands.parsing import Parser, path, whole


def add_common(parser: Parser) -> None:
    """The options of every command."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verbosity = parser.add_mutually_exclusive_group()
    verbosity.add_argument(
        "-v", "--verbose", action="count", default=0, help="report what is read, written and chosen; -vv: more detail"
    )
    verbosity.add_argument(
        "-q", "--quiet", action="store_true", help="no progress bar, and only errors on standard error"
    )


def add_model(parser: Parser) -> None:
    """MODEL, a trained one."""
    parser.add_argument("model", type=path, metavar="MODEL", help="run folder or model.npz")


def add_seed(parser: Parser, default: int = 0, of: str = "for all random numbers") -> None:
    """--seed S."""
    parser.add_argument(
        "--seed", type=whole(0, 2**63 - 1), default=default, metavar="S", help=f"{of} (default: {default})"
    )


def add_force(parser: Parser) -> None:
    """--force, for commands that write files."""
    parser.add_argument("--force", action="store_true", help="replace existing files")


def add_data_dir(parser: Parser) -> None:
    """--data-dir DIR, for commands that read a data set."""
    parser.add_argument(
        "--data-dir",
        type=path,
        metavar="DIR",
        help="folder with the files of the data set (default: $NICE_NP_DATA, else they are downloaded)",
    )

"""nice-np demo: train on the digits in the package for a minute."""

from __future__ import annotations

from pathlib import Path

from nice_np.commands import train
from nice_np.commands.options import add_force, add_seed
from nice_np.commands.parsing import Arguments, Parser, number, path
from nice_np.commands.shared import Result

EPILOG = """examples:
  nice-np demo
  nice-np demo --time-limit 10 --out runs/short --force
"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("--out", "-o", type=path, default=Path("runs/demo"), metavar="DIR", help="default: runs/demo")
    parser.add_argument(
        "--time-limit", type=number(above=0), default=60.0, metavar="S", help="seconds of training (default: 60)"
    )
    add_seed(parser)
    add_force(parser)


def run(arguments: Arguments) -> Result:
    """Train like `nice-np train mnist-small --time-limit 60`."""
    parser = Parser()
    train.add_arguments(parser)
    defaults = parser.parse_args(["mnist-small"])
    return train.run(Arguments(**{**vars(defaults), **vars(arguments)}))

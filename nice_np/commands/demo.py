"""nice-np demo: train on the digits that come with the package, for a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nice_np.commands import train
from nice_np.commands.options import add_force, add_seed, new_command
from nice_np.commands.parsing import Arguments, Parser, number
from nice_np.commands.shared import Result

EXAMPLES = """examples:
  nice-np demo
  nice-np demo --time-limit 10 --out runs/short --force
"""


def add_parser(subparsers: Any) -> Parser:
    """Describe the command and its arguments."""
    parser = new_command(subparsers, "demo", "train a small NICE on real digits and draw what it learned", EXAMPLES)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="default: runs/demo")
    parser.add_argument(
        "--time-limit", type=number(above=0), default=60.0, metavar="S", help="seconds of training (default: 60)"
    )
    add_seed(parser)
    add_force(parser)
    return parser


def run(arguments: Arguments) -> Result:
    """Train as `nice-np train mnist-small --time-limit 60` does."""
    return train.run(Arguments(**{**train.DEFAULTS, **vars(arguments), "dataset": "mnist-small"}))

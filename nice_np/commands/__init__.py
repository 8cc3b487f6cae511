"""The commands of nice-np, a file each: what its arguments are (`add_parser`) and what it does (`run`).

`run` takes the parsed arguments and returns (result for --json, text to read).
"""

from __future__ import annotations

from typing import Any, Protocol

from nice_np._version import __version__
from nice_np.commands import (
    completion,
    demo,
    evaluate,
    export,
    gradcheck,
    info,
    inpaint,
    play,
    presets,
    report,
    restore,
    sample,
    train,
)
from nice_np.commands.parsing import Arguments, Parser
from nice_np.commands.shared import Result


class Command(Protocol):
    """A module of this package that is a command."""

    def add_parser(self, subparsers: Any) -> Parser:
        """Describe the command and its arguments."""

    def run(self, arguments: Arguments) -> Result:
        """Do it."""


COMMANDS: dict[str, Command] = {
    "demo": demo,
    "train": train,
    "evaluate": evaluate,
    "sample": sample,
    "export": export,
    "gradcheck": gradcheck,
    "presets": presets,
    "report": report,
    "inpaint": inpaint,
    "restore": restore,
    "play": play,
    "info": info,
    "completion": completion,
}

EXAMPLES = """examples:
  nice-np demo                                   train on the digits that come with the package, draw pictures
  nice-np train mnist --time-limit 300           all of MNIST, five minutes
  nice-np train two-moons --epochs 20            a density in the plane
  nice-np evaluate runs/mnist --split test       likelihood of a split
  nice-np sample runs/mnist -n 64 --out new.png  draw from the model
  nice-np train mnist --model vae-nice-prior     a variational autoencoder with NICE as its prior
  nice-np inpaint runs/mnist --mask left --out a.png   draw what is missing
  nice-np restore runs/mnist --task denoise --sigma 0.2 --out b.png
  nice-np report runs/mnist --out report.html    numbers, curves and figures of runs on one page
  nice-np play                                   sliders for a small flow of the plane, for lectures
  nice-np gradcheck                              every hand-derived gradient against finite differences
"""


def build_parser() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the whole command line, and those of the commands."""
    description = "Normalizing flows in NumPy with hand-written gradients."
    parser = Parser(prog="nice-np", description=description, epilog=EXAMPLES)
    parser.add_argument("--version", action="version", version=f"nice-np {__version__}")
    # required=False: what argparse says about a missing command helps nobody.
    subparsers = parser.add_subparsers(dest="command", required=False, metavar="COMMAND")
    return parser, {name: command.add_parser(subparsers) for name, command in COMMANDS.items()}

"""The commands of nice-np, one file each: SUMMARY and EPILOG for its help, `add_arguments`, and `run`.

`run` takes the parsed arguments and returns (result for --json, lines to read).  Read `info` first, the shortest.
"""

from __future__ import annotations

from typing import Protocol

from nice_np._version import __version__
from nice_np.commands import (
    completion,
    compress,
    decompress,
    demo,
    evaluate,
    export,
    gradcheck,
    grade,
    info,
    inpaint,
    play,
    presets,
    report,
    restore,
    sample,
    train,
)
from nice_np.commands.options import add_common
from nice_np.commands.parsing import Arguments, Parser
from nice_np.commands.shared import Result


class Command(Protocol):
    """A module of this package that is a command."""

    SUMMARY: str
    EPILOG: str

    def add_arguments(self, parser: Parser) -> None:
        """Declare its arguments."""

    def run(self, arguments: Arguments) -> Result:
        """Execute it."""


COMMANDS: dict[str, Command] = {
    "demo": demo,
    "train": train,
    "evaluate": evaluate,
    "sample": sample,
    "export": export,
    "gradcheck": gradcheck,
    "grade": grade,
    "presets": presets,
    "report": report,
    "inpaint": inpaint,
    "restore": restore,
    "compress": compress,
    "decompress": decompress,
    "play": play,
    "info": info,
    "completion": completion,
}

EXAMPLES = """examples:
  nice-np demo                                   train on the digits in the package and draw pictures
  nice-np train mnist --time-limit 300           all of MNIST, for five minutes
  nice-np train two-moons --epochs 20            a density in the plane
  nice-np evaluate runs/mnist --split test       likelihood of a split
  nice-np sample runs/mnist -n 64 --out new.png  draw samples from the model
  nice-np train mnist --model vae-nice-prior --out runs/vae   a variational autoencoder, NICE as its prior
  nice-np inpaint runs/mnist --mask left --out a.png   fill in missing pixels
  nice-np restore runs/mnist --task denoise --sigma 0.2 --out b.png
  nice-np compress digits.npy --model runs/mnist --out digits.nice   without loss; decompress restores
  nice-np report runs/mnist --out report.html    numbers, curves and figures of runs on one page
  nice-np play                                   sliders for a small flow of the plane, for lectures
  nice-np gradcheck                              every hand-written gradient against finite differences
"""


def build_parser() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the whole command line, and those of the commands."""
    description = "Normalizing flows in NumPy with hand-written gradients."
    parser = Parser(prog="nice-np", description=description, epilog=EXAMPLES)
    parser.add_argument("-V", "--version", action="version", version=f"nice-np {__version__}")
    # required=False: argparse's own message about a missing command does not name the commands.
    subparsers = parser.add_subparsers(dest="command", required=False, metavar="COMMAND")
    by_name: dict[str, Parser] = {}
    for name, command in COMMANDS.items():
        summary = command.SUMMARY
        description = f"{summary[0].upper()}{summary[1:]}."
        by_name[name] = subparsers.add_parser(name, help=summary, description=description, epilog=command.EPILOG)
        add_common(by_name[name])
        command.add_arguments(by_name[name])
    by_name["completion"].set_defaults(command_line=(parser, by_name))  # which its script completes
    return parser, by_name

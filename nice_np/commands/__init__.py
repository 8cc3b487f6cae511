"""The commands of nice-np, one file each: EPILOG for its help, `add_arguments`, and `run`.

`run` takes the parsed arguments and returns (result for --json, lines to read).  Read `info` first, the shortest.  Only
the command that is asked for is imported, so that ``nice-np --help`` answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from nice_np._version import __version__
from nice_np.commands.options import add_common
from nice_np.commands.parsing import Arguments, Parser

if TYPE_CHECKING:
    from nice_np.commands.shared import Result


class Command(Protocol):
    """A module of this package that is a command."""

    EPILOG: str

    def add_arguments(self, parser: Parser) -> None:
        """Declare its arguments."""

    def run(self, arguments: Arguments) -> Result:
        """Execute it."""


COMMANDS = {  # and what they do
    "demo": "train a small Glow on real digits and draw what it learned",
    "train": "train a flow or a VAE on a data set",
    "evaluate": "compute the likelihood of a data set under a flow, or a VAE's bounds on it",
    "sample": "draw samples from a trained flow or VAE",
    "export": "write a trained model for other programs",
    "gradcheck": "compare hand-written gradients with finite differences",
    "grade": "grade students' copies of the tutorials",
    "presets": "list the presets of train with their number of parameters and their source",
    "report": "compare finished runs side by side on one HTML page",
    "inpaint": "fill in the missing pixels of images",
    "restore": "restore noisy, blurred, small or compressed images",
    "compress": "write images into a small file, without loss",
    "decompress": "restore the images in a file of nice-np compress",
    "play": "change the parameters of a flow of the plane with sliders and watch its density",
    "info": "show the architecture of a trained model and how it was trained",
    "completion": "print a script with which a shell completes nice-np",
}


def module_of(name: str) -> Command:
    """The module of a command."""
    return cast(Command, import_module(f"nice_np.commands.{name}"))


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


def build_parser(only: str | None = None) -> tuple[Parser, dict[str, Parser]]:
    """The parser of the whole command line, and those of the commands; with `only`, the others have no arguments.

    "" stands for none of them; completion needs all.
    """
    description = "Normalizing flows in NumPy with hand-written gradients."
    parser = Parser(prog="nice-np", description=description, epilog=EXAMPLES)
    parser.add_argument("-V", "--version", action="version", version=f"nice-np {__version__}")
    # required=False: argparse's own message about a missing command does not name the commands.
    subparsers = parser.add_subparsers(dest="command", required=False, metavar="COMMAND")
    by_name: dict[str, Parser] = {}
    for name, summary in COMMANDS.items():
        description = f"{summary[0].upper()}{summary[1:]}."
        by_name[name] = subparsers.add_parser(name, help=summary, description=description)
        if only in (None, "completion", name):
            by_name[name].epilog = module_of(name).EPILOG
            add_common(by_name[name])
            module_of(name).add_arguments(by_name[name])
    by_name["completion"].set_defaults(command_line=(parser, by_name))  # which its script completes
    return parser, by_name

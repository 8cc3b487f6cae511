"""nice-np decompress: the images in a file of nice-np compress, every pixel as it was."""

from __future__ import annotations

import numpy as np

from nice_np.codec import decompress
from nice_np.commands.compress import add_coding_model, load_coding_flow
from nice_np.commands.options import add_force
from nice_np.commands.parsing import Arguments, Parser, path
from nice_np.commands.shared import Result
from nice_np.datasets.files import open_file
from nice_np.datasets.idx import to_idx_bytes
from nice_np.files.atomic import replacing
from nice_np.runs.folder import refuse_to_replace

EPILOG = """A file that is damaged, or was made with another model, is refused.

examples:
  nice-np decompress digits.nice --model runs/mnist --out digits.npy
  nice-np decompress digits.nice --model runs/mnist --out t10k-images-idx3-ubyte
"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("file", type=path, metavar="F", help="a file of nice-np compress")
    add_coding_model(parser)
    add("--out", "-o", type=path, required=True, metavar="DIGITS", help="a .npy file; any other name: IDX, as MNIST")
    add_force(parser)


def run(arguments: Arguments) -> Result:
    """Read the file, restore the images and write them."""
    refuse_to_replace(arguments.force, arguments.out)
    flow, _ = load_coding_flow(arguments.model)
    with open_file(arguments.file, "a file of nice-np compress") as source:
        data = source.read()
    with replacing(arguments.out) as file:  # before the work: a path that cannot be written is refused at once
        pixels = decompress(flow, data, str(arguments.file))
        if arguments.out.suffix.lower() == ".npy":
            np.save(file, pixels)
        else:
            file.write(to_idx_bytes(pixels))
    result = {"images": len(pixels), "shape": list(pixels.shape), "bytes": len(data), "out": str(arguments.out)}
    return result, [f"{len(pixels):,} image(s) of {' x '.join(map(str, pixels.shape[1:]))} written to {arguments.out}"]

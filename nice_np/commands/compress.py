"""nice-np compress: images into a small file, without loss, by the likelihood of an integer flow."""

from __future__ import annotations

from math import prod
from pathlib import Path

from nice_np.codec import compress
from nice_np.commands.options import add_force
from nice_np.commands.parsing import Arguments, Parser, path
from nice_np.commands.shared import Result
from nice_np.datasets.base import times
from nice_np.datasets.idx import read_idx
from nice_np.datasets.image_files import Pixels, read_images, read_npy
from nice_np.errors import NiceValueError
from nice_np.files.atomic import replacing
from nice_np.flows.integer import IntegerFlow
from nice_np.restoration.operators.base import as_image_shape
from nice_np.runs.folder import load_flow, refuse_to_replace
from nice_np.validation import is_pixels

EPILOG = """DIGITS is a .npy file of uint8 of shape (N, D) or (N, height, width), one image as .png, or, with
any other name, a file of the MNIST kind (IDX, also gzipped).  The model is one of integers, such as
nice-np train mnist --preset mnist-idf trains, and its log-likelihood is the size of the file.
nice-np decompress needs the same model to read it again.

examples:
  nice-np compress t10k-images-idx3-ubyte --model runs/mnist --out digits.nice
"""


def add_coding_model(parser: Parser) -> None:
    """--model MODEL."""
    parser.add_argument("--model", type=path, required=True, metavar="MODEL", help="run folder or model.npz")


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("images", type=path, metavar="DIGITS", help="images, see below")
    add_coding_model(parser)
    add("--out", "-o", type=path, required=True, metavar="F", help="the small file")
    add_force(parser)


def run(arguments: Arguments) -> Result:
    """Read the images, compress them and write the file."""
    refuse_to_replace(arguments.force, arguments.out)
    flow, image_shape = load_coding_flow(arguments.model)
    with replacing(arguments.out) as file:  # before the work: a path that cannot be written is refused at once
        pixels = read_pixels(arguments.images, image_shape)
        data = compress(flow, pixels)
        file.write(data)
    bits = 8 * len(data) / pixels.size
    result = {
        "images": len(pixels), "pixels": pixels.size, "bytes": len(data), "bits_per_pixel": bits,
        "model": str(arguments.model), "out": str(arguments.out),
    }  # fmt: skip
    return result, [
        f"{len(pixels):,} image(s), {pixels.size:,} pixels of 8 bits: {len(data):,} bytes, {bits:.4f} bits a pixel",
        f"written to {arguments.out}; nice-np decompress reads it with the same model",
    ]


def load_coding_flow(model: Path) -> tuple[IntegerFlow, tuple[int, ...]]:
    """The flow of integers in a run folder or a model file, and its images' shape; NiceValueError for another one."""
    flow, metadata = load_flow(model)
    if not isinstance(flow, IntegerFlow):
        raise NiceValueError(
            f"{model} holds a {type(flow).__name__}, whose likelihood is a density; a code needs the probability of "
            "integers: train a model with nice-np train mnist --preset mnist-idf"
        )
    shape = as_image_shape(metadata.get("image_shape") or (1, flow.dim), f"{model}")
    if prod(shape) != flow.dim:
        raise NiceValueError(f"{model}: the flow has {flow.dim} features, which are not images of shape {shape}")
    return flow, shape


def read_pixels(images: Path, shape: tuple[int, ...]) -> Pixels:
    """uint8 pixels (N, ...) from a file; NiceValueError if they are no images of this shape, or none at all."""
    kind = images.suffix.lower()
    if kind == ".png":
        return read_images(images, shape).reshape(1, *shape)
    pixels = read_npy(images) if kind == ".npy" else read_idx(images)
    if not is_pixels(pixels) or pixels.ndim < 2 or prod(pixels.shape[1:]) != prod(shape) or len(pixels) == 0:
        raise NiceValueError(
            f"{images}: expected N >= 1 images of {times(shape)} whole numbers from 0 to 255 (uint8), got "
            f"{pixels.dtype} of shape {pixels.shape}"
        )
    return pixels

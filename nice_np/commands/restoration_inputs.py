"""Inputs of the commands inpaint and restore: their options, a model of images, and images or measurements."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nice_np.commands.options import add_data_dir, add_force, add_seed
from nice_np.commands.parsing import Arguments, OneOf, Parser, ending_in, whole
from nice_np.commands.shared import one_label
from nice_np.datasets.image_files import read_images
from nice_np.errors import NiceValueError
from nice_np.flows.flow import Flow
from nice_np.flows.integer import IntegerFlow
from nice_np.pixels.dequantize import BIN_WIDTH, NOISE_SEED, dequantize
from nice_np.restoration.arguments import space_for
from nice_np.restoration.operators.base import as_image_shape
from nice_np.runs.folder import load_flow, refuse_to_replace
from nice_np.runs.scoring import as_density_input, label_context, load_data
from nice_np.validation import Array, as_float, is_pixels

PIXELS = (0.0, 1.0)
FROM_TEST = 10  # default number of test images
SPACES = ("image", "latent", "proxy")

FILES = """
files: FIG shows the originals, what was seen of them and the restorations.  Images are .npy files with
floats from 0 (black) to 1 (white) or uint8, of shape (N, D), (N, height, width) or (N, 3, height, width),
or one image as .png.  Like test images they get the dequantisation noise that the flow was trained with."""


class ImageModel(NamedTuple):
    """A flow of images, from a run folder or a model file."""

    path: Path
    flow: Flow
    image_shape: tuple[int, ...]  # (height, width) or (3, height, width)
    bin_width: float  # the unit of bits/dim
    metadata: dict[str, Any]


class Images(NamedTuple):
    """Images as the flow sees them, or measurements of images."""

    x: Array  # (N, D)
    context: Array | None  # (N, C), the labels, if the flow is conditional
    source: str  # a data set or a file
    mean: Array | None = None  # (D,), the mean training image, if they are from a data set


def add_options(parser: Parser, optimizers: Sequence[str], measured: bool) -> None:
    """All options except those for the degradation; with `measured`, also one for a file of measurements."""
    source, add, image_file = parser.add_mutually_exclusive_group(), parser.add_argument, ending_in(".npy", ".png")
    source.add_argument("--images", type=image_file, metavar="FILE", help="your own images instead of test images")
    if measured:
        source.add_argument("--measured", type=image_file, metavar="FILE", help="your own y, restored as it is")
    add("-n", type=whole(1), metavar="N", help="number of images (default: 10 test images, all of FILE)")
    add(
        "--label",
        type=whole(0),
        metavar="K",
        help="label of the images, for a conditional flow (default: their own)",
    )
    add("--out", "-o", type=ending_in(".png"), required=True, metavar="FIG", help="figure (.png)")
    saved = "restored images (N, D), or samples (N, K, D) (.npy)"
    add("--save", type=ending_in(".npy"), metavar="FILE", help=saved)
    space = f"space of the search: {', '.join(SPACES)} (default: see below)"
    add("--space", type=OneOf(SPACES, "space"), metavar="NAME", help=space)
    optimizer = f"{', '.join(optimizers)} (default: adam for --space image, else lbfgs)"
    add("--optimizer", type=OneOf(optimizers, "optimizer"), metavar="NAME", help=optimizer)
    add("--steps", type=whole(1), default=500, metavar="S", help="maximum number of steps (default: 500)")
    add("--samples", type=whole(1, 1000), metavar="K", help="also draw K posterior samples per image, and their mean")
    add_seed(parser)
    add_data_dir(parser)
    add_force(parser)


def open_checked(arguments: Arguments) -> ImageModel:
    """The model; existing output files are refused before any work is done."""
    refuse_to_replace(arguments.force, arguments.out, arguments.save)
    return open_model(arguments.model)


def where_and_how(arguments: Arguments, flow: Flow) -> dict[str, Any]:
    """The space and the optimizer of the search."""
    space = arguments.space or ("image" if arguments.optimizer == "annealed" else space_for(flow))
    return {"space": space, "optimizer": arguments.optimizer or ("adam" if space == "image" else "lbfgs")}


def the_images(model: ImageModel, arguments: Arguments, hidden: Any = ()) -> Images:
    """The images to degrade: from a file, or from the test set."""
    if arguments.images is not None:
        return own_images(model, arguments.images, arguments.n, arguments.label, hidden)
    return images_of_test_set(model, arguments.n or FROM_TEST, arguments.label, arguments.data_dir)


def open_model(path: Path) -> ImageModel:
    """Read a flow of images; NiceValueError for any other model."""
    flow, metadata = load_flow(path)
    if isinstance(flow, IntegerFlow):
        raise NiceValueError(
            f"{path} is a flow of integers, and a search takes steps between them; train one of densities, such as "
            "nice-np train mnist"
        )
    if metadata.get("image_shape") is None:
        raise NiceValueError(
            f"{path} is not a model of images, and only images can be restored; train one on mnist-small, for example"
        )
    shape = as_image_shape(metadata["image_shape"], f"{path}")
    if prod(shape) != flow.dim or (len(shape) == 3 and shape[0] != 3):
        raise NiceValueError(f"{path}: the flow has {flow.dim} features, which are not images of shape {shape}")
    bin_width = as_float(metadata.get("bin_width", BIN_WIDTH), f"{path}", "bin_width", above=0)
    return ImageModel(path, flow, shape, bin_width, metadata)


def images_of_test_set(model: ImageModel, n: int, label: int | None, data_dir: Path | None) -> Images:
    """The first `n` test images of the model's data set, with their true labels or all with one label."""
    name = model.metadata.get("dataset")
    if name is None:
        raise NiceValueError(f"{model.path} does not say what it was trained on; give images with --images FILE")
    dataset = load_data(model.flow, name, data_dir, model.metadata.get("seed", 0))
    x = as_density_input(dataset.test[:n], NOISE_SEED, model.flow)
    if label is None:
        context = label_context(model.flow, dataset, "test")
        context = None if context is None else context[: len(x)]
    else:
        context = one_label(model.flow, label, len(x))
    mean = (dataset.train.mean(axis=0) + 0.5) * BIN_WIDTH  # pixels in the middle of their bins
    return Images(x, context, f"{name} test", mean.astype(x.dtype))


def own_images(model: ImageModel, path: Path, n: int | None, label: int | None, hidden: Any = ()) -> Images:
    """The first `n` images of a file; the pixels `hidden` are ignored.

    8-bit levels, and floats as levels / 255, get the dequantisation noise that the flow was trained with.
    """
    pixels = read_images(path, model.image_shape)[:n].copy()  # (N, D)
    pixels[:, hidden] = 0
    if not is_pixels(pixels):
        _refuse(pixels, (pixels >= 0) & (pixels <= 1), path, "between 0, black, and 1, white")
    x = dequantize(pixels, NOISE_SEED, model.flow.dtype)
    return Images(x, _given_label(model.flow, label, len(x)), str(path))


def own_measurements(model: ImageModel, path: Path, shape: tuple[int, ...], n: int | None, label: int | None) -> Images:
    """The first `n` rows of measurements in a file, (N, M); 8-bit levels become the middle of their bins."""
    y = read_images(path, shape)[:n]
    if is_pixels(y):
        y = (y + 0.5) * BIN_WIDTH
    limit = np.sqrt(np.finfo(model.flow.dtype).max)  # so that its square is finite
    _refuse(y, np.abs(y) < limit, path, f"a finite number below {limit:.0e}")
    return Images(y.astype(model.flow.dtype), _given_label(model.flow, label, len(y)), str(path))


def _given_label(flow: Flow, label: int | None, n: int) -> Array | None:
    """The context (n, C) of images that all have the label; None for a flow without labels."""
    if flow.context_dim and label is None:
        raise NiceValueError(
            f"this flow was trained with labels: give that of the images, --label 0 .. {flow.context_dim - 1}"
        )
    return None if label is None else one_label(flow, label, n)


def _refuse(rows: Array, fine: Any, path: Path, expected: str) -> None:
    if not fine.all():
        row, column = np.argwhere(~fine)[0]
        raise NiceValueError(f"{path}: expected {expected}, got {rows[row, column]} in row {row}, column {column}")

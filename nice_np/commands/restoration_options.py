"""What inpaint and restore share: their options, the model and images to start from, and how to search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nice_np.commands.options import add_data_dir, add_force, add_seed
from nice_np.commands.parsing import Arguments, OneOf, Parser, ending_in, whole
from nice_np.commands.restoration_inputs import ImageModel, Images, images_of_test_set, open_model, own_images
from nice_np.flows.flow import Flow
from nice_np.restoration.arguments import space_for
from nice_np.runs.folder import refuse_to_replace

PIXELS = (0.0, 1.0)
FROM_TEST = 10  # default number of test images
SPACES = ("image", "latent", "proxy")

FILES = """
files: FIG shows the originals, what was seen of them and the restorations.  Images are .npy files with
floats from 0 (black) to 1 (white) or uint8, of shape (N, D), (N, height, width) or (N, 3, height, width),
or one image as .png.  Like test images they get the dequantisation noise that the flow was trained with."""


def add_options(parser: Parser, optimizers: Sequence[str], measured: bool) -> None:
    """All options except those for the degradation; with `measured`, also one for a file of measurements."""
    source, add, image_file = parser.add_mutually_exclusive_group(), parser.add_argument, ending_in(".npy", ".png")
    source.add_argument("--images", type=image_file, metavar="FILE", help="your own images instead of test images")
    if measured:
        source.add_argument("--measured", type=image_file, metavar="FILE", help="your own y, restored as it is")
    add("-n", type=whole(1), metavar="N", help="number of images (default: 10 test images, all of FILE)")
    add("--label", type=whole(0), metavar="K", help="of the images, for a flow with labels (test images: their own)")
    add("--out", type=ending_in(".png"), required=True, metavar="FIG", help="figure (.png)")
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

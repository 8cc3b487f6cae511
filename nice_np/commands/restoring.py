"""What inpaint and restore share: their arguments, the model and the images to start from, where to search and how."""

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
FROM_TEST = 10  # images of the test set, where nobody says how many
SPACES = ("image", "latent", "proxy")

FILES = """
files: FIG shows the originals, what was left of them and what was restored.  Images come as .npy, floats from
0 (black) to 1 (white) or uint8, of shape (N, D), (N, height, width) or (N, 3, height, width); or one image as
.png.  Like test images they get the noise below a grey level that the flow was trained with."""


def add_options(parser: Parser, optimizers: Sequence[str], measured: bool) -> None:
    """All options but those that say what is to be restored; with `measured`, a file of measurements is one."""
    source = parser.add_mutually_exclusive_group()
    image_file = ending_in(".npy", ".png")
    source.add_argument("--images", type=image_file, metavar="FILE", help="your own, instead of test images")
    if measured:
        source.add_argument("--measured", type=image_file, metavar="FILE", help="your own y, to be restored as it is")
    parser.add_argument(
        "-n", type=whole(1), metavar="N", help="how many, from the first on (default: 10 test images, all of FILE)"
    )
    parser.add_argument(
        "--label", type=whole(0), metavar="K", help="what is shown, for a flow with labels (test images: their own)"
    )
    parser.add_argument("--out", type=ending_in(".png"), required=True, metavar="FIG", help="figure (.png)")
    parser.add_argument(
        "--save", type=ending_in(".npy"), metavar="FILE", help="restored images (N, D), or samples (N, K, D) (.npy)"
    )
    parser.add_argument(
        "--space",
        type=OneOf(SPACES, "space"),
        metavar="NAME",
        help=f"in which to search: {', '.join(SPACES)} (default: see below)",
    )
    parser.add_argument(
        "--optimizer",
        type=OneOf(optimizers, "optimizer"),
        metavar="NAME",
        help=f"{', '.join(optimizers)} (default: adam for --space image, else lbfgs)",
    )
    parser.add_argument("--steps", type=whole(1), default=500, metavar="S", help="at most (default: 500)")
    parser.add_argument(
        "--samples", type=whole(1, 1000), metavar="K", help="then also K random answers for each, and their mean"
    )
    add_seed(parser)
    add_data_dir(parser)
    add_force(parser)


def open_undisturbed(arguments: Arguments) -> ImageModel:
    """The model; files in the way are found before any work is done."""
    for path in (arguments.out, arguments.save):
        if path is not None:
            refuse_to_replace(path, arguments.force)
    return open_model(arguments.model)


def where_and_how(arguments: Arguments, flow: Flow) -> tuple[str, str]:
    """Where to search, and how."""
    space = arguments.space or ("image" if arguments.optimizer == "annealed" else space_for(flow))
    return space, arguments.optimizer or ("adam" if space == "image" else "lbfgs")


def the_images(model: ImageModel, arguments: Arguments, hidden: Any = ()) -> Images:
    """The images to spoil: of a file, or of the test set."""
    if arguments.images is not None:
        return own_images(model, arguments.images, arguments.n, arguments.label, hidden)
    return images_of_test_set(model, arguments.n or FROM_TEST, arguments.label, arguments.data_dir)

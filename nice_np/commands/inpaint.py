"""nice-np inpaint: fill in missing pixels of images with a trained flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.commands.options import add_model
from nice_np.commands.parsing import Arguments, OneOf, Parser, number
from nice_np.commands.restoration_inputs import FILES, PIXELS, add_options, open_checked, the_images, where_and_how
from nice_np.commands.restoration_results import Problem, Seen, answer
from nice_np.commands.shared import Result
from nice_np.datasets.image_files import read_mask
from nice_np.errors import NiceValueError
from nice_np.files.text import printable
from nice_np.restoration import Posterior, sample_completions
from nice_np.restoration import inpaint as fill_in
from nice_np.restoration.operators import Mask, named_mask
from nice_np.validation import Array

EXACT = 0.01  # sigma of the noise assumed on the observed pixels in latent space ...
EXACT_FOR_DRAWS = 0.08  # ... and for samples: a smaller sigma means shorter steps
MASKS = (
    "top", "bottom", "left", "right", "center", "even", "odd", "center-rows", "center-columns", "random75", "random90",
)  # fmt: skip

EPILOG = f"""spaces:
  latent   search over latents for the most probable image, with some noise (--sigma) on the observed pixels;
           the default
  image    change only the missing pixels, to increase the likelihood log p(x)
  proxy    latent without the log-determinant; the default for flows that see pixels through a logit

The pixels of --images that the mask hides are ignored and may be NaN.
{FILES}

examples:
  nice-np inpaint runs/mnist --mask left --out left.png
  nice-np inpaint runs/mnist --mask scratch.png --images digit.png --out whole.png --save whole.npy
"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    add_model(parser)
    mask = f"the missing pixels: {', '.join(MASKS)}, or the black pixels of a picture FILE.png of the images' size"
    parser.add_argument("--mask", type=OneOf(MASKS, "mask", or_picture=True), required=True, metavar="M", help=mask)
    sigma = "in latent space: assumed noise of the observed pixels (default: 0.01, for samples 0.08)"
    parser.add_argument("--sigma", type=number(above=0), metavar="S", help=sigma)
    add_options(parser, ("adam", "lbfgs", "annealed"), measured=False)


def run(arguments: Arguments) -> Result:
    """Fill in the pixels that a mask hides."""
    model = open_checked(arguments)
    flow, shape, known = model.flow, model.image_shape, arguments.images is None
    mask = Mask(_observed(arguments.mask, shape, arguments.seed))
    images = the_images(model, arguments, mask.hidden)
    guess = None
    if images.mean is not None:
        filled = images.x.copy()
        filled[:, mask.hidden] = images.mean[mask.hidden]
        guess = filled, "the mean training image in the missing pixels"
    search = where_and_how(arguments, flow)
    in_image_space = search["space"] == "image"
    sigma = None if in_image_space else arguments.sigma or EXACT
    sigma_of_draws = arguments.sigma or EXACT_FOR_DRAWS
    if in_image_space and arguments.sigma is not None and arguments.samples is None:
        raise NiceValueError("--sigma is for latent space: in image space the observed pixels keep their exact values")
    common: dict[str, Any] = {"clip": PIXELS, "context": images.context, "progress": not arguments.quiet}

    def solve() -> Array:
        more: dict[str, Any] = {"steps": arguments.steps, "sigma": sigma, "rng": arguments.seed, **search, **common}
        return fill_in(flow, images.x, mask, **more).x

    def draw(count: int) -> Posterior:
        return sample_completions(flow, images.x, mask, sigma_of_draws, chains=count, rng=arguments.seed, **common)

    settings = {"mask": arguments.mask, **search, "sigma": sigma}
    settings["sigma_of_draws"] = None if arguments.samples is None else sigma_of_draws
    seen = Seen(images.x, shape, "seen", np.isin(np.arange(flow.dim), mask.hidden))
    title = f"{_in_words(arguments.mask)} missing"
    return answer(arguments, Problem(model, images, known, seen, guess, title, settings), solve, draw)


def _in_words(mask: str) -> str:
    if mask in ("top", "bottom", "left", "right"):
        return f"{mask} half"
    if mask in ("even", "odd"):
        return f"{mask} columns"
    if mask.startswith("random") and mask in MASKS:
        return f"{mask.removeprefix('random')} % of the pixels"
    return mask.replace("-", " ") if mask in MASKS else f"black pixels of {printable(Path(mask).name)}"


def _observed(name: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.bool_]:
    """True for observed pixels, in the shape of the images: a mask by its name or from a file."""
    if name not in MASKS:
        return read_mask(Path(name), shape)
    height, width = shape[-2:]
    return np.broadcast_to(named_mask(name, height, width, rng=seed), shape)

"""nice-np inpaint: a trained flow fills holes in images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.commands.options import add_model, new_command
from nice_np.commands.parsing import Arguments, OneOf, Parser, number
from nice_np.commands.restoration_results import Guess, Problem, Seen, answer
from nice_np.commands.restoring import FILES, PIXELS, add_options, open_undisturbed, the_images, where_and_how
from nice_np.commands.shared import Result
from nice_np.datasets.image_files import read_mask
from nice_np.errors import NiceValueError
from nice_np.restoration import Posterior, sample_posterior
from nice_np.restoration import inpaint as fill_in
from nice_np.restoration.operators import Mask, named_mask
from nice_np.runs.folder import printable
from nice_np.validation import Array

EXACT = 0.01  # the noise that observed pixels are taken to have over latents ...
EXACT_FOR_DRAWS = 0.05  # ... and when drawing: the smaller, the shorter the steps
MASKS = (
    "top", "bottom", "left", "right", "center", "even", "odd", "center-rows", "center-columns", "random75", "random90",
)  # fmt: skip

EPILOG = f"""spaces:
  latent   latents move, to the most probable image with some noise (--sigma) on what is seen; the default
  image    the missing pixels alone move, up the likelihood log p(x)
  proxy    latent without the log-determinant; the default for flows that see pixels through a logit

The pixels of --images that the mask hides are not looked at, and may be NaN.
{FILES}

examples:
  nice-np inpaint runs/mnist --mask left --out left.png
  nice-np inpaint runs/mnist --mask scratch.png --images digit.png --out whole.png --save whole.npy
"""


def add_parser(subparsers: Any) -> Parser:
    """Describe the command and its arguments."""
    parser = new_command(subparsers, "inpaint", "fill in the missing pixels of images", EPILOG)
    add_model(parser)
    parser.add_argument(
        "--mask",
        type=OneOf(MASKS, "mask", or_picture=True),
        required=True,
        metavar="M",
        help=f"what is missing: {', '.join(MASKS)}, or the black pixels of a picture FILE.png of the images' size",
    )
    parser.add_argument(
        "--sigma",
        type=number(above=0),
        metavar="S",
        help="over latents: noise granted to what is seen (default: 0.01, of samples 0.05)",
    )
    add_options(parser, ("adam", "lbfgs", "annealed"), measured=False)
    return parser


def run(arguments: Arguments) -> Result:
    """Fill in the pixels that a mask hides."""
    model = open_undisturbed(arguments)
    flow, shape, known = model.flow, model.image_shape, arguments.images is None
    mask = Mask(_observed(arguments.mask, shape, arguments.seed))
    images = the_images(model, arguments, mask.hidden)
    guess = None
    if images.mean is not None:
        filled = images.x.copy()
        filled[:, mask.hidden] = images.mean[mask.hidden]
        guess = Guess(filled, "the mean training image in the holes")
    space, optimizer = where_and_how(arguments, flow)
    sigma = None if space == "image" else arguments.sigma or EXACT
    sigma_of_draws = arguments.sigma or EXACT_FOR_DRAWS
    if space == "image" and arguments.sigma is not None and arguments.samples is None:
        raise NiceValueError("--sigma is for latents: in image space the pixels that are seen stay exactly as they are")
    common: dict[str, Any] = {"clip": PIXELS, "context": images.context, "progress": not arguments.quiet}
    hidden = np.isin(np.arange(flow.dim), mask.hidden)

    def solve() -> Array:
        return fill_in(
            flow, images.x, mask, space=space, optimizer=optimizer, steps=arguments.steps,
            sigma=sigma, rng=arguments.seed, **common,
        ).x  # fmt: skip

    def draw(count: int) -> Posterior:
        y = images.x[:, mask.observed]
        drawn = sample_posterior(flow, y, mask, sigma_of_draws, chains=count, rng=arguments.seed, **common)
        drawn.samples[..., mask.observed] = y[:, None]  # these are known exactly
        drawn.mean[:, mask.observed] = y
        return drawn

    title = f"{_in_words(arguments.mask)} missing"
    settings = {"mask": arguments.mask, "space": space, "optimizer": optimizer, "sigma": sigma}
    settings["sigma_of_draws"] = None if arguments.samples is None else sigma_of_draws
    seen = Seen(images.x, shape, "seen", hidden)
    return answer(arguments, Problem(model, images, known, seen, guess, title, settings, solve, draw))


def _in_words(mask: str) -> str:
    if mask in ("top", "bottom", "left", "right"):
        return f"{mask} half"
    if mask in ("even", "odd"):
        return f"{mask} columns"
    if mask.startswith("random") and mask in MASKS:
        return f"{mask.removeprefix('random')} % of the pixels"
    return mask.replace("-", " ") if mask in MASKS else f"what is black in {printable(Path(mask).name)}"


def _observed(name: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.bool_]:
    """True where a pixel is seen, of the images' shape: a mask by its name or from a file."""
    if name not in MASKS:
        return read_mask(Path(name), shape)
    height, width = shape[-2:]
    return np.broadcast_to(named_mask(name, height, width, rng=seed), shape)

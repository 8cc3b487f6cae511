"""nice-np restore: a trained flow takes away noise and blur, adds pixels, finds an image behind a few projections."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from nice_np.commands.options import add_model, new_command
from nice_np.commands.parsing import Arguments, OneOf, Parser, number, whole
from nice_np.commands.restoration_inputs import own_measurements
from nice_np.commands.restoration_results import Guess, Problem, Seen, answer
from nice_np.commands.restoring import FILES, PIXELS, add_options, open_undisturbed, the_images, where_and_how
from nice_np.commands.shared import Result
from nice_np.errors import NiceValueError
from nice_np.restoration import Posterior, sample_posterior
from nice_np.restoration import restore as most_probable
from nice_np.restoration.operators import Blur, Downsample, Identity, Operator, RandomProjection
from nice_np.validation import Array

TASKS: dict[str, tuple[str | None, float | None]] = {  # the option of each, and its default
    "denoise": (None, None),
    "superres": ("factor", 2),
    "deblur": ("blur", 1.0),
    "compressed": ("measurements", 0.25),
}


EPILOG = f"""y = A x + noise, with A x for each task:
  denoise     x itself
  superres    means of F x F pixels
  deblur      a Gaussian blur
  compressed  M = round(Q D) random projections of D pixels: nice_np.RandomProjection(D, M, rng=SEED)

Images are degraded first, with noise from the seed.  --measured brings a y of your own instead, and --sigma,
--factor and the like say how it came about: a file as below, of superres with fewer pixels, of compressed a
.npy of shape (N, M).

spaces:
  latent   latents move, to the most probable image; the default
  image    the same, but pixels move
  proxy    latent without the log-determinant; the default for flows that see pixels through a logit
{FILES}

examples:
  nice-np restore runs/mnist --task denoise --sigma 0.2 --out denoised.png
  nice-np restore runs/mnist --task superres --factor 2 --sigma 0.05 -n 5 --out larger.png
  nice-np restore runs/mnist --task deblur --blur 1.5 --sigma 0.02 --measured blurred.npy --out sharp.png
"""


def add_parser(subparsers: Any) -> Parser:
    """Describe the command and its arguments."""
    parser = new_command(subparsers, "restore", "restore noisy, blurred, small or compressed images", EPILOG)
    add_model(parser)
    parser.add_argument(
        "--task", type=OneOf(tuple(TASKS), "task"), required=True, metavar="NAME", help=", ".join(TASKS)
    )
    parser.add_argument(
        "--sigma", type=number(above=0), required=True, metavar="S", help="of the noise, where white is 1 and black 0"
    )
    parser.add_argument("--factor", type=whole(2, 1000), metavar="F", help="superres: F x F pixels to one (default: 2)")
    parser.add_argument("--blur", type=number(above=0), metavar="W", help="deblur: width in pixels (default: 1)")
    parser.add_argument(
        "--measurements",
        type=number(above=0, maximum=1),
        metavar="Q",
        help="compressed: random projections for each pixel of the image, up to 1 (default: 0.25)",
    )
    add_options(parser, ("adam", "lbfgs"), measured=True)
    return parser


def run(arguments: Arguments) -> Result:
    """Find the images behind y = A x + noise; x is degraded here, or y comes from a file."""
    amount = _amount(arguments)
    model = open_undisturbed(arguments)
    operator, shape, what = _operator(arguments.task, amount, model.image_shape, arguments.seed)
    if arguments.measured is None:
        images = the_images(model, arguments)
        noise = np.random.default_rng([arguments.seed, 1]).standard_normal((len(images.x), operator.dim_out))
        y = operator.forward(images.x) + (arguments.sigma * noise).astype(images.x.dtype)
    else:
        images = own_measurements(model, arguments.measured, shape, arguments.n, arguments.label)
        y = images.x
    space, optimizer = where_and_how(arguments, model.flow)
    common: dict[str, Any] = {"clip": PIXELS, "context": images.context, "progress": not arguments.quiet}

    def solve() -> Array:
        return most_probable(
            model.flow, y, operator, arguments.sigma, space=space, optimizer=optimizer, steps=arguments.steps, **common
        ).x

    def draw(count: int) -> Posterior:
        return sample_posterior(model.flow, y, operator, arguments.sigma, chains=count, rng=arguments.seed, **common)

    settings = {"task": arguments.task, "amount": amount, "sigma": arguments.sigma}
    settings |= {"space": space, "optimizer": optimizer}
    known = arguments.measured is None
    seen, guess = _show(operator, y, shape, model.image_shape)
    title = f"{what}, noise of {arguments.sigma:g}"
    return answer(
        arguments, Problem(model, images, known, seen, guess if known else None, title, settings, solve, draw)
    )


def _amount(arguments: Arguments) -> float | None:
    """The number that a task needs; NiceValueError for one that another task needs."""
    for task, (option, default) in TASKS.items():
        given = None if option is None else getattr(arguments, option)
        if task == arguments.task:
            amount = default if given is None else given
        elif given is not None:
            raise NiceValueError(f"--{option} is for --task {task}, not for {arguments.task}: leave it out")
    return amount


def _operator(task: str, amount: Any, image_shape: tuple[int, ...], seed: int) -> tuple[Operator, tuple[int, ...], str]:
    """A, the shape of what it measures of an image, and what that is in words."""
    *channels, height, width = image_shape
    dim = prod(image_shape)
    if task == "denoise":
        return Identity(dim), image_shape, "the whole image"
    if task == "deblur":
        return Blur(image_shape, amount), image_shape, f"blurred by {amount:g} pixels"
    if task == "superres":
        few = (*channels, height // amount, width // amount)
        return Downsample(image_shape, amount), few, f"means of {amount} x {amount} pixels"
    count = max(1, round(amount * dim))
    return RandomProjection(dim, count, rng=seed), (count,), f"{count} random projections of {dim} pixels"


def _show(operator: Operator, y: Array, shape: tuple[int, ...], image_shape: Any) -> tuple[Seen, Guess]:
    """The measurements as images, and a guess at the originals that needs no flow."""
    if isinstance(operator, RandomProjection):  # A^T y, the back-projection, is A^T A x + noise, and E[A^T A] = I
        back = operator.adjoint(y)
        return Seen(back, image_shape, "back-projection\nA^T y"), Guess(back, "the back-projection A^T y")
    if isinstance(operator, Downsample):
        return Seen(y, shape, "seen"), Guess(operator.adjoint(y) * operator.factor**2, "every pixel repeated")
    return Seen(y, shape, "seen"), Guess(y, "the images as they were seen")

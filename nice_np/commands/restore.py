"""nice-np restore: denoise, deblur or enlarge images, or recover them from random projections, with a trained flow."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from nice_np.commands.options import add_model
from nice_np.commands.parsing import Arguments, OneOf, Parser, number, whole
from nice_np.commands.restoration_inputs import (
    FILES,
    PIXELS,
    add_options,
    open_checked,
    own_measurements,
    the_images,
    where_and_how,
)
from nice_np.commands.restoration_results import Problem, Seen, answer
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

Images are degraded first, with noise from the seed.  With --measured you give y yourself, and --sigma,
--factor and so on say how it was measured: a file as below, for superres with fewer pixels, for compressed
a .npy of shape (N, M).

spaces:
  latent   search over latents for the most probable image; the default
  image    the same, but over pixels
  proxy    latent without the log-determinant; the default for flows that see pixels through a logit
{FILES}

examples:
  nice-np restore runs/mnist --task denoise --sigma 0.2 --out denoised.png
  nice-np restore runs/mnist --task superres --factor 2 --sigma 0.05 -n 5 --out larger.png
  nice-np restore runs/mnist --task deblur --blur 1.5 --sigma 0.02 --measured blurred.npy --out sharp.png
"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    add_model(parser)
    add = parser.add_argument
    add("--task", type=OneOf(tuple(TASKS), "task"), required=True, metavar="NAME", help=", ".join(TASKS))
    sigma = "standard deviation of the noise, where white is 1 and black 0"
    add("--sigma", type=number(above=0), required=True, metavar="S", help=sigma)
    add("--factor", type=whole(2, 1000), metavar="F", help="superres: F x F pixels become one (default: 2)")
    add("--blur", type=number(above=0), metavar="W", help="deblur: width in pixels (default: 1)")
    projections = "compressed: random projections per pixel of the image, up to 1 (default: 0.25)"
    add("--measurements", type=number(above=0, maximum=1), metavar="Q", help=projections)
    add_options(parser, ("adam", "lbfgs"), measured=True)


def run(arguments: Arguments) -> Result:
    """Find the images behind y = A x + noise; y is computed here from known images, or read from a file."""
    amount, sigma = _amount(arguments), arguments.sigma
    model = open_checked(arguments)
    operator, shape, what = _operator(arguments.task, amount, model.image_shape, arguments.seed)
    known = arguments.measured is None
    if known:
        images = the_images(model, arguments)
        noise = np.random.default_rng([arguments.seed, 1]).standard_normal((len(images.x), operator.dim_out))
        y = operator.forward(images.x) + (sigma * noise).astype(images.x.dtype)
    else:
        images = own_measurements(model, arguments.measured, shape, arguments.n, arguments.label)
        y = images.x
    search = where_and_how(arguments, model.flow)
    common: dict[str, Any] = {"clip": PIXELS, "context": images.context, "progress": not arguments.quiet}

    def solve() -> Array:
        return most_probable(model.flow, y, operator, sigma, steps=arguments.steps, **search, **common).x

    def draw(count: int) -> Posterior:
        return sample_posterior(model.flow, y, operator, sigma, chains=count, rng=arguments.seed, **common)

    settings = {"task": arguments.task, "amount": amount, "sigma": sigma, **search}
    seen, guess = _show(operator, y, shape, model.image_shape)
    title = f"{what}, noise of {sigma:g}"
    problem = Problem(model, images, known, seen, guess if known else None, title, settings)
    return answer(arguments, problem, solve, draw)


def _amount(arguments: Arguments) -> float | None:
    """The number that the task needs; NiceValueError for one that another task needs."""
    for task, (option, default) in TASKS.items():
        given = None if option is None else getattr(arguments, option)
        if task == arguments.task:
            amount = default if given is None else given
        elif given is not None:
            raise NiceValueError(f"--{option} is for --task {task}, not for {arguments.task}: leave it out")
    return amount


def _operator(task: str, amount: Any, image_shape: tuple[int, ...], seed: int) -> tuple[Operator, tuple[int, ...], str]:
    """A, the shape of A x for one image, and a description."""
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


def _show(operator: Operator, y: Array, shape: tuple[int, ...], image_shape: Any) -> tuple[Seen, tuple[Array, str]]:
    """The measurements as images, and a baseline without a flow."""
    if isinstance(operator, RandomProjection):  # A^T y, the back-projection, is A^T A x + noise, and E[A^T A] = I
        back = operator.adjoint(y)
        return Seen(back, image_shape, "back-projection\nA^T y"), (back, "the back-projection A^T y")
    if isinstance(operator, Downsample):
        return Seen(y, shape, "seen"), (operator.adjoint(y) * operator.factor**2, "every pixel repeated")
    return Seen(y, shape, "seen"), (y, "the images as they were seen")

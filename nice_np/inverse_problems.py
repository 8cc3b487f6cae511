"""The commands inpaint and restore: a trained flow fills holes, takes away noise and blur, adds pixels.

Each takes the parsed arguments and returns (result for --json, text to read), as those in `commands` do.
"""

from __future__ import annotations

import argparse
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.checks import Array
from nice_np.errors import NiceValueError
from nice_np.flow import Flow
from nice_np.image_files import read_mask
from nice_np.operators import Blur, Downsample, Identity, Mask, Operator, RandomProjection, named_mask
from nice_np.restoration import Posterior, sample_posterior
from nice_np.restoration import inpaint as fill_in
from nice_np.restoration import restore as most_probable
from nice_np.restoration_inputs import (
    ImageModel,
    Images,
    images_of_test_set,
    open_model,
    own_images,
    own_measurements,
    space_for,
)
from nice_np.restoration_results import Guess, Problem, Result, Seen, answer
from nice_np.runs import printable, refuse_to_replace

PIXELS = (0.0, 1.0)
EXACT = 0.01  # the noise that observed pixels are taken to have over latents ...
EXACT_FOR_DRAWS = 0.05  # ... and when drawing: the smaller, the shorter the steps
FROM_TEST = 10  # images of the test set, where nobody says how many
SPACES = ("image", "latent", "proxy")
MASKS = (
    "top", "bottom", "left", "right", "center", "even", "odd", "center-rows", "center-columns", "random75", "random90",
)  # fmt: skip
TASKS: dict[str, tuple[str | None, float | None]] = {  # the option of each, and its default
    "denoise": (None, None),
    "superres": ("factor", 2),
    "deblur": ("blur", 1.0),
    "compressed": ("measurements", 0.25),
}


# -- inpaint ----------------------------------------------------------------------------------------------------------


def inpaint(arguments: argparse.Namespace) -> Result:
    """Fill in the pixels that a mask hides."""
    model = _open(arguments)
    flow, shape, known = model.flow, model.image_shape, arguments.images is None
    mask = Mask(_observed(arguments.mask, shape, arguments.seed))
    images = _images(model, arguments, mask.hidden)
    guess = None
    if images.mean is not None:
        filled = images.x.copy()
        filled[:, mask.hidden] = images.mean[mask.hidden]
        guess = Guess(filled, "the mean training image in the holes")
    space, optimizer = _search(arguments, flow)
    sigma, sigma_of_draws = arguments.sigma or EXACT, arguments.sigma or EXACT_FOR_DRAWS
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
    settings = {"mask": arguments.mask, "space": space, "optimizer": optimizer}
    settings["sigma"] = None if space == "image" else sigma
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


# -- restore ----------------------------------------------------------------------------------------------------------


def restore(arguments: argparse.Namespace) -> Result:
    """Find the images behind y = A x + noise; x is degraded here, or y comes from a file."""
    amount = _amount(arguments)
    model = _open(arguments)
    operator, shape, what = _operator(arguments.task, amount, model.image_shape, arguments.seed)
    if arguments.measured is None:
        images = _images(model, arguments)
        noise = np.random.default_rng([arguments.seed, 1]).standard_normal((len(images.x), operator.dim_out))
        y = operator.forward(images.x) + (arguments.sigma * noise).astype(images.x.dtype)
    else:
        images = own_measurements(model, arguments.measured, shape, arguments.n, arguments.label)
        y = images.x
    space, optimizer = _search(arguments, model.flow)
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


def _amount(arguments: argparse.Namespace) -> float | None:
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


# -- both -------------------------------------------------------------------------------------------------------------


def _open(arguments: argparse.Namespace) -> ImageModel:
    """The model; files in the way are found before any work is done."""
    for path in (arguments.out, arguments.save):
        if path is not None:
            refuse_to_replace(path, arguments.force)
    return open_model(arguments.model)


def _search(arguments: argparse.Namespace, flow: Flow) -> tuple[str, str]:
    """Where to search, and how."""
    space = arguments.space or ("image" if arguments.optimizer == "annealed" else space_for(flow))
    return space, arguments.optimizer or ("adam" if space == "image" else "lbfgs")


def _images(model: ImageModel, arguments: argparse.Namespace, hidden: Any = ()) -> Images:
    if arguments.images is not None:
        return own_images(model, arguments.images, arguments.n, arguments.label, hidden)
    return images_of_test_set(model, arguments.n or FROM_TEST, arguments.label, arguments.data_dir)

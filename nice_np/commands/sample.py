"""nice-np sample: samples from a trained model, as a picture or an array."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from nice_np.commands.options import add_force, add_model, add_seed
from nice_np.commands.parsing import Arguments, Parser, ending_in, number, whole
from nice_np.commands.shared import Result, labels_to_draw, refuse_if
from nice_np.errors import NiceValueError
from nice_np.files.atomic import replacing
from nice_np.flows.flow import Flow
from nice_np.flows.model import Model
from nice_np.runs.folder import load_run, refuse_to_replace
from nice_np.vae import VAE
from nice_np.validation import Array

EPILOG = """examples:
  nice-np sample runs/mnist -n 64 --out samples.png
  nice-np sample runs/mnist --temperature 0.8 --seed 1 --out cooler.png
  nice-np sample runs/labels --label 7 -n 1000 --out sevens.npy
"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    add_model(parser)
    add, picture_or_array = parser.add_argument, ending_in(".png", ".npy")
    add("-n", type=whole(1), default=64, metavar="N", help="number of samples (default: 64)")
    add("--out", "-o", type=picture_or_array, required=True, metavar="FILE", help="a picture (.png) or an array (.npy)")
    add("--temperature", type=number(minimum=0), default=1.0, metavar="T", help="factor on the latents (default: 1)")
    add(
        "--label",
        type=whole(0),
        metavar="K",
        help="label of the samples, for a conditional flow (default: all)",
    )
    add("--means", action="store_true", help="for a VAE: the mean image E[x | z] of each draw of latents")
    add_seed(parser)
    add_force(parser)


def run(arguments: Arguments) -> Result:
    """Draw samples and write them to a file."""
    model, metadata = load_run(arguments.model)
    out: Path = arguments.out
    refuse_to_replace(arguments.force, out)
    picture, shape = out.suffix.lower() == ".png", metadata.get("image_shape")
    plane = shape is None and isinstance(model, Flow) and model.dim == 2
    if picture and shape is None and not plane:
        raise NiceValueError(f"{model.dim} features are neither an image nor a point of the plane; use --out FILE.npy")
    with replacing(out) as file:  # before the work: a path that cannot be written is refused at once
        x = _draw(model, arguments)
        if picture:
            from nice_np import plotting

            drawing = plotting.density(cast(Flow, model), samples=x) if shape is None else plotting.image_grid(x, shape)
            plotting.save(drawing, file)
        else:
            np.save(file, x)
    result = {"model": str(arguments.model), "n": arguments.n, "out": str(out), "shape": list(x.shape)}
    return result, [f"{arguments.n} samples written to {out}"]


def _draw(model: Model, arguments: Arguments) -> Array:
    """The samples, (n, D)."""
    if isinstance(model, VAE):
        refuse_if(arguments.label is not None, "this model was trained without labels: leave out --label")
        refuse_if(arguments.temperature != 1, "--temperature is for flows; leave it out")
        if arguments.means:
            return model.decode(model.sample_latents(arguments.n, arguments.seed))
        return model.sample(arguments.n, rng=arguments.seed)
    flow = cast(Flow, model)
    refuse_if(arguments.means, "--means is for VAEs: a flow's decoder adds no noise")
    context = labels_to_draw(flow, arguments.label, arguments.n)
    return flow.sample(arguments.n, rng=arguments.seed, temperature=arguments.temperature, context=context)

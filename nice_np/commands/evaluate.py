"""nice-np evaluate: the likelihood of a data set under a flow, or the bounds of a VAE on it."""

from __future__ import annotations

from typing import Any

from nice_np import datasets
from nice_np.commands.options import add_data_dir, add_model, add_seed
from nice_np.commands.parsing import Arguments, OneOf, Parser, whole
from nice_np.commands.shared import Result, refuse_if
from nice_np.datasets.base import SPLITS
from nice_np.errors import NiceValueError
from nice_np.flows.flow import bits_unit
from nice_np.runs.folder import load_run
from nice_np.runs.scoring import load_data, score_model
from nice_np.vae import VAE

DRAWS = 100  # of each sample's latents, for a VAE's tighter bound

EPILOG = """examples:
  nice-np evaluate runs/mnist
  nice-np evaluate runs/mnist --split validation --json
  nice-np evaluate model.npz --data two-moons
"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    add_model(parser)
    add, names = parser.add_argument, OneOf(datasets.names(), "data set")
    add("--data", type=names, metavar="NAME", help="default: the data set that the model was trained on")
    add("--split", type=OneOf(SPLITS, "split"), default="test", metavar="NAME", help=f"{', '.join(SPLITS)} (default)")
    add("--k", type=whole(1), metavar="K", help=f"draws of latents for a VAE's tighter bound (default: {DRAWS})")
    add_seed(parser, 1, "for the noise on the pixels")
    add_data_dir(parser)


def run(arguments: Arguments) -> Result:
    """Score one split of a data set."""
    model, metadata = load_run(arguments.model)
    refuse_if(arguments.k is not None and not isinstance(model, VAE), "--k is for VAEs: a flow's likelihood is exact")
    name = arguments.data or metadata.get("dataset")
    if name is None:
        raise NiceValueError(f"{arguments.model} does not say what it was trained on; name a data set with --data")
    dataset = load_data(model, name, arguments.data_dir, metadata.get("seed", 0))
    result = {"model": str(arguments.model), "data": name, "split": arguments.split, "seed": arguments.seed}
    result.update(score_model(model, dataset, arguments.split, arguments.seed, arguments.k or DRAWS))
    if isinstance(model, VAE):
        noise = "" if dataset.image_shape is None else ", binarised" if model.is_binary else ", dequantised"
        return result, _bounds(result, noise)
    return result, _likelihood(result)


def _likelihood(result: dict[str, Any]) -> list[str]:
    text = "{data} {split}: {log_likelihood:.2f} +- {standard_error:.2f} nats, {bits_per_dim:.4f} {unit}"
    lines = [text + " over {samples} samples"]
    if "accuracy" in result:
        text = "given the label {log_likelihood_given_label:.2f} nats; "
        lines.append(text + "the most likely label is right for {accuracy:.2%}")
    return [line.format(unit=bits_unit(result["bin_width"]), **result) for line in lines]


def _bounds(result: dict[str, Any], noise: str) -> list[str]:
    text = "{data} {split}: ELBO {elbo:.2f} +- {standard_error:.2f} nats, {bits_per_dim:.4f} {unit}"
    lines = [text + ", over {samples} samples{noise}"]
    if "iwae" in result:
        lines.append("bound of {k} draws: {iwae:.2f} +- {iwae_standard_error:.2f} nats")
    return [line.format(noise=noise, unit=bits_unit(result["bin_width"]), **result) for line in lines]

"""nice-np evaluate: the likelihood that a flow gives to a data set, or a VAE's bounds on it."""

from __future__ import annotations

from typing import Any

from nice_np import datasets
from nice_np.commands.options import add_data_dir, add_model, add_seed, new_command
from nice_np.commands.parsing import Arguments, OneOf, Parser, whole
from nice_np.commands.shared import Result, refuse_if, score_model
from nice_np.errors import NiceValueError
from nice_np.runs.folder import SPLITS, load_any_run, load_data
from nice_np.vae import VAE

DRAWS = 100  # of each sample's latents, for a VAE's tighter bound

EXAMPLES = """examples:
  nice-np evaluate runs/mnist
  nice-np evaluate runs/mnist --split validation --json
  nice-np evaluate model.npz --data two-moons
"""


def add_parser(subparsers: Any) -> Parser:
    """Describe the command and its arguments."""
    summary = "compute a flow's likelihood of a data set, or a VAE's bounds on it"
    parser = new_command(subparsers, "evaluate", summary, EXAMPLES)
    add_model(parser)
    parser.add_argument(
        "--data", type=OneOf(datasets.names(), "data set"), metavar="NAME", help="default: what it was trained on"
    )
    parser.add_argument(
        "--split", type=OneOf(SPLITS, "split"), default="test", metavar="NAME", help=f"{', '.join(SPLITS)} (default)"
    )
    parser.add_argument(
        "--k", type=whole(1), metavar="K", help=f"draws of latents for a VAE's tighter bound (default: {DRAWS})"
    )
    add_seed(parser, 1, "of the noise on the pixels")
    add_data_dir(parser)
    return parser


def run(arguments: Arguments) -> Result:
    """Score one split of a data set."""
    model, metadata = load_any_run(arguments.model)
    refuse_if(arguments.k is not None and not isinstance(model, VAE), "--k is for VAEs: a flow's likelihood is exact")
    name = arguments.data or metadata.get("dataset")
    if name is None:
        raise NiceValueError(f"{arguments.model} does not say what it was trained on; name a data set with --data")
    dataset = load_data(model, name, arguments.data_dir, metadata.get("seed", 0))
    result = {"model": str(arguments.model), "data": name, "split": arguments.split, "seed": arguments.seed}
    result.update(score_model(model, dataset, arguments.split, arguments.seed, arguments.k or DRAWS))
    if isinstance(model, VAE):
        seen = "" if dataset.image_shape is None else ", binarised" if model.is_binary else ", dequantised"
        return result, _bounds_text(result, seen)
    return result, _likelihood_text(result)


def _likelihood_text(result: dict[str, Any]) -> str:
    text = (
        f"{result['data']} {result['split']}: {result['log_likelihood']:.2f} +- {result['standard_error']:.2f} nats, "
        f"{result['bits_per_dim']:.4f} bits/dim over {result['samples']} samples"
    )
    if "accuracy" in result:
        text += (
            f"\ngiven the label {result['log_likelihood_given_label']:.2f} nats; "
            f"the most likely label is right for {result['accuracy']:.2%}"
        )
    return text


def _bounds_text(result: dict[str, Any], seen: str) -> str:
    elbo = f"ELBO {result['elbo']:.2f} +- {result['standard_error']:.2f} nats, {result['bits_per_dim']:.4f} bits/dim"
    lines = [f"{result['data']} {result['split']}: {elbo}, over {result['samples']} samples{seen}"]
    if "iwae" in result:
        lines += [f"bound of {result['k']} draws: {result['iwae']:.2f} +- {result['iwae_standard_error']:.2f} nats"]
    return "\n".join(lines)

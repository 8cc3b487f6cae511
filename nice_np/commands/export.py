"""nice-np export: a trained model for other programs, as an ONNX graph or as weights for PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from nice_np.commands.options import add_force, add_model
from nice_np.commands.parsing import Arguments, OneOf, Parser, UsageError, path
from nice_np.commands.shared import Result
from nice_np.files.atomic import replacing
from nice_np.runs.folder import load_run, refuse_to_replace

SUMMARY = "write a trained model for other programs"
EPILOG = """examples:
  nice-np export runs/mnist --to log_prob --out log_prob.onnx
  nice-np export runs/mnist --to decode --out decode.onnx      latents to images, in a browser
  nice-np export runs/mnist --to blocks --out weights.npz      for PyTorch, see docs/ecosystem.md
"""
FORMATS = {
    "encode": "an ONNX graph of x -> z; of an autoencoder x -> mean, log_variance, z",
    "log_prob": "an ONNX graph of x -> log p(x), nats",
    "decode": "an ONNX graph of z -> x; of an autoencoder also the likelihood's parameters",
    "blocks": "arrays named as in PyTorch's NICE with in_block, mid_block, out_block",
    "masked": "arrays named as in PyTorch's NICE with masked layers",
    "zuko": "arrays named as in zuko's NICE and RealNVP",
    "nflows": "arrays named as in nflows' coupling transforms",
}


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    add_model(parser)
    formats = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    parser.add_argument("--to", type=OneOf(tuple(FORMATS), "format"), required=True, metavar="FORMAT", help=formats)
    parser.add_argument("--out", "-o", type=path, required=True, metavar="FILE", help="the file to write")
    add_force(parser)


def run(arguments: Arguments) -> Result:
    """Write one file."""
    from nice_np.interop import save_onnx, to_state_dict
    from nice_np.interop.onnx_models import METHODS

    theirs, other = (".onnx", ".npz") if arguments.to in METHODS else (".npz", ".onnx")
    if arguments.out.suffix.lower() == other:
        raise UsageError(f"argument --out: --to {arguments.to} writes a file {theirs}, got {arguments.out}")
    model: Any = load_run(arguments.model)[0]  # a flow or a VAE
    refuse_to_replace(arguments.force, arguments.out)
    if arguments.to in METHODS:
        save_onnx(model, arguments.out, arguments.to)
    else:
        arrays: dict[str, Any] = to_state_dict(model, arguments.to)
        with replacing(arguments.out) as file:
            np.savez(file, **arrays)
    result = {"model": str(arguments.model), "to": arguments.to, "out": str(arguments.out)}
    return result, [f"{FORMATS[arguments.to]}, written to {arguments.out}"]

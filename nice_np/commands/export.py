"""nice-np export: a trained model for other programs, as an ONNX graph, as JavaScript, or as weights for PyTorch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from nice_np.commands.options import add_force, add_model
from nice_np.commands.parsing import Arguments, OneOf, Parser, UsageError, path
from nice_np.commands.shared import Result
from nice_np.files.atomic import replacing
from nice_np.runs.finished import read_metrics
from nice_np.runs.folder import load_run, refuse_to_replace

EPILOG = """examples:
  nice-np export runs/mnist --to log_prob --out log_prob.onnx
  nice-np export runs/mnist --to decode --out decode.onnx      latents to images, in a browser
  nice-np export runs/mnist --to web --out digits.js     for a page without a server, see docs/browser.md
  nice-np export runs/mnist --to blocks --out weights.npz      for PyTorch, see docs/ecosystem.md
"""
FORMATS = {
    "encode": "an ONNX graph of x -> z; of an autoencoder x -> mean, log_variance, z",
    "log_prob": "an ONNX graph of x -> log p(x), nats",
    "decode": "an ONNX graph of z -> x; of an autoencoder also the likelihood's parameters",
    "web": "the layers and float16 weights as a JavaScript file, for docs/_extra/explore/flow.js",
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
    from nice_np.interop import save_onnx, save_web, to_state_dict
    from nice_np.interop.onnx_models import METHODS

    ending = ".onnx" if arguments.to in METHODS else ".js" if arguments.to == "web" else ".npz"
    if arguments.out.suffix.lower() in {".onnx", ".js", ".npz"} - {ending}:
        raise UsageError(f"argument --out: --to {arguments.to} writes a file {ending}, got {arguments.out}")
    model: Any
    model, metadata = load_run(arguments.model)  # a flow or a VAE
    refuse_to_replace(arguments.force, arguments.out)
    if arguments.to in METHODS:
        save_onnx(model, arguments.out, arguments.to)
    elif arguments.to == "web":
        save_web(model, arguments.out, about(arguments.model, metadata))
    else:
        arrays: dict[str, Any] = to_state_dict(model, arguments.to)
        with replacing(arguments.out) as file:
            np.savez(file, **arrays)
    result = {"model": str(arguments.model), "to": arguments.to, "out": str(arguments.out)}
    return result, [f"{FORMATS[arguments.to]}, written to {arguments.out}"]


KNOWN = ("dataset", "preset", "image_shape", "bin_width", "epochs", "steps", "train_seconds")  # of a finished run


def about(run: Path, metadata: dict[str, Any]) -> dict[str, Any]:
    """What a page should know of a flow: where it comes from, how long it was trained, and its test score."""
    known = {**metadata, **(read_metrics(run) if os.path.exists(run / "metrics.json") else {})}
    scores = {f"test_{name}": known.get(name) for name in ("log_likelihood", "bits_per_dim")}
    test = {name: score["test"] for name, score in scores.items() if isinstance(score, dict) and "test" in score}
    return {name: known[name] for name in KNOWN if name in known} | test

"""nice-np info: architecture and origin of a trained model."""

from __future__ import annotations

import json
from typing import Any

from nice_np.commands.options import add_model, new_command
from nice_np.commands.parsing import Arguments, Parser
from nice_np.commands.shared import Result, kind_of
from nice_np.runs.folder import load_any_run

EXAMPLES = """examples:
  nice-np info runs/mnist
  nice-np info model.npz --json
"""


def add_parser(subparsers: Any) -> Parser:
    """Describe the command and its arguments."""
    parser = new_command(subparsers, "info", "show the architecture and origin of a trained model", EXAMPLES)
    add_model(parser)
    return parser


def run(arguments: Arguments) -> Result:
    """Architecture and metadata of a model."""
    model, metadata = load_any_run(arguments.model)
    result = {
        "model": str(arguments.model),
        "parameters": len(model.params),
        kind_of(model): repr(model).splitlines(),
        **metadata,
    }
    rows = [f"  {name:<16}{_readable(value)}" for name, value in metadata.items() if value is not None]
    return result, "\n".join([repr(model), "trained on", *rows] if rows else [repr(model)])


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(item)}" for name, item in value.items())
    return f"{value:.5g}" if isinstance(value, float) else json.dumps(value).strip('"')

"""nice-np info: the architecture of a trained model, and how it was trained."""

from __future__ import annotations

import json
from typing import Any

from nice_np.commands.options import add_model
from nice_np.commands.parsing import Arguments
from nice_np.commands.shared import Result, kind_of
from nice_np.runs.folder import load_run

EPILOG = """examples:
  nice-np info runs/mnist
  nice-np info model.npz --json
"""

add_arguments = add_model


def run(arguments: Arguments) -> Result:
    """Show architecture and metadata."""
    model, metadata = load_run(arguments.model)
    result = {
        "model": str(arguments.model),
        "parameters": len(model.params),
        kind_of(model): repr(model).splitlines(),
        **metadata,
    }
    known = {name: value for name, value in metadata.items() if value is not None}
    width = max([14, *map(len, known)]) + 2
    rows = [f"  {name:<{width}}{_readable(value)}" for name, value in known.items()]
    lines = repr(model).splitlines()
    return result, [*lines, "trained on", *rows] if rows else lines


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(item)}" for name, item in value.items())
    return f"{value:.5g}" if isinstance(value, float) else json.dumps(value).strip('"')

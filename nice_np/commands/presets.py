"""nice-np presets: what `nice-np train` can be asked to train."""

from __future__ import annotations

from typing import Any

from nice_np.commands.options import new_command
from nice_np.commands.parsing import Arguments, Parser
from nice_np.commands.shared import Result
from nice_np.runs.presets import PRESETS

EXAMPLES = """examples:
  nice-np presets
  nice-np presets --json
"""


def add_parser(subparsers: Any) -> Parser:
    """Describe the command."""
    summary = "list the presets of train with their number of parameters and their source"
    return new_command(subparsers, "presets", summary, EXAMPLES)


def run(arguments: Arguments) -> Result:
    """All presets, with parameter count and source."""
    rows = {name: {"made_for": p.made_for, "parameters": p.parameters, "source": p.source, "epochs": p.epochs,
                   "description": p.description} for name, p in PRESETS.items()}  # fmt: skip
    lines = [f"{'preset':<19}{'data':<12}{'parameters':>11}  {'source':<19}what"]
    for name, row in rows.items():
        size = f"{row['parameters']:>11,}"
        lines.append(f"{name:<19}{row['made_for']:<12}{size}  {row['source']:<19}{row['description']}")
    return {"presets": rows}, "\n".join(lines)

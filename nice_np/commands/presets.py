"""nice-np presets: the settings that `nice-np train` offers by name."""

from __future__ import annotations

from nice_np.commands.parsing import Arguments, Parser
from nice_np.commands.shared import Result
from nice_np.runs.presets import PRESETS

EPILOG = """examples:
  nice-np presets
  nice-np presets --json
"""


def add_arguments(parser: Parser) -> None:
    """There are none."""


def run(arguments: Arguments) -> Result:
    """List all presets."""
    fields = ("made_for", "parameters", "source", "epochs", "description")
    rows = {name: {field: getattr(preset, field) for field in fields} for name, preset in PRESETS.items()}
    form = "{:<19}{made_for:<12}{parameters:>11,}  {source:<19}{description}"
    lines = [f"{'preset':<19}{'data':<12}{'parameters':>11}  {'source':<19}description"]
    return {"presets": rows}, [*lines, *(form.format(name, **row) for name, row in rows.items())]

"""The commands of nice-np, a file each: what its arguments are (`add_parser`) and what it does (`run`).

`run` takes the parsed arguments and returns (result for --json, text to read).
"""

from __future__ import annotations

from typing import Any, Protocol

from nice_np.commands import (
    demo,
    evaluate,
    export,
    gradcheck,
    info,
    inpaint,
    play,
    presets,
    report,
    restore,
    sample,
    train,
)
from nice_np.commands.parsing import Arguments, Parser
from nice_np.commands.shared import Result


class Command(Protocol):
    """A module of this package that is a command."""

    def add_parser(self, subparsers: Any) -> Parser:
        """Describe the command and its arguments."""

    def run(self, arguments: Arguments) -> Result:
        """Do it."""


COMMANDS: dict[str, Command] = {
    "demo": demo,
    "train": train,
    "evaluate": evaluate,
    "sample": sample,
    "export": export,
    "gradcheck": gradcheck,
    "presets": presets,
    "report": report,
    "inpaint": inpaint,
    "restore": restore,
    "play": play,
    "info": info,
}

"""nice-np completion: a script with which a shell completes nice-np's commands, options, presets and data sets."""

from __future__ import annotations

import argparse
from typing import Any

from nice_np.commands.parsing import Arguments, OneOf, Parser, path
from nice_np.commands.shared import Result
from nice_np.errors import NiceImportError

SHELLS = ("bash", "zsh", "fish", "powershell")

EPILOG = """once per shell, into a folder that exists (mkdir -p):
  bash        nice-np completion bash > ~/.local/share/bash-completion/completions/nice-np
  zsh         nice-np completion zsh > ~/.zfunc/_nice-np, with "fpath+=~/.zfunc" before compinit in ~/.zshrc
  fish        nice-np completion fish > ~/.config/fish/completions/nice-np.fish
  powershell  nice-np completion powershell > nice-np.ps1, and ". nice-np.ps1" in $PROFILE

The command needs shtab: pip install "nice-np[completion]".  The script does not, and does not start Python.

examples:
  nice-np completion bash > nice-np.bash
  nice-np completion fish
"""


def add_arguments(parser: Parser) -> None:
    """Declare the argument."""
    parser.add_argument("shell", type=OneOf(SHELLS, "shell"), metavar="SHELL", help=", ".join(SHELLS))


def run(arguments: Arguments) -> Result:
    """Print the script."""
    try:
        import shtab
    except ImportError:
        raise NiceImportError(
            'completion needs shtab, which is not installed: pip install "nice-np[completion]"'
        ) from None
    parser, by_name = arguments.command_line
    for command in by_name.values():
        for action in command._actions:
            _hint(action, shtab)
    script = shtab.complete(parser, arguments.shell)
    return {"shell": arguments.shell, "script": script}, script.split("\n")


def _hint(action: argparse.Action, shtab: Any) -> None:
    """Tell shtab what an argument may be: a name, a folder or a file."""
    if isinstance(action.type, OneOf):
        action.choices = action.type.names
    elif action.metavar == "DIR":
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    elif action.type is path or action.metavar in ("FILE", "FIG"):
        action.complete = shtab.FILE  # type: ignore[attr-defined]

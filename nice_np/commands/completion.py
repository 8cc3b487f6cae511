"""nice-np completion: a script by which a shell completes nice-np's commands, options, presets and data sets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nice_np.commands.options import new_command
from nice_np.commands.parsing import Arguments, OneOf, Parser
from nice_np.commands.shared import Result
from nice_np.errors import NiceImportError

SHELLS = ("bash", "zsh", "fish", "powershell")

EPILOG = """to be done once for each shell, into a folder that is there (mkdir -p):
  bash        nice-np completion bash > ~/.local/share/bash-completion/completions/nice-np
  zsh         nice-np completion zsh > ~/.zfunc/_nice-np, with "fpath+=~/.zfunc" before compinit in ~/.zshrc
  fish        nice-np completion fish > ~/.config/fish/completions/nice-np.fish
  powershell  nice-np completion powershell > nice-np.ps1, and ". nice-np.ps1" in $PROFILE

It needs shtab: pip install "nice-np[completion]".  The script itself needs nothing, and starts no Python.

examples:
  nice-np completion bash > nice-np.bash
  nice-np completion fish
"""


def add_parser(subparsers: Any) -> Parser:
    """Describe the command and its arguments."""
    parser = new_command(subparsers, "completion", "print a script by which a shell completes nice-np", EPILOG)
    parser.add_argument("shell", type=OneOf(SHELLS, "shell"), metavar="SHELL", help=", ".join(SHELLS))
    return parser


def run(arguments: Arguments) -> Result:
    """Print the script."""
    try:
        import shtab
    except ImportError:
        raise NiceImportError(
            'completion needs shtab, which is not installed: pip install "nice-np[completion]"'
        ) from None
    from nice_np.commands import build_parser  # this command is one of those

    parser, by_name = build_parser()
    for command in by_name.values():
        for action in command._actions:
            _hint(action, shtab)
    script = shtab.complete(parser, arguments.shell)
    return {"shell": arguments.shell, "script": script}, script


def _hint(action: argparse.Action, shtab: Any) -> None:
    """Tell shtab what an argument may be: a name, a folder or a file."""
    if isinstance(action.type, OneOf):
        action.choices = action.type.names
    elif action.metavar == "DIR":
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    elif action.type is Path or action.metavar in ("FILE", "FIG"):
        action.complete = shtab.FILE  # type: ignore[attr-defined]

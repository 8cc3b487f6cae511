"""Programs in processes of their own, with a clean memory and nothing imported; their answer is JSON on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class ChildError(Exception):
    """A child ended with an error; its last line of stderr is the message."""


def run(*arguments: str, **environment: str) -> Any:
    """The JSON that ``python *arguments`` prints in its last line.

    The child has a session of its own: Ctrl-C reaches this process alone, which then ends the child.
    """
    child = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    if child.returncode != 0:
        raise ChildError((child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1])
    return json.loads(child.stdout.splitlines()[-1])

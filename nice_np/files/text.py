"""Text that every reader accepts: JSON without NaN, and lines without control characters."""

from __future__ import annotations

import json
from typing import Any

import numpy as np


def to_json(value: Any, indent: int | None = None) -> str:
    """Strict JSON: numbers that are not finite become null."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): finite(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [finite(item) for item in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return json.dumps(finite(value), indent=indent, allow_nan=False)


def printable(text: str) -> str:
    """One line that is safe in any terminal and file: a file name may contain line breaks or escape sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)

"""Text that every reader accepts: JSON without NaN, and lines without control characters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isfinite
from typing import Any, NoReturn

MAX_PARTS = 200_000  # lists, objects and keys in a JSON text: a list of three bytes takes 64 in memory
PART = 12  # bytes of JSON for each of them, on average, in a longer text
MAX_NESTING = 250  # lists and objects inside each other; Python's own limit depends on who calls


def to_json(value: Any, indent: int | None = None) -> str:
    """Strict JSON: numbers that are not finite become null."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): finite(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [finite(item) for item in value]
        return None if isinstance(value, float) and not isfinite(value) else value

    text = json.dumps(finite(value), indent=indent, allow_nan=False)
    return text.replace("\x7f", "\\u007f")  # the one control character that JSON lets through


def from_json(text: bytes) -> Any:
    """The value of strict JSON in UTF-8, every number finite; ValueError or RecursionError for anything else."""
    parts, allowed = sum(text.count(mark) for mark in (b"[", b"{", b":")), max(MAX_PARTS, len(text) // PART)
    if parts > allowed:
        raise ValueError(f"{parts} lists, objects and keys, at most {allowed} are allowed")
    value = json.loads(text.decode(), parse_constant=_refuse, parse_float=_finite)
    level, depth = [value], 0
    while level := [part for item in level for part in _inside(item) if isinstance(part, (list, dict))]:
        depth += 1
        if depth > MAX_NESTING:
            raise ValueError(f"lists and objects nested more than {MAX_NESTING} deep")
    return value


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _refuse(number: str) -> NoReturn:
    raise ValueError(f"{number} is not a JSON number")


def _finite(number: str) -> float:
    value = float(number)
    return value if isfinite(value) else _refuse(number)


def printable(text: str) -> str:
    """One line that is safe in any terminal and file: a file name may contain line breaks or escape sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)

"""Notebooks on the site: figures have a text for those who cannot see them.

Imports, mere drawing and the solutions of exercises are folded.
"""

from __future__ import annotations

from typing import Any

from slides import first_words


def describe(notebook: dict[str, Any]) -> None:
    """Give each figure its heading and the first sentence below it as a text; fold what a reader opens if wanted."""
    heading = ""
    for k, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = next((line.lstrip("# ") for line in source.splitlines()[::-1] if line.startswith("#")), heading)
        elif any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            below = (
                "".join(after["source"]) for after in notebook["cells"][k + 1 :] if after["cell_type"] == "markdown"
            )
            text = first_words(next(below, ""), 1)
            said = "" if text.startswith(("#", "|", "-", "$", "<", "**Q")) else f": {text}"
            words = f"{heading}{said}".replace("\n", " ").replace("`", "").replace("*", "")
            cell["metadata"].setdefault("mystnb", {})["image"] = {"alt": words}
            if draws(source):
                _fold(cell, "the code of the figure")
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    _fold(cells[0], "the imports")
    for cell in cells:
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            _fold(cell, "a solution")


def _fold(cell: dict[str, Any], what: str) -> None:
    cell["metadata"].setdefault("tags", []).append("hide-input")
    prompts = {"code_prompt_show": f"Show {what}", "code_prompt_hide": f"Hide {what}"}
    cell["metadata"].setdefault("mystnb", {}).update(prompts)


def draws(source: str) -> bool:
    """Whether most of the lines are about a figure; an exercise and its use stay open."""
    lines = [line for line in source.splitlines() if line.strip()]
    drawing = [
        line for line in lines if any(word in line for word in ("ax.", "axes", "ax,", "plt.", "figure", "plotting."))
    ]
    return "xercise" not in lines[0] and len(drawing) > len(lines) / 2

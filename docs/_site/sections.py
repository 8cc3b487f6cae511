"""The pages below a page in the sidebar: pages that are read in the repository, too, have no such list of their own."""

from __future__ import annotations

import cards
from sphinx.application import Sphinx

CHILDREN = {  # page: those below it
    "tutorials/README": ("/tutorials/[0-9]*",),
    "results/README": tuple(
        f"{words} </results/{page}>"
        for words, page in (
            ("Families", "families"),
            ("Small tables", "small_tables"),
            ("Inference", "inference"),
            ("Autoencoders", "vae"),
            ("Restored digits", "restoration"),
            ("Stable training", "stabilisers"),
        )
    ),
    "speed": ("All measurements </results/speed>",),
    "tested": ("Promises <reliability>", "Mutants </results/mutation>", "Mistakes </results/mistakes>"),
}


def add(app: Sphinx, docname: str, text: list[str]) -> None:
    """Append the list to a page as Sphinx reads it; the course shows its notebooks as cards."""
    if docname == "tutorials/README":
        text[0] = cards.in_place_of_the_table(text[0])
    if docname in CHILDREN:
        pages = "\n".join(CHILDREN[docname])
        text[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n\n{pages}\n```\n"

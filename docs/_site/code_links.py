"""Names in code are links (sphinx-codeautolink); the page of a name says which notebooks use it, and where its code is.

The extension looks a name up where it is defined, `nice_np.flows.flow.Flow`; the reference has it where it is imported
from, `nice_np.Flow`. So every documented object gets its place of definition as a second name.
"""

from __future__ import annotations

import inspect
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).parents[2]
PACKAGES = ("bijectors", "datasets", "inference", "interop", "networks", "plotting", "restoration", "sklearn", "vae")


def add_places_of_definition(app: Sphinx, env: BuildEnvironment) -> None:
    """Let `nice_np.bijectors.base.Bijector.decode` be found as `nice_np.Bijector.decode`."""
    objects = env.domains["py"].objects
    for name, entry in list(objects.items()):
        thing = find(name)
        place = f"{getattr(thing, '__module__', None)}.{getattr(thing, '__qualname__', None)}"
        if place.startswith("nice_np.") and "<" not in place:
            objects.setdefault(place, entry._replace(aliased=True))


def list_uses(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Below the text of a class or function: the notebooks and pages with code that uses it."""
    described = next(iter(doctree.findall(addnodes.desc_content)), None)
    if not page.startswith("api/") or described is None:
        return
    objects, links = app.env.domains["py"].objects, {}
    for user, blocks in sorted(app.env.sphinx_codeautolink_transforms.items(), key=_notebooks_first):
        for block in blocks:
            names = (objects.get(name.resolved_location) for name in block.names)
            if user.split("/")[0] not in ("api", "source") and any(name and name.docname == page for name in names):
                links.setdefault(user, block.example.ref_id)  # the first section that uses it
    uses = nodes.paragraph("", "", nodes.strong("", "Used in: "), classes=["used-in"])
    for user, section in links.items():
        address = f"{app.builder.get_relative_uri(page, user)}#{section}"
        title = app.env.titles[user].astext()
        uses += [nodes.Text(", " * (len(uses) > 1)), nodes.reference("", title, internal=True, refuri=address)]
    methods = (k for k, child in enumerate(described) if isinstance(child, (addnodes.index, addnodes.desc)))
    if links:
        described.insert(next(methods, len(described)), uses)


def _notebooks_first(item: tuple[str, Any]) -> tuple[bool, str]:
    return not item[0].startswith("tutorials/"), item[0]


def place_of_code(domain: str, info: dict[str, str]) -> str | None:
    """The address of [source] on a page of the reference: a line of a page below source/."""
    thing = find(f"{info['module']}.{info['fullname']}")
    thing = inspect.unwrap(getattr(thing, "fget", None) or getattr(thing, "func", None) or thing)
    try:
        file, line = inspect.getsourcefile(thing), inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):  # a constant, or an attribute that a docstring describes
        return None
    return f"../source/{os.path.relpath(str(file), ROOT).replace(os.sep, '/')}.html#line-{line}"


def number_lines(app: Sphinx, doctree: nodes.document) -> None:
    """On the pages of the code each line has an address, such as #line-37."""
    if app.env.docname.startswith("source/"):
        app.env.sphinx_codeautolink_transforms.pop(app.env.docname, None)  # links there would double the building time
        for block in doctree.findall(nodes.literal_block):
            block["highlight_args"] = {**block.get("highlight_args", {}), "linespans": "line"}


def find(name: str) -> Any:
    """What `nice_np.datasets.Dataset.split` is; a name goes before a module, for nice_np.binarize was one, too."""
    first, *parts = name.split(".")
    thing: Any = import_module(first)
    for k, part in enumerate(parts):
        try:
            thing = inspect.getattr_static(thing, part)
        except AttributeError:
            try:
                thing = import_module(".".join([first, *parts[: k + 1]]))
            except ImportError:
                return None
    return getattr(thing, "__func__", thing)


def _classes() -> dict[str, str]:
    """{name: its name with the package that has it in `__all__`} of every public class."""
    found = {}
    for part in reversed(("", *PACKAGES)):
        package = import_module(f"nice_np.{part}".rstrip("."))
        found |= {
            name: f"{package.__name__}.{name}" for name in package.__all__ if isinstance(getattr(package, name), type)
        }
    return found


CLASSES = _classes()


def public_name(thing: type) -> str | None:
    """Under which name the reference has a class."""
    name = CLASSES.get(thing.__name__)
    return name if name and find(name) is thing else None


def keep_links_of_unchanged_pages(app: Sphinx) -> None:
    """A second build reads only what has changed; the extension forgets the other pages."""
    known = getattr(app.env, "known_code_links", {})
    if not hasattr(app.env, "sphinx_codeautolink_transforms"):
        app.env.sphinx_codeautolink_transforms = {}  # of HTML only; linkcheck goes without
    found = app.env.sphinx_codeautolink_transforms
    for page in known.keys() & app.env.all_docs.keys():
        found.setdefault(page, known[page])
    app.env.known_code_links = found

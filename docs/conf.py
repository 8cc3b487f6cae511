"""How Sphinx builds the documentation site: python -m sphinx -W -b html docs build/html

Text that lives elsewhere (results/, the tutorials, the code itself) becomes pages by `_site/sources.py`, which copies
it into folders that git ignores; `_site/commands.py` writes the page of the command line. The reference:
`_site/docstrings.py` reads docstrings, `_site/formulas.py` their formulas; `_site/inherited.py` adds inherited methods;
`_site/code_links.py` connects names in code with their pages. `_site/mathml.py` sets formulas without a script from the
network; `_site/tab.py` adds notebooks that run in a tab.
"""

import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_site"), str(DOCS.parent), str(DOCS.parent / "tutorials")]

import code_links  # noqa: E402
import descriptions  # noqa: E402
import docstrings  # noqa: E402
import inherited  # noqa: E402
import mathml  # noqa: E402
import sections  # noqa: E402
import slides  # noqa: E402
import sources  # noqa: E402
import tab  # noqa: E402

import nice_np  # noqa: E402

project = "nice_np"
author = "the nice_np developers"
project_copyright = "2026, the nice_np developers"
release = version = nice_np.__version__

extensions = [
    "myst_nb",
    "notfound.extension",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.linkcode",
    "sphinx_codeautolink",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_site", "tutorials/exercises", "tutorials/cards.md", "tutorials/course.md"]
html_theme = "furo"
html_title = f"nice_np {version}"
html_copy_source = False
html_static_path = ["_static"]
html_extra_path = ["_extra"]  # explore/: pages that are complete as they are
html_css_files = ["site.css"]
html_js_files = [("explorable.js", {"defer": "defer"})]
html_favicon = "_static/favicon.svg"
notfound_urls_prefix = "/"  # the page for missing pages is shown at any depth: where the site is on its server
html_math_renderer = "mathml"
pygments_style = "a11y-light"  # every colour 4.5 : 1 on its background (WCAG AA)
pygments_dark_style = "a11y-dark"

myst_heading_anchors = 4
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "html_image"]
nb_execution_mode = "off"  # rendered as committed
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables, too

default_role = "py:obj"  # `Flow` in a docstring is a link
add_module_names = False
python_use_unqualified_type_names = True
autodoc_typehints = "none"  # `docstrings.typed_signature` has them as they are written: Array, not what it stands for
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100
autodoc_member_order = "bysource"
autosummary_generate = True
autosummary_imported_members = False
numpydoc_show_class_members = False  # the template lists them
templates_path = ["_templates"]

codeautolink_concat_default = True  # the cells of a notebook are one program
codeautolink_global_preface = f"from nice_np import {', '.join(nice_np.__all__)}"  # as the examples of docstrings
codeautolink_disable_link_titles = True
suppress_warnings = ["codeautolink.parse_block"]  # a few lines out of a program are not Python by themselves
linkcode_resolve = code_links.place_of_code


def setup(app: Sphinx) -> None:
    """Copies before Sphinx looks for pages; then links and docstrings, each as it is read."""
    sources.make_pages(DOCS)
    app.connect("build-finished", lambda app, error: slides.make(Path(app.outdir) / "slides"))
    app.add_config_value("pyodide", "", "html", str)
    app.connect("source-read", sources.link_within_the_site)
    app.connect("source-read", sections.add)
    app.connect("autodoc-process-docstring", docstrings.keep_formulas, priority=100)  # before numpydoc
    app.connect("autodoc-process-signature", docstrings.typed_signature, priority=100)
    app.connect("builder-inited", code_links.keep_links_of_unchanged_pages, priority=600)
    app.connect("env-updated", code_links.add_places_of_definition, priority=400)  # before the links
    app.connect("doctree-read", code_links.number_lines)
    app.connect("doctree-resolved", code_links.list_uses)
    app.connect("html-page-context", descriptions.describe)
    app.add_directive("inherited", inherited.Inherited)
    app.connect("doctree-resolved", mathml.take_punctuation)
    app.add_html_math_renderer("mathml", (mathml.inline, None), (mathml.block, None))
    app.connect("build-finished", tab.build)

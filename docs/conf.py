"""How Sphinx builds the documentation site: python -m sphinx -W -b html docs build/html

Text that lives elsewhere (results/, the tutorials, the code itself) becomes pages by `_site/sources.py`, which copies
it into folders that git ignores; `_site/docstrings.py` keeps the formulas of the docstrings readable, `_site/mathml.py`
sets those of pages and notebooks without a script from the network; `_site/tab.py` adds notebooks that run in a tab.
"""

import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_site"), str(DOCS.parent), str(DOCS.parent / "tutorials")]

import docstrings  # noqa: E402
import mathml  # noqa: E402
import sections  # noqa: E402
import slides  # noqa: E402
import sources  # noqa: E402
import tab  # noqa: E402

from nice_np import __version__  # noqa: E402

project = "nice_np"
author = "the nice_np developers"
project_copyright = "2026, the nice_np developers"
release = version = __version__

extensions = [
    "myst_nb",
    "notfound.extension",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_site", "tutorials/exercises", "tutorials/cards.md", "tutorials/course.md"]
html_theme = "furo"
html_title = f"nice_np {__version__}"
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
autodoc_typehints = "none"  # numpydoc's sections say the types, with their shapes
autodoc_member_order = "bysource"
autosummary_generate = True
autosummary_imported_members = False
numpydoc_show_class_members = False  # the template lists them
templates_path = ["_templates"]


def setup(app: Sphinx) -> None:
    """Copies before Sphinx looks for pages; then links and docstrings, each as it is read."""
    sources.make_pages(DOCS)
    app.connect("build-finished", lambda app, error: slides.make(Path(app.outdir) / "slides"))
    app.add_config_value("pyodide", "", "html", str)
    app.connect("source-read", sources.link_within_the_site)
    app.connect("source-read", sections.add)
    app.connect("autodoc-process-docstring", docstrings.keep_formulas, priority=100)  # before numpydoc
    app.connect("autodoc-process-signature", docstrings.keep_signature, priority=100)
    app.add_html_math_renderer("mathml", (mathml.inline, None), (mathml.block, None))
    app.connect("build-finished", tab.build)

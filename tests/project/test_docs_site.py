"""The documentation site is built without warnings, has a page for every public name, and works in a browser."""

import importlib
import inspect
import json
import posixpath
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from browser import needs_chromium, opened, served

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SUBPACKAGES = (
    "bijectors", "datasets", "inference", "interop", "networks", "operators", "plotting", "restoration", "sklearn",
    "vae",
)  # fmt: skip
PACKAGES = ("nice_np", *(f"nice_np.{name}" for name in SUBPACKAGES))
pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="docs/ is in the checkout: run python -m pytest there")


def public():
    """{name: object} of everything public, once: a package's name only where nice_np itself has not the same object."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            thing = getattr(module, name)
            if not any(thing is known for known in found.values()):
                found[f"{package}.{name}"] = thing
    return found


PUBLIC = public()


# -- what needs no Sphinx ---------------------------------------------------------------------------------------------


def test_the_reference_lists_every_public_name_once():
    listed, module = [], ""
    for line in (DOCS / "reference.md").read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split()[-1]
        elif re.fullmatch(r" {3}[\w.]+", line):
            listed.append(f"{module}.{line.strip()}")
    assert sorted(listed) == sorted(PUBLIC)
    lower = [name.lower() for name in listed]
    assert len(set(lower)) == len(lower), "two pages would be one file on Windows"


@pytest.mark.parametrize("name", PUBLIC)
def test_its_docstring_says_what_goes_in_and_what_comes_out(name):
    assert list(missing_sections(PUBLIC[name])) == []


def missing_sections(thing):
    """The sections that numpydoc expects and a docstring lacks."""
    text = inspect.getdoc(thing) or ""
    if inspect.isfunction(thing):
        signature = inspect.signature(thing)
        due = {"Parameters": bool(signature.parameters), "Returns": signature.return_annotation not in (None, "None")}
    elif inspect.isclass(thing):
        own = vars(thing)  # what a class inherits, its base explains
        is_record = hasattr(thing, "_fields") or hasattr(thing, "__dataclass_fields__")
        if is_record:
            due = {"Parameters": bool(own.get("__annotations__")) and "Attributes\n---" not in text}
        else:
            takes = "__init__" in own and len(inspect.signature(thing.__init__).parameters) > 1
            due = {"Parameters": takes and not issubclass(thing, BaseException) and not is_protocol(thing)}
    else:
        return
    if not text:
        yield "docstring"
    yield from (section for section, is_due in due.items() if is_due and f"{section}\n---" not in text)


def is_protocol(thing):
    return getattr(thing, "_is_protocol", False)


def test_a_missing_section_is_seen():
    def half(x: int) -> float:
        """Half of x."""
        return x / 2

    assert list(missing_sections(half)) == ["Parameters", "Returns"]


@pytest.mark.parametrize("setting", ["pygments_style", "pygments_dark_style"])
def test_the_colours_of_code_have_enough_contrast(setting):
    """WCAG 2 AA: 4.5 : 1 for text of this size; the formula is theirs."""
    styles = pytest.importorskip("pygments.styles", reason='pip install -e ".[docs]"')
    pytest.importorskip("a11y_pygments", reason='pip install -e ".[docs]"')
    (name,) = re.findall(rf'^{setting} = "(.+?)"', (DOCS / "conf.py").read_text(encoding="utf-8"), re.MULTILINE)
    style = styles.get_style_by_name(name)
    ground = luminance(style.background_color)
    assert luminance("#ffffff") == 1
    for token, drawn in style:
        if drawn["color"]:
            dark, light = sorted((luminance(drawn["color"]), luminance(drawn["bgcolor"] or ground)))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, token


def luminance(colour):
    """The relative luminance of "#rrggbb"; a number is one already."""
    if isinstance(colour, float):
        return colour
    levels = [int(colour.lstrip("#")[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
    return sum(weight * level for weight, level in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


# -- what needs no Sphinx: the pieces of docs/_site --------------------------------------------------------------------


@pytest.fixture
def pieces(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "_site"))
    return importlib.import_module


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("z = x + u^ h", r"z = x + \hat{u} h"),
        ("log|det J| = sum_j log_s_j", r"\log | \det J | = \sum _{j} \log s _{j}"),
        ("x = f^-1(z)", r"x = f ^{- 1} ( z )"),
        ("beta + int_0^x_b g(t) dt", r"\beta + \int _{0} ^{x _{b}} g ( t ) \mathrm{d} t"),
        ("the rest of y = 1", None),
        ("fit(flow, x)", None),
        ("(N, D) -> (N,)", None),
    ],
)
def test_a_formula_in_plain_text_becomes_latex_and_words_stay(pieces, text, formula):
    assert pieces("formulas").latex(text) == formula


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("z = f(x): (N, D) -> (N, D).", ": (N, D) -> (N, D)."),
        ("y = A x,  A_md ~ N(0, 1/M) independently.", ",  A_md ~ N(0, 1/M) independently."),
        ("f(a) = max(a, 0).", "."),
        ("A linear map y = A x.", "A linear map y = A x."),
    ],
)
def test_a_formula_ends_where_words_begin(pieces, text, rest):
    assert pieces("formulas").split(text)[1] == rest


def test_a_formula_takes_the_punctuation_behind_it(pieces):
    for module in ("sphinx", "math_core"):
        pytest.importorskip(module, reason='pip install -e ".[docs]"')
    from docutils import nodes

    mathml, body = pieces("mathml"), []
    paragraph = nodes.paragraph(
        "", "", nodes.Text("Of "), nodes.math("", "x"), nodes.Text(", then"), nodes.math("", "y")
    )
    paragraph += nodes.Text(" and no more.")
    page = SimpleNamespace(findall=paragraph.findall)
    mathml.take_punctuation(SimpleNamespace(builder=SimpleNamespace(format="html")), page, "page")
    for node in paragraph.findall(nodes.math):
        with pytest.raises(nodes.SkipNode):
            mathml.inline(SimpleNamespace(body=body), node)
    assert body[0].startswith('<span class="unbroken"><math')
    assert body[0].endswith("</math>,</span>")
    assert body[1].startswith("<math")
    assert [str(part) for part in paragraph.children if isinstance(part, nodes.Text)] == [
        "Of ",
        " then",
        " and no more.",
    ]


def test_the_page_of_the_command_line_has_every_command_option_and_example(pieces):
    from nice_np.commands import build_parser

    page = pieces("commands").page()
    for name, parser in build_parser()[1].items():
        part = re.search(rf"^## {name}\n(.+?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)[1]
        assert parser.description in part
        assert f"nice-np {name}" in part, "an example"
        for action in parser._actions:
            for flag in action.option_strings:
                assert f"`{flag}" in (part if f"`{flag}" in part else page.partition("## ")[0]), (name, flag)


# -- the site ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of a fresh build, in which a warning is an error."""
    for module in ("sphinx", "myst_nb", "numpydoc", "furo", "math_core"):
        pytest.importorskip(module, reason='pip install -e ".[docs]"')
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(out)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return out


@pytest.mark.slow
def test_pages_and_figures_are_there(site):
    documents = [f"{path.stem}.html" for path in DOCS.glob("*.md")]
    results = [f"results/{path.stem}.html" for path in (ROOT / "results").glob("*.md")]
    notebooks = [f"tutorials/{path.stem}.html" for path in (ROOT / "tutorials").glob("*.ipynb")]
    code = [f"source/{path.relative_to(ROOT).as_posix()}.html" for path in (ROOT / "nice_np").rglob("*.py")]
    names = [f"api/{name}.html" for name in PUBLIC]
    for page in (*documents, *results, *notebooks, *code, *names):
        assert (site / page).is_file(), page
    for page in (site / page for page in (*documents, *results, *notebooks)):
        text = page.read_text(encoding="utf-8")
        for source in re.findall(r'<img[^>]* src="([^":]+)"', text):
            assert (page.parent / source).is_file(), (page, source)
        for formula in re.findall(r"<math.*?</math>", text, re.DOTALL):
            assert "\\" not in formula, (page, "LaTeX that nobody translates")
    for page in notebooks:
        assert "<img" in (site / page).read_text(encoding="utf-8"), f"{page} has no figure"


@pytest.mark.slow
def test_the_course_is_one_page_with_a_card_for_each_notebook(site):
    page = (site / "tutorials" / "README.html").read_text(encoding="utf-8")
    for path in (ROOT / "tutorials").glob("[0-9]*.ipynb"):
        assert f'href="{path.stem}.html"' in page, "its page"
        assert f'href="../slides/{path.stem}.html"' in page
        assert (site / "slides" / f"{path.stem}.html").is_file()
    assert page.count("course-card") == len(list((ROOT / "tutorials").glob("[0-9]*.ipynb")))
    assert "<table" not in page


@pytest.mark.slow
def test_docstrings_keep_their_formulas_and_sections(site):
    page = (site / "api" / "nice_np.check_gradients.html").read_text(encoding="utf-8")
    assert "Parameters" in page
    assert "\\*" not in re.sub(r"<[^>]+>", "", page), "a line of an example that begins with ... is code"
    assert "Returns" in page
    reference = (site / "reference.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", reference)
    assert "y = A x + n,  n ~ N(0, sigma^2 I)" in text  # with its two spaces: a line of its own, not a paragraph
    assert "DiagonalScaling(dim" in text, "z = exp(s) * y is a formula, not a signature"


def pages_of(site):
    """{path: HTML} of what Sphinx made: slides, explorables and the notebooks in a tab are pages of their own."""
    others = ("lite/", "slides/", "explore/", "_static/", "_downloads/")
    found = {path.relative_to(site).as_posix(): path for path in site.rglob("*.html")}
    found = {name: path.read_text(encoding="utf-8") for name, path in found.items() if not name.startswith(others)}
    return {name: text for name, text in found.items() if 'class="sidebar-tree"' in text}


def text_of(html):
    return unescape(re.sub(r"<[^>]+>", "", html))


def article(html):
    return html.partition("<article")[2].partition("</article>")[0]


LINKS = re.compile(r'<a\b[^>]*?\bhref="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL)


@pytest.mark.slow
def test_links_titles_and_descriptions(site):
    pages = pages_of(site)
    ids = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in pages.items()}
    linked, titles = {"index.html", "404.html", "search.html"}, {}
    for name, text in pages.items():
        title = re.search(r"<title>(.*?)</title>", text, re.DOTALL)[1]
        assert titles.setdefault(title, name) == name, f"{title} is the title of two pages"
        if name not in ("404.html", "search.html", "genindex.html"):
            assert 'name="description"' in text, name
        assert 'rel="icon"' in text or 'rel="shortcut icon"' in text, name
        for address, words in LINKS.findall(text):
            if name == "404.html" or re.match(r"\w+:", address):
                continue
            file, _, anchor = unescape(address).partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(file.partition("?")[0])))
            target = target if file else name
            assert (site / target).exists(), (name, address)
            assert not anchor or target not in ids or unquote(anchor) in ids[target], (name, address)
            linked |= {target} - {name}
            assert not re.fullmatch(r"[\w./-]+\.(md|ipynb|html)", text_of(words).strip()), (name, words)
    assert sorted(pages.keys() - linked) == [], "pages to which no page leads"


@pytest.mark.slow
def test_names_in_code_are_links_and_the_code_is_still_the_code(site):
    for path in sorted((ROOT / "tutorials").glob("[0-9]*.ipynb")):
        text = (site / "tutorials" / f"{path.stem}.html").read_text(encoding="utf-8")
        shown = [text_of(block).strip() for block in re.findall(r"<pre>(.*?)</pre>", text, re.DOTALL)]
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell in (cell for cell in cells if cell["cell_type"] == "code"):
            assert "".join(cell["source"]).strip() in shown, path.name
        assert len(re.findall(r'<a class="sphinx-codeautolink-a" href="\.\./api/nice_np\.', text)) >= 3, path.name
        assert f"exercises/{path.name}" in text or text.count(f"/{path.name}") >= 2, "its exercises as a download"
        assert text.count("Show a solution") == sum(
            bool(cell["metadata"].get("nbgrader", {}).get("solution")) and cell["cell_type"] == "code" for cell in cells
        )


@pytest.mark.slow
def test_a_name_says_who_uses_it_what_it_inherits_and_where_its_code_is(site):
    page = article((site / "api" / "nice_np.AdditiveCoupling.html").read_text(encoding="utf-8"))
    assert 'href="../tutorials/02_coupling_layers.html#' in page.partition('class="used-in"')[2]
    assert page.count('href="nice_np.Coupling.html#nice_np.Coupling.forward"') == 1
    assert "<math" in page.partition("<table")[0], "its first line is a formula"
    assert 'href="nice_np.Partition.html#nice_np.Partition"' in page.partition("</dt>")[0], "a type in the signature"
    own = article((site / "api" / "nice_np.Coupling.html").read_text(encoding="utf-8"))
    assert 'href="nice_np.Coupling.html#nice_np.Coupling.forward"' not in own, "what it defines it does not inherit"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, thing in PUBLIC.items() if inspect.isclass(thing)])
def test_source_leads_to_the_line_where_it_is_defined(site, name):
    page = (site / "api" / f"{name}.html").read_text(encoding="utf-8")
    file, line = re.search(r'href="\.\./source/([^"#]+)\.html#line-(\d+)"', page).groups()
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()[int(line) - 1 :]
    first = next(text for text in lines if not text.startswith(("@", " ", ")")))
    assert first.startswith(f"class {name.rpartition('.')[2]}")


@pytest.mark.slow
def test_the_search_index_knows_the_names(site):
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    assert "glossary" in index["docnames"]
    assert "coupl" in index["terms"], "stems of words"


@pytest.mark.slow
@needs_chromium
def test_pages_and_search_work_in_a_browser(site, tmp_path):
    with served(site) as (address, missing):
        for page, expected in {
            "index.html": "Twelve lines",
            "api/nice_np.AffineCoupling.html": "conditioner",
            "404.html": "Page not found",
            "mathematics.html": "<math",
            "tutorials/02_coupling_layers.html": "<math",
            "search.html?q=check_gradients": "nice_np.check_gradients.html",
        }.items():
            dom, errors = opened(f"{address}/{page}", tmp_path)
            assert expected in dom, page
            assert errors == [], page
            assert missing == [], page
        (site / "broken.html").write_text('<script src="missing.js"></script><script>no_such_name()</script>')
        _, errors = opened(f"{address}/broken.html", tmp_path)
        assert ["no_such_name is not defined" in line for line in errors] == [True]
        assert missing == ["/missing.js"]

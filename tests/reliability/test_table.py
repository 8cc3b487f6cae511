"""docs/reliability.md is true: its tests exist and are collected, no row is empty, no figure is too large."""

import importlib.util
import math
import sys

import pytest
from faults import ROOT

PAGE, SCRIPT = ROOT / "docs" / "reliability.md", ROOT / "scripts" / "reliability.py"
if not PAGE.exists():
    pytest.skip("docs/ is in the checkout: run python -m pytest there", allow_module_level=True)
OPTIONAL = {"test_tutorials.py"}  # collected only where its extra is installed


@pytest.fixture(scope="module")
def script():
    """scripts/reliability.py as a module."""
    path = list(sys.path)
    spec = importlib.util.spec_from_file_location("reliability_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = path


@pytest.fixture(scope="module")
def text():
    return PAGE.read_text(encoding="utf-8")


def test_every_row_names_tests_that_exist(script, text):
    rows = script.rows(text)
    assert len(rows) >= 45
    for promise, tests, measured in rows:
        named = script.TEST.findall(tests)
        assert len(promise) > 10
        assert named, promise
        assert tests == ", ".join(f"`{file}::{test}`" for file, test in named), promise
        for file, test in named:
            (path,) = (ROOT / "tests").rglob(file)
            assert f"def {test}(" in path.read_text(encoding="utf-8"), f"{file}::{test} does not exist"
        figures = dict(script.FIGURE.findall(measured))
        assert figures, f"nothing was measured: {promise}"
        assert all(figure.strip() for figure in figures.values()), promise


@pytest.mark.slow
def test_every_test_is_collected_and_no_row_claims_more_cases_than_there_are(script, text):
    found = script.collected({file for file, _ in script.TEST.findall(text)})
    for promise, tests, measured in script.rows(text):
        for file, test in script.TEST.findall(tests):
            assert file in OPTIONAL or found[file, test] > 0, f"{file}::{test} is not collected"
        if claimed := int(dict(script.FIGURE.findall(measured)).get("cases", 0)):
            assert claimed <= script.cases(tests, found), f"run python scripts/reliability.py: {promise}"


def test_every_test_of_this_folder_is_in_a_row(script, text):
    """Every injected fault stands behind a promise."""
    named = {file for file, _ in script.TEST.findall(text)}
    files = {path.name for path in (ROOT / "tests" / "reliability").glob("test_*.py")} - {"test_table.py"}
    assert files <= named


# What a figure of the table may be at most, from the contract.
ALLOWED = {
    "gradient": 1e-3, "log-det": 1e-7, "float32 gradient": 1e-5, "inverse float32": 20, "inverse float64": 20,
    "deep": 100, "integral": 2e-3, "differing elements": 0, "help": 1.0,
}  # fmt: skip


def test_figures_are_within_what_is_promised(script, text):
    figures = dict(script.FIGURE.findall(text))
    for name, limit in ALLOWED.items():
        assert float(figures[name]) <= limit, name
    assert float(figures["gradient share"].rstrip("%")) <= 100
    counts = [name for name in figures if name not in {*ALLOWED, "gradient share", "cases"}]
    assert len(counts) >= 12
    for name in counts:
        assert int(figures[name].replace(",", "")) > 0, f"none of the {name}"


COUNTED = ("planted errors", "noticed errors", "notebooks")


@pytest.mark.parametrize("name", ["log-det", "differing elements", *COUNTED])
def test_a_figure_is_what_the_script_measures_now(name, script, text):
    """Rounding errors differ from machine to machine; an order of magnitude of the mathematics does not."""
    written = float(dict(script.FIGURE.findall(text))[name].replace(",", ""))
    measured = float(script.measurements()[name]().replace(",", ""))
    if name in COUNTED:
        assert written == measured
    elif written:
        assert abs(math.log10(measured / written)) < 1.5
    else:
        assert measured == 0

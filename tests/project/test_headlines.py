"""scripts/headlines.py: it finds the commands and figures of the pages, and sees a figure that is wrong."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "headlines.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="scripts/ is only in the checkout")


@pytest.fixture
def headlines(monkeypatch):
    spec = importlib.util.spec_from_file_location("headlines", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "headlines", module)
    spec.loader.exec_module(module)
    return module


TABLE = """
| | steps | seconds | train | test (nats) | test label accuracy |
|---|---|---|---|---|---|
| NICE paper | 9 | 9 | 9 | 9 | 9 |
| `nice-np train rings --epochs 1` | none | 2 | -1.50 | 2,040.40 +- 3.8 | 95.30 % |
"""


def test_a_table_gives_commands_and_figures(headlines):
    (row,) = headlines.in_tables("page", TABLE)
    assert row.command == "nice-np train rings --epochs 1"
    assert row.figures == [
        ("page", "train", -1.5),
        ("page", "test (nats)", 2040.4),
        ("page", "test label accuracy", 0.953),
    ]
    assert row.is_quick


def test_a_wrong_figure_is_seen(headlines):
    (row,) = headlines.in_tables("page", TABLE)
    metrics = {"log_likelihood": {"train": -1.501, "test": 2045.0}, "accuracy": {"test": 0.95}}
    assert headlines.differences(row.figures, metrics) == []
    metrics["log_likelihood"]["test"] = 2100.0
    assert headlines.differences(row.figures, metrics) == [
        "page, test (nats): printed 2040.4, found 2100, allowed +- 10.2"
    ]
    metrics["log_likelihood"]["test"] = float("nan")
    assert len(headlines.differences(row.figures, metrics)) == 1


def test_a_command_that_fails_or_misses_its_figures_is_seen(headlines, monkeypatch, tmp_path):
    said = headlines.check(headlines.Headline("nice-np evaluate runs/mnist"), tmp_path, quick=False)
    assert said.startswith("FAILED: nice-np: error: ")
    (row,) = headlines.in_tables("page", TABLE)
    (tmp_path / "runs" / "rings").mkdir(parents=True)
    metrics = {"log_likelihood": {"train": -9.0, "test": 2040.0}, "accuracy": {"test": 0.953}}
    (tmp_path / "runs" / "rings" / "metrics.json").write_text(json.dumps(metrics))
    row.command = "nice-np --version"
    assert headlines.check(row, tmp_path, quick=False).startswith("FAILED:\n    page, train: printed -1.5, found -9")


def test_the_pages_have_headlines(headlines):
    rows = {row.command: row for row in headlines.of_pages()}
    assert all(row.figures for row in rows.values())
    assert {page for row in rows.values() for page, _, _ in row.figures} == set(headlines.PAGES)
    assert len(rows["nice-np train mnist"].figures) == 7  # on two pages
    commands = [row.command for row in headlines.of_help()]
    assert "nice-np train mnist --time-limit 300" in commands
    quick = [row.command for row in headlines.of_help() if row.is_quick]
    assert quick == ["nice-np train two-moons --epochs 20", "nice-np gradcheck"]

"""docs/find_your_way.md is a reading order: each file comes after those that it imports, with the minutes it takes."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "reading_order.py"
if not SCRIPT.exists():
    pytest.skip("scripts/ and docs/ are in the checkout: run python -m pytest there", allow_module_level=True)

_spec = importlib.util.spec_from_file_location("reading_order", SCRIPT)
reading_order = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reading_order)
PAGE = reading_order.PAGE.read_text(encoding="utf-8")


def row(name):
    (line,) = [line for line in PAGE.splitlines() if line.startswith("| ") and f"nice_np/{name})" in line]
    return f"{line}\n"


def test_each_file_needs_only_those_above_it_and_the_core_is_complete():
    assert reading_order.problems(PAGE) == []


def test_the_minutes_are_measured():
    assert reading_order.minutes_off(PAGE) == []


def test_a_file_that_comes_too_early_is_seen():
    flow, coupling = row("flows/flow.py"), row("bijectors/coupling.py")
    early = PAGE.replace(flow, "").replace(coupling, flow + coupling)
    assert "nice_np/flows/flow.py needs nice_np/flows/priors.py, which is listed after it" in reading_order.problems(
        early
    )


def test_a_name_from_a_room_is_found_where_it_is_defined():
    imported = reading_order.imported(ROOT / "nice_np" / "flows" / "builders.py")
    assert ROOT / "nice_np" / "bijectors" / "scaling.py" in imported  # from nice_np.bijectors import DiagonalScaling


def test_a_missing_and_a_gone_file_are_seen():
    chain = row("bijectors/chain.py")
    assert reading_order.problems(PAGE.replace(chain, "")) == [
        "nice_np/bijectors/chain.py is part of the core, and not listed"
    ]
    gone = PAGE.replace(chain, chain + chain.replace("chain.py", "chained.py"))
    assert reading_order.problems(gone) == ["nice_np/bijectors/chained.py is listed, and does not exist"]
    assert reading_order.problems(PAGE.replace(chain, chain + chain)) == ["nice_np/bijectors/chain.py is listed twice"]


def test_wrong_minutes_are_seen_and_mended():
    chain = row("bijectors/chain.py")
    wrong = chain.replace(f"| {chain.split('|')[-2].strip()} |", "| 99 |")
    (message,) = reading_order.minutes_off(PAGE.replace(chain, wrong))
    assert "99 minutes, measured" in message
    assert reading_order.minutes_off(reading_order.with_minutes(PAGE.replace(chain, wrong))) == []

"""scripts/oldest.py: every dependency has a lower bound, and the script finds it."""

import configparser
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "oldest.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="scripts/ is only in the checkout")


def test_every_dependency_has_a_lower_bound_and_is_found():
    spec = importlib.util.spec_from_file_location("oldest", SCRIPT)
    oldest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oldest)
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    needed = [line for line in config["options"]["install_requires"].splitlines() if line]
    found = oldest.bounds()
    assert len(needed) >= 7
    for line in needed:
        name, version = re.match(r"([\w-]+)>=([\d.]+)(?:;|$)", line).groups()
        assert found[name] == version
    assert found["numba"] == "0.59"  # with a marker behind it
    assert found["shtab"]
    assert found["pooch"]  # both of an extra
    assert "ruff" not in found

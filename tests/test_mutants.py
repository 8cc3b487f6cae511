"""The list of planted errors fits the source: each of them can be planted, at one place."""

import importlib.util
from pathlib import Path

import pytest

import nice_np

SCRIPT = Path(__file__).parents[1] / "scripts" / "mutants.py"


def load_script():
    spec = importlib.util.spec_from_file_location("mutants", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not SCRIPT.exists(), reason="scripts/ is only in the checkout, not in an installed package")
def test_every_mutant_can_be_planted():
    mutants = load_script().MUTANTS
    assert len(mutants) > 90
    for mutant in mutants:
        source = (Path(nice_np.__file__).parent / mutant.file).read_text(encoding="utf-8")
        assert source.count(mutant.old) == 1, mutant
        assert mutant.new not in ("", mutant.old) or mutant.old.strip(), mutant

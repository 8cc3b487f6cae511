"""Every file that the library reads, damaged thousands of times: read as before, or refused by name; never a crash."""

import json

import pytest
from faults import HERE, linux, run, tally, times
from mutate import KINDS

SLOW_TO_READ = {"checkpoint": 4, "checkpoint_header": 4, "checkpoint_history": 4, "faces": 4, "inpaint": 20}


def attack(kind, seed, count, folder):
    child = run(kind, seed, count, folder, code=f"import sys\nsys.path.insert(0, {str(HERE)!r})\n" + MAIN, timeout=3600)
    assert child.returncode == 0, f"{kind}: {child.returncode}\n{child.stderr[-3000:]}"
    return json.loads(child.stdout.splitlines()[-1])


MAIN = "import mutate\nsys.exit(mutate.main())"


@linux
@pytest.mark.parametrize("kind", ["checkpoint_header", "npy", "png_chunks", "settings_json"])
def test_a_few_mutants(kind, tmp_path):
    """The kinds that no other test damages."""
    found = attack(kind, 0, 50, tmp_path)
    assert found["refused"] > 0


@linux
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_mutants_are_refused_by_name_or_read_as_the_original(kind, tmp_path):
    count = times(2000 // SLOW_TO_READ.get(kind, 1))
    found = attack(kind, 1, count, tmp_path)
    assert found["mutants"] == found["same"] + found["refused"] == count
    assert found["refused"] > count // 4, "hardly anything was damaged: the test would prove nothing"
    tally("mutated files", count)

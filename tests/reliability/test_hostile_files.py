"""Whatever a model file counts, layers, names, numbers or brackets, reading it takes 2 s and 100 MiB at most."""

import json

import pytest
from faults import linux, run
from hostile import FILES, HISTORIES
from mutate import MEMORY, SECONDS

from nice_np import NiceValueError, nice

NAMES = [*FILES, *HISTORIES]
A_FEW = ["allowed: couplings", "again doubled", "context of a coupling", "values for deep networks", "history of lists"]


@linux
@pytest.mark.parametrize("names", [A_FEW, pytest.param(NAMES, marks=pytest.mark.slow)], ids=["a few", "all"])
def test_no_file_takes_more_than_two_seconds_and_100_mib(names, tmp_path):
    done = run(tmp_path, *names, code="import hostile; hostile.main()", timeout=600)
    assert done.returncode == 0, done.stderr
    found = dict(map(json.loads, done.stdout.splitlines()))
    assert list(found) == names
    for name, now in found.items():
        assert now["seconds"] < SECONDS, name
        assert now["mib"] < MEMORY / 2**20, name
        assert len(now["said"]) < 2100, name
        assert now["said"].startswith("CheckpointError: ") or now["said"] == "read", name


@pytest.mark.parametrize(
    "metadata", [{"x": [[]] * 300_000}, {"x": json.loads("[" * 300 + "]" * 300)}], ids=["many", "deep"]
)
def test_what_could_not_be_read_again_is_not_saved(metadata, tmp_path):

    with pytest.raises(NiceValueError, match="lists"):
        nice(4, couplings=3, hidden=(3,)).save(tmp_path / "m.npz", metadata)
    assert not list(tmp_path.iterdir())

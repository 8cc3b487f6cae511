"""nice-np grade: points, tables, the archive for students, and its errors."""

import csv
import json
import os
import zipfile

import pytest
from command_line import run

from nice_np.commands import grade
from nice_np.grading import notebooks

FIRST = "01_change_of_variables"


def result(file, *statuses, **more):
    exercises = [
        {"exercise": k, "title": "a title", "status": status, "why": "" if status == "passed" else "=1+1"}
        for k, status in enumerate(statuses, start=1)
    ]
    return {"file": file, "tutorial": FIRST, "exercises": exercises, "notes": [], **more}


@pytest.fixture
def graded(monkeypatch):
    """Two copies, one half right, and a file that is none, without running them."""
    found = [result("a.ipynb", "passed", "failed", "not done"), {"file": "b.ipynb", "error": "b.ipynb: no notebook"}]
    monkeypatch.setattr(grade, "grade_files", lambda *arguments: found)
    return found


def test_points_are_those_of_the_passed_exercises(graded, tmp_path):
    (tmp_path / "weights.json").write_text(json.dumps({FIRST: {"1": 2, "3": 0.5}}))
    code, out, _ = run(
        "grade", "a.ipynb", "b.ipynb", "--weights", tmp_path / "weights.json", "--csv", tmp_path / "a.csv"
    )
    assert code == 1
    assert "1 of 3 exercises passed, 2 of 3.5 points" in out
    assert "not graded: b.ipynb: no notebook" in out
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["status"], row["points"], row["out_of"]) for row in rows] == [
        ("a.ipynb", "passed", "2", "2"),
        ("a.ipynb", "failed", "0", "1"),
        ("a.ipynb", "not done", "0", "0.5"),
        ("b.ipynb", "not graded", "0", ""),
    ]
    assert rows[1]["why"] == "'=1+1", "a spreadsheet must not take a message for a formula"


def test_json_has_everything_and_the_code_is_zero_if_all_passed(monkeypatch):
    monkeypatch.setattr(grade, "grade_files", lambda *arguments: [result("a.ipynb", "passed", "passed")])
    code, out, _ = run("grade", "a.ipynb", "--json")
    assert code == 0
    (file,) = json.loads(out)["files"]
    assert (file["points"], file["out_of"]) == (2, 2)


def test_the_archive_has_no_solutions_and_no_answers(tmp_path):
    code, out, _ = run("grade", "--make-zip", tmp_path / "new.zip")
    assert code == 0
    with zipfile.ZipFile(tmp_path / "new.zip") as archive:
        texts = {name.split("/")[1]: archive.read(name).decode() for name in archive.namelist()}
    assert set(texts) == {"README.txt", *(path.name for path in notebooks.tutorials().values())}
    assert f"{len(texts) - 1} notebooks in" in out
    assert "nice-np grade" in texts["README.txt"]
    for name, text in texts.items():
        assert "SOLUTION" not in text, name
        assert "ANSWERS" not in text, name


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("no json", "expected JSON such as"),
        ("[1]", "expected JSON such as"),
        (json.dumps({"99_none": {"1": 1}}), "'99_none' is no tutorial"),
        (json.dumps({FIRST: {"1": -1}}), "points must be numbers >= 0, got -1"),
    ],
)
def test_weights_that_are_none(weights, message, tmp_path):
    (tmp_path / "weights.json").write_text(weights)
    code, _, err = run("grade", "a.ipynb", "--weights", tmp_path / "weights.json")
    assert code == 1
    assert message in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "expected a NOTEBOOK, or --make-zip FILE"),
        (("a.ipynb", "--timeout", "0"), 2, "--timeout"),
        (("a.ipynb", "--timeout", "nan"), 2, "--timeout"),
        (("a.ipynb", "--jobs", "0"), 2, "--jobs"),
        (("a.ipynb", "--similarity", "80"), 2, "--similarity"),
        (("a.ipynb", "--csv", "table.txt"), 2, "expected a file ending in .csv"),
        (("a.ipynb", "--weights", "/nowhere/weights.json"), 1, "No such file"),
    ],
)
def test_mistakes_on_the_command_line(words, code, message):
    got, _, err = run("grade", *words)
    assert got == code
    assert message in err
    assert "Traceback" not in err


def test_an_existing_table_is_not_replaced_and_nothing_is_graded(tmp_path):
    (tmp_path / "a.csv").write_text("mine")
    code, _, err = run("grade", "a.ipynb", "--csv", tmp_path / "a.csv")
    assert code == 1
    assert "--force" in err
    assert (tmp_path / "a.csv").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="grading needs fork")
def test_a_missing_file_is_named(tmp_path):
    pytest.importorskip("cloudpickle", reason='pip install -e ".[tutorials]"')
    code, out, _ = run("grade", tmp_path / "typo.ipynb")
    assert code == 1
    assert "typo.ipynb: No such file or directory" in out


def test_copies_that_are_alike_come_as_groups():
    pairs = [(1.0, "b", "a"), (0.95, "c", "d"), (0.9, "b", "c"), (0.85, "x", "y")]
    lines = grade._alike([{"share": share, "files": files} for share, *files in pairs])
    assert lines == ["similar: 90% to 100%  a  b  c  d", "similar: 85%  x  y"]

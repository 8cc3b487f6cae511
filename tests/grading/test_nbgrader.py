"""nbgrader's own tools take the solved notebooks as source, and students' notebooks as assignments."""

from pathlib import Path

import pytest

SOLVED = sorted((Path(__file__).parents[2] / "tutorials").glob("[0-9][0-9]_*.ipynb"))
if not SOLVED:
    pytest.skip("tutorials/ is in the checkout", allow_module_level=True)
pytest.importorskip("nbgrader", reason="pip install nbgrader")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.parametrize("path", SOLVED, ids=lambda path: path.stem)]


def test_its_format_is_valid_in_both(path):
    from nbgrader.nbgraderformat import read
    from nbgrader.utils import is_grade, is_solution

    for file in (path, path.parent / "exercises" / path.name):
        cells = read(str(file), as_version=4).cells  # raises an error unless each cell's metadata is valid
        assert sum(map(is_grade, cells)) == sum(map(is_solution, cells)) >= 2
        names = [cell.metadata.nbgrader.grade_id for cell in cells if "nbgrader" in cell.metadata]
        assert len(set(names)) == len(names)


def test_it_clears_the_solutions(path):
    from nbgrader.nbgraderformat import read
    from nbgrader.preprocessors import ClearSolutions

    notebook, _ = ClearSolutions().preprocess(read(str(path), as_version=4), {})
    text = "\n".join(cell.source for cell in notebook.cells)
    assert "SOLUTION" not in text
    assert "NotImplementedError" in text


def test_its_validator_passes_the_solved_notebook_and_fails_every_check_of_the_students(path):
    from nbgrader.validator import Validator

    if path.name[:2] != "02":
        return  # these are run in test_tutorials.py
    assert not Validator().validate(str(path)).get("failed")
    failed = Validator().validate(str(path.parent / "exercises" / path.name))["failed"]
    assert len(failed) == 3

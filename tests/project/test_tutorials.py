"""The tutorials run, their exercise twins fail only where there is something to do, and the checks see mistakes."""

import ast
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

TUTORIALS = Path(__file__).parents[2] / "tutorials"
if not TUTORIALS.exists():
    pytest.skip("tutorials/ is in the checkout: run python -m pytest there", allow_module_level=True)
nbformat = pytest.importorskip("nbformat", reason='pip install -e ".[tutorials]"')
pytest.importorskip("nbclient", reason='pip install -e ".[tutorials]"')
pytest.importorskip("ipykernel", reason='pip install -e ".[tutorials]"')
sys.path.insert(0, str(TUTORIALS))

import build  # noqa: E402
import tutorial_cells as cells  # noqa: E402
from more_tutorial_mistakes import IN_PLACE  # noqa: E402
from tutorial_kernel import execute  # noqa: E402
from tutorial_mistakes import MISTAKES  # noqa: E402

from nice_np.grading.batch import grade_files  # noqa: E402

SOLVED = cells.solved_notebooks()
each = pytest.mark.parametrize("path", SOLVED, ids=lambda path: path.stem)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own packages


# -- the notebooks in the repository ----------------------------------------------------------------------------------


def test_each_has_a_number_of_its_own():
    numbers = [int(path.name[:2]) for path in SOLVED]  # with gaps while a notebook between two others is written
    assert numbers == sorted(set(numbers))
    assert numbers[:10] == list(range(1, 11))
    assert {path.name for path in cells.EXERCISES.glob("*.ipynb")} == {path.name for path in SOLVED}


@each
def test_markers_checks_outputs_and_size(path):
    notebook = cells.read(path)
    assert list(cells.problems(notebook)) == []
    assert path.stat().st_size <= cells.LIMIT
    assert len(cells.numbered(cells.EXERCISE, notebook)) >= 2
    assert [cell.execution_count for cell in cells.code_cells(notebook)] == [
        *range(1, 1 + len(cells.code_cells(notebook)))
    ], "run it from top to bottom: python tutorials/build.py run"


@each
def test_it_has_one_title_and_every_lesson_with_code_asserts_something(path):
    titles, lesson, asserts = [], "", {}
    for cell in cells.read(path).cells:
        if cell.cell_type == "markdown":
            titles += re.findall(r"^# .+", cell.source, re.MULTILINE)
            lesson = (re.findall(r"^## .+", cell.source, re.MULTILINE) or [lesson])[-1]
        elif lesson:  # not the imports
            found = len(re.findall(r"^ *assert |raise_if_failed", cell.source, re.MULTILINE))
            asserts[lesson] = asserts.get(lesson, 0) + found
    assert len(titles) == 1
    assert len(asserts) >= 4
    assert [lesson for lesson, found in asserts.items() if not found] == []


@each
def test_its_twin_is_up_to_date(path):
    stored = (cells.EXERCISES / path.name).read_text(encoding="utf-8")
    assert stored == nbformat.writes(cells.twin(cells.read(path))) + "\n", "python tutorials/build.py exercises"


@each
def test_nothing_but_outputs_changes_when_it_is_built_again(path, tmp_path):
    cells.write(cells.tidy(cells.read(path), path.stem), tmp_path / path.name)
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@each
def test_the_twin_keeps_signatures_and_docstrings_and_says_what_to_do(path):
    solved, twin = cells.read(path), cells.read(cells.EXERCISES / path.name)
    for k, cell in cells.numbered(cells.EXERCISE, solved).items():
        theirs = cells.numbered(cells.EXERCISE, twin)[k].source
        assert "SOLUTION" not in theirs
        assert theirs.count('raise NotImplementedError("TODO: ') == cell.source.count("### BEGIN SOLUTION")
        assert described(theirs) == described(cell.source)
    assert not any(cell.outputs or cell.execution_count for cell in cells.code_cells(twin))


def described(source):
    """Name, arguments and docstring of every function, and name and docstring of every class."""
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    return [(n.name, ast.dump(n.args) if isinstance(n, ast.FunctionDef) else "", ast.get_docstring(n)) for n in nodes]


@each
def test_the_lists_of_notebooks_have_it_with_the_minutes_that_are_counted(path):
    root = TUTORIALS.parent
    reading, exercises = cells.minutes(cells.read(path))
    for listed, row in [
        ("tutorials/README.md", rf"\({path.name}\) \|.* \| {reading} \+ {exercises} \|$"),
        ("docs/teaching.md", rf"\(../tutorials/{path.name}\) \| {reading} \+ {exercises} \|"),
        ("docs/teaching.md", rf"\(../tutorials/exercises/{path.name}\)"),
    ]:
        text = (root / listed).read_text(encoding="utf-8")
        assert re.search(row, text, re.MULTILINE), (
            f"{listed} does not list {path.name}, {reading} + {exercises} minutes"
        )


# -- they run ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@each
def test_the_solved_notebook_runs(path):
    execute(cells.read(path), timeout=300, fast=True)


@pytest.mark.slow
@each
def test_the_twin_fails_where_there_is_something_to_do_and_nowhere_else(path):
    """Every check, and every cell that uses a solution, fails with a TODO; every other cell runs."""
    twin = cells.read(cells.EXERCISES / path.name)
    execute(twin, timeout=300, fast=True, allow_errors=True)
    for cell in cells.code_cells(twin):
        needs = any(cells.number(pattern, cell) for pattern in (cells.CHECK, cells.USES))
        errors = [(o.ename, o.evalue[:6]) for o in cell.outputs if o.output_type == "error"]
        assert errors == ([("NotImplementedError", "TODO: ")] if needs else []), cell.source


def graded(files):
    results = grade_files(files, None, 60, 2, quiet=True)
    return [(result["exercises"], result["notes"]) for result in results]


@pytest.mark.slow
@each
def test_solved_gets_full_marks_the_twin_none_and_the_checks_see_what_readers_get_wrong(path, tmp_path):
    tried = MISTAKES[path.stem]
    wrong = [tmp_path / f"{path.stem}-{k}.ipynb" for k in range(max(map(len, tried.values())))]
    for k in range(len(wrong)):
        notebook = cells.read(path)
        for exercise, cell in cells.numbered(cells.EXERCISE, notebook).items():
            _, right, mistake = tried[exercise][k % len(tried[exercise])]
            assert cell.source.count(right) == 1, (exercise, right)
            cell.source = cell.source.replace(right, mistake)
        cells.write(notebook, wrong[k])
    (solved, solved_notes), (twin, twin_notes), *planted = graded([path, cells.EXERCISES / path.name, *wrong])
    assert {score["status"] for score in solved} == {"passed"}, solved
    assert {score["status"] for score in twin} == {"not done"}, twin
    assert all(score["why"].startswith("TODO: ") for score in twin)
    assert solved_notes == twin_notes == []
    promised = promises(path.stem)
    for k, (scores, notes) in enumerate(planted):
        assert {score["status"] for score in scores} == {"failed"}, scores
        assert notes == []
        for score in scores:
            exercise, why = score["exercise"], score["why"]
            what, _, _ = tried[exercise][k % len(tried[exercise])]
            in_order = ".*".join(map(re.escape, promised[exercise, what].split(" ... ")))
            assert re.search(in_order, why), (what, promised[exercise, what], why)


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_PLACE)
def test_the_grader_sees_what_a_function_changes_of_its_callers(name, tmp_path):
    """One copy for each mistake that gives the right result, but changes an argument, a gradient or a cache."""
    files, planted = [], []
    for exercise, mistakes in IN_PLACE[name].items():
        for what, right, mistake in mistakes:
            notebook = cells.read(TUTORIALS / f"{name}.ipynb")
            cell = cells.numbered(cells.EXERCISE, notebook)[exercise]
            assert cell.source.count(right) == 1, (exercise, right)
            cell.source = cell.source.replace(right, mistake)
            files.append(tmp_path / f"{name}-{len(files)}.ipynb")
            cells.write(notebook, files[-1])
            planted.append((exercise, what))
    for (exercise, what), (scores, _) in zip(planted, graded(files), strict=True):
        assert {score["exercise"]: score["status"] for score in scores}[exercise] == "failed", (exercise, what)


@each
def test_figures_have_numbered_captions_or_none(path):
    """The text below figure k begins with "**Figure k:**"; the site and the slides read it out."""
    notebook = cells.read(path)
    captions = [
        re.match(r"\*\*Figure (\d+):\*\* ", after.source)
        for cell, after in zip(notebook.cells, [*notebook.cells[1:], None], strict=True)
        if cell.cell_type == "code"
        and ("<img" in cell.source or any("image/png" in output.get("data", {}) for output in cell.outputs))
    ]
    if any(captions):
        assert [caption and int(caption[1]) for caption in captions] == list(range(1, len(captions) + 1))


def promises(name):
    """{(exercise, mistake): what the check says}, from the course plan of one tutorial."""
    plan = (TUTORIALS.parent / "docs" / "teaching.md").read_text(encoding="utf-8")
    title = f"\n### {name.replace('_', ' ')}\n"
    section = plan[plan.lower().index(title) + len(title) :].split("\n### ")[0]
    return {
        (int(k), what): said for k, what, said in re.findall(r"^\| (\d) \| (.+?) \| `(.+?)` \|", section, re.MULTILINE)
    }


@pytest.mark.slow
def test_the_kernel_has_an_empty_home_no_network_and_no_data(monkeypatch):
    monkeypatch.setenv("NICE_NP_DATA", "somewhere")
    home, network, settings = small(
        "from pathlib import Path\nassert not [p for p in Path.home().iterdir() if p.name[0] != '.' and p.is_file()]",
        "import urllib.request, urllib.error\ntry:\n    urllib.request.urlopen('https://example.com', timeout=5)\n"
        "except urllib.error.URLError:\n    pass\nelse:\n    raise AssertionError('the network is there')",
        "import os\nassert 'NICE_NP_DATA' not in os.environ\nassert os.environ['NICE_NP_FAST'] == '1'",
    ).cells[1:]
    notebook = nbformat.v4.new_notebook(cells=[home, network, settings])
    execute(notebook, fast=True)


# -- what authors are told --------------------------------------------------------------------------------------------

SETUP = "from math import sqrt"
FIRST = """\
# Exercise 1: the square
def square(x):
    \"\"\"x squared.\"\"\"
    ### BEGIN SOLUTION: return x * x
    return x * x
    ### END SOLUTION"""
CHECK_1 = "# Check of exercise 1\nassert square(3) == 9, f'3 * 3 is {square(3)}'\nassert sqrt(square(5)) == 5"
SECOND = FIRST.replace("Exercise 1", "Exercise 2").replace("square", "cube").replace("x * x", "x * x * x")
CHECK_2 = "# Check of exercise 2\nassert cube(2) == 8, f'2 * 2 * 2 is {cube(2)}'"


def small(*sources):
    """A notebook of a few code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    times = "Reading time: about 0 minutes, exercises: about 0 minutes."
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(f"# A small tutorial\n\n{times}"))
    return notebook


def test_a_good_notebook_has_no_problems():
    assert list(cells.problems(small(SETUP, FIRST, CHECK_1, SECOND, CHECK_2))) == []


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        ((FIRST,), "each followed by its check"),
        ((SECOND, CHECK_2), "numbered from 1"),
        ((FIRST, CHECK_1, CHECK_1), "each followed by its check"),
        ((FIRST.replace("    ### END SOLUTION", ""), CHECK_1), "pair up"),
        ((FIRST.replace(": return x * x", ""), CHECK_1), "pair up"),
        (("### BEGIN SOLUTION: all\nx = 1\n### END SOLUTION",), "solutions belong in a cell"),
        ((FIRST.replace("### ", "# "), CHECK_1), "such a cell needs one"),
        (("# Exercise 1: a number\n### BEGIN SOLUTION: x\nx = 1\n### END SOLUTION", CHECK_1), "inside a function"),
        ((FIRST.replace(": return x * x", ": " + "return it " * 20), CHECK_1), "longer than"),
        ((FIRST, "# Check of exercise 1\nprint(square(3))"), "without an assert"),
        ((FIRST, CHECK_1, "# uses Exercise 1\nprint(square(2))"), "neither"),
    ],
)
def test_mistakes_of_an_author_are_named(sources, problem):
    assert any(problem in found for found in cells.problems(small(*sources)))


def test_the_first_cell_says_how_long_it_takes():
    """A minute for 150 words, 100 of given code, a formula, a figure; for an exercise what its heading says, or 15."""
    drawn = "plt.plot([1, 2])\nplt.show()"  # 3 words
    notebook = small("x = 1\n\n" * 99 * 10, FIRST, "# Check of exercise 1\n" + "assert f(3) == 9\n" * 249, *[drawn] * 5)
    notebook.cells.append(nbformat.v4.new_markdown_cell("word " * 150 * 9 + "$$x$$\n" * 5))
    assert cells.minutes(notebook) == (60, 15)
    tidied = cells.tidy(notebook, "small")
    assert tidied.cells[0].source.endswith("Reading time: about 60 minutes, exercises: about 15 minutes.")
    assert list(cells.problems(tidied)) == []
    notebook.cells += small(SECOND, CHECK_2).cells[1:]
    assert cells.minutes(notebook)[1] == 30
    notebook.cells.insert(2, nbformat.v4.new_markdown_cell("Words.\n\n### Exercise 1: 25 minutes\n\nWords."))
    assert cells.minutes(notebook)[1] == 40
    notebook.cells[0].source = "# A small tutorial"
    assert any("Reading time" in problem for problem in cells.problems(notebook))


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ({"output_type": "stream", "name": "stderr", "text": "a warning"}, "a warning among the outputs"),
        ({"output_type": "error", "ename": "E", "evalue": "", "traceback": []}, "an error"),
        ({"output_type": "stream", "name": "stdout", "text": "/home/me/file.py"}, "a path"),
        ({"output_type": "display_data", "data": {"text/html": "see /tmp/x"}, "metadata": {}}, "a path"),
    ],
)
def test_outputs_that_do_not_belong_there_are_named(output, problem):
    notebook = small("x = 1")
    notebook.cells[1].outputs = [nbformat.from_dict(output)]
    assert any(problem in found for found in cells.problems(notebook))


def test_a_solution_becomes_an_error_that_says_what_to_return():
    assert cells.unsolved(FIRST) == (
        '# Exercise 1: the square\ndef square(x):\n    """x squared."""\n'
        '    raise NotImplementedError("TODO: return x * x")'
    )
    two = cells.unsolved(FIRST + "\n\n\n" + FIRST.split("\n", 1)[1].replace("x * x", "y"))
    assert two.count("TODO: return x * x") == two.count("TODO: return y") == 1


@pytest.mark.parametrize("todo", ['return "yes" or "no"', 'it\'s "x"', "a \\ b", "return it's mean"])
def test_a_todo_may_hold_quotes(todo):
    solved = small(SETUP, FIRST.replace("return x * x\n", f"{todo}\n", 1), CHECK_1)
    assert list(cells.problems(solved)) == []
    scope = {}
    exec(cells.twin(solved).cells[3].source, scope)
    with pytest.raises(NotImplementedError) as caught:
        scope["square"](3)
    assert str(caught.value) == f"TODO: {todo}"


def test_metadata_name_exercises_and_checks_for_nbgrader():
    tidied = cells.tidy(small(SETUP, FIRST, CHECK_1), "small")
    _, setup, exercise, check = (cell.metadata for cell in tidied.cells)
    assert setup == {}
    assert (exercise.nbgrader.solution, exercise.nbgrader.grade, exercise.nbgrader.locked) == (True, False, False)
    assert (check.nbgrader.solution, check.nbgrader.grade, check.nbgrader.locked) == (False, True, True)
    assert check.nbgrader.points == 1
    assert len({cell.id for cell in tidied.cells}) == len(tidied.cells)


def test_pieces_of_printed_text_are_joined():
    notebook = small("print(1)")
    pieces = [("stdout", "1\n"), ("stdout", "2\n"), ("stderr", "3\n"), ("stdout", "4\n")]
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in pieces]
    notebook.cells[1].outputs.append(nbformat.v4.new_output("display_data", {"text/plain": "5"}))
    outputs = cells.tidy(notebook, "small").cells[1].outputs
    assert [output.get("text") for output in outputs] == ["1\n2\n", "3\n", "4\n", None]
    assert len(notebook.cells[1].outputs) == 5, "the notebook that was given is left alone"


def test_a_stale_twin_is_found_and_made(tmp_path, monkeypatch, capsys):
    path = tmp_path / "01_small.ipynb"
    cells.write(cells.tidy(small(SETUP, FIRST, CHECK_1), path.stem), path)
    monkeypatch.setattr(build, "EXERCISES", tmp_path / "exercises")
    assert build.make_twins([path], check=True) == 1
    assert build.make_twins([path], check=False) == 0
    assert build.make_twins([path], check=True) == 0
    cells.write(cells.tidy(small(SETUP, SECOND, CHECK_1), path.stem), path)
    assert build.make_twins([path], check=True) == 1
    assert "out of date: 01_small.ipynb" in capsys.readouterr().out


@pytest.mark.slow
def test_a_notebook_is_built_and_its_problems_are_named(tmp_path, monkeypatch, capsys):
    path = tmp_path / "01_small.ipynb"
    draw = (
        "import matplotlib.pyplot as plt\nimport numpy as np\n"
        "plt.imshow(np.random.default_rng(0).normal(size=(99, 99)))\nplt.show()"
    )
    cells.write(small(SETUP, draw, FIRST, CHECK_1), path)
    assert build.run([path]) == 0
    built = cells.code_cells(cells.read(path))
    assert [cell.execution_count for cell in built] == [1, 2, 3, 4]
    build.write_figures(path, tmp_path / "figures")
    (figure,) = (tmp_path / "figures").iterdir()
    with Image.open(figure) as picture:
        assert picture.mode == "P"  # a palette
    first = path.read_bytes()
    assert build.run([path]) == 0
    assert path.read_bytes() == first
    monkeypatch.setattr(build, "LIMIT", 1000)
    assert build.run([path]) == 1
    assert "the limit is 1,000" in capsys.readouterr().out

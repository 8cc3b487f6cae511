"""The slides of the notebooks: complete in themselves, with every figure and every displayed formula."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "tutorials"
pytestmark = pytest.mark.skipif(not TUTORIALS.exists(), reason="the tutorials are in the checkout")
for name in ("markdown_it", "math_core", "mdit_py_plugins", "nbformat"):
    pytest.importorskip(name)
sys.path.insert(0, str(TUTORIALS))
import slides  # noqa: E402
from tutorial_cells import read, solved_notebooks  # noqa: E402


@pytest.mark.parametrize("path", solved_notebooks(), ids=lambda path: path.stem)
def test_every_figure_and_every_formula_has_a_slide(path):
    notebook = read(path)
    text = slides.page(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert text.count("<img ") == sum("image/png" in output.get("data", {}) for output in outputs)
    markdown = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert text.count('class="formula"') >= len(slides.FORMULA.findall(markdown))
    assert "$$" not in re.sub(r'src="[^"]*"', "", text)
    assert not re.search(r'src="(?!data:)', text), "a slide loads something"
    assert not re.search(r'href="(?!https:)', text), "a slide links to a file that is not beside it"
    exercises = re.findall(r"^### Exercise \d+", markdown, re.MULTILINE)
    assert text.count("<h2>Exercise") >= len(exercises)


def test_the_first_words():
    assert slides.first_words("One. Two $a.b$ is. Three? Four.\n\nFive.", 3) == "One. Two $a.b$ is. Three?"
    assert slides.first_words("no end", 1) == "no end"


def test_the_command(tmp_path):
    def run(*arguments):
        command = [sys.executable, str(TUTORIALS / "slides.py"), *arguments, "--out", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("02").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["02_coupling_layers.html"]
    wrong = run("99")
    assert wrong.returncode == 1
    assert wrong.stderr == "no tutorial is called 99\n"

"""The Python of README.md and of the documents runs, and prints what they say."""

import re
from pathlib import Path

import pytest

from nice_np import fit, nice
from nice_np.datasets import two_moons

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="the documents are only in the checkout")


def blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_readme_example_prints_what_it_says(capsys):
    (code,) = blocks("README.md")
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    promised = [line.rsplit(": ", 1)[1] for line in code.splitlines() if line.startswith("print")]
    assert printed == promised


def test_the_layer_of_the_design_document_is_right(capsys):
    (code,) = [block for block in blocks("docs/design.md") if "class Sinh" in block]
    exec(compile(code, "docs/design.md", "exec"), {})
    assert "PASSED" in capsys.readouterr().out


def test_the_loss_of_the_design_document_is_right(rng):
    (code,) = [block for block in blocks("docs/design.md") if "def loss" in block]
    flow, x = nice(2, hidden=(4,), rng=0), two_moons(50, rng)
    fit(flow, x, epochs=1, progress=False, rng=0)
    names = {"flow": flow, "x": x}
    exec(compile(code, "docs/design.md", "exec"), names)
    nll, grads = names["loss"](flow.params.values.copy())
    assert nll == pytest.approx(-flow.log_prob(x).mean(), abs=1e-4)
    assert grads.shape == flow.params.values.shape

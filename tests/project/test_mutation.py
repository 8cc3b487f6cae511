"""Mutation testing: which changes are made, and a small package whose survivors are known."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts" / "mutation"
pytestmark = pytest.mark.skipif(not SCRIPTS.exists(), reason="scripts/ is only in the checkout, not in a package")


@pytest.fixture
def operators(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    import operators

    return operators


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("y = a + b", ["a - b"]),
        ("y = a ** b", ["a * b"]),
        ("y = a @ b", []),
        ("y = -a", ["a"]),
        ("y = a < b", ["a <= b", "a >= b"]),
        ("y = a in b", ["a not in b"]),
        ("y = a and b", ["a or b"]),
        ("y = a if b else c", ["not b"]),
        ("y = 2", ["3", "0", "-2"]),
        ("y = 0.0", ["1.0"]),
        ("y = -1", ["1", "2", "0"]),
        ("y = True", ["False"]),
        ("y = a.T", ["a"]),
        ("y = np.sqrt(a)", ["a"]),
        ("y = a.copy()", ["a"]),
        ("y = a.sum(axis=1)", ["a.mean(axis=1)", "a.sum()", "2", "0"]),
        ("y = f(a, b, 'text')", ["f(b, a, 'text')"]),
        ("y = max(a, b)", ["min(a, b)"]),
        ("y = a[b:]", [":"]),
        ("y += a", ["y -= a", "y = a", "pass"]),
        ("y.z = a", ["pass"]),
        ("y = g(y)", ["pass"]),
        ("g(a)", ["pass"]),
        ("return a", ["return None"]),
        ("return a, b", ["return None", "return (b, a)"]),
        ("if a: raise Error(f'{b - c}')", ["not a", "pass"]),
        ("for y in a: pass", ["for y in (): ..."]),
        ("y: int = a", []),
        ("y = 'text' f'{a + b}'", []),
        ("import a", []),
        ("pass", []),
    ],
)
def test_the_changes_of_one_line(line, expected, operators):
    source = f"def function(a: 1 + 1) -> 2 + 2:\n    'A docstring.'\n    {line}\n"
    found = operators.mutants_of(source)
    assert sorted(mutant.what.split("  ->  ")[1] for mutant in found) == sorted(expected)
    assert {mutant.line for mutant in found} <= {3}


def test_a_mutant_is_planted_and_healed(operators):
    source = "def function(a):\n    b = a + 1\n    b *= 2\n    return b - 3\n"
    mutants = operators.mutants_of(source)
    original, seen = operators.ast.unparse(mutants[0].tree), set()
    for mutant in mutants:
        changed = operators.ast.unparse(mutant.plant())
        compile(mutant.tree, "", "exec")
        mutant.heal()
        assert operators.ast.unparse(mutant.tree) == original
        seen.add(changed)
    assert len(seen) == len(mutants)
    assert original not in seen


def test_what_is_done_at_import_is_marked(operators):
    source = "class A:\n    size = 3\n\n    def method(self, n=5):\n        return n + 7\n"
    assert {mutant.line: mutant.imported for mutant in operators.mutants_of(source)} == {2: True, 4: True, 5: False}
    assert operators.mutants_of("class A:\n    def __repr__(self):\n        return 1 + 1\n") == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--report"], "give both"),
        (["--report", "--keep", "empty", "priors"], "empty has no result of"),
    ],
)
def test_a_page_of_nothing(words, says, tmp_path):
    words = [str(tmp_path / word) if word == "empty" else word for word in words]
    run = subprocess.run([sys.executable, SCRIPTS, *words], capture_output=True, text=True)
    assert run.returncode == 2, run.stderr
    assert says in run.stderr


CODE = """
LIMIT = 3

def area(a, b):
    return a * b

def countdown(n):
    while n > 0:
        n -= 1
    return n

class Root:
    def __init__(self):
        super().__init__()
        self.value = 1

def nobody(a):
    return a + 1
"""
TESTS = """
from nice_np.flows import priors

def test_area():
    assert priors.area(2, 1) == 2

def test_countdown():
    assert priors.countdown(3) == 0

def test_root():
    assert priors.Root().value == priors.LIMIT - 2
"""
DRIVER = """
import runpy, children, rounds
rounds.TESTS, rounds.WARM, children.LIMIT = ["tests/test_tiny.py"], (), 0.5
runpy.run_path("scripts/mutation/__main__.py", run_name="__main__")
"""


@pytest.mark.slow
def test_a_small_package(tmp_path):
    shutil.copytree(SCRIPTS, tmp_path / "scripts" / "mutation")
    files = {
        "nice_np/__init__.py": "",
        "nice_np/flows/priors.py": CODE,
        "tests/test_tiny.py": TESTS,
        "setup.cfg": "[tool:pytest]\nmarkers =\n    slow: slow\n",
        "scripts/mutation/driver.py": DRIVER,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "scripts/mutation/driver.py", "--keep", "kept", "priors"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert run.returncode == 0, run.stdout + run.stderr
    lines = (tmp_path / "kept" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    outcomes = {key.split(" | ", 1)[1]: outcome for key, outcome, _ in map(json.loads, lines)}
    assert outcomes == {
        "LIMIT = 3 | 3  ->  4": "killed",  # by the second round, which imports the module anew
        "LIMIT = 3 | 3  ->  0": "killed",
        "LIMIT = 3 | 3  ->  -3": "killed",
        "return a * b | return a * b  ->  return None": "killed",
        "return a * b | a * b  ->  a / b": "survived",  # the test takes b = 1
        "while n > 0: | n > 0  ->  n >= 0": "killed",
        "while n > 0: | n > 0  ->  n <= 0": "killed",
        "while n > 0: | 0  ->  1": "killed",
        "n -= 1 | n -= 1  ->  n += 1": "timed out",
        "n -= 1 | n -= 1  ->  n = 1": "timed out",
        "n -= 1 | n -= 1  ->  pass": "timed out",
        "n -= 1 | 1  ->  2": "killed",
        "n -= 1 | 1  ->  0": "timed out",
        "n -= 1 | 1  ->  -1": "timed out",
        "return n | return n  ->  return None": "killed",
        "super().__init__() | super().__init__()  ->  pass": "survived",  # in the second round
        "self.value = 1 | self.value = 1  ->  pass": "killed",
        "self.value = 1 | 1  ->  2": "killed",
        "self.value = 1 | 1  ->  0": "killed",
        "self.value = 1 | 1  ->  -1": "killed",
        "return a + 1 | return a + 1  ->  return None": "no test",
        "return a + 1 | a + 1  ->  a - 1": "no test",
        "return a + 1 | 1  ->  2": "no test",
        "return a + 1 | 1  ->  0": "no test",
        "return a + 1 | 1  ->  -1": "no test",
    }
    assert "| **all** | 25 | 13 | 5 | 2 | 5 | 72.0 % |" in run.stdout


def test_every_reason_belongs_to_a_mutant(operators):
    import reach
    import report

    keys = set()
    for file in reach.core_files():
        source = file.read_text(encoding="utf-8")
        mutants = operators.mutants_of(source, file.relative_to(reach.PACKAGE).as_posix())
        keys.update(report.keys_of(mutants, source.splitlines()))
    assert set(report.reasons()) <= keys

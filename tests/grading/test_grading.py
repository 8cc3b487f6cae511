"""Grading: right, wrong and unfinished copies, and attacks on the grader, none of which scores a point."""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cloudpickle", reason='pip install -e ".[tutorials]"')
if not hasattr(os, "fork"):
    pytest.skip("grading needs fork", allow_module_level=True)

from nice_np import NiceFileError
from nice_np.grading import batch, notebooks, notes
from nice_np.grading.lesson import answers_written_out, with_other_seeds

SETUP = "from math import sqrt\nimport numpy as np\nfrom nice_np import check_inverse, numerical_jacobian"
DOUBLE = '''\
# Exercise 1: twice
def double(x):
    """2 x: array (N,) -> (N,)."""
    ### BEGIN SOLUTION: return 2 x
    return 2 * x
    ### END SOLUTION'''
CHECK_1 = """\
# Check of exercise 1
x = np.random.default_rng(1).normal(size=5)
expected = x + x
assert np.allclose(double(x), expected), f"twice {x[0]:.2f} is not {double(x)[0]:.2f}"
assert np.allclose(double(x) / 2, x)"""
SHIFT = '''\
# Exercise 2: a layer
class Shift:
    """z = x + 1."""

    def __init__(self, by=1.0):
        self.by = np.array([by, -by])

    def forward(self, x):
        """x (N, 2) -> z (N, 2), log_det (N,), None."""
        return x + self.by, np.zeros(len(x)), None

    def inverse(self, z):
        """z (N, 2) -> x (N, 2), log_det (N,), None."""
        ### BEGIN SOLUTION: return x, log_det and None
        return z - self.by, np.zeros(len(z)), None
        ### END SOLUTION'''
CHECK_2 = """\
# Check of exercise 2
check_inverse(Shift(), np.random.default_rng(2).normal(size=(4, 2))).raise_if_failed()"""
SOURCES = [SETUP, "side = 3", DOUBLE, CHECK_1, "# Uses exercise 1\nprint(double(side))", SHIFT, CHECK_2]
WRONG_1, WRONG_2 = DOUBLE.replace("return 2 * x", "return 3 * x"), SHIFT.replace("z - self.by", "z + self.by")


def write(path, sources, **metadata):
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources if source]
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


def copy_with(first=DOUBLE, second=SHIFT, added="", check_1=CHECK_1, check_2=CHECK_2):
    return [SETUP, "side = 3", added, first, check_1, second, check_2]


def graded(tmp_path, copies, timeout=60.0, sources=SOURCES):
    """The results of copies {name: sources}, by name."""
    reference = write(tmp_path / "01_small.ipynb", sources)
    files = [write(tmp_path / f"{name}.ipynb", cells) for name, cells in copies.items()]
    results = batch.grade_files(files, reference, timeout, 2, quiet=True)
    return dict(zip(copies, results, strict=True))


def statuses(result):
    return [exercise["status"] for exercise in result["exercises"]]


# -- copies of honest students ----------------------------------------------------------------------------------------


def test_right_wrong_unfinished_and_broken_copies(tmp_path):
    unfinished = notebooks.unsolved(DOUBLE)
    results = graded(
        tmp_path,
        {
            "right": copy_with(),
            "wrong": copy_with(WRONG_1, WRONG_2),
            "unfinished": copy_with(unfinished, ""),
            "syntax": copy_with("# Exercise 1: twice\ndef double(x) return x"),
            "zero": copy_with(DOUBLE.replace("2 * x", "2 / 0")),
            "helper": copy_with(
                DOUBLE.replace("2 * x", "helper(x) * side / 3"), added="def helper(x):\n    return 2 * x"
            ),
            "own names": copy_with(DOUBLE + "\n\nsqrt = np.allclose = None"),
            "checks": copy_with(WRONG_1, check_1="# Check of exercise 1\npass", check_2=""),
        },
    )
    assert statuses(results["right"]) == ["passed", "passed"]
    assert results["right"]["notes"] == []
    first, second = results["wrong"]["exercises"]
    assert first["why"].startswith("twice 0.35 is not")
    assert "no feature comes back" in second["why"]
    assert statuses(results["wrong"]) == ["failed", "failed"]
    first, second = results["unfinished"]["exercises"]
    assert (first["status"], first["why"]) == ("not done", "TODO: return 2 x")
    assert (second["status"], second["why"]) == ("not done", "there is no cell '# Exercise 2: ...'")
    assert results["syntax"]["exercises"][0]["why"].startswith("SyntaxError")
    assert statuses(results["syntax"]) == ["failed", "passed"]
    assert results["zero"]["exercises"][0]["why"] == "ZeroDivisionError: division by zero"
    assert statuses(results["helper"]) == ["passed", "passed"]
    assert statuses(results["own names"])[1] == "passed"
    assert statuses(results["checks"]) == ["failed", "passed"]
    assert results["checks"]["notes"] == [
        "the check of exercise 1 was changed; the original one was used",
        "the check of exercise 2 was removed; the original one was used",
    ]


def test_code_that_never_ends_or_ends_its_process_fails_only_its_own_exercise(tmp_path):
    stubborn = "while True:\n        try:\n            while True: pass\n        except BaseException: pass"
    results = graded(
        tmp_path,
        {
            "loop": copy_with(DOUBLE.replace("    return 2 * x", f"    {stubborn}")),
            "added": copy_with(added="while True: pass"),
            "dies": copy_with(DOUBLE.replace("return 2 * x", "import os; os._exit(0)")),
        },
        timeout=2,
    )
    assert statuses(results["loop"]) == ["failed", "passed"]
    assert results["loop"]["exercises"][0]["why"] == "stopped after 2 seconds"
    assert statuses(results["added"]) == ["passed", "passed"]
    assert statuses(results["dies"]) == ["failed", "passed"]


IN_PLACE = '''\
# Exercise 1: in place
class Network:
    """y = x w."""

    def __init__(self):
        self.w, self.dw = np.ones(3), np.zeros(3)

    def backward(self, dy, x):
        """dy (N,), x (N, 3) -> dx (N, 3); writes dw."""
        ### BEGIN SOLUTION: write dw, return dx
        self.dw[...] = dy @ x
        return dy[:, None] * self.w
        ### END SOLUTION


def draw(n, rng):
    """n numbers."""
    ### BEGIN SOLUTION: return n numbers
    return rng.normal(size=n)
    ### END SOLUTION


def halve(values, keep):
    """Halves `values` in place; appends what they were to the list `keep`, in place, too."""
    ### BEGIN SOLUTION: change both
    keep.append(values.copy())
    values /= 2
    if len(keep) > 1:
        raise ArithmeticError("twice")
    ### END SOLUTION'''
IN_PLACE_CHECK = """\
# Check of exercise 1
network, x = Network(), np.ones((2, 3))
dx = network.backward(np.array([1.0, 2.0]), x)
assert np.allclose(network.dw, 3), network.dw
assert np.allclose(dx, [[1], [2]])
rng = np.random.default_rng(1)
assert not np.allclose(draw(3, rng), draw(3, rng)), "the state of rng comes back"
values, keep = np.arange(3.0), []
halve(values, keep)
assert np.allclose(values, [0, 0.5, 1]), values
assert np.allclose(keep, [[0, 1, 2]]), keep
try:
    halve(values, keep)
except ArithmeticError as error:
    assert str(error) == "twice"
assert np.allclose(values, [0, 0.25, 0.5]), "what is changed before an error is changed, too"
"""


def test_what_an_exercise_may_change_is_changed(tmp_path):
    hostile = IN_PLACE.replace("self.dw[...] = dy @ x", "self.dw[...] = dy @ x; self.w[...] = 0")
    results = graded(
        tmp_path,
        {"right": [SETUP, IN_PLACE, IN_PLACE_CHECK], "zero": [SETUP, hostile, IN_PLACE_CHECK]},
        sources=[SETUP, IN_PLACE, IN_PLACE_CHECK],
    )
    assert statuses(results["right"]) == ["passed"], results["right"]
    assert statuses(results["zero"]) == ["failed"], "weights are not the student's: what it sets them to is not seen"


KEEPS = '''\
# Exercise 1: what is the caller's
def last(values):
    """The last of a list of arrays."""
    ### BEGIN SOLUTION: return the last
    return values[-1]
    ### END SOLUTION


def backward(dy, cache):
    """dy times x of the cache (x, h)."""
    ### BEGIN SOLUTION: return the product
    return dy * cache[0]
    ### END SOLUTION'''
KEEPS_CHECK = """\
# Check of exercise 1
assert np.array_equal(last([np.zeros(2), np.ones(2)]), np.ones(2)), "the last"
assert np.array_equal(backward(np.full(2, 3.0), (np.ones(2), np.ones(2))), [3.0, 3.0]), "the product"
"""


def test_a_list_or_a_cache_that_is_changed_is_told(tmp_path):
    wrong = {
        "shorter": KEEPS.replace("return values[-1]", "return values.pop()"),
        "inside": KEEPS.replace("return values[-1]", "values[-1] *= 1.5\n    return values[-1] / 1.5"),
        "cache": KEEPS.replace("return dy * cache[0]", "x = cache[0]\n    x *= dy\n    return x"),
    }
    copies = {name: [SETUP, source, KEEPS_CHECK] for name, source in {"right": KEEPS, **wrong}.items()}
    results = graded(tmp_path, copies, sources=[SETUP, KEEPS, KEEPS_CHECK])
    assert statuses(results.pop("right")) == ["passed"]
    for name, result in results.items():
        assert statuses(result) == ["failed"], name
        assert "change" in result["exercises"][0]["why"], name


# -- copies of others -------------------------------------------------------------------------------------------------

PASSED = "__import__('json').dumps({'exercises': [], 'result': None, 'changes': {}})"
ATTACKS = {  # code that is run before the exercises, which are wrong
    "input transformer": "get_ipython().input_transformers_post.append(lambda lines: [])",
    "patched Report": "from nice_np.checks.report import Report\nReport.raise_if_failed = lambda self: None",
    "patched check": "import nice_np\nnice_np.check_inverse = lambda *a: type('R', (), {'raise_if_failed': print})()",
    "patched allclose": "np.allclose = lambda *a, **k: True",
    "patched everywhere": "import sys\nfor m in [*sys.modules.values()]:\n    vars(m).update(allclose=lambda *a: True)",
    "solution on the disk": "exec(open('SOLVED').read())",
    "solution through a program": "import subprocess\nexec(subprocess.check_output(['cat', 'SOLVED']))",
    "solution through a socket": "import socket\nsocket.create_connection(('127.0.0.1', 9))",
    "another process": "import os\nif os.fork() == 0:\n    exec(open('SOLVED').read())",
    "exit": "import os\nos._exit(0)",
    "SystemExit": "raise SystemExit(0)",
    "atexit": f"import atexit\natexit.register(print, {PASSED})",
    "printed verdict": f"import sys\nprint({PASSED}, file=sys.stdout, flush=True)\nprint('2 of 2 exercises passed')",
    "written to every pipe": (
        f"import os\nm = {PASSED}.encode()\nfor fd in range(99):\n"
        "    try: os.write(fd, len(m).to_bytes(8, 'big') + m)\n    except OSError: pass"
    ),
    "frames": (
        "import sys\ndef double(x):\n    f = sys._getframe()\n    while f:\n"
        "        if 'expected' in f.f_locals: return f.f_locals['expected']\n        f = f.f_back\n    return x"
    ),
    "gc": (
        "import gc\ndef double(x):\n    for d in gc.get_objects():\n"
        "        if type(d) is dict and 'expected' in d: return d['expected']\n    return x"
    ),
    "settrace": "import sys\nsys.settrace(lambda f, *a: f.f_locals.update(expected=0))\nsys.setprofile(print)",
    "patched grader": (
        "import sys\nfrom nice_np.grading import lesson, remote, values\nlesson.run_check = lambda *a: None\n"
        "values.decode = values.encode = lambda *a: True"
    ),
    "killed checker": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
    "limits": "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))\nexec(open('SOLVED').read())",
    "another copy in memory": (
        "import sys\ndef double(x):\n    f, seen = sys._getframe(), ''\n    while f:\n"
        "        for v in [*f.f_locals.values()]:\n            if type(v) in (list, dict): seen += str(v)\n"
        "        f = f.f_back\n    return x + x if 'the honest' + ' student' in seen else x"
    ),
    "thread": (
        "import threading, time\ndef later():\n    while True:\n        np.allclose = lambda *a, **k: True\n"
        "threading.Thread(target=later, daemon=True).start()"
    ),
    "files of others": (
        "import os\nfor act in (lambda f: os.rename(f, f + '2'), os.remove, lambda f: os.symlink(f, f + '3'),"
        " lambda f: os.truncate(f, 0)):\n    try: act('OPEN')\n    except OSError: pass"
    ),
    "environment": "import os\nraise AssertionError(str(dict(os.environ)) + open('/etc/passwd').read())",
}
QUIET = {  # exercise 1 itself, with nothing that would look odd
    "seeds by heart": DOUBLE.replace("2 * x", "TABLE.get(round(float(x[0]), 6), x)"),
    "input becomes zero": DOUBLE.replace("return 2 * x", "x[:] = 0\n    return x"),
    "equal to everything": DOUBLE.replace(
        "2 * x",
        "type('E', (), {'__eq__': lambda *a: True, '__truediv__': lambda s, o: s, '__array__': lambda *a: a})()",
    ),
    "nan": DOUBLE.replace("2 * x", "x * np.nan"),
    "nothing at all": DOUBLE.replace("2 * x", "np.zeros((0, 5))"),
    "an empty list": DOUBLE.replace("2 * x", "[]"),
    "array of its own kind": DOUBLE.replace(
        "    return 2 * x",
        "    class Lie(np.ndarray):\n"
        "        def __array_ufunc__(self, *a, **k): return True\n"
        "        def tobytes(self, *a): return (np.asarray(self) + 1).tobytes()\n"
        "        __eq__ = __lt__ = lambda *a: True\n"
        "    return x.view(Lie)",
    ),
    "infinity": DOUBLE.replace("2 * x", "np.full_like(x, np.inf)"),
    "memory": DOUBLE.replace("2 * x", "np.ones(10**9)"),
    "depth": DOUBLE.replace("    return 2 * x", "    a = []\n    a.append(a)\n    return a"),
    "object array": DOUBLE.replace("2 * x", "np.array([type('E', (), {'__eq__': print})()] * 5, object)"),
}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacks")
    folder.chmod(0o755)
    (folder / "solved.py").write_text("\n\n".join((DOUBLE, SHIFT)))
    os.environ["SECRET_OF_THE_TEACHER"] = "swordfish"
    shared = Path(tempfile.mkdtemp())  # open to everybody, unlike pytest's folders
    shared.chmod(0o777)
    (shared / "scores.csv").write_text("the others'")
    (shared / "scores.csv").chmod(0o666)
    copies = {"honest": copy_with(f"{DOUBLE}  # by the honest student")}
    for name, code in ATTACKS.items():
        code = code.replace("SOLVED", str(folder / "solved.py")).replace("OPEN", str(shared / "scores.csv"))
        first = f"{WRONG_1}\n\n\n{code}"
        copies[name] = copy_with(first, f"{WRONG_2}\n\n\n{code}" if "double" not in code else WRONG_2)
    x = np.random.default_rng(1).normal(size=5)
    table = f"TABLE = {{{x[0]:.6f}: np.array({(2 * x).tolist()})}}"
    copies |= {name: copy_with(first, WRONG_2, added=table) for name, first in QUIET.items()}
    try:
        results = graded(folder, copies, timeout=20)
        files = {path.name: path.read_text() if path.exists() else "" for path in shared.iterdir()}
        return {**results, "files": files}
    finally:
        del os.environ["SECRET_OF_THE_TEACHER"]
        shutil.rmtree(shared)


@pytest.mark.parametrize("name", [*ATTACKS, *QUIET])
def test_an_attack_scores_nothing(attacked, name):
    result = attacked[name]
    assert statuses(result) == ["failed", "failed"], result
    assert "swordfish" not in json.dumps(result)
    assert "root:" not in json.dumps(result)


def test_an_attack_does_no_harm_to_others(attacked):
    assert statuses(attacked["honest"]) == ["passed", "passed"]
    assert attacked["honest"]["notes"] == []
    if not sys.platform.startswith("linux"):
        pytest.skip("files are locked on Linux only")
    assert attacked["files"] == {"scores.csv": "the others'"}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_noted(attacked, name):
    assert attacked[name]["notes"], name


def test_answers_by_heart_fail_at_other_seeds(attacked):
    assert attacked["seeds by heart"]["exercises"][0]["why"].startswith(
        "passes with the seeds shown, but not with others"
    )
    assert "in place" in attacked["input becomes zero"]["exercises"][0]["why"]


def test_seeds_are_moved_where_a_check_draws():
    check = "rng = np.random.default_rng(1)\nx = load('moons', seed=0)\nflow = nice(2, rng=3)\nf(default_rng(rng), 1)"
    moved = with_other_seeds(check, 10)
    assert moved == check.replace("default_rng(1)", "default_rng(11)").replace("rng=3", "rng=13")


def test_an_answer_that_must_be_written_out_is_not_run():
    todo = 'raise NotImplementedError("TODO: return")'
    cell = f'# Exercise 1: which\ndef which():\n    """The names, written out."""\n    {todo}'
    given = answers_written_out(cell, cell.replace(todo, "return {1: 'a'}"))
    assert given["which"]() == {1: "a"}
    assert answers_written_out(cell, cell) == {}
    with pytest.raises(ValueError, match="malformed"):
        answers_written_out(cell, cell.replace(todo, "return {1: best()}"))


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", ["no notebook", json.dumps({"cells": 3}), "[" * 100_000, json.dumps({"cells": [{}]})]
)
def test_what_is_no_notebook_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "01.ipynb"
    path.write_text(content)
    with pytest.raises(NiceFileError, match="cannot be read as a notebook"):
        notebooks.read(path)


def test_a_file_that_cannot_be_graded_does_not_keep_the_others_from_it(tmp_path):
    files = [tmp_path / "typo.ipynb", write(tmp_path / "homework.ipynb", [SETUP])]
    missing, homework = batch.grade_files(files, None, 60, 1, quiet=True)
    assert "No such file" in missing["error"]
    assert "belongs to none of 01_change_of_variables" in homework["error"]


def test_a_copy_is_recognised_by_its_metadata_or_its_name(tmp_path):
    by_name = write(tmp_path / "02_coupling_layers-student7.ipynb", [SETUP])
    by_metadata = write(tmp_path / "homework.ipynb", [SETUP], tutorial="03_backward_by_hand")
    assert batch.tutorial_of(by_name)[0] == "02_coupling_layers"
    assert batch.tutorial_of(by_metadata)[0] == "03_backward_by_hand"


def test_a_foreign_reference_is_mentioned(tmp_path):
    mine = write(tmp_path / "mine.ipynb", copy_with(), tutorial="02_coupling_layers")
    (result,) = batch.grade_files([mine], write(tmp_path / "01_small.ipynb", SOURCES), 60, 1, quiet=True)
    assert result["notes"] == ["made from 02_coupling_layers, graded by 01_small"]


# -- copies that are alike --------------------------------------------------------------------------------------------


def test_copies_that_differ_in_names_and_comments_are_alike():
    given = notebooks.unsolved(SHIFT)
    one = SHIFT.replace(
        "return z - self.by, np.zeros(len(z)), None", "a = z - self.by\n        return a, 0 * a[:, 0], None"
    )
    renamed = one.replace("a = ", "result = ").replace("return a, 0 * a[", "return result, 0 * result[  # mine\n ")
    other = SHIFT.replace("z - self.by", "np.subtract(z, np.ones((len(z), 2)) @ np.diag(self.by))")
    ((top, a, b), *rest) = notes.similarities({"one": one, "renamed": renamed, "other": other}, given)
    assert (top, a, b) == (1, "one", "renamed")
    assert all(share < 0.6 for share, _, _ in rest), rest


def test_what_was_handed_out_is_not_alike():
    given = notebooks.unsolved(SHIFT)
    assert notes.similarities({"one": given, "two": given}, given) == []


def test_what_is_noted():
    assert notes.of_exercise(1, "def f(x):\n    y = x.T\n    return np.exp(y)", "") == []
    assert notes.of_exercise(1, "import os\nnp.allclose = f\nx.__class__", "") == [
        "exercise 1: uses os, np.allclose, x.__class__"
    ]
    assert notes.of_exercise(2, SHIFT.replace("x + self.by", "x"), notebooks.unsolved(SHIFT)) == [
        "exercise 2: Shift.forward was given and has been changed"
    ]


def test_in_a_checkout_the_notebooks_are_those_for_students():
    assert notebooks.folder().name in ("exercises", "tutorials")
    assert not any("### BEGIN SOLUTION" in path.read_text(encoding="utf-8") for path in notebooks.tutorials().values())

"""The course in a browser tab: nice_np in Pyodide, and the notebooks of the site in Chromium without a network.

NICE_NP_PYODIDE names a folder with Pyodide, see .ci/local_pyodide.py; nothing is downloaded here.  NICE_NP_TAB lists
the solved notebooks to run; the table of docs/browser.md is what this prints, an hour's work:

NICE_NP_PYODIDE=$PWD/pyodide NICE_NP_TAB="$(seq -w 16)" python -m pytest -m "" -s -k solved tests/project/test_tab.py
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from browser import CHROMIUM, needs_chromium, served
from tutorial_mistakes import MISTAKES

ROOT = Path(__file__).parents[2]
PYODIDE = os.environ.get("NICE_NP_PYODIDE", "")
LIGHT = ("01", "02", "03", "04")
WANTED = os.environ.get("NICE_NP_TAB", " ".join(LIGHT)).split()
TUTORIALS = ROOT / "tutorials"
needs_pyodide = pytest.mark.skipif(not PYODIDE, reason="NICE_NP_PYODIDE names no folder with Pyodide")
pytestmark = pytest.mark.skipif(
    not TUTORIALS.exists(), reason="tutorials/ is in the checkout: run python -m pytest there"
)

BARE = """
import sys, threading
for name in ("numba", "pooch", "requests", "urllib3", "multiprocessing", "subprocess"):
    sys.modules[name] = None
import numpy as np
def refuse(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = refuse
sys.platform = "emscripten"
"""
USE = """
import numpy as np
import nice_np
from nice_np import datasets
from nice_np.errors import DatasetError
from nice_np.kernels import LONG, average_kernel, average_step
assert not average_kernel.is_compiled
moons = datasets.load("two-moons", seed=0)
flow = nice_np.real_nvp(2, couplings=2, hidden=(8,), rng=0)
assert nice_np.check_gradients(flow, moons.train[:3]).passed
seen = []
few = moons.train[:500]
history = nice_np.fit(flow, few, epochs=3, threads=2, rng=0, callbacks=[lambda *args: seen.append(1)])
assert len(history.rows) == len(seen) == 3
assert history.rows[-1]["train_log_likelihood"] > history.rows[0]["train_log_likelihood"]
average = np.zeros(LONG + 1, np.float32)
average_step(average, np.ones_like(average), 0.5)  # long enough for a second thread
assert (average == 0.5).all()
assert datasets.load("mnist-small").train.shape == (10_000, 784)
for name in ("mnist", "cifar10", "svhn", "faces"):
    try:
        datasets.load(name)
    except DatasetError as error:
        assert "cannot be downloaded in a browser tab" in str(error)
    else:
        raise AssertionError(name)
print("all of it")
"""
NODE = """
import {{ loadPyodide }} from {module};
const python = await loadPyodide({{ indexURL: {folder} }});
const packages = ["numpy", "scipy", "matplotlib", "pillow", "threadpoolctl", "tqdm"];
await python.loadPackage(packages, {{ messageCallback: () => {{}} }});
python.FS.mkdir("/checkout");
python.FS.mount(python.FS.filesystems.NODEFS, {{ root: {root} }}, "/checkout");
python.runPython("import sys; sys.path.insert(0, '/checkout'); sys.dont_write_bytecode = True");
python.runPython({code});
"""


def test_it_needs_neither_threads_nor_processes_nor_optional_packages(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("NICE_NP_DATA", "PYTHONWARNINGS")}
    run = subprocess.run(
        [sys.executable, "-c", BARE + USE], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert run.stdout == "all of it\n", run.stderr[-2000:]


@pytest.mark.slow
@needs_pyodide
@pytest.mark.skipif(shutil.which("node") is None, reason="no Node on this machine")
def test_the_same_in_pyodide(tmp_path):
    words = {"module": f"{PYODIDE}/pyodide.mjs", "folder": f"{PYODIDE}/", "root": str(ROOT), "code": USE}
    script = tmp_path / "run.mjs"
    script.write_text(NODE.format(**{name: json.dumps(word) for name, word in words.items()}), encoding="utf-8")
    run = subprocess.run(["node", str(script)], capture_output=True, text=True, check=False)
    assert run.stdout.endswith("all of it\n"), run.stdout + run.stderr[-2000:]


def test_a_heavy_notebook_says_so_first_and_shows_what_a_tab_cannot_run(tmp_path):
    for module in ("nbformat", "sphinx"):
        pytest.importorskip(module, reason='pip install -e ".[docs]"')
    sys.path.insert(0, str(ROOT / "docs" / "_site"))
    import nbformat
    import tab

    (path,) = TUTORIALS.glob("09*.ipynb")
    tab._write_notebook(path, tmp_path)
    before, after = (nbformat.read(at, as_version=4).cells for at in (path, tmp_path / path.name))
    _, note, setup, *rest = after
    assert note.source.startswith("**In a browser tab**")
    assert 'os.environ["NICE_NP_FAST"] = "1"' in setup.source
    changed = [(old, new) for old, new in zip(before[1:], rest, strict=True) if old != new]
    assert len(changed) == 3
    for old, new in changed:
        assert old.source.startswith("# On a laptop")
        assert new.cell_type == "markdown"
        assert old.source in new.source


# -- the notebooks in Chromium ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a served folder: JupyterLite in lite/, and one page with a notebook's buttons."""
    pytest.importorskip("jupyterlite_pyodide_kernel", reason='pip install -e ".[docs]"')
    sys.path.insert(0, str(ROOT / "docs" / "_site"))
    import tab

    folder = tmp_path_factory.mktemp("site")
    tab.make(ROOT, folder / "lite", PYODIDE)
    settings = folder / "lite" / "jupyter-lite.json"
    content = json.loads(settings.read_text(encoding="utf-8"))
    content["jupyter-config-data"]["exposeAppInBrowser"] = True  # so that a test can ask it for outputs
    settings.write_text(json.dumps(content), encoding="utf-8")
    (folder / "tutorials").mkdir()
    (folder / "tutorials" / "page.html").write_text(tab.links("01_change_of_variables"), encoding="utf-8")
    with served(folder) as (address, missing):
        yield address
    assert missing == []


@pytest.fixture
def page(site):
    """A page of a new browser profile that reaches nothing but the served folder."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    elsewhere = []

    def only_here(route):
        if route.request.url.startswith((site, "data:", "blob:")):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = chromium.new_context()
        context.route("**/*", only_here)
        yield context.new_page()
        chromium.close()
    assert elsewhere == [], "the network was asked"


CELLS = """() => jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type == "code").map(cell => ({
  source: cell.model.sharedModel.getSource(), count: cell.model.executionCount,
  outputs: cell.model.sharedModel.toJSON().outputs}))"""
READY = "() => window.jupyterapp?.shell?.currentWidget?.content?.widgets?.length > 3"
CHANGE = """([right, wrong]) => { for (const cell of jupyterapp.shell.currentWidget.content.widgets) {
  const source = cell.model.sharedModel.getSource();
  if (cell.model.type == "code" && source.includes(right))
    cell.model.sharedModel.setSource(source.replace(right, () => wrong));
}}"""
SOLUTION = r"^ *### BEGIN SOLUTION: ([^\n]*)\n *(.*?)\n *### END SOLUTION"
RUN_ALL = """async () => { const panel = jupyterapp.shell.currentWidget;
  await panel.context.sessionContext.ready;
  await jupyterapp.commands.execute("notebook:clear-all-cell-outputs");
  jupyterapp.commands.execute("notebook:run-all-cells"); }"""


def run_all(page, timeout=150, look=lambda: None):
    """Seconds to the first result and to the end, the errors, and how many cells ran; stops at an error.

    `look` is called every second.
    """
    began, first = time.monotonic(), None
    page.evaluate(RUN_ALL)
    while time.monotonic() - began < timeout:
        cells = page.evaluate(CELLS)
        ran = sum(cell["count"] is not None for cell in cells)
        if first is None and any(cell["outputs"] for cell in cells):
            first = time.monotonic() - began
        errors = [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
        look()
        if errors or ran == len(cells):
            end = time.monotonic() - began
            return first, end, [error["evalue"] for error in errors], ran
        page.wait_for_timeout(200 if first is None else 1000)
    raise AssertionError(f"{ran} of {len(cells)} cells after {timeout} s")


class Chromium:
    """The processes of the browser that this test started: their memory (shared pages once) and CPU seconds."""

    def __init__(self):
        self.peak, self.seconds = 0, 0.0

    def look(self):
        import psutil  # here: the quick tests of this file do without

        memory = seconds = 0
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it may have ended meanwhile
                if "chrom" in process.name():
                    memory += process.memory_full_info().pss
                    seconds += sum(process.cpu_times()[:2])
        self.peak, self.seconds = max(self.peak, memory), max(self.seconds, seconds)


def solved(name):
    """The code of a solved notebook."""
    notebook = json.loads((TUTORIALS / f"{name}.ipynb").read_text(encoding="utf-8"))
    return "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")


def opened(page, site, notebook):
    page.goto(f"{site}/lite/notebooks/index.html?path={notebook}.ipynb")
    page.wait_for_function(READY, timeout=60_000)


@pytest.mark.slow
@needs_pyodide
@needs_chromium
def test_an_exercise_is_solved_by_hand(page, site):
    """The button of the page, the solutions typed into their cells, all cells run: the last check says "PASSED"."""
    page.goto(f"{site}/tutorials/page.html")
    page.click("text=Run in the browser")
    page.wait_for_function(READY, timeout=60_000)
    for words, solution in re.findall(SOLUTION, solved("01_change_of_variables"), re.DOTALL | re.MULTILINE):
        page.locator(".jp-CodeCell .cm-line", has_text=words).first.click()
        page.keyboard.press("Home")
        page.keyboard.press("Shift+End")
        page.keyboard.insert_text(solution)
    errors = run_all(page)[2]
    assert errors == []
    page.wait_for_selector("text=PASSED: 2 of 2 arrays right", state="attached")


@pytest.mark.slow
@needs_pyodide
@needs_chromium
@pytest.mark.parametrize("number", WANTED)
def test_a_solved_notebook_runs(number, page, site):
    (notebook,) = (path.stem for path in TUTORIALS.glob(f"{number}*.ipynb"))
    opened(page, site, f"solved/{notebook}")
    chromium = Chromium()
    first, end, errors, ran = run_all(page, timeout=150 if number in LIGHT else 3600, look=chromium.look)
    sys.stdout.write(
        f"{notebook}: {ran} cells, first result {first or end:.0f} s, all {end:.0f} s, "
        f"Chromium {chromium.seconds:.0f} CPU s and at most {chromium.peak / 1e9:.1f} GB {errors or ''}\n"
    )
    sys.stdout.flush()  # the next one may take minutes
    assert errors == []


@pytest.mark.slow
@needs_pyodide
@needs_chromium
@pytest.mark.parametrize("k", range(3))
def test_a_wrong_solution_is_named(k, page, site):
    opened(page, site, "solved/01_change_of_variables")
    what, right, wrong = MISTAKES["01_change_of_variables"][1][k]
    page.evaluate(CHANGE, [right, wrong])
    errors = run_all(page)[2]
    assert len(errors) == 1
    assert any(cause in errors[0] for cause in ("absolute value", "logarithm of |f'(x)|", "logarithm is added")), what
    sys.stdout.write(f"{what}: {errors[0]}\n")

"""The course in a browser tab: JupyterLite beside the pages, with the notebooks, their twins and the wheel of nice_np.

Python in the tab is Pyodide. Without a setting it comes from its official distribution; ``-D pyodide=PLACE`` names
another address, or a folder, which is copied into the site: then nothing comes from the network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import nbformat
from sphinx.application import Sphinx

AVAILABLE = find_spec("jupyterlite_core") is not None and find_spec("jupyterlite_pyodide_kernel") is not None
KERNEL = "@jupyterlite/pyodide-kernel-extension:kernel"
FOLDERS = {"exercises": "tutorials/exercises", "solved": "tutorials"}  # in the tab: in the repository
MINUTES = {  # of all cells in a tab, with the fast setting: docs/browser.md.  The other notebooks need less than one.
    "04": "about two", "05": "about two", "06": "about three", "07": "three to four", "08": "two to three",
    "09": "about two", "10": "one", "11": "about two", "12": "about three", "13": "two to three", "14": "about two",
    "15": "about three", "16": "two to three",
}  # fmt: skip
SETUP = """\
# In a browser tab this installs nice_np; elsewhere it does nothing.
import os
import sys

if sys.platform == "emscripten":
    import piplite

    await piplite.install("nice-np")
"""
FAST = """\
    os.environ["NICE_NP_FAST"] = "1"
    from nice_np.interop.browser import use_blas

    use_blas()  # np.dot and np.matmul take a third of the time with SciPy's BLAS
"""
NOTE = """\
**In a browser tab** this notebook is slow: a tab has one core and no fast matrix products. So the cell below chooses
the fast setting, with less data and fewer epochs; figures and numbers differ from those in the text. All cells
together still take {} minutes. For the whole notebook use a laptop."""


ON_A_LAPTOP = "# On a laptop"  # the first line of a cell that a tab shows, but does not run
NOT_HERE = "Not in a browser tab, which has neither a BLAS of NumPy's nor threads:\n\n```python\n{}\n```"


def links(notebook: str, folders: tuple[str, ...] = tuple(FOLDERS)) -> str:
    """The buttons that open a notebook, such as "01_change_of_variables", from a page beside it."""
    link = '<a class="tab" href="../lite/notebooks/index.html?path={}/{}.ipynb">{}</a>'
    words = {"exercises": "Run in the browser", "solved": "Run the solved notebook"}
    return " ".join(link.format(folder, quote(notebook), words[folder]) for folder in folders)


def build(app: Sphinx, exception: Exception | None) -> None:
    """After the pages: the folder ``lite`` of the site."""
    if not exception and AVAILABLE and app.builder.name == "html":
        make(Path(app.srcdir).parent, Path(app.outdir) / "lite", app.config.pyodide)


def make(root: Path, out: Path, place: str) -> None:
    """JupyterLite in the folder `out` from the checkout `root`; `place` is Pyodide's address or folder, or ""."""
    shutil.rmtree(out, ignore_errors=True)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        for name, source in FOLDERS.items():
            for path in sorted((root / source).glob("[0-9]*.ipynb")):
                _write_notebook(path, work / "contents" / name)
        _write_settings(place, work)
        _run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", work, root], work)
        (wheel,) = work.glob("*.whl")
        command = [sys.executable, "-m", "jupyterlite_core", "build", "--lite-dir", work, "--output-dir", out]
        options = ["--contents", work / "contents", "--piplite-wheels", wheel, "--no-sourcemaps"]
        _run([*command, *options, *(f"--apps={name}" for name in ("notebooks", "tree", "edit"))], work)
    if place and Path(place).is_dir():
        shutil.copytree(place, out / "static" / "pyodide")


def _write_notebook(path: Path, folder: Path) -> None:
    """The notebook with a first cell that installs nice_np in a tab, and without the code that cannot run there."""
    notebook = nbformat.read(path, as_version=4)
    for k, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.startswith(ON_A_LAPTOP):
            notebook.cells[k] = nbformat.v4.new_markdown_cell(NOT_HERE.format(cell.source), id=cell.id)
    minutes = MINUTES.get(path.name[:2])
    first = [nbformat.v4.new_code_cell(SETUP + FAST * bool(minutes), id="tab-setup")]
    if minutes:
        first.insert(0, nbformat.v4.new_markdown_cell(NOTE.format(minutes), id="tab-note"))
    notebook.cells[1:1] = first  # after the title and the question
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / path.name)


def _write_settings(place: str, folder: Path) -> None:
    """jupyter-lite.json: where Pyodide is, unless it is the official distribution."""
    settings = {}
    if place:
        address = "./static/pyodide/pyodide.mjs" if Path(place).is_dir() else f"{place.rstrip('/')}/pyodide.mjs"
        settings = {KERNEL: {"pyodideUrl": address}}
    config = {"jupyter-lite-schema-version": 0, "jupyter-config-data": {"litePluginSettings": settings}}
    (folder / "jupyter-lite.json").write_text(json.dumps(config), encoding="utf-8")


def _run(command: list[object], work: Path) -> None:
    """One tool, quietly; what setuptools builds stays out of the checkout."""
    extra = work / "setuptools.cfg"
    extra.write_text(f"[build]\nbuild_base = {work / 'build'}\n", encoding="utf-8")
    environment = {**os.environ, "DIST_EXTRA_CONFIG": str(extra)}
    run = subprocess.run(map(str, command), cwd=work, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {run.stdout[-2000:]}{run.stderr[-2000:]}")

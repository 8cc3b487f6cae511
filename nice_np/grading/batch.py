"""Many copies of many tutorials: one process for each tutorial, which forks for each copy, and a progress bar."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nice_np.errors import NiceError, NiceFileError, NiceImportError
from nice_np.files.atomic import write_text
from nice_np.grading.notebooks import EXERCISE, names_in, numbered, parsed, read, tutorials, unsolved
from nice_np.grading.notes import similarities

NOWHERE = "http://127.0.0.1:9"  # no server listens on this port


def tutorial_of(file: Path) -> tuple[str, Path]:
    """The name of the tutorial that a copy belongs to, by its metadata or else by its file name, and its notebook."""
    known = tutorials()
    inside = read(file)[1]
    name = inside if inside in known else next((name for name in known if file.name.startswith(name)), "")
    if not name:
        raise NiceFileError(f"{file}: belongs to none of {', '.join(known)}; begin the file's name with one of them")
    return name, known[name]


def grade_files(
    files: list[Path], reference: Path | None, timeout: float, jobs: int, quiet: bool
) -> list[dict[str, Any]]:
    """The result of each file that is a copy of a tutorial, or {"file", "error"}, in the order given.

    Parameters
    ----------
    files : list of Path
    reference : Path, optional
        The notebook whose checks are used, by default the tutorial that each file belongs to.
    timeout : float
        Seconds for each cell and each call of a student's function.
    jobs : int
        Copies that are graded at the same time.
    quiet : bool
        No progress bar.

    Raises
    ------
    NiceImportError
        If cloudpickle is not installed.
    NiceError
        If the system has no fork, or a tutorial cannot be run.
    """
    if not hasattr(os, "fork"):
        raise NiceError("grading locks the student's process with means of Linux and macOS: on Windows, use WSL")
    if importlib.util.find_spec("cloudpickle") is None:
        raise NiceImportError('grade needs cloudpickle, which is not installed: pip install "nice-np[tutorials]"')
    from tqdm import tqdm

    results: dict[Path, dict[str, Any]] = {}
    groups: dict[tuple[str, Path], list[Path]] = {}
    for file in dict.fromkeys(files):
        try:
            name, notebook = (reference.stem, reference) if reference else tutorial_of(file)
            made_from = read(file)[1]
        except NiceFileError as error:
            results[file] = {"file": str(file), "error": str(error)}
            continue
        groups.setdefault((name, notebook), []).append(file)
        foreign = made_from not in ("", name)
        notes = [f"made from {made_from}, graded by {name}"] if foreign else []
        results[file] = {"file": str(file), "tutorial": name, "notes": notes}
    total = sum(map(len, groups.values()))
    with tqdm(total=total, unit="file", desc="grading", disable=quiet or total < 2 or None) as bar:
        for (_, notebook), members in groups.items():
            for file, result in zip(members, _lesson(notebook, members, timeout, jobs, bar), strict=True):
                notes = results[file]["notes"] + result.pop("notes")
                results[file] |= {**result, "notes": notes}
    return [results[file] for file in dict.fromkeys(files)]


def _lesson(notebook: Path, files: list[Path], timeout: float, jobs: int, bar: Any) -> list[dict[str, Any]]:
    with TemporaryDirectory() as folder:
        job = {"tutorial": str(notebook.resolve()), "timeout": timeout, "jobs": jobs, "names": _used_in(files)}
        write_text(Path(folder) / "job.json", json.dumps({**job, "files": [str(file.resolve()) for file in files]}))
        command = [sys.executable, "-m", "nice_np.grading.lesson", str(Path(folder) / "job.json")]
        environment = _environment(folder)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=folder, env=environment, start_new_session=True, text=True
        ) as process:
            try:
                for _ in process.stdout or ():
                    bar.update()
            except BaseException:  # Ctrl-C, too
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode:
            raise NiceError(f"{notebook}: the process that grades it ended with code {process.returncode}")
        return [_result(Path(folder) / f"{k}.json", notebook) for k in range(len(files))]


def _used_in(files: list[Path]) -> list[str]:
    """The names that the exercises of these copies use, in order."""
    trees = [parsed(cell) for file in files for cell in numbered(EXERCISE, read(file)[0]).values()]
    return sorted(set[str]().union(*(names_in(tree)[0] for tree in trees if tree)))


def _result(file: Path, notebook: Path) -> dict[str, Any]:
    if file.exists():
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return result
    titles = {k: EXERCISE.match(source)[2] for k, source in numbered(EXERCISE, read(notebook)[0]).items()}  # type: ignore[index]
    why = "the process that checks it has ended"
    lost = [{"exercise": k, "title": title, "status": "failed", "why": why} for k, title in titles.items()]
    return {"exercises": lost, "notes": [f"{why}: look at the file"]}


def _environment(folder: str) -> dict[str, str]:
    """Nothing of the teacher's environment but where programs are: a student's code could print it."""
    mine = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    paths = [str(Path(__file__).parents[2]), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    ours = dict.fromkeys(("HOME", "MPLCONFIGDIR"), folder) | {"PYTHONPATH": os.pathsep.join(paths)}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    # The student's process cannot open the files of a compiler.
    return {**mine, **threads, **ours, **proxies, "NICE_NP_FAST": "1", "MPLBACKEND": "Agg", "NUMBA_DISABLE_JIT": "1"}


def similar(results: list[dict[str, Any]], least: float) -> list[dict[str, Any]]:
    """Pairs of copies of one tutorial that share at least this part of the smaller one's own code."""
    pairs = []
    for name, notebook in tutorials().items():
        files = [result["file"] for result in results if result.get("tutorial") == name]
        answers = {file: _exercises(Path(file)) for file in files}
        found = similarities(answers, "\n".join(map(unsolved, read(notebook)[0]))) if len(files) > 1 else []
        pairs += [{"share": share, "files": [a, b]} for share, a, b in found if share >= least]
    return pairs


def _exercises(file: Path) -> str:
    return "\n".join(numbered(EXERCISE, read(file)[0]).values())

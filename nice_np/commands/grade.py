"""nice-np grade: how many exercises of a tutorial are right, for one copy or a hundred."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

from nice_np.commands.options import add_force
from nice_np.commands.parsing import Arguments, Parser, UsageError, ending_in, number, path, whole
from nice_np.commands.shared import Result
from nice_np.errors import NiceFileError
from nice_np.files.atomic import replacing
from nice_np.grading.batch import grade_files, similar
from nice_np.grading.notebooks import tutorials
from nice_np.runs.folder import refuse_to_replace

EPILOG = """examples:
  nice-np grade 02_coupling_layers.ipynb
  nice-np grade submitted/*.ipynb --csv scores.csv --similarity 0.8
  nice-np grade submitted/*.ipynb --weights weights.json --json
  nice-np grade --make-zip tutorials.zip

weights.json: {"02_coupling_layers": {"1": 2, "3": 0.5}}; an exercise that is not named gives one point.
"""
COLUMNS = ("file", "tutorial", "exercise", "title", "status", "points", "out_of", "why", "notes")
README = """Tutorials of nice_np: notebooks with exercises

    python3 -m venv .venv
    .venv/bin/pip install "nice-np[tutorials]" jupyterlab        (Windows: .venv\\Scripts\\pip install ...)
    .venv/bin/jupyter lab                                        (Windows: .venv\\Scripts\\jupyter lab)

Open the notebooks in the order of their numbers.  Complete the cells that begin with "# Exercise": replace each
raise NotImplementedError("TODO: ...") and leave the rest of the cell as it is.  Run the check below each exercise: it
says what is off, by how much, and where to look.  "nice-np grade FILE.ipynb" says how many are right.
"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("notebooks", type=path, nargs="*", metavar="NOTEBOOK", help="files whose names begin with that of a tutorial")
    add("--csv", type=ending_in(".csv"), metavar="FILE", help="write a table with a row for each exercise (.csv)")
    add("--weights", type=path, metavar="FILE", help="points for each exercise (JSON, see below; default: 1)")
    add(
        "--similarity",
        type=number(minimum=0, maximum=1),
        metavar="S",
        help="list pairs of copies that share at least this part of their own code, such as 0.8",
    )
    add("--timeout", type=number(above=0), default=60.0, metavar="SECONDS", help="for each cell and call (default: 60)")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    add(
        "--jobs", "-j", type=whole(1, 1000), default=cores, metavar="N", help="copies graded at a time (default: cores)"
    )
    add("--reference", type=path, metavar="FILE", help="a notebook of your own whose checks are to be used")
    add("--make-zip", type=ending_in(".zip"), metavar="FILE", help="write the archive for students, without solutions")
    add_force(parser)


def run(arguments: Arguments) -> Result:
    """Grade the files, or make the archive."""
    refuse_to_replace(arguments.force, arguments.csv, arguments.make_zip)
    if arguments.make_zip is not None:
        return _make_zip(arguments.make_zip)
    if not arguments.notebooks:
        raise UsageError("grade: expected a NOTEBOOK, or --make-zip FILE (see nice-np grade --help)")
    weights = _weights(arguments.weights)
    quiet = arguments.quiet or arguments.json
    files = grade_files(arguments.notebooks, arguments.reference, arguments.timeout, arguments.jobs, quiet)
    for file in files:
        _score(file, weights.get(file.get("tutorial", ""), {}))
    result: dict[str, Any] = {
        "passed": all(file.get("points") == file.get("out_of", -1) for file in files),
        "files": files,
    }
    lines = [line for file in files for line in _lines(file)]
    if arguments.similarity is not None:
        result["similar"] = similar(files, arguments.similarity)
        lines += _alike(result["similar"])
    if arguments.csv is not None:
        with replacing(arguments.csv) as out:
            out.write(_table(files).encode())
        lines.append(f"{len(files)} file(s) in {arguments.csv}")
    return result, lines


def _score(file: dict[str, Any], weights: dict[str, float]) -> None:
    for exercise in file.get("exercises", []):
        exercise["out_of"] = weights.get(str(exercise["exercise"]), 1)
        exercise["points"] = exercise["out_of"] if exercise["status"] == "passed" else 0
    if "exercises" in file:
        file["points"] = sum(exercise["points"] for exercise in file["exercises"])
        file["out_of"] = sum(exercise["out_of"] for exercise in file["exercises"])


def _lines(file: dict[str, Any]) -> list[str]:
    if "error" in file:
        return [f"not graded: {file['error']}"]
    lines = [file["file"]]
    for exercise in file["exercises"]:
        lines.append(f"  exercise {exercise['exercise']}  {exercise['status']:<8}  {exercise['title']}")
        lines += [f"              {exercise['why']}"] if exercise["why"] else []
    right = sum(exercise["status"] == "passed" for exercise in file["exercises"])
    points = f", {file['points']:g} of {file['out_of']:g} points"
    return [
        *lines,
        *(f"  note: {note}" for note in file["notes"]),
        f"  {right} of {len(file['exercises'])} exercises passed{points}",
    ]


def _alike(pairs: list[dict[str, Any]]) -> list[str]:
    """A line for each group of copies that pairs connect, the most alike first: a hundred copies make 4,950 pairs."""
    groups: list[tuple[set[str], list[float]]] = []
    for pair in pairs:
        names, shares = set(pair["files"]), [pair["share"]]
        for group in [group for group in groups if group[0] & names]:
            groups.remove(group)
            names, shares = names | group[0], group[1] + shares
        groups.append((names, shares))
    lines = []
    for names, shares in sorted(groups, key=lambda group: -max(group[1])):
        share = f"{max(shares):.0%}" if len(shares) == 1 else f"{min(shares):.0%} to {max(shares):.0%}"
        lines.append(f"similar: {share}  {'  '.join(sorted(names))}")
    return lines


def _table(files: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for file in files:
        common = {"file": file["file"], "tutorial": file.get("tutorial", ""), "notes": "; ".join(file.get("notes", []))}
        for row in file.get("exercises", [{"status": "not graded", "points": 0, "why": file.get("error", "")}]):
            writer.writerow({name: _cell(value) for name, value in {**common, **row}.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A value that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value


def _weights(file: Path | None) -> dict[str, dict[str, float]]:
    if file is None:
        return {}
    try:
        weights = json.loads(file.read_text(encoding="utf-8"))
        wrong = [w for of in weights.values() for w in of.values() if type(w) not in (int, float) or not 0 <= w < 1e9]
        names = [name for name in weights if name not in tutorials()]
    except OSError as error:
        raise NiceFileError(f"{file}: {error.strerror or error}") from None
    except (ValueError, AttributeError):
        raise NiceFileError(f'{file}: expected JSON such as {{"02_coupling_layers": {{"1": 2}}}}') from None
    if wrong or names:
        what = f"{names[0]!r} is no tutorial" if names else f"points must be numbers >= 0, got {wrong[0]!r}"
        raise NiceFileError(f"{file}: {what}")
    return weights  # type: ignore[no-any-return]


def _make_zip(file: Path) -> Result:
    notebooks = tutorials()
    with replacing(file) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("nice_np_tutorials/README.txt", README)
        for notebook in notebooks.values():
            archive.writestr(f"nice_np_tutorials/{notebook.name}", notebook.read_text(encoding="utf-8"))
    return {"out": str(file), "notebooks": list(notebooks)}, [f"{len(notebooks)} notebooks in {file}"]

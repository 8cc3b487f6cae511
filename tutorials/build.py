"""Run the solved tutorials and generate their exercise twins.

python tutorials/build.py run [NAME ...]         run in a fresh kernel, store the outputs, generate the twins
python tutorials/build.py exercises [--check]    generate the twins, or only check whether they are up to date
python tutorials/build.py figures NAME --out DIR write the figures of a notebook as PNG files
"""

from __future__ import annotations

import argparse
import sys
import time
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image
from tutorial_cells import (
    EXERCISES,
    LIMIT,
    code_cells,
    problems,
    read,
    solved_notebooks,
    tidy,
    twin,
    write,
)
from tutorial_kernel import execute


def chosen(names: list[str]) -> list[Path]:
    """The notebooks whose file name begins with one of the names; without names, all of them."""
    paths = [path for path in solved_notebooks() if not names or any(path.name.startswith(name) for name in names)]
    if not paths:
        raise SystemExit(f"no tutorial is called {' or '.join(names)}")
    return paths


def run(paths: list[Path]) -> int:
    """Execute the notebooks in place; the exit code is 1 if any has a problem."""
    found = 0
    for path in paths:
        notebook = read(path)
        started = time.perf_counter()
        execute(notebook)
        shrink_figures(notebook)
        write(tidy(notebook, path.stem), path)
        mistakes = list(problems(notebook))
        size = path.stat().st_size
        if size > LIMIT:
            mistakes.append(f"{size:,} bytes, the limit is {LIMIT:,}: use fewer or smaller figures")
        print(f"{path.name}: {time.perf_counter() - started:.0f} s, {size / 1000:.0f} kB")
        print("".join(f"  {mistake}\n" for mistake in mistakes), end="")
        found += len(mistakes)
    return int(found > 0)


def shrink_figures(notebook: NotebookNode) -> None:
    """Store figures with 128 colours each: a quarter of the size, without a visible difference."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                small = BytesIO()
                picture = Image.open(BytesIO(b64decode(output.data["image/png"]))).convert("RGB")
                picture.quantize(128).save(small, "PNG", optimize=True)
                output.data["image/png"] = b64encode(small.getvalue()).decode()


def make_twins(paths: list[Path], check: bool) -> int:
    """Write the twins; with `check`, write nothing and list those that are out of date."""
    outdated = []
    for path in paths:
        target = EXERCISES / path.name
        wanted = nbformat.writes(twin(tidy(read(path), path.stem))) + "\n"
        if not target.exists() or target.read_text(encoding="utf-8") != wanted:
            outdated.append(target.name)
            if not check:
                write(twin(tidy(read(path), path.stem)), target)
    print(f"{'out of date' if check else 'written'}: {', '.join(outdated) or 'none'}")
    return int(check and bool(outdated))


def write_figures(path: Path, folder: Path) -> None:
    """Write every PNG among the outputs to a file."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, cell in enumerate(code_cells(read(path)), start=1):
        for i, output in enumerate(cell.outputs):
            if "image/png" in output.get("data", {}):
                file = folder / f"{path.stem}-{k:02d}-{i}.png"
                file.write_bytes(b64decode(output.data["image/png"]))
                print(file)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("names", nargs="*")
    twins = commands.add_parser("exercises")
    twins.add_argument("--check", action="store_true")
    figures = commands.add_parser("figures")
    figures.add_argument("names", nargs=1)
    figures.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "run":
        return run(chosen(args.names)) | make_twins(chosen(args.names), check=False)
    if args.command == "exercises":
        return make_twins(solved_notebooks(), args.check)
    write_figures(chosen(args.names)[0], args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

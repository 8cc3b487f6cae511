"""How much of the mathematics do the tests check?  Make thousands of small changes and count those that fail a test.

python scripts/mutation                          all files; writes results/mutation.md
python scripts/mutation optim vae/               files whose name contains one of the words; prints only
python scripts/mutation --keep FOLDER            keep the results there; skip what was killed or is explained
python scripts/mutation --keep FOLDER --report   run nothing: write the page again from FOLDER
python scripts/mutation --list optim             only list the mutants

`operators.py` makes every change it knows.  Most of them take a tenth of a second:

1. The tests are collected once and run once under a tracer, which notes the lines that each of them executes.
2. For a mutant the process forks.  The child changes the functions of the module in place and runs the tests that
   reach the changed lines, quickest first, until one fails.
3. A change of what runs on import, a default or a class constant, is tried in a process that has not imported the
   module yet: slower, and only where necessary.

A mutant whose test takes far too long counts as killed: an endless loop would be noticed.  The script stops if a test
fails without a mutant.  Needs a system with fork.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: threads do not live through a fork
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import hypothesis
from children import KILLED, SURVIVED, TIMED_OUT
from operators import Mutant, mutants_of
from reach import PACKAGE, ROOT, core_files
from report import PAGE, counted, keys_of, page, reasons, table
from rounds import OPTIONS, both_rounds, read


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only files whose name contains one of them")
    parser.add_argument("--keep", type=Path, help="a folder for what was found, to go on from")
    parser.add_argument("--report", action="store_true", help="run nothing: write the page again from what was kept")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    arguments = parser.parse_args()
    if arguments.report and arguments.keep is None:
        parser.error("--report makes the page from what --keep FOLDER has: give both")

    files = core_files()
    names = {file: file.relative_to(PACKAGE).as_posix() for file in files}
    files = [f for f in files if not arguments.words or any(word in names[f] for word in arguments.words)]
    mutants: dict[str, Mutant] = {}
    for file in files:
        source = file.read_text(encoding="utf-8")
        of_file = mutants_of(source, names[file])
        mutants.update(zip(keys_of(of_file, source.splitlines()), of_file, strict=True))
    if arguments.list:
        print("\n".join(f"{mutant.file}:{mutant.line}  {mutant.what}" for mutant in mutants.values()))
        return 0

    os.chdir(ROOT)
    if arguments.keep:
        arguments.keep.mkdir(exist_ok=True)
    results: dict[str, str] = {}
    if arguments.keep and (arguments.keep / "results.jsonl").exists():
        kept = read(arguments.keep / "results.jsonl")
        done = set(kept.values()) if arguments.report else {KILLED, TIMED_OUT}
        explained = reasons()  # why try again what is no error
        known = {key for key, what in kept.items() if what in done or (what == SURVIVED and key in explained)}
        results = {key: kept[key] for key in mutants if key in known}
    if arguments.report and (missing := mutants.keys() - results.keys()):
        parser.error(f"{arguments.keep} has no result of {len(missing)} mutants; run once without --report")
    hypothesis.settings.register_profile("mutation", database=None, derandomize=True, deadline=None)
    hypothesis.settings.load_profile("mutation")
    with tempfile.TemporaryDirectory() as folder:
        OPTIONS.append(f"--basetemp={folder}/tests")
        if not arguments.report:
            both_rounds(files, mutants, results, arguments.keep or Path(folder))
    for key in mutants:
        if results[key] not in (KILLED, TIMED_OUT):
            print(f"{results[key]:<10} {key}")
    print("\n".join(table(counted(mutants, results))))
    if not arguments.words:
        PAGE.write_text(page(mutants, results, "python scripts/mutation"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The README's flow in Pyodide and in CPython without Numba, in turns: python scripts/in_a_tab.py PYODIDE [--turns 3]

PYODIDE is a folder made by .ci/local_pyodide.py; Node runs it.  CPU seconds of the process, medians of the turns, of
`check_gradients` and of the training's 30 epochs: the figures of docs/browser.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
SETUP = """
from nice_np import check_gradients, fit, real_nvp
from nice_np.datasets import load
moons = load("two-moons", seed=0)
flow = real_nvp(2, couplings=6, hidden=(32, 32), rng=0)
"""
BLAS = "from nice_np.interop.browser import use_blas; use_blas()" + SETUP
TIMED = {
    "check_gradients": "assert check_gradients(flow, moons.train[:3]).passed",
    "fit": "fit(flow, moons.train, validation=moons.validation, epochs=30, progress=False, rng=0)",
}
NODE = """
const [folder, root, setup, timed] = JSON.parse(process.argv[1]);
const { loadPyodide } = await import(folder + "/pyodide.mjs");
const python = await loadPyodide({ indexURL: folder + "/" });
const packages = ["numpy", "scipy", "threadpoolctl", "tqdm"];
await python.loadPackage(packages, { messageCallback: () => {} });
python.FS.mkdir("/checkout");
python.FS.mount(python.FS.filesystems.NODEFS, { root }, "/checkout");
python.runPython("import sys; sys.path.insert(0, '/checkout'); sys.dont_write_bytecode = True");
python.runPython(setup);
const seconds = {};
for (const [name, code] of Object.entries(timed)) {
  const before = process.cpuUsage();
  python.runPython(code);
  const { user, system } = process.cpuUsage(before);
  seconds[name] = (user + system) / 1e6;
}
console.log(JSON.stringify(seconds));
"""
CPYTHON = """
import json, sys, time
sys.modules["numba"] = None
_, root, setup, timed = json.loads(sys.argv[1])
sys.path.insert(0, root)
exec(setup)
seconds = {}
for name, code in timed.items():
    before = time.process_time()
    exec(code)
    seconds[name] = time.process_time() - before
print(json.dumps(seconds))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pyodide", type=Path)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    node = ["node", "--input-type=module", "--eval", NODE]
    ways = {
        "Pyodide, NumPy's products": (node, SETUP),
        "Pyodide, use_blas()": (node, BLAS),
        "CPython": ([sys.executable, "-c", CPYTHON], SETUP),
    }
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    for _ in range(args.turns):
        for way, (command, setup) in ways.items():
            work = json.dumps([str(args.pyodide.resolve()), str(ROOT), setup, TIMED])
            run = subprocess.run([*command, work], capture_output=True, text=True, check=True, env=one_thread)
            found[way].append(json.loads(run.stdout))
    for name in TIMED:
        medians = {way: median(turn[name] for turn in turns) for way, turns in found.items()}
        print(name, {way: f"{seconds:.2f} s" for way, seconds in medians.items()})
        print("  ratios to CPython:", {way: f"{seconds / medians['CPython']:.1f}" for way, seconds in medians.items()})


if __name__ == "__main__":
    main()

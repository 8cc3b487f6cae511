"""A folder with Pyodide, whole and local, for tests without a network: python .ci/local_pyodide.py FOLDER

The wheel of the PyPI package open-webui carries Pyodide with NumPy, SciPy and Matplotlib. What its kernel for notebooks
and nice_np need besides are pure Python wheels, taken from PyPI in the versions of Pyodide's own list.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

SOURCE = "open-webui==0.12.4"
INSIDE = "open_webui/frontend/pyodide/"
PURE = (
    "asttokens", "decorator", "executing", "ipython", "jedi", "matplotlib-inline", "parso", "prompt-toolkit",
    "pure-eval", "pygments", "stack-data", "tqdm", "traitlets", "wcwidth",
)  # fmt: skip
MISSING = {"comm": "0.2.3", "ipython-pygments-lexers": "1.1.1"}  # not in Pyodide's list


def download(requirement: str, folder: Path) -> None:
    """One wheel from PyPI, without what it depends on."""
    where = ["--no-deps", "--only-binary", ":all:", "--python-version", "3.14", "-d", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", *where, requirement], check=True)


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", temporary, SOURCE], check=True
        )
        (wheel,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.startswith(INSIDE):
                    (folder / name.removeprefix(INSIDE)).write_bytes(archive.read(name))
    path = folder / "pyodide-lock.json"
    lock = json.loads(path.read_text(encoding="utf-8"))
    packages = lock["packages"]
    for name in PURE:
        download(f"{name}=={packages[name]['version']}", folder)
    for name, version in MISSING.items():
        download(f"{name}=={version}", folder)
        file_name = next(folder.glob(f"{name.replace('-', '_')}-*.whl")).name
        packages[name] = {
            "name": name, "version": version, "file_name": file_name, "install_dir": "site",
            "package_type": "package", "imports": [name.replace("-", "_")], "depends": [], "unvendored_tests": False,
        }  # fmt: skip
    packages["ipython"]["depends"].append("ipython-pygments-lexers")
    for package in packages.values():  # Pyodide packs pure wheels anew: those of PyPI have other sums
        file = folder / package["file_name"]
        if file.exists():
            package["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    path.write_text(json.dumps(lock), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

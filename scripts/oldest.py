"""The oldest versions of all dependencies that setup.cfg allows, as constraints for pip:

    python scripts/oldest.py > oldest.txt
    pip install -c oldest.txt ".[test]"

The suite passes with them on Python 3.10, the oldest Python: .ci/run tries.
"""

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What only looks at the code, and is not part of running it, may be as new as it likes.
TOOLS = ("mypy", "ruff", "sphinx", "furo")
OF_THEIR_TIME = ["pyparsing<3"]  # later ones warn of how Matplotlib 3.7 uses them


def bounds() -> dict[str, str]:
    """{package: its lowest version} of everything in setup.cfg, the extras included."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    found = {}
    for line in "\n".join(texts).splitlines():
        match = re.match(r"([A-Za-z0-9_-]+)>=([0-9.]+)", line.strip())
        if match is not None and match[1] not in TOOLS:
            found[match[1]] = match[2]
    return found


if __name__ == "__main__":
    print(*(f"{name}=={version}" for name, version in bounds().items()), *OF_THEIR_TIME, sep="\n")

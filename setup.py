"""What setup.cfg cannot express: the description on a package index, and the students' notebooks inside the package."""

import configparser
import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


def description(readme: str, source: str | None, version: str) -> str:
    """The text of README.md for a page outside the repository.

    A relative link there leads nowhere, so it becomes one to the files of this version at `source`, the repository's
    address; while that is unknown (None), the words of the link stay and pictures go.
    """

    def outside(match: re.Match[str]) -> str:
        is_picture, words, path = match[1] == "!", match[2], match[3]
        if source is None:
            return "" if is_picture else words
        return f"{match[1]}[{words}]({source}/{'raw' if is_picture else 'blob'}/v{version}/{path})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)]+)\)", outside, readme)


def long_description() -> str:
    """The description of this version; the address is "Source" under project_urls in setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    urls = dict(line.split(" = ") for line in config["metadata"].get("project_urls", "").strip().splitlines())
    version = re.search('__version__ = "(.+)"', (ROOT / "nice_np" / "_version.py").read_text(encoding="utf-8"))
    assert version is not None
    return description((ROOT / "README.md").read_text(encoding="utf-8"), urls.get("Source"), version[1])


class WithNotebooks(build_py):
    """Puts tutorials/exercises/ where `nice-np grade` finds it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "nice_np" / "grading" / "tutorials"
            shutil.copytree(
                ROOT / "tutorials" / "exercises", target, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True
            )


if __name__ == "__main__":
    setup(long_description=long_description(), cmdclass={"build_py": WithNotebooks})

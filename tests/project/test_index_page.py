"""The description on a package index: README.md without a link that holds in the repository only."""

import importlib.util
import re
import shutil
import subprocess
import sys
from email import message_from_string
from pathlib import Path

import pytest

from nice_np import __version__

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the documents are only in the checkout")
pytest.importorskip("setuptools")


@pytest.fixture(scope="module")
def description():
    spec = importlib.util.spec_from_file_location("setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.description


def targets(text):
    return re.findall(r"\]\(([^)]+)\)", text)


def test_without_an_address_the_words_stay(description):
    readme = README.read_text(encoding="utf-8")
    assert len(targets(readme)) > 20
    found = description(readme, None, "1.2.3")
    assert all(target.startswith("https://") for target in targets(found))
    assert "![" not in found
    assert "Start with NICE on one page: the whole paper" in found
    assert description("see [a](https://a.org) and [b](#b)", None, "1") == "see [a](https://a.org) and [b](#b)"
    blocks = [re.findall(r"```.*?```", text, flags=re.DOTALL) for text in (readme, found)]
    assert blocks[0] == blocks[1]


def test_with_an_address_every_link_leads_to_a_file_of_that_version(description):
    found = targets(description(README.read_text(encoding="utf-8"), "https://host/nice_np", "1.2.3"))
    start = re.compile(r"https://host/nice_np/(blob|raw)/v1\.2\.3/")
    inside = [target for target in found if start.match(target)]
    assert all(target.startswith("https://") for target in found)
    assert len(inside) > 20
    for target in inside:
        assert (ROOT / start.sub("", target)).exists(), target
    assert any(target.endswith(".png") and "/raw/" in target for target in inside)


@pytest.mark.parametrize("source", [None, "https://host/nice_np"])
def test_the_metadata_have_this_description(tmp_path, source):
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "nice_np" / "datasets" / "digits").mkdir(parents=True)
    for name in ("__init__.py", "_version.py", "datasets/digits/LICENSE.md"):
        shutil.copy(ROOT / "nice_np" / name, tmp_path / "nice_np" / name)
    if source is not None:
        settings = (tmp_path / "setup.cfg").read_text(encoding="utf-8")
        named = settings.replace("[metadata]\n", f"[metadata]\nproject_urls =\n    Source = {source}\n", 1)
        (tmp_path / "setup.cfg").write_text(named, encoding="utf-8")
    # An older setuptools cannot make a wheel without the package of that name; its metadata are the same.
    command = [sys.executable, "setup.py", "-q", "egg_info"]
    child = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    (path,) = tmp_path.glob("*.egg-info/PKG-INFO")
    metadata = message_from_string(path.read_text(encoding="utf-8"))
    text = metadata.get_payload()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert text.startswith("# nice_np\n")
    assert len(text) > 5000
    assert not any(re.match(r"(?!https?:|#)", target) for target in targets(text))
    expected = None if source is None else f"{source}/blob/v{__version__}/docs/find_your_way.md"
    assert (f"]({expected})" in text) == (source is not None)
    assert metadata["Project-URL"] == (None if source is None else f"Source, {source}")

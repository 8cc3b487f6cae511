"""`import nice_np` imports next to nothing; a public name brings its module with it."""

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import nice_np
from nice_np import planar_flow, save_model


def child(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_python_and_type_checkers_find_the_same_names_in_the_same_modules():
    tree = ast.parse(Path(nice_np.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {(node.module.removeprefix("nice_np."), name.name) for node in block.body for name in node.names}
    assert {(home, name) for home, names in nice_np._HOMES.items() for name in names.split()} == seen
    assert sorted(nice_np.__all__) == sorted({"__version__", *(name for _, name in seen)})


def test_every_public_name_and_every_module_is_there():
    for name in nice_np.__all__:
        assert getattr(nice_np, name) is not None
    assert {module.name for module in pkgutil.iter_modules(nice_np.__path__)} - nice_np._MODULES == {
        "__main__",
        "_blas",
        "_moved",
        "_version",
    }
    for name in nice_np._MODULES:
        assert getattr(nice_np, name).__name__ == f"nice_np.{name}"


@pytest.mark.parametrize(
    ("code", "unneeded"),
    [
        ("import nice_np", {"numpy", "nice_np.flows", "nice_np.errors"}),
        ("from nice_np import fit, nice", {"nice_np.families", "nice_np.restoration", "nice_np.vae", "nice_np.checks"}),
        ("from nice_np.commands import build_parser; build_parser('')", {"numpy", "nice_np.flows", "nice_np.runs"}),
    ],
)
def test_what_is_not_asked_for_is_not_imported(code, unneeded):
    assert unneeded & set(child(f"import json, sys; {code}; print(json.dumps(list(sys.modules)))")) == set()


def test_a_file_may_hold_classes_that_were_not_imported(tmp_path):
    path = tmp_path / "glow.npz"
    model = planar_flow(2, rng=0)
    save_model(path, model)
    load = f"from nice_np.flows.model import load; flow = load({str(path)!r})"
    assert child(f"import json; {load}; print(json.dumps(flow.params.values.tolist()))") == model.params.values.tolist()

"""The package as a whole: who may import whom, what is public, what is forbidden."""

import ast
import inspect
from pathlib import Path

import nice_np

ROOT = Path(nice_np.__file__).parent

# From the bottom up: a module may import those above it only.
LAYERS = [
    ["_blas", "_version"],
    ["errors"],
    ["checks"],
    ["kernels", "signals", "progress", "history", "check_report", "gradcheck_objects"],
    ["parameters", "gradcheck_report", "mapcheck_report", "jacobian", "fused_kernels"],
    ["activations", "dequantize", "operators", "gradcheck_differences"],
    ["mlp", "convolution", "priors", "bijectors", "gradcheck", "mapcheck"],
    ["convnet", "base_model", "binarize", "npz"],
    ["flow"],
    ["models", "optim", "datasets", "conditional", "fused", "play"],
    ["parallel", "vae"],
    ["architecture"],
    ["checkpoint", "ranks", "restoration"],
    ["training_state", "training_data", "presets"],
    ["training_plan", "tensorboard"],
    ["training_loop"],
    ["training", "plotting"],
    ["runs", "small_models", "sklearn"],
    ["image_files", "finished", "figures", "interop"],
    ["report"],
    ["commands"],
    ["cli"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# model.save and model.load call checkpoint, which needs Model: inside the functions.  plotting names types only.
EXCEPTIONS = {("base_model", "checkpoint")}


def sources():
    for path in sorted(ROOT.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def module_of(name):
    return name.removeprefix("nice_np.").split(".")[0]


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "nice_np":
                yield from (f"nice_np.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_imports_point_upwards_only():
    for path, tree in sources():
        relative = path.relative_to(ROOT)
        if str(relative) in ("__init__.py", "__main__.py"):
            continue
        here = relative.parts[0].removesuffix(".py")
        for name in imports(tree):
            if name.startswith("nice_np."):
                there = module_of(name)
                allowed = here == there or RANK[there] < RANK[here] or (here, there) in EXCEPTIONS
                assert allowed, f"{relative} imports {name}"


def test_numba_only_in_kernels_and_matplotlib_only_in_plotting():
    for path, tree in sources():
        for name in imports(tree):
            top = name.split(".")[0]
            assert top != "numba" or path.name == "kernels.py", path
            assert top != "matplotlib" or path.parent.name == "plotting", path


def test_nothing_dangerous():
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                assert called not in ("eval", "exec"), path
                for keyword in node.keywords:
                    is_true = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
                    assert not (keyword.arg == "allow_pickle" and is_true), path
            assert not isinstance(node, ast.Assert), f"{path}: input is never validated by assert"
        assert not {"pickle", "marshal", "shelve"} & set(imports(tree)), path


def test_public_names_have_docstrings():
    for name in nice_np.__all__:
        thing = getattr(nice_np, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), name


def test_every_module_says_what_it_is():
    for path, tree in sources():
        assert ast.get_docstring(tree), path

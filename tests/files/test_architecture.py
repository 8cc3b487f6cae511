"""The package as a whole: who may import whom, what is public, what is forbidden."""

import ast
import functools
import inspect
from pathlib import Path

import nice_np

ROOT = Path(nice_np.__file__).parent

# A room, or a module on top, may import only from earlier lines.
LAYERS = [
    ["_blas", "_moved", "_version", "errors", "notebook"],
    ["suggestions"],
    ["validation"],
    ["kernels", "parameters", "pixels"],
    ["files", "bijectors", "networks"],
    ["datasets", "families"],
    ["flows"],
    ["training", "vae"],
    ["checks", "codec", "inference", "restoration", "sklearn"],
    ["plotting"],
    ["grading", "runs", "playground"],
    ["interop"],
    ["commands"],
    ["cli"],
]
MODES = [first + rest for first in "wxa" for rest in ("", "b", "+", "b+", "t")] + ["r+", "r+b", "rb+"]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


@functools.cache
def sources():
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(ROOT.rglob("*.py"))]


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
                assert here == there or RANK[there] < RANK[here], f"{relative} imports {name}"


def test_no_two_modules_need_each_other():
    """Imports inside functions included, so that none hides a circle."""
    modules = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): tree for path, tree in sources()}
    needs = {
        name: {f"{node.module}.{alias.name}" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
               for alias in node.names} & set(modules)
        | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} & set(modules)
        for name, tree in modules.items()
    }  # fmt: skip
    while leaves := {name for name, needed in needs.items() if not needed}:
        needs = {name: needed - leaves for name, needed in needs.items() if name not in leaves}
    assert not needs, f"circles among {sorted(needs)}"


def test_the_top_is_small():
    assert len(list(ROOT.glob("*.py"))) <= 12


def test_every_room_says_what_is_inside_and_where_to_start():
    for room in ROOT.iterdir():
        if (room / "__init__.py").exists():
            says = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
            assert says, room


def test_numba_only_in_kernels_and_matplotlib_only_where_pictures_are_drawn():
    for path, tree in sources():
        for name in imports(tree):
            top = name.split(".")[0]
            assert top != "numba" or path.name == "kernels.py", path
            assert top != "matplotlib" or path.parent.name in ("plotting", "playground"), path


def test_nothing_dangerous():
    """Only grading runs code from files, in a process of its own, and only that process unpickles what it is sent."""
    for path, tree in sources():
        room = str(path.relative_to(ROOT))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                runs_notebooks = ("grading/lesson.py", "grading/remote.py", "grading/student.py")
                assert called not in ("eval", *(() if room in runs_notebooks else ("exec",))), path
                for keyword in node.keywords:
                    is_true = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
                    assert not (keyword.arg == "allow_pickle" and is_true), path
            assert not isinstance(node, ast.Assert), f"{path}: input is never validated by assert"
        to_the_student = room in ("grading/remote.py", "grading/student.py")
        assert not {"marshal", "shelve", *(() if to_the_student else ("pickle",))} & set(imports(tree)), path


def test_every_file_is_written_by_one_function():
    """`files.atomic.replacing`: whole or not at all, and only regular files are replaced."""
    elsewhere = {"training/tensorboard.py": {"xb"}}  # event files grow, and are always new
    moving = {"os.replace", "os.rename", "os.renames", "shutil.move", "shutil.copy", "shutil.copyfile"}
    for path, tree in sources():
        room = str(path.relative_to(ROOT))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and room != "files/atomic.py":
                called = ast.unparse(node.func)
                assert called not in moving, room
                assert not called.endswith((".write_text", ".write_bytes", ".tofile", ".savetxt")), room
                if called in ("open", "io.open", "os.fdopen", "path.open"):
                    words = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
                    assert words & set(MODES) <= elsewhere.get(room, set()), room


def test_public_names_have_docstrings():
    for name in nice_np.__all__:
        thing = getattr(nice_np, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), name


def test_every_module_says_what_it_is():
    for path, tree in sources():
        assert ast.get_docstring(tree), path

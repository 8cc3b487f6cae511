"""What a teacher should look at: changed checks, code that reaches outside its exercise, and copies that are alike."""

from __future__ import annotations

import ast
import io
import keyword
import tokenize
from collections import Counter
from itertools import combinations

from nice_np.grading.notebooks import CHECK, numbered

UNUSUAL = {
    "os", "sys", "gc", "io", "inspect", "ctypes", "subprocess", "socket", "builtins", "atexit", "signal", "threading",
    "multiprocessing", "importlib", "pathlib", "shutil", "pickle", "IPython", "nbformat", "json", "types", "traceback",
    "get_ipython", "open", "eval", "exec", "compile", "globals", "locals", "vars", "setattr", "delattr", "__import__",
    "exit", "quit", "breakpoint", "SystemExit", "KeyboardInterrupt", "resource",
}  # fmt: skip
RUN = 8  # tokens in a row that are counted as one piece


def of_checks(submitted: list[str], sources: list[str]) -> list[str]:
    """Checks that a student changed or removed."""
    theirs, notes = numbered(CHECK, submitted), []
    for k, check in numbered(CHECK, sources).items():
        if k not in theirs:
            notes.append(f"the check of exercise {k} was removed; the original one was used")
        elif theirs[k].strip() != check.strip():
            notes.append(f"the check of exercise {k} was changed; the original one was used")
    return notes


def of_exercise(k: int, source: str, original: str) -> list[str]:
    """Names that no exercise needs, attributes of other modules that are set, and given functions that were changed."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return [f"exercise {k}: not plain Python"] if "%" in source or "!" in source or "?" in source else []
    found = dict.fromkeys(_unusual(tree))
    notes = [f"exercise {k}: uses {', '.join(found)}"] if found else []
    changed = _changed(tree, ast.parse(original))
    return notes + ([f"exercise {k}: {', '.join(changed)} was given and has been changed"] if changed else [])


def _unusual(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in UNUSUAL]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] if node.module.split(".")[0] in UNUSUAL else []
        elif isinstance(node, ast.Name) and node.id in UNUSUAL:
            found.append(node.id)
        elif isinstance(node, ast.Attribute):
            set_elsewhere = isinstance(node.ctx, ast.Store) and ast.unparse(node.value).split(".")[0] != "self"
            hidden = node.attr.startswith("_") and ast.unparse(node.value) not in ("self", "cls", "super()")
            found += [ast.unparse(node)[:60]] if set_elsewhere or hidden else []
    return found


def _changed(theirs: ast.Module, original: ast.Module) -> list[str]:
    """Given methods of a class, those without a TODO, that are not as they were."""
    return [
        name for name, code in _methods(original).items() if "TODO: " not in code and _methods(theirs).get(name) != code
    ]


def _methods(tree: ast.Module) -> dict[str, str]:
    return {
        f"{node.name}.{method.name}": ast.unparse(method)
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, ast.FunctionDef)
    }


def similarities(answers: dict[str, str], given: str) -> list[tuple[float, str, str]]:
    """Pairs of files by how much of the smaller one's code is in the other, highest first; 1 is all of it.

    Names and numbers do not count, comments and spaces neither, nor what the notebook itself contains.

    Parameters
    ----------
    answers : dict
        File -> the code of its exercises.
    given : str
        The code of the same cells as they were handed out.
    """
    known = _pieces(given)
    own = {file: _pieces(source) - known for file, source in answers.items()}
    pairs = []
    for a, b in combinations(own, 2):
        smaller = min(own[a].total(), own[b].total())
        if smaller:
            pairs.append((round((own[a] & own[b]).total() / smaller, 3), a, b))
    return sorted(pairs, key=lambda pair: -pair[0])


def _pieces(source: str) -> Counter[tuple[str, ...]]:
    """Runs of tokens, each name as one letter and each number as a digit, so that renaming changes nothing."""
    tokens = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                tokens.append("v")
            elif token.type in (tokenize.NAME, tokenize.OP):
                tokens.append(token.string)
            elif token.type == tokenize.NUMBER:
                tokens.append("1")
    except (tokenize.TokenError, SyntaxError):
        pass  # as far as it is Python
    return Counter(tuple(tokens[k : k + RUN]) for k in range(len(tokens) - RUN + 1))

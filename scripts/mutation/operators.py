"""The small errors that mutation testing plants: one change to the syntax tree of a file at a time.

    arithmetic    + and -, * and /, ** and *, // and /, % and *, & and |; the same in +=, and += as plain =
    comparison    < to <= and >=, == and !=, is and is not, in and not in, and so on: the border moved, the sense turned
    condition     and / or; the condition of an if, a while, a filter, a conditional expression turned
    constant      n to n + 1, 0 and -n; True and False
    sign          -x to x, ~x to x, not x to x
    call          sum and mean, min and max, all and any, zeros and ones, log and log1p ... (`SWAPPED`);
                  abs(x), sqrt(x), x.copy(), x.astype(d) ... to x (`UNWRAPPED`); x.T to x;
                  two neighbouring arguments swapped; a keyword left out
    slice         a bound left out: x[:k] to x[:]
    statement     left out (a call, an in-place update, the setting of an attribute or element, of a name from its own
                  old value, a raise); return None; the first two of a returned tuple swapped; break and continue
    loop          its body never entered

Left alone is what computes nothing: docstrings, type hints, imports, decorators, strings, what a `raise` says, and
`__repr__`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

ARITHMETIC: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,), ast.Pow: (ast.Mult,),
    ast.FloorDiv: (ast.Div,), ast.Mod: (ast.Mult,), ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,),
    ast.MatMult: (), ast.BitXor: (), ast.LShift: (), ast.RShift: (),
}  # fmt: skip
COMPARISON: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}  # fmt: skip
PAIRS = (
    ("sum", "mean"), ("max", "min"), ("maximum", "minimum"), ("fmax", "fmin"), ("all", "any"), ("argmax", "argmin"),
    ("zeros", "ones"), ("zeros_like", "ones_like"), ("log", "log1p"), ("exp", "expm1"), ("cos", "sin"),
    ("tanh", "sin"), ("hstack", "vstack"), ("median", "max"), ("floor", "ceil"), ("forward", "inverse"),
    ("backward", "inverse_backward"),
)  # fmt: skip
SWAPPED = {right: left for left, right in PAIRS} | dict(PAIRS)
UNWRAPPED = {
    "abs", "sqrt", "exp", "expm1", "log", "log1p", "tanh", "maximum", "minimum", "clip", "copy", "astype", "sign",
    "nan_to_num", "ascontiguousarray", "float", "int", "bool", "tuple", "list", "_finite",
}  # fmt: skip
SYMMETRIC = {"max", "min", "maximum", "minimum", "fmax", "fmin", "logaddexp", "array_equal", "allclose"} | {
    "isinstance", "getattr", "setattr",  # not symmetric, but swapped they raise at once: no merit in that
}  # fmt: skip
TEXT = ("annotation", "returns", "decorator_list")  # fields of a node that compute nothing


@dataclass
class Mutant:
    """One change: `new` in the place of `old`, a node of the syntax tree of `file`.

    Attributes
    ----------
    lines : range
        The lines of the statement that must run for the change to be felt.
    imported : bool
        Whether that is when the module is imported, as for a default or the attribute of a class.
    """

    file: str
    tree: ast.Module
    old: ast.AST
    new: ast.AST
    parent: ast.AST
    field: str
    index: int | None
    lines: range
    imported: bool

    @property
    def line(self) -> int:
        return self.old.lineno  # type: ignore[attr-defined]

    @property
    def what(self) -> str:
        """The change in one line."""
        return f"{_shown(self.old)}  ->  {_shown(self.new)}"

    def plant(self, node: ast.AST | None = None) -> ast.Module:
        """The tree with the change in it; `heal` takes it out again."""
        node = node or ast.fix_missing_locations(ast.copy_location(self.new, self.old))
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node
        return self.tree

    def heal(self) -> None:
        self.plant(self.old)


def mutants_of(source: str, file: str = "") -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    tree = ast.parse(source)
    mutants = []
    for place, lines, imported in _places(tree, range(0), True):
        old = place[3]
        seen = {ast.unparse(old)}
        for new in _changes(*place):
            text = ast.unparse(ast.fix_missing_locations(ast.copy_location(new, old)))
            if text not in seen:
                seen.add(text)
                mutants.append(Mutant(file, tree, old, new, *place[:3], lines, imported))
    return sorted(mutants, key=lambda mutant: (mutant.line, mutant.old.col_offset))  # type: ignore[attr-defined]


def _places(node: ast.AST, lines: range, imported: bool) -> Iterator[tuple[tuple[Any, ...], range, bool]]:
    """Every (parent, field, index, child) that may change, with the lines and `imported` of its statement."""
    for field, value in ast.iter_fields(node):
        if field in TEXT:
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or _says_nothing(child):
                continue
            place = (node, field, index if isinstance(value, list) else None, child)
            # The body of a function runs in the tests; its defaults, and everything outside, at import.
            at_import = imported and not (isinstance(node, ast.FunctionDef) and field == "body")
            mine = range(child.lineno, child.end_lineno + 1) if isinstance(child, ast.stmt) else lines
            if isinstance(node, ast.FunctionDef) and field == "args":
                mine = range(node.body[0].lineno, node.end_lineno + 1)
            yield place, mine, at_import
            if not isinstance(child, ast.Raise):
                yield from _places(child, mine, at_import)


def _shown(node: ast.AST) -> str:
    match node:
        case ast.For(target=target, iter=iterable):
            return f"for {ast.unparse(target)} in {ast.unparse(iterable)}: ..."
        case ast.Raise(exc=ast.Call(func=error)):
            return f"raise {ast.unparse(error)}(...)"
    return " ".join(ast.unparse(node).split())


def _says_nothing(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring, or ...
    if isinstance(node, ast.FunctionDef):
        return node.name == "__repr__" or any("abstractmethod" in ast.unparse(d) for d in node.decorator_list)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr)


def _changes(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of `node`."""
    if field in ("test", "ifs") and not isinstance(node, ast.Compare | ast.UnaryOp):
        yield ast.UnaryOp(ast.Not(), node)
    match node:
        case ast.BinOp(op=op):
            yield from (_with(node, op=new()) for new in ARITHMETIC[type(op)])
        case ast.AugAssign(op=op, target=target, value=value):
            yield from (_with(node, op=new()) for new in ARITHMETIC[type(op)])
            yield ast.Assign([target], value)
            yield ast.Pass()
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                yield from (_with(node, ops=[*ops[:i], new(), *ops[i + 1 :]]) for new in COMPARISON[type(op)])
        case ast.BoolOp(op=op):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.USub() | ast.Invert() | ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
            if value != 0:
                yield ast.Constant(0)
            same = isinstance(parent, ast.UnaryOp) or (isinstance(parent, ast.keyword) and parent.arg == "axis")
            if value != 0 and not same:  # --n is what "sign" does, and axis -1 of a matrix is its axis 1
                yield ast.UnaryOp(ast.USub(), ast.Constant(value))
        case ast.Call():
            yield from _changed_calls(node)
        case ast.Attribute(attr="T", value=value):
            yield value
        case ast.Slice():
            yield from (_with(node, **{bound: None}) for bound in ("lower", "upper", "step") if getattr(node, bound))
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield ast.Return(ast.Constant(None))
            if isinstance(value, ast.Tuple) and len(value.elts) > 1:
                first, second, *rest = value.elts
                yield ast.Return(ast.Tuple([second, first, *rest], ast.Load()))
        case ast.Expr() | ast.Raise():
            yield ast.Pass()
        case ast.Assign(targets=[target]) | ast.AnnAssign(target=target, value=ast.expr()):
            if isinstance(target, ast.Attribute | ast.Subscript) or _names(target) & _names(node.value):
                yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.For():
            yield _with(node, iter=ast.Tuple([], ast.Load()))


def _changed_calls(call: ast.Call) -> Iterator[ast.AST]:
    function, arguments = call.func, call.args
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in SWAPPED and isinstance(function, ast.Attribute):
        yield _with(call, func=_with(function, attr=SWAPPED[name]))
    elif name in SWAPPED:
        yield _with(call, func=ast.Name(SWAPPED[name], ast.Load()))
    if name in UNWRAPPED:
        # np.sqrt(x) and float(x) hold x as an argument, x.copy() as what the method belongs to
        module = not isinstance(function, ast.Attribute) or ast.unparse(function.value) == "np"
        yield from arguments[:2] if module else [function.value]  # type: ignore[union-attr]
    for i, (left, right) in enumerate(pairwise(arguments)):
        if name not in SYMMETRIC and not any(isinstance(node, ast.Starred) or _is_text(node) for node in (left, right)):
            yield _with(call, args=[*arguments[:i], right, left, *arguments[i + 2 :]])
    for i in range(len(call.keywords)):
        yield _with(call, keywords=[*call.keywords[:i], *call.keywords[i + 1 :]])


def _with(node: ast.AST, **fields: Any) -> Any:
    """A shallow copy of a node with other fields; its children stay those of the tree."""
    new = type(node)(**dict(ast.iter_fields(node)) | fields)
    return ast.copy_location(new, node)


def _names(node: ast.AST) -> set[str]:
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))

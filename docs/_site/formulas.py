"""Formulas of docstrings, log|det J| = sum_j log_s_j, as LaTeX.

A docstring is read in an editor, so its formulas are plain text. What is wholly made of known signs and names becomes a
formula on the site; anything else stays the text that it is.
"""

from __future__ import annotations

import re

GREEK = {"alpha", "beta", "gamma", "delta", "eps", "theta", "lambda", "mu", "nu", "pi", "rho", "sigma", "tau", "phi"}
FUNCTIONS = {"softplus", "sigmoid", "logit", "logistic", "spline", "scale", "conditioner", "tr", "diag", "half-Cauchy"}
VARIABLES = {"mean", "std", "low", "high", "rate", "factor", "minimum", "half", "order", "const", "values", "lr", "MSE"}
VARIABLES |= {"PSNR", "measured", "measurements", "share", "network"}
LATEX = {"eps": r"\epsilon", "lgamma": r"\log\Gamma", "log10": r"\log_{10}", "inf": r"\infty"}
LATEX |= {name: rf"\{name}" for name in ("log", "exp", "det", "max", "min", "tanh", "sinh")}
BIG = {"sum": r"\sum", "prod": r"\prod", "int": r"\int"}
SIGNS = {"<-": r"\leftarrow", "<=": r"\le", ">=": r"\ge", "*": r"\cdot", "~": r"\sim", "...": r"\cdots", "{": r"\{"}
SIGNS |= {"}": r"\}", ".": r"\cdot"}
RELATION = re.compile(r" (=|~|<-) ")
END = re.compile(r"[.:,;]?(\s+\(|,? +(with|for|where|in)\b)|[.:,;](\s|$)")  # where a formula may end
TOKEN = re.compile(
    r"""(?P<gap>[ ]{2,})|(?P<space>[ ])
    |(?P<name>(?:log_)?(?:half-Cauchy|log10|[A-Za-z]+))(?P<primes>'*)(?P<accent>\^(?=[ ),;]|$)|~(?=[ ),;^_'])|)
    |(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)
    |(?P<script>[_^])(?P<what>-?[A-Za-z0-9]+|\{[^{}]*\}|\([^()]*\)|<\w)
    |(?P<sign><-|<=|>=|\.\.\.|-(?!>)|(?<=\w)\.(?=\w)|[+*/=<>~|,;:()\[\]{}])""",
    re.VERBOSE,
)


def split(text: str) -> tuple[str | None, str]:
    """(the formula that a sentence begins with in LaTeX, the rest): the longest that is known and has a relation.

    Examples
    --------
    >>> split("f(a) = max(a, 0), as everywhere.")
    ('f ( a ) = \\\\max ( a , 0 )', ', as everywhere.')
    """
    for end in sorted({found.start() for found in END.finditer(text)} | {len(text)}, reverse=True):
        start = text[:end]
        formula = latex(start) if RELATION.search(start) and start.count("(") == start.count(")") else None
        if formula:
            return formula, text[end:]
    return None, text


def latex(text: str) -> str | None:
    """The formula in LaTeX; None if a part of it is not known to be one.

    Examples
    --------
    >>> latex("y_b = x_b * exp(log_s)")
    'y _{b} = x _{b} \\\\cdot \\\\exp ( \\\\log s )'
    >>> latex("the rest of y") is None
    True
    """
    text = re.sub(r"(?<=\^)(\w_\w)", r"{\1}", text)  # from 0 to x_b
    parts, position = [], 0
    while position < len(text):
        found = TOKEN.match(text, position)
        part = found and _translated(found)
        if not found or part is None:
            return None
        parts.append(part)
        position = found.end()
    return " ".join(part for part in parts if part)


def _translated(found: re.Match[str]) -> str | None:
    if found["gap"]:
        return r"\quad"
    if found["space"]:
        return ""
    if found["number"]:
        return found["number"]
    if found["sign"]:
        return SIGNS.get(found["sign"], found["sign"])
    if found["script"]:
        what = re.sub(r"^[{(](.*)[})]$", r"\1", found["what"])
        two = re.fullmatch(r"<\w|[a-z]{2}", what) and what not in GREEK  # x_<i, and w_kd with two indices
        inner = what if two else latex(what)
        return None if inner is None else f"{found['script']}{{{inner}}}"
    return _name(found)


def _name(found: re.Match[str]) -> str | None:
    """One letter, d and one letter, or a known word; log_s is the logarithm of s."""
    word = found["name"]
    logarithm = word.startswith("log_")
    symbol = _symbol(word.removeprefix("log_"))
    if symbol is None:
        return None
    if found["accent"]:
        symbol = rf"\{'hat' if found['accent'] == '^' else 'tilde'}{{{symbol}}}"
    return r"\log " * logarithm + symbol + found["primes"]


def _symbol(word: str) -> str | None:
    if len(word) == 1:
        return word
    if word in LATEX or word in BIG:
        return LATEX.get(word) or BIG[word]
    if word in GREEK:
        return rf"\{word}"
    if word in FUNCTIONS:
        return rf"\operatorname{{{word}}}"
    if word in VARIABLES:
        return rf"\mathrm{{{word}}}"
    return rf"\mathrm{{d}} {word[1]}" if len(word) == 2 and word[0] == "d" else None

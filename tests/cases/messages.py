"""The messages that the validator's code can make, found in its syntax: what each `Problem(…)` says, as expressions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "reconciler"
# Everything that a load goes through; load/git.py is asked about commits, which are no part of a repository's files.
MODULES = (
    *sorted(file for file in PACKAGE.glob("load/*.py") if file.stem != "git"),
    PACKAGE / "preflight.py",
    PACKAGE / "routing/check.py",
    PACKAGE / "routing/patterns.py",
)
PARTS = ("what", "where", "why", "fix")  # the order in which Problem takes them
_LINE = {"what": "(?:error|warning): {}$", "why": "  why: {}$", "fix": "  fix: {}$"}


@dataclass(frozen=True, slots=True)
class Message:
    """One text that a part of a problem can have."""

    module: str
    part: str
    text: str  # as it stands in the code, with … for what is filled in
    line: re.Pattern[str]  # how it looks in the output


def messages(modules: Iterable[Path] = MODULES) -> Iterator[Message]:
    """Every text of every problem. What comes from elsewhere whole (the server's words, a rule of the schema) is none
    of these."""
    for module in modules:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for function in (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)):
            for call in _calls(function):
                for part, value in _parts(call):
                    for text, expression in _texts(value, function):
                        if text.strip("…"):
                            yield Message(
                                module.stem, part, text, re.compile(_LINE[part].format(expression), re.MULTILINE)
                            )


def _calls(function: ast.FunctionDef) -> Iterator[ast.Call]:
    for one in ast.walk(function):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name | ast.Attribute):
            name = one.func.id if isinstance(one.func, ast.Name) else one.func.attr
            if name in ("Problem", "_add"):
                yield one


def _parts(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    is_add = isinstance(call.func, ast.Attribute)  # _add(node, what, why, fix, code)
    names = ("node", "what", "why", "fix") if is_add else PARTS
    given = dict(zip(names, call.args, strict=False)) | {one.arg: one.value for one in call.keywords if one.arg}
    yield from ((part, given[part]) for part in _LINE if part in given)


def _texts(value: ast.expr, function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Every text that an expression can be, and the regular expression of each."""
    match value:
        case ast.Constant(value=str(text)) if text:
            yield text, re.escape(text)
        case ast.JoinedStr(values=pieces):
            texts = [one.value if isinstance(one, ast.Constant) else "…" for one in pieces]
            known = [re.escape(str(one.value)) if isinstance(one, ast.Constant) else ".*" for one in pieces]
            yield "".join(map(str, texts)), "".join(known)
        case ast.IfExp(body=one, orelse=other):
            yield from _texts(one, function)
            yield from _texts(other, function)
        case ast.BoolOp(values=several):
            for one in several:
                yield from _texts(one, function)
        case ast.Name(id=name):
            for statement in ast.walk(function):
                if isinstance(statement, ast.Assign):
                    for target in statement.targets:
                        yield from _assigned(name, target, statement.value, function)


def _assigned(name: str, target: ast.expr, value: ast.expr, function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    if isinstance(target, ast.Name) and target.id == name:
        yield from _texts(value, function)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, given in zip(target.elts, value.elts, strict=True):
            yield from _assigned(name, one, given, function)

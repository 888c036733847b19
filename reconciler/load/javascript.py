"""The imports of a JavaScript module: what it names, and where.

Law: `imports` names only what the runtime would import (comments, texts and regular expressions are stepped over);
where a text cannot be read it names too little, never too much. `candidates` names at least as much as `imports`,
and costs a fraction: who finds nothing wrong with the candidates need not read closer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_QUOTED = r"""(?:"[^"\\\n]*(?:\\[\s\S][^"\\\n]*)*"|'[^'\\\n]*(?:\\[\s\S][^'\\\n]*)*')"""
_NAMED = re.compile(rf"{_QUOTED}|`[^`\\]*(?:\\[\s\S][^`\\]*)*`")
_SPACE = re.compile(r"[\s\ufeff]*")
_TOKEN = re.compile(rf"(?P<text>{_QUOTED})|(?P<word>[\w$\\#@]+)|(?P<template>`)|(?P<slash>/)|(?P<mark>\+\+|--|[\s\S])")
_TEMPLATE = re.compile(r"[^`\\$]*(?:(?:\\[\s\S]|\$(?!\{))[^`\\$]*)*(?P<end>`|\$\{|\\?\Z)")
_EXPRESSION = re.compile(r"/(?:[^/\\\[\n\r]|\\[^\n\r]|\[(?:[^\]\\\n\r]|\\[^\n\r])*\])+/\w*")

# After these words an expression begins, so that a slash begins a regular expression and does not divide.
_BEFORE_EXPRESSION = frozenset(
    {"return", "typeof", "instanceof", "in", "of", "new", "delete", "void", "throw", "case", "do", "else", "yield"}
    | {"await", "extends", "default"}
)
_BEFORE_CONDITION = frozenset({"if", "while", "for", "with"})
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|(\r\n|[\s\S]))")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "v": "\v", "f": "\f", "0": "\0"}


@dataclass(frozen=True, slots=True)
class Import:
    """One import of a module. Line and column count from 1 and point at the quoted name."""

    specifier: str
    line: int
    column: int
    width: int


def candidates(text: str) -> set[str] | None:
    """Everything that could be an import; None when it takes a closer look to know."""
    found: set[str] = set()
    for word in ("from", "import"):
        at = text.find(word)
        while at >= 0:
            start = _after_space(text, at + len(word))
            start = _after_space(text, start + 1) if text.startswith("(", start) else start
            if start >= len(text):
                return None  # a comment that does not end, or seems not to
            match = _NAMED.match(text, start)
            if match:
                named = match.group()[1:-1]
                if "\\" in named or "${" in named:
                    return None
                found.add(named)
            at = text.find(word, at + len(word))
    return found


def imports(text: str) -> list[Import]:
    """The static imports, the re-exports, and the dynamic imports of one literal text, in the order of the file."""
    scan = _Scan(text)
    return [_located(text, start, quoted) for start, quoted in scan.found()]


def _after_space(text: str, at: int) -> int:
    """Where space and comments end that begin here."""
    while True:
        space = _SPACE.match(text, at)
        at = space.end() if space else at
        if text.startswith("//", at):
            at = text.find("\n", at)
        elif text.startswith("/*", at):
            at = text.find("*/", at + 2) + 2 or 1
            at = len(text) if at == 1 else at
        else:
            return at
        if at < 0:
            return len(text)


def _located(text: str, start: int, quoted: str) -> Import:
    before = text[:start]
    line = before.count("\n") + 1
    return Import(_unescaped(quoted[1:-1]), line, start - (before.rfind("\n") + 1) + 1, len(quoted))


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        digits = match[1] or match[2] or match[3]
        if digits:
            code = int(digits, 16)
            return chr(code) if code < 0x110000 else "\ufffd"
        return "" if match[4] in ("\n", "\r", "\r\n") else _ESCAPED.get(match[4], match[4])

    return _ESCAPE.sub(one, text) if "\\" in text else text


@dataclass
class _Scan:
    """One pass over the tokens. A grammar in small: enough to know where an import statement stands."""

    text: str
    at: int = 0
    last: str = ""  # the last piece that is not space: a word, a mark, or "text" for something quoted
    before: str = ""  # the one before it
    waiting: bool = False  # between `import` or `export` and the `from` that may follow
    parens: list[str] = field(default_factory=list)  # the word before each open (
    braces: list[bool] = field(default_factory=list)  # whether each open { is that of a template's ${
    closed_condition: bool = False  # the last ) ended the condition of an if, while, for or with
    barren_until: int = -1  # no regular expression ends before the end of this line

    def found(self) -> Iterator[tuple[int, str]]:
        """Where each import's quoted name begins, and the name with its quotes."""
        while (start := _after_space(self.text, self.at)) < len(self.text):
            match = _TOKEN.match(self.text, start)
            assert match is not None  # a mark is any character
            kind, piece, self.at = match.lastgroup, match.group(), match.end()
            if kind == "text":
                if self._names_a_module():
                    yield start, piece
                self.waiting = self.waiting and self.last in ("{", ",")  # import { "any name" as x } from …
                self._push("text")
            elif kind == "template" or (piece == "}" and self.braces and self.braces[-1]):
                dynamic = self.last == "(" and self.before == "import"
                if self._template(piece) and dynamic and piece == "`" and self._ends_argument():
                    yield start, self.text[start : self.at]
            elif kind != "slash" or not self._expression(start):
                self._word_or_mark(kind == "word", piece)

    def _names_a_module(self) -> bool:
        if self.last == "(" and self.before == "import":
            return self._ends_argument()
        return self.last == "import" or (self.last == "from" and self.waiting)

    def _ends_argument(self) -> bool:
        """Whether what was just read is all, or the first part, of import(…)."""
        end = _after_space(self.text, self.at)
        return self.text[end : end + 1] in (",", ")")

    def _template(self, opening: str) -> bool:
        """Read a template from ` or from the } of a ${ to its end or the next ${; whether it ended."""
        if opening == "}":
            self.braces.pop()
        end = _TEMPLATE.match(self.text, self.at)
        assert end is not None  # the end of the text ends a template too
        self.at = end.end()
        if end["end"] == "${":
            self.braces.append(True)
            self._push("(")
            return False
        self._push("text")
        return True

    def _expression(self, start: int) -> bool:
        """Step over a regular expression, if one begins at this slash."""
        if start < self.barren_until or not self._expression_may_begin():
            return False
        expression = _EXPRESSION.match(self.text, start)
        if expression is None:
            # One that does not end takes the whole line to find out, so the line is not looked through again.
            end = self.text.find("\n", start)
            self.barren_until = len(self.text) if end < 0 else end
            return False
        self.at = expression.end()
        self._push("text")
        return True

    def _expression_may_begin(self) -> bool:
        if self.last == ")":
            return self.closed_condition
        if self.last in ("text", "]", "}", "++", "--"):
            return False
        is_word = bool(self.last) and (self.last[0].isalnum() or self.last[0] in "_$#@\\")
        return not is_word or self.last in _BEFORE_EXPRESSION

    def _word_or_mark(self, is_word: bool, piece: str) -> None:
        if is_word and self.last == ".":
            piece = "name"  # of a property, which may be called import
        self.waiting = self._waits(piece)
        if piece == "(":
            self.parens.append(self.last)
        elif piece == ")":
            self.closed_condition = bool(self.parens) and self.parens.pop() in _BEFORE_CONDITION
        elif piece == "{":
            self.braces.append(False)
        elif piece == "}" and self.braces:
            self.braces.pop()
        self._push(piece)

    def _waits(self, piece: str) -> bool:
        if piece in ("import", "export"):
            return True
        if self.last == "export" and piece not in ("{", "*"):
            return False  # a declaration
        return self.waiting and piece not in ("(", ";", "=", ":", ".")

    def _push(self, piece: str) -> None:
        self.before, self.last = self.last, piece

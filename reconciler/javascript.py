"""The imports of a JavaScript module: what it names, and where.

Law: `imports` names only what the runtime would import (comments, texts and regular expressions are stepped over);
where a text cannot be read it names too little, never too much. `candidates` names at least as much as `imports`,
and costs a fraction: who finds nothing wrong with the candidates need not read closer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_SPACE = r"(?:[\s\ufeff]|//[^\n\r\u2028\u2029]*|/\*[\s\S]*?\*/)*"
_TEXT = r"""(?:"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*'|`(?:[^`\\]|\\[\s\S])*`)"""
_CANDIDATE = re.compile(rf"{_SPACE}\(?{_SPACE}(?P<text>{_TEXT})")

_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+|//[^\n\r\u2028\u2029]*|/\*[\s\S]*?\*/)
    |(?P<text>"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*')
    |(?P<word>[\w$\\#@]+)
    |(?P<template>`)
    |(?P<slash>/)
    |(?P<mark>=>|\+\+|--|[\s\S])""",
    re.VERBOSE,
)
_TEMPLATE = re.compile(r"(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(?P<end>`|\$\{|\Z)")
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
            match = _CANDIDATE.match(text, at + len(word))
            if match:
                named = match["text"][1:-1]
                if "\\" in named or "${" in named:
                    return None
                found.add(named)
            at = text.find(word, at + len(word))
    return found


def imports(text: str) -> list[Import]:
    """The static imports, the re-exports, and the dynamic imports of one literal text, in the order of the file."""
    scan = _Scan(text)
    return [_located(text, start, quoted) for start, quoted in scan.found()]


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
    last: str = ""  # the last piece that is not space: a word, a mark, or "text" for something quoted
    before: str = ""  # the one before it
    parens: list[str] = field(default_factory=list)  # the word before each open (
    braces: list[bool] = field(default_factory=list)  # whether each open { is that of a template's ${
    closed_condition: bool = False  # the last ) ended the condition of an if, while, for or with

    def found(self) -> Iterator[tuple[int, str]]:
        """Where each import's quoted name begins, and the name with its quotes."""
        waiting = False  # between `import` or `export` and the `from` that may follow
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                return
            kind, piece, start, at = match.lastgroup, match.group(), at, match.end()
            if kind == "space":
                continue
            if kind == "template" or (kind == "mark" and piece == "}" and self.braces and self.braces[-1]):
                if piece == "}":
                    self.braces.pop()
                end = _TEMPLATE.match(self.text, at)
                assert end is not None
                if end["end"] == "`" and piece == "`" and self._dynamic(end.end()):
                    yield start, self.text[start : end.end()]
                at = end.end()
                if end["end"] == "${":
                    self.braces.append(True)
                    self._push("(")
                else:
                    self._push("text")
                continue
            if kind == "slash" and self._expression_may_begin():
                expression = _EXPRESSION.match(self.text, start)
                if expression:
                    at = expression.end()
                    self._push("text")
                    continue
            if kind == "text":
                plain = self.last == "import" and self.before != "."
                if plain or (self.last == "from" and waiting) or self._dynamic(at):
                    yield start, piece
                waiting = waiting and self.last in ("{", ",")  # import { "any name" as x } from …
                self._push("text")
                continue
            waiting = self._waits(kind == "word", piece, waiting)
            self._mark(piece)
            self._push("name" if kind == "word" and self.last == "." else piece)

    def _waits(self, is_word: bool, piece: str, waiting: bool) -> bool:
        if is_word and piece in ("import", "export"):
            return self.last != "."
        if self.last == "export" and piece not in ("{", "*"):
            return False  # a declaration
        return waiting and piece not in ("(", ";", "=", ":", ".")

    def _dynamic(self, end: int) -> bool:
        """Whether a quoted name that ends here is all, or the first part, of import(…)."""
        if self.last != "(" or self.before != "import":
            return False
        rest = re.compile(rf"{_SPACE}[,)]").match(self.text, end)
        return rest is not None

    def _mark(self, piece: str) -> None:
        if piece == "(":
            self.parens.append(self.last)
        elif piece == ")":
            opened_after = self.parens.pop() if self.parens else ""
            self.closed_condition = opened_after in _BEFORE_CONDITION
        elif piece == "{":
            self.braces.append(False)
        elif piece == "}" and self.braces:
            self.braces.pop()

    def _push(self, piece: str) -> None:
        self.before, self.last = self.last, piece

    def _expression_may_begin(self) -> bool:
        if self.last == ")":
            return self.closed_condition
        if self.last in ("text", "]", "}", "++", "--"):
            return False
        is_word = bool(self.last) and (self.last[0].isalnum() or self.last[0] in "_$#@\\")
        return not is_word or (self.last in _BEFORE_EXPRESSION and self.before != ".")

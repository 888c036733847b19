"""Source text as pieces with a role, for colours: JavaScript, JSON and YAML, well enough to read and never wrong text.

Law: the pieces together are the text. To add a language: one row in _LANGUAGES.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_WORDS = (
    "as|async|await|break|case|catch|class|const|continue|default|delete|do|else|export|extends|finally|for|from|"
    "function|get|if|import|in|instanceof|let|new|of|return|set|static|super|switch|this|throw|try|typeof|var|void|"
    "while|yield"
)
_JAVASCRIPT = re.compile(
    rf"""(?P<comment>//[^\n]*|/\*[\s\S]*?(?:\*/|\Z))
    |(?P<string>"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?|`(?:[^`\\]|\\[\s\S])*`?)
    |(?P<word>(?<![\w$.])(?:{_WORDS})(?![\w$]))
    |(?P<value>(?<![\w$.])(?:true|false|null|undefined|NaN|Infinity|\d[\w.]*)(?![\w$]))
    |(?P<name>(?<![\w$])[A-Za-z_$][\w$]*(?=\s*\())""",
    re.VERBOSE,
)
_JSON = re.compile(
    r"""(?P<name>"(?:[^"\\\n]|\\.)*"(?=\s*:))|(?P<string>"(?:[^"\\\n]|\\.)*"?)
    |(?P<value>\b(?:true|false|null)\b|-?\b\d[\w.+-]*)""",
    re.VERBOSE,
)
_YAML = re.compile(
    r"""(?P<comment>(?:^|(?<=\s))\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"?|(?<=[\s:\[{,])'(?:[^'\n]|'')*'?)
    |(?P<name>(?:^|(?<=[\s{,]))[\w$*./-]+(?=:(?:\s|$)))
    |(?P<value>(?<=[\s:\[{,])(?:true|false|null|-?\d[\d.]*)(?=[\s,\]}]|$))""",
    re.VERBOSE | re.MULTILINE,
)
_LANGUAGES: Mapping[str, re.Pattern[str]] = {
    ".js": _JAVASCRIPT, ".mjs": _JAVASCRIPT, ".cjs": _JAVASCRIPT, ".json": _JSON, ".yaml": _YAML, ".yml": _YAML,
}  # fmt: skip
LARGEST = 200_000  # characters; more is shown in one colour

Piece = tuple[str, str]  # (role, text); "" for text without one


def lines(name: str, text: str) -> Iterator[list[Piece]]:
    """The lines of a file, each in pieces, without their ends."""
    line: list[Piece] = []
    for role, piece in pieces(name, text):
        first, *rest = piece.split("\n")
        line.append((role, first))
        for further in rest:
            yield line
            line = [(role, further)]
    if line and any(piece for _, piece in line):
        yield line


def pieces(name: str, text: str) -> Iterator[Piece]:
    language = _LANGUAGES.get(name[name.rfind(".") :])
    if language is None or len(text) > LARGEST:
        yield "", text
        return
    end = 0
    for found in language.finditer(text):
        if found.start() > end:
            yield "", text[end : found.start()]
        yield found.lastgroup or "", found[0]
        end = found.end()
    if end < len(text):
        yield "", text[end:]

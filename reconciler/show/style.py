"""How text looks on a terminal: roles and their colours, and how wide a line may be.

Colour is a value: PLAIN paints nothing. To add a role: one line in _COLOURS, used with Style.paint.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.plan import Action
from reconciler.show.terminal import printable

# The 16 colours that every terminal theme makes readable on its own background.
_COLOURS = {
    "create": "\x1b[32m",
    "update": "\x1b[33m",
    "delete": "\x1b[31m",
    "heading": "\x1b[1m",
    "faint": "\x1b[2m",
    "place": "\x1b[36m",
    "warning": "\x1b[1;33m",
    "error": "\x1b[1;31m",
    "good": "\x1b[32m",
}
_RESET = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Style:
    colours: Mapping[str, str] = field(default_factory=dict)
    width: int = 100  # columns; foreign values longer than what is left are cut, names never

    def paint(self, role: str, text: str) -> str:
        colour = self.colours.get(role)
        return f"{colour}{text}{_RESET}" if colour and text else text

    def symbol(self, action: Action) -> str:
        return self.paint(action.value, action.symbol)

    def cut(self, text: str, used: int) -> str:
        """The text, or as much of it as fits beside `used` columns."""
        return cut(text, max(20, self.width - used))


def plain(width: int = 100) -> Style:
    return Style({}, width)


def coloured(width: int = 100) -> Style:
    return Style(_COLOURS, width)


PLAIN = plain()


def shown(text: str) -> str:
    """Foreign text, harmless for a terminal and for GitHub's log, which takes "##[" anywhere in a line as a command."""
    return printable(text).replace("\t", "\\t").replace("##[", "##\\[")


def columns(text: str) -> int:
    """How many columns a terminal takes for it; CJK and emoji take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def cut(text: str, width: int) -> str:
    if columns(text) <= width:
        return text
    room, kept = width - 1, 0
    for character in text:
        room -= _columns(character)
        if room < 0:
            break
        kept += 1
    return f"{text[:kept]}…"


def pad(text: str, width: int) -> str:
    return text + " " * max(0, width - columns(text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1

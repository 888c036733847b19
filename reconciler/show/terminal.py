"""Text from files and servers, made harmless for a terminal and a log: the one place where that happens."""

from __future__ import annotations

import unicodedata

# Controls (terminal escapes among them), format characters (bidirectional overrides, zero widths, tags),
# surrogates, private use, and separators of lines: what moves the cursor or cannot be seen.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")  # letters by their category, and nothing to see
_NAMED = {"\n": "\\n", "\r": "\\r"}


def printable(text: str) -> str:
    """The text on one line, with everything hidden in it shown as an escape. Tabs stay."""
    if text.isprintable() and (text.isascii() or _FILLERS.isdisjoint(text)):
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character == "\t" or (unicodedata.category(character) not in _HIDDEN and character not in _FILLERS):
        return character
    code = ord(character)
    if code <= 0xFF:
        return _NAMED.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"

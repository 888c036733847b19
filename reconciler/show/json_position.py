"""The line and column of a value inside a JSON text, found only once something about it is wrong."""

from __future__ import annotations

import json
import re

from reconciler.errors import Where

_BLANK = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode


def position(text: str, at: int | tuple[str | int, ...], file: str) -> Where:
    """Where an offset, or the value at a path of names and list positions, stands. The text must be valid JSON up to
    there; a path that goes past what exists ends at its nearest ancestor."""
    offset = at if isinstance(at, int) else _offset(text, at)
    line_start = text.rfind("\n", 0, offset) + 1
    return Where(file, text.count("\n", 0, offset) + 1, offset - line_start + 1)


def _offset(text: str, path: tuple[str | int, ...]) -> int:
    offset = _skip_blank(text, 0)
    for step in path:
        inner = _member(text, offset, step)
        if inner is None:
            break
        offset = inner
    return offset


def _member(text: str, start: int, step: str | int) -> int | None:
    """The offset of one member of the object or list that starts at `start`."""
    is_object = isinstance(step, str)
    if text[start] != ("{" if is_object else "["):
        return None
    offset, count = _skip_blank(text, start + 1), 0
    while text[offset] not in "}]":
        name: object = count
        if is_object:
            name, offset = _decode(text, offset)
            offset = _skip_blank(text, _skip_blank(text, offset) + 1)  # past the colon
        if name == step:
            return offset
        _, offset = _decode(text, offset)
        offset = _skip_blank(text, offset)
        if text[offset] == ",":
            offset = _skip_blank(text, offset + 1)
        count += 1
    return None


def _skip_blank(text: str, offset: int) -> int:
    found = _BLANK.match(text, offset)
    return found.end() if found else offset

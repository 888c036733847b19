"""multipart/form-data, read and written whole, with each part's name, file name, type and bytes.

A parser of our own because a form library gives parts without a file name as decoded text, and no order over both.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from werkzeug.http import parse_options_header


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form. `filename` and `type` are "" where the part has none."""

    name: str
    filename: str
    type: str  # without parameters
    content: bytes = field(repr=False)


class MalformedError(ValueError):
    """The body is not multipart/form-data, or breaks off."""


def parse(content_type: str, body: bytes) -> list[Part]:
    """The parts in the order in which they were sent."""
    mime, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if mime != "multipart/form-data" or not boundary:
        raise MalformedError("the content type must be multipart/form-data with a boundary")
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(delimiter)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise MalformedError("the form has no end")
    return [_part(piece) for piece in pieces[1:-1]]


def serialize(parts: Iterable[Part]) -> tuple[str, bytes]:
    """(content type, body). The boundary comes from the content: the same parts give the same bytes."""
    listed = list(parts)
    seed = hashlib.sha256(b"".join(part.name.encode() + part.content for part in listed)).hexdigest()
    lines = []
    for part in listed:
        filename = f'; filename="{_escape(part.filename)}"' if part.filename else ""
        lines.append(f'--{seed}\r\nContent-Disposition: form-data; name="{_escape(part.name)}"{filename}\r\n'.encode())
        lines.append(f"Content-Type: {part.type}\r\n\r\n".encode() if part.type else b"\r\n")
        lines.append(part.content + b"\r\n")
    lines.append(f"--{seed}--\r\n".encode())
    return f"multipart/form-data; boundary={seed}", b"".join(lines)


def _part(piece: bytes) -> Part:
    head, blank, content = piece.partition(b"\r\n\r\n")
    if not blank:
        raise MalformedError("a part of the form has no headers")
    headers = {}
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    _, options = _options(headers.get("content-disposition", ""))
    if "name" not in options:
        raise MalformedError("a part of the form has no name")
    mime, _, _ = headers.get("content-type", "").partition(";")
    return Part(_unescape(options["name"]), _unescape(options.get("filename", "")), mime.strip().lower(), content)


_options = functools.lru_cache(maxsize=256)(parse_options_header)  # uploads name the same few parts again and again


def _escape(name: str) -> str:
    """As browsers, undici and httpx do it."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _unescape(name: str) -> str:
    return name.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")

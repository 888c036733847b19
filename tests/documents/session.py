"""What a document tells people to type, typed: console blocks of Markdown in a shell of their own, on a terminal.

Law: every command of a document is either run as it stands or by a stand-in that its test names.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_QUESTION = re.compile(r"\[y/N\]: $")
SECONDS = 120


@dataclass(frozen=True)
class Ran:
    code: int
    printed: str


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return [text for name, text in _BLOCK.findall(document.read_text(encoding="utf-8")) if name == language]


def commands(document: Path) -> list[tuple[str, ...]]:
    """The commands of each console block: its lines behind `$ `; all others are what they print."""
    return [
        tuple(line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ "))
        for block in blocks(document, "console")
    ]


def shell(lines: Sequence[str], *, folder: Path, variables: Mapping[str, str]) -> Ran:
    """One shell for all lines, on a terminal; it stops at the first that fails. Whatever asks is answered with yes."""
    script = "\n".join(f"echo {_quoted('$ ' + line)}\n{line}" for line in lines)
    mine, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-ec", script],
            cwd=folder,
            env={"TERM": "dumb", "LANG": "C.UTF-8", "COLUMNS": "100", **variables},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        printed = ""
        for piece in _pieces(mine):
            printed += piece
            if _QUESTION.search(printed):
                os.write(mine, b"y\n")
                printed += "\n"
        return Ran(process.wait(SECONDS), printed)
    finally:
        os.close(mine)


def _pieces(terminal: int) -> Iterator[str]:
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how Linux says that nobody has the other end open any more
            return
        if not piece:
            return
        yield piece.decode(errors="replace").replace("\r\n", "\n")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"

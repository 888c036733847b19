"""Markdown as GitHub reads it, with foreign text that stays text: no mention, link, image, heading or HTML comes alive.

Law: foreign text stands only in code spans, in <code>, or in fences longer than any run of backticks inside them.
GitHub links @mentions and #numbers after rendering, entities or not, but never inside code.
"""

from __future__ import annotations

import html
import re
import string
from collections.abc import Iterable

from reconciler.show.style import cut
from reconciler.show.terminal import printable

# A comment may hold 262,144 bytes, a pull request's body 65,536 characters (github.com measures so; its own error says
# 65,536 for both). UTF-16 units are never fewer than characters, and 65,000 of them never more than 195,000 bytes.
CAP = 65_000
LONGEST_VALUE = 300
LONGEST_NAME = 64

_BACKTICKS = re.compile(r"`+")
# A customer's id needs no code span; "gh-12" and "deadbeef" do: GitHub links them to issues and commits.
_BARE = re.compile(r"(?!gh-\d+$)(?![0-9a-f]{7,40}$)[a-z][a-z0-9]*(-[a-z0-9]+)*")
_AMOUNT = re.compile(r"[\d,]+ [A-Za-z ]+( of [\d,]+ customers)?")  # "4,812 scripts of 1,204 customers"
_ENTITIES = {ord(character): f"&#{ord(character)};" for character in string.punctuation}


def length(text: str) -> int:
    """In UTF-16 code units, the strictest of the ways in which GitHub's limits are counted."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def name(text: str) -> str:
    """A customer's id as it is where nothing can happen to it, as code elsewhere."""
    return text if _BARE.fullmatch(text) and len(text) <= LONGEST_NAME else cell(text, LONGEST_NAME)


def code(text: str, longest: int = LONGEST_VALUE) -> str:
    """A code span that holds the text as it is; made printable, and cut when very long."""
    shown = _visible(text, longest) or " "
    ticks = "`" * (_longest_run(shown) + 1)
    # One space at each end is taken off, unless there is nothing but spaces.
    pad = " " if shown.strip(" ") and (shown[0] in "` " or shown[-1] in "` ") else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def cell(text: str, longest: int = LONGEST_VALUE) -> str:
    """Code inside a table, where a "|" ends the cell even within a code span."""
    shown = _visible(text, longest)
    return f"<code>{shown.translate(_ENTITIES)}</code>" if "|" in shown else code(text, longest)


def tag(text: str) -> str:
    """Code inside a line of HTML, such as a <summary>, where Markdown is not read."""
    shown = _visible(text, LONGEST_VALUE)
    return shown if _BARE.fullmatch(shown) or _AMOUNT.fullmatch(shown) else f"<code>{html.escape(shown)}</code>"


def fence(lines: Iterable[str], language: str) -> list[str]:
    shown = [printable(line.expandtabs(4)) for line in lines]
    ticks = "`" * max(3, max(map(_longest_run, shown), default=0) + 1)
    return [f"{ticks}{language}", *shown, ticks]


def within(fenced: list[str], room: int) -> list[str]:
    """A fence without the lines that there is no room for, and a line that counts them."""
    first, *lines, last = fenced
    kept: list[str] = []
    room -= length(first) + length(last) + 60
    for line in lines:
        room -= length(line) + 1
        if room < 0:
            kept.append(f"… and {len(lines) - len(kept):,} more lines")
            break
        kept.append(line)
    return [first, *kept, last]


def details(summary: str, body: str, *, attribute: str = "") -> str:
    """A section that is folded, unless the attribute is " open". `summary` is HTML.

    The blank lines let Markdown begin and end.
    """
    return f"<details{attribute}><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _visible(text: str, longest: int) -> str:
    return cut(printable(text).replace("\t", "\\t"), longest)


def _longest_run(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0)

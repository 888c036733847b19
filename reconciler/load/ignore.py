"""Patterns in the syntax of .gitignore: which of the files below a folder they leave out.

Law: git says the same (tests/unit/test_ignore.py). Our own and no library's, since customers write these patterns:
where a library makes regular expressions of them, a line with five stars takes ten seconds on one name. Here the
time is at most the product of both lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from reconciler.load.files import wild

Token = Callable[[str], bool]  # whether a character may stand here; _STAR for any run of them


class NoPattern(ValueError):
    """A line that is no pattern, and why."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line."""

    parts: tuple[str | tuple[Token, ...], ...]  # segments from the root of the folder; "**" for any run of folders
    includes: bool  # it began with "!"
    folders_only: bool


@dataclass(frozen=True, slots=True)
class Ignored:
    """The lines of a file; of those that match, the last one says."""

    patterns: tuple[Pattern, ...]

    def __contains__(self, path: str) -> bool:
        """Whether a file is left out. What lies in a folder that is left out cannot be taken in again."""
        parts = path.split("/")
        return any(self._says(parts[:count], count < len(parts)) for count in range(1, len(parts) + 1))

    def _says(self, parts: Sequence[str], is_folder: bool) -> bool:
        for one in reversed(self.patterns):
            if (is_folder or not one.folders_only) and wild(one.parts, parts, "**", _fits, lambda _: True):
                return not one.includes
        return False


def ignored(lines: Iterable[str]) -> Ignored:
    """Raises NoPattern for the first line that is none."""
    return Ignored(tuple(one for one in map(pattern, lines) if one is not None))


def pattern(line: str) -> Pattern | None:
    """What a line says; None for an empty one and a comment. Raises NoPattern."""
    text = _without_spaces(line)
    if not text or text.startswith("#"):
        return None
    includes, text = text.startswith("!"), text.removeprefix("!")
    folders_only, text = text.endswith("/"), text.removesuffix("/")
    if not text:
        raise NoPattern("it names nothing")
    # A name without a folder is looked for at any depth, and "/" at the begin says that it is not.
    segments = text.removeprefix("/").split("/") if "/" in text else ["**", text]
    if segments[-1] == "**":
        segments.append("*")  # all in a folder, and not the folder itself
    parts = tuple(one if one == "**" else tuple(_tokens(one)) for one in segments)
    return Pattern(parts, includes, folders_only)


def _fits(segment: str | tuple[Token, ...], name: str) -> bool:
    return not isinstance(segment, str) and wild(segment, name, _STAR, lambda one, character: one(character), _anything)


def _anything(_character: str) -> bool:
    return True


def _STAR(_character: str) -> bool:  # noqa: N802 - a token like any other, known by its identity
    return True


def _tokens(segment: str) -> Iterator[Token]:
    at = 0
    while at < len(segment):
        character = segment[at]
        at += 1
        if character == "*":
            yield _STAR
        elif character == "?":
            yield _anything
        elif character == "[":
            end = segment.find("]", at + (2 if segment[at : at + 1] in ("!", "^") else 1))
            if end < 0:
                raise NoPattern('"[" is never closed by "]"')
            yield _one_of(segment[at:end])
            at = end + 1
        elif character == "\\":
            if at == len(segment):
                raise NoPattern('"\\" takes the next character as it is, and there is none')
            yield segment[at].__eq__
            at += 1
        else:
            yield character.__eq__


def _one_of(text: str) -> Token:
    """The inside of brackets: characters and ranges of them, with "!" or "^" before them for all others."""
    negated = text[0] in "!^"
    text = text[1:] if negated else text
    ranges: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        if text[at + 1 : at + 2] == "-" and at + 2 < len(text):
            ranges.append((text[at], text[at + 2]))
            at += 3
        else:
            ranges.append((text[at], text[at]))
            at += 1
    return lambda character: negated != any(first <= character <= last for first, last in ranges)


def _without_spaces(line: str) -> str:
    """Spaces at the end count only behind a backslash."""
    text = line.rstrip(" ")
    slashes = len(text) - len(text.rstrip("\\"))
    return f"{text} " if slashes % 2 and len(text) < len(line) else text

"""Hostname and path patterns: one text in the repository, one regular expression in Python and in the dispatcher.

A pattern is literal text with `{script}` or `{customer}` in it. Names stop at the end of a label or a path segment,
so that one request can be read in one way only; workers/dispatcher.mjs builds the same expressions.
"""

from __future__ import annotations

import re
from functools import lru_cache

from reconciler.errors import Problem, Where

PLACEHOLDERS = ("script", "customer")

_HOLE = re.compile(r"\{(\w*)\}")
_NAME = "[a-z0-9_-]+"
_HOST_TEXT = re.compile(r"[a-z0-9-]*")
_PATH_TEXT = re.compile(r"[A-Za-z0-9._~-]*")


@lru_cache(maxsize=64)
def host_expression(pattern: str) -> re.Pattern[str]:
    """Matches a whole hostname."""
    return re.compile(_expression(pattern) + r"\Z")


@lru_cache(maxsize=64)
def path_expression(pattern: str) -> re.Pattern[str]:
    """Matches the beginning of a path, up to the end of a segment."""
    return re.compile(_expression(pattern) + "(?![^/])")


def filled(pattern: str, *, script: str, customer: str) -> str:
    """The pattern as the address of one script."""
    return pattern.replace("{script}", script).replace("{customer}", customer)


def uses(pattern: str, placeholder: str) -> bool:
    return f"{{{placeholder}}}" in pattern


def host_pattern_problems(pattern: str, where: Where | None) -> list[Problem]:
    """What is wrong with a hostname pattern, as it stands in platform.yaml."""
    labels = pattern.split(".")
    problems = _hole_problems("hostname pattern", pattern, labels, where)
    if len(labels) < 2 or _HOLE.search(labels[-1]):
        problems.append(
            Problem(
                f'hostname pattern "{pattern}" has no fixed domain at its end',
                where,
                why="it would answer for every host that reaches the dispatcher",
                fix='end it with your domain, as in "{script}.example.com"',
                code="route-pattern",
            )
        )
    if any(not label or not _HOST_TEXT.fullmatch(_HOLE.sub("", label)) for label in labels):
        problems.append(
            Problem(
                f'hostname pattern "{pattern}" holds what no hostname holds',
                where,
                why="labels have small letters, digits and hyphens, and dots between them; no port, scheme or path",
                fix='write it as in "{script}.example.com"',
                code="route-pattern",
            )
        )
    return problems


def path_pattern_problems(pattern: str, where: Where | None) -> list[Problem]:
    """What is wrong with a path pattern, as it stands in platform.yaml."""
    segments = pattern.split("/")[1:]
    problems = _hole_problems("path pattern", pattern, segments, where)
    sound = pattern.startswith("/") and all(
        segment not in ("", ".", "..") and _PATH_TEXT.fullmatch(_HOLE.sub("", segment)) for segment in segments
    )
    if not sound:
        problems.append(
            Problem(
                f'path pattern "{pattern}" is no path of whole segments',
                where,
                why="it begins with / and has letters, digits and . _ ~ - between slashes, without a slash at its end",
                fix='write it as in "/dispatch/{script}"',
                code="route-pattern",
            )
        )
    return problems


def _expression(pattern: str) -> str:
    pieces = _HOLE.split(pattern)  # text, placeholder, text, ...
    return "".join(
        f"(?P<{piece}>{_NAME})" if position % 2 else re.escape(piece) for position, piece in enumerate(pieces)
    )


def _hole_problems(kind: str, pattern: str, pieces: list[str], where: Where | None) -> list[Problem]:
    holes = _HOLE.findall(pattern)
    unit = "label" if kind == "hostname pattern" else "segment"
    unknown = [hole for hole in holes if hole not in PLACEHOLDERS]
    if unknown:
        return [
            Problem(
                f'{kind} "{pattern}" has an unknown placeholder "{{{unknown[0]}}}"',
                where,
                why="the placeholders are {script} and {customer}",
                fix="use one of them",
                code="route-pattern",
            )
        ]
    if not holes:
        return [
            Problem(
                f'{kind} "{pattern}" has no placeholder',
                where,
                why="a pattern answers for many scripts, so it must say where the script's name stands",
                fix="put {script} into it; a single hostname goes under the script's `hostnames`",
                code="route-pattern",
            )
        ]
    crowded = any(len(_HOLE.findall(piece)) > 1 for piece in pieces)
    if crowded or len(set(holes)) < len(holes):
        return [
            Problem(
                f'{kind} "{pattern}" can be read in more than one way',
                where,
                why=f"names hold hyphens, so each placeholder stands once, and alone in its {unit}",
                fix='put them in their own, as in "{script}.{customer}.example.com" or "/{customer}/{script}"',
                code="route-pattern",
            )
        ]
    return []

"""Problems as text, JSON, GitHub annotations and SARIF: where, what, why, fix.

To add a format: one function here and its line in FORMATS. All of them take the problems sorted, as the errors of
errors.py hold them. Foreign text is made harmless here, and nowhere before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.errors import Problem, Severity
from reconciler.show.style import PLAIN, Style, columns, shown
from reconciler.show.terminal import printable

# What GitHub shows of one step: more would be dropped in silence.
ANNOTATIONS = 10
SARIF_RESULTS = 5_000  # what code scanning keeps of a run
_EXCERPT = 160  # characters of a source line; minified code has lines of a megabyte


def text(problems: Sequence[Problem], style: Style = PLAIN) -> str:
    """For a terminal, with the source line and a caret, and a count at the end."""
    if not problems:
        return ""
    told = "\n\n".join("\n".join(_lines(one, style)) for one in problems)
    return f"{told}\n\n{_count(problems)}\n"


def as_json(problems: Sequence[Problem], style: Style = PLAIN) -> str:
    """One object with every problem, versioned."""
    del style
    found = [_fields(one) for one in problems]
    return json.dumps({"format_version": 1, "problems": found}, indent=2) + "\n"


def github(problems: Sequence[Problem], style: Style = PLAIN) -> str:
    """Workflow commands that annotate the files of a pull request.

    GitHub shows ten errors and ten warnings of a step; those past the ninth are counted in the tenth then, and stand in
    the run's summary.
    """
    del style
    return "".join(f"{one}\n" for severity in Severity for one in _annotations(problems, severity))


def sarif(problems: Sequence[Problem], style: Style = PLAIN) -> str:
    """SARIF 2.1.0, for code scanning."""
    del style
    kept = problems[:SARIF_RESULTS]
    codes = sorted({one.code for one in kept})
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "reconciler",
                        "rules": [{"id": code, "shortDescription": {"text": code.replace("-", " ")}} for code in codes],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, codes) for one in kept],
            }
        ],
    }
    return json.dumps(log, indent=2) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Problem], Style], str]] = {
    "text": text,
    "json": as_json,
    "github": github,
    "sarif": sarif,
}


def _lines(problem: Problem, style: Style) -> Iterator[str]:
    severity = style.paint(problem.severity.value, f"{problem.severity.value}:")
    place = style.paint("place", shown(str(problem.where))) + ": " if problem.where else ""
    yield f"{place}{severity} {style.paint('heading', shown(problem.what))}"
    yield from _excerpt(problem, style)
    if problem.why:
        yield f"  why: {shown(problem.why)}"
    if problem.fix:
        yield f"  fix: {shown(problem.fix)}"


def _excerpt(problem: Problem, style: Style) -> Iterator[str]:
    where = problem.where
    if where is None or not where.width or not problem.excerpt.strip():
        return
    line = problem.excerpt.replace("\t", " ")
    start = min(where.column - 1, len(line))
    cut = max(0, start - _EXCERPT // 2) if len(line) > _EXCERPT else 0
    part = line[cut : cut + _EXCERPT]
    before, marked = shown(part[: start - cut]), shown(part[start - cut :][: where.width])
    number = f"{where.line:>5}"
    yield f"{style.paint('faint', f'{number} | ')}{shown(part.rstrip())}"
    caret = "^" * max(1, columns(marked))
    bar = style.paint("faint", " " * len(number) + " | ")
    yield f"{bar}{' ' * columns(before)}{style.paint(problem.severity.value, caret)}"


def _count(problems: Sequence[Problem]) -> str:
    errors = sum(one.severity is Severity.ERROR for one in problems)
    files = len({one.where.file for one in problems if one.where})
    counts = [_number(errors, "problem")] if errors else []
    counts += [_number(len(problems) - errors, "warning")] if len(problems) > errors else []
    return " and ".join(counts) + (f" in {_number(files, 'file')}" if files else "")


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _fields(problem: Problem) -> dict[str, Any]:
    where = problem.where
    place = {"file": where.file, "line": where.line, "column": where.column, "width": where.width} if where else None
    return {
        "severity": problem.severity.value,
        "code": problem.code,
        "where": place,
        "what": problem.what,
        "why": problem.why,
        "fix": problem.fix,
    }


def _annotations(problems: Sequence[Problem], severity: Severity) -> Iterator[str]:
    found = [one for one in problems if one.severity is severity]
    for one in found[:ANNOTATIONS] if len(found) <= ANNOTATIONS else found[: ANNOTATIONS - 1]:
        yield _annotation(one)
    if len(found) > ANNOTATIONS:
        more = _number(len(found) - ANNOTATIONS + 1, "more problem")
        yield f"::{severity.value} title=reconciler::and {more}: the summary of this run holds all"


def _annotation(problem: Problem) -> str:
    where = problem.where
    properties = {"title": problem.code}
    if where is not None:
        end = where.column + where.width
        properties = {"file": where.file, "line": where.line, "col": where.column, "endColumn": end, **properties}  # type: ignore[dict-item]  # numbers are written as text
    listed = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    told = [problem.what, *(f"{name}: {one}" for name, one in (("why", problem.why), ("fix", problem.fix)) if one)]
    return f"::{problem.severity.value} {listed}::{_message(chr(10).join(printable(one) for one in told))}"


def _message(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _message(printable(value)).replace(":", "%3A").replace(",", "%2C")


def _result(problem: Problem, codes: Sequence[str]) -> dict[str, Any]:
    told = [printable(problem.what), *(printable(one) for one in (problem.why, problem.fix) if one)]
    result: dict[str, Any] = {
        "ruleId": problem.code,
        "ruleIndex": codes.index(problem.code),
        "level": problem.severity.value,
        "message": {"text": "\n".join(told)},
    }
    where = problem.where
    if where is not None:
        region = {"startLine": where.line}
        if where.width:
            region |= {"startColumn": where.column, "endColumn": where.column + where.width}
        artifact = {"uri": _uri(where.file), "uriBaseId": "%SRCROOT%"}
        result["locations"] = [{"physicalLocation": {"artifactLocation": artifact, "region": region}}]
    return result


def _uri(file: str) -> str:
    from urllib.parse import quote  # 10 ms that only this format pays

    return quote(file, safe="/", errors="surrogateescape")

"""Drift as one issue: opened when there is some, written over while it lasts, closed with a word when it is gone.

Found again by its label, its marker and its author. `read` is the other way of show/findings.to_json.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from reconciler.errors import ConfigError, Problem, Where
from reconciler.github.api import GitHub, Issue
from reconciler.model import Key
from reconciler.plan import Coverage
from reconciler.plan.results import Finding, FindingKind
from reconciler.show import findings as render_findings
from reconciler.show import markdown, words

LABEL = "reconciler-drift"
LIMIT = 65_536  # characters of an issue's body
_SAFE_MARGIN = 500


@dataclass(frozen=True, slots=True)
class Drift:
    """What a drift run found, and how much it read back to find it; None where it read nothing back."""

    findings: tuple[Finding, ...]
    coverage: Coverage | None = None


def read(text: str, file: str) -> Drift:
    """What `drift --format json` wrote. Raises ConfigError for anything else."""
    try:
        document = json.loads(text)
        if document["format_version"] != render_findings.FORMAT_VERSION:
            raise ValueError(f"it has format {document['format_version']}")
        return Drift(tuple(map(_finding, document["findings"])), _coverage(document["coverage"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        fix = "write it with `reconciler drift --format json`"
        raise ConfigError(
            [Problem("this holds no drift findings", Where(file), why=str(error), fix=fix, code="findings-file")]
        ) from None


def update(github: GitHub, drift: Drift, environment: str, run_url: str = "") -> tuple[str, Issue | None]:
    """Bring the issue in line with the findings; what was done with it (opened, updated, closed, nothing)."""
    found = _ours(github, environment)
    alarms = [one for one in drift.findings if one.kind in render_findings.ALARMS]
    if not alarms:
        for issue in found:
            _close(github, issue, run_url)
        return ("closed", found[0]) if found else ("nothing", None)
    title, text = _title(drift.findings, environment), body(drift, environment, run_url)
    if not found:
        return "opened", github.create_issue(title, text, LABEL)
    for doubled in found[1:]:
        _close(github, doubled, run_url, why=f"the same as #{found[0].number}")
    if found[0].title == title and _without_run(found[0].body) == _without_run(text):
        return "nothing", found[0]
    return "updated", github.update_issue(found[0].number, title=title, body=text)


def body(drift: Drift, environment: str, run_url: str = "") -> str:
    """The whole issue, never over the limit."""
    begin = f"{_marker(environment)}\n"
    end = (
        "\nThe next apply puts back what drifted. To keep a change, bring it into the repository; to let it be for a "
        "while, name it in `expected_drift:` of `platform.yaml`. This issue closes by itself.\n"
    )
    seen = words.coverage(drift.coverage) if drift.coverage is not None else ""
    run = " · ".join(filter(None, (seen, f"[the run that found it]({run_url})" if run_url else "")))
    last = f"\n<sub>{run}</sub>\n" if run else ""
    room = LIMIT - _SAFE_MARGIN - sum(map(markdown.length, (begin, end, last)))
    return begin + render_findings.as_markdown(drift.findings, min(markdown.CAP, room)) + end + last


def _ours(github: GitHub, environment: str) -> list[Issue]:
    """Oldest first."""
    login, marker = github.login(), _marker(environment)
    found = [one for one in github.issues(LABEL) if one.author == login and one.body.startswith(marker)]
    return sorted(found, key=lambda issue: issue.number)


def _close(github: GitHub, issue: Issue, run_url: str, why: str = "the last run found no drift") -> None:
    github.create_comment(issue.number, f"Closed: {why}{f' ([run]({run_url}))' if run_url else ''}.")
    github.update_issue(issue.number, state="closed", state_reason="completed")


def _title(findings: Sequence[Finding], environment: str) -> str:
    alarms = render_findings.summary([one for one in findings if one.kind in render_findings.ALARMS])
    return f"Drift in {environment}: {alarms}" if environment else f"Drift: {alarms}"


def _marker(environment: str) -> str:
    return f"<!-- reconciler drift env={quote(environment, safe='').replace('-', '%2D')} -->"


def _without_run(text: str) -> str:
    """Nobody is told of an issue whose only news is a younger run, and what that one read back."""
    return text.replace("\r\n", "\n").partition("\n<sub>")[0].rstrip()


def _coverage(row: Any) -> Coverage | None:
    if row is None:
        return None
    counts = ("checked", "total", "altered", "unseen", "unread", "days")
    return Coverage(oldest=str(row["oldest"]), **{name: int(row[name]) for name in counts})


def _finding(row: Any) -> Finding:
    where = Where(**row["where"]) if row["where"] else None
    return Finding(
        FindingKind(row["finding"]),
        Key(str(row["kind"]), str(row["name"])),
        customer=str(row["customer"]),
        explanation=str(row["explanation"]),
        where=where,
        who=str(row["who"]),
        at=str(row["at"]),
        expected_reason=str(row["expected_reason"]),
        expires=str(row["expires"]),
    )

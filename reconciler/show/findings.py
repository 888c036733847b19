"""What a drift run found, as text, JSON and Markdown: someone else's doing first, our own pending changes after.

To add a format: one function of findings, coverage and style, and one line in FORMATS.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from reconciler.plan import Coverage
from reconciler.plan.results import ALARMS as ALARMS
from reconciler.plan.results import Finding, FindingKind
from reconciler.show import markdown, words
from reconciler.show.style import PLAIN, Style, columns, pad, shown

FORMAT_VERSION = 1
MEANINGS = {
    FindingKind.DRIFTED: "changed by someone else; the next apply puts it back (live → repository)",
    FindingKind.MISSING: "deleted by someone else; the next apply makes it again",
    FindingKind.OBSERVED: "not ours, watched, and changed; no apply touches it",
    FindingKind.UNMANAGED: "live and not ours; left alone",
    FindingKind.PENDING: "the repository is ahead; the next apply brings it",
    FindingKind.EXPECTED: "drift that the repository allows for a while",
}
SHOWN_OF_A_KIND = 200


def text(findings: Sequence[Finding], style: Style = PLAIN, coverage: Coverage | None = None) -> str:
    """Kind by kind; the last line alone is enough."""
    lines: list[str] = []
    for kind, found in _by_kind(findings).items():
        role = "error" if kind in ALARMS else "heading"
        lines.append(f"{style.paint(role, kind.value)}  {style.paint('faint', MEANINGS[kind])}")
        width = min(40, max(columns(shown(words.title(one.key))) for one in found))
        for one in found[:SHOWN_OF_A_KIND]:
            lines += _lines(one, style, width)
        if len(found) > SHOWN_OF_A_KIND:
            lines.append(style.paint("faint", f"  … and {words.number(len(found) - SHOWN_OF_A_KIND)} more"))
        lines.append("")
    if coverage is not None:
        lines.append(style.paint("faint", words.coverage(coverage)))
    return "\n".join([*lines, style.paint("heading", f"Drift: {summary(findings)}")]) + "\n"


def to_json(findings: Sequence[Finding], coverage: Coverage | None = None) -> str:
    """Sorted as found, one line for each; ASCII, so that no name does anything to a log."""
    rows = [json.dumps(_plain(finding), sort_keys=True) for finding in findings]
    listed = "[\n  " + ",\n  ".join(rows) + "\n]" if rows else "[]"
    counts = {kind.value: len(found) for kind, found in _by_kind(findings).items()}
    told = {kind.value: counts.get(kind.value, 0) for kind in FindingKind} | {"text": summary(findings)}
    seen = {**dataclasses.asdict(coverage), "text": words.coverage(coverage)} if coverage is not None else None
    parts = {
        "coverage": json.dumps(seen, sort_keys=True),
        "findings": listed,
        "format_version": str(FORMAT_VERSION),
        "summary": json.dumps(told, sort_keys=True),
    }
    return "{\n" + ",\n".join(f'"{name}": {part}' for name, part in parts.items()) + "\n}\n"


def as_markdown(findings: Sequence[Finding], cap: int = markdown.CAP, coverage: Coverage | None = None) -> str:
    """For an issue: the first line says it all; cut at a row's end, with a count of what is left out."""
    parts = [f"**{summary(findings)}**\n"]
    if coverage is not None:
        parts.append(f"\n<sub>{words.coverage(coverage)}</sub>\n")
    # 400 of each kind go to its heading and to the line that counts what is left out.
    room = cap - markdown.length("".join(parts)) - 400 * len(FindingKind)
    for kind, found in _by_kind(findings).items():
        rows = [_row(finding) for finding in found]
        kept: list[str] = []
        for row in rows:
            room -= markdown.length(row) + 1
            if room < 0:
                break
            kept.append(row)
        parts.append(f"\n### {kind.value}\n\n{MEANINGS[kind]}\n")
        if kept:
            parts.append("\n| what | customer | difference | by |\n|-|-|-|-|\n" + "\n".join(kept) + "\n")
        if left := len(rows) - len(kept):
            parts.append(f"\n… and {words.number(left)} more that do not fit here\n")
    return "".join(parts)


def summary(findings: Sequence[Finding]) -> str:
    """`2 drifted, 1 missing · 3 unmanaged, 4 pending`, alarms first."""
    counts = {kind: f"{words.number(len(found))} {kind.value}" for kind, found in _by_kind(findings).items()}
    alarms = [told for kind, told in counts.items() if kind in ALARMS] or ["none"]
    others = [told for kind, told in counts.items() if kind not in ALARMS]
    return " · ".join(", ".join(part) for part in (alarms, others) if part)


FORMATS: Mapping[str, Callable[[Sequence[Finding], Style, Coverage | None], str]] = {
    "text": text,
    "json": lambda findings, _, coverage: to_json(findings, coverage),
    "markdown": lambda findings, _, coverage: as_markdown(findings, coverage=coverage),
}


def _by_kind(findings: Sequence[Finding]) -> dict[FindingKind, list[Finding]]:
    """Kinds that occur, in the order of FindingKind."""
    found = {kind: [one for one in findings if one.kind is kind] for kind in FindingKind}
    return {kind: some for kind, some in found.items() if some}


def _lines(finding: Finding, style: Style, width: int) -> Iterator[str]:
    customer = shown(finding.customer or words.PLATFORM) if finding.kind is not FindingKind.UNMANAGED else ""
    place = style.paint("place", shown(str(finding.where))) if finding.where else ""
    name = pad(shown(words.title(finding.key)), width)
    yield f"  ● {name}  {'  '.join(part for part in (style.paint('faint', customer), place) if part)}".rstrip()
    told = finding.differences or ((finding.explanation,) if finding.explanation else ())
    for one in told[: words.GIST_SHOWN]:
        yield f"      {style.cut(shown(one), 6)}"
    if len(told) > words.GIST_SHOWN:
        yield f"      {style.paint('faint', f'… and {words.number(len(told) - words.GIST_SHOWN)} more')}"
    if by := _by(finding):
        yield f"      {style.paint('faint', style.cut(shown(by), 6))}"
    if finding.expected_reason:
        reason = f"expected until {finding.expires}: {finding.expected_reason}"
        yield f"      {style.cut(shown(reason), 6)}"


def _by(finding: Finding) -> str:
    """Who wrote it last and when, as far as that is known; whoever wrote it before us does not matter."""
    if finding.kind is FindingKind.PENDING:
        return ""
    return " ".join(part for part in (finding.who and f"by {finding.who}", finding.at and f"at {finding.at}") if part)


def _row(finding: Finding) -> str:
    told = [markdown.cell(finding.explanation)] if finding.explanation else []
    if finding.expected_reason:
        told.append(f"until {markdown.cell(finding.expires)}: {markdown.cell(finding.expected_reason)}")
    if finding.where:
        told.append(markdown.cell(str(finding.where)))
    customer = markdown.name(finding.customer) if finding.customer else ""
    by = markdown.cell(_by(finding)) if _by(finding) else ""
    name = markdown.cell(words.title(finding.key))
    return f"| {name} | {customer} | {'<br>'.join(told)} | {by} |"


def _plain(finding: Finding) -> dict[str, object]:
    """The customer stands beside the kind and name of the resource; a place is its three parts, or null."""
    return {
        **{
            name: getattr(finding, name)
            for name in ("customer", "explanation", "who", "at", "expected_reason", "expires")
        },
        "finding": finding.kind.value,
        "kind": finding.key.kind,
        "name": finding.key.name,
        "where": dataclasses.asdict(finding.where) if finding.where else None,
    }

"""A plan as one HTML file that needs nothing else: searchable, foldable, light and dark, with every diff.

Law: the template escapes everything, and all that is not ours goes through `printable` first (Jinja's `finalize`, one
place). The policy in its head lets no host be reached and runs no script but the one whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from typing import Any

from reconciler.errors import Problem
from reconciler.plan import Action, CodeChange, FieldChange, Plan
from reconciler.show import words
from reconciler.show.outline import Entry, Group, Outline, Shared, identity, outline
from reconciler.show.terminal import printable

DIFF_LINES_SHOWN = 2_000  # of one module
FIELDS_SHOWN = 2_000  # of one change; the table of a large platform may have more
CHANGES_OPEN_UP_TO = 12  # entries; a plan of a few changes needs no click
GROUPS_OPEN_UP_TO = 300
RISK_ROWS = 1_000  # of one risk; every change stands further down as well
LARGEST_BAR = 1_000  # units of the bar that shows the shares of create, update and delete


def render(plan: Plan) -> str:
    """The same bytes for the same plan."""
    import jinja2  # 0.13 s: only this format pays for it
    from markupsafe import Markup

    def visible(value: Any) -> Any:
        """What a browser would hide or obey, such as a right-to-left override, is shown as an escape."""
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=visible
    )
    style, script = _resource("plan.css"), _resource("plan.js")
    return environment.from_string(_resource("plan.html.j2")).render(
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        style_hash=_hash(style),
        script_hash=_hash(script),
        view=_view(plan),
    )


@dataclass(frozen=True, slots=True)
class _Field:
    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class _Run:
    """Lines of a diff that are of one kind."""

    tag: str  # "ins", "del", "i" for where a hunk begins, "span"
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Module:
    name: str
    action: str
    symbol: str
    injected: bool
    came: int
    went: int
    size: str
    diff: tuple[_Run, ...]
    left: int  # lines of the diff that are not shown
    same_as: str  # the id of the row that shows the diff for all scripts that share it


@dataclass(frozen=True, slots=True)
class _Row:
    """One entry of the outline."""

    id: str
    action: str
    symbol: str
    title: str
    cause: str
    gist: str
    where: str
    names: tuple[str, ...]
    fields: tuple[_Field, ...]
    fields_left: str
    modules: tuple[_Module, ...]
    unread: str
    preflight: tuple[str, ...]
    failed: bool  # the preflight
    search: str
    count: int

    @property
    def told(self) -> bool:
        return bool(self.where or self.names or self.fields or self.modules or self.unread or self.preflight)


@dataclass(frozen=True, slots=True)
class _Section:
    title: str
    counts: tuple[tuple[str, str], ...]  # action and "+3"
    rows: tuple[_Row, ...]


@dataclass(frozen=True, slots=True)
class _RiskRow:
    symbol: str
    action: str
    title: str
    customer: str
    told: str
    ours: bool  # told in our own words, not by fields and modules
    link: str  # the id of the row it is about; "" for what is not carried out


@dataclass(frozen=True, slots=True)
class _Risk:
    name: str
    amount: str
    rows: tuple[_RiskRow, ...]
    left: str  # how many more there are; "" for none


@dataclass(frozen=True)
class _View:
    plan: Plan
    headline: str
    digest: str
    tiles: tuple[tuple[str, str, str], ...]  # class, number, label
    bar: tuple[tuple[str, int, int], ...]  # class, start, width
    effort: str
    bill: str
    problems: tuple[tuple[Problem, str], ...]  # and its place
    risks: tuple[_Risk, ...]
    sections: tuple[_Section, ...]
    notes: tuple[tuple[str, str, tuple[str, ...]], ...]  # label, words, names
    rows: int
    changes_open: bool
    groups_open: bool


def _view(plan: Plan) -> _View:
    view = outline(plan)
    ids = {
        id(entry): f"c{number}"
        for number, entry in enumerate([*view.alike, *(entry for group in view.groups for entry in group.entries)])
    }
    shared = {identity(one.code): f"s{number}" for number, one in enumerate(view.shared)}
    sections = [_section(group, ids, shared) for group in view.groups]
    if view.alike:
        rows = tuple(_row(entry, ids[id(entry)], shared) for entry in view.alike)
        sections.insert(0, _Section("alike for several customers", (), rows))
    if view.shared:
        rows = tuple(_shared_row(one, shared[identity(one.code)]) for one in view.shared)
        sections.insert(0, _Section("the same change of code in several scripts", (), rows))
    return _View(
        plan=plan,
        headline=", ".join(words.counts(plan)),
        digest=plan.digest[: words.PLAN_DIGEST],
        tiles=tuple(_tiles(plan)),
        bar=tuple(_bar(plan)),
        effort=f"{words.many(plan.cost.requests, 'request', 'requests')}, about {words.duration(plan.cost.seconds)}",
        bill=words.bill(plan.cost),
        problems=tuple((one, str(one.where or "")) for one in (*plan.problems, *plan.refusals, *plan.warnings)),
        risks=(*_held_back(plan), *_risks(view, ids)),
        sections=tuple(sections),
        notes=tuple(_notes(plan)),
        rows=view.entries,
        changes_open=view.entries <= CHANGES_OPEN_UP_TO,
        groups_open=view.entries <= GROUPS_OPEN_UP_TO,
    )


def _tiles(plan: Plan) -> Iterator[tuple[str, str, str]]:
    for action, count in plan.count.items():
        yield action.value, words.number(count), f"to {action.value}"
    yield "unchanged", words.number(plan.unchanged), "unchanged"
    if plan.withheld:
        yield "withheld", words.number(len(plan.withheld)), "withheld"
    if plan.blocked:
        yield "blocked", words.number(len(plan.blocked)), "blocked"


def _bar(plan: Plan) -> Iterator[tuple[str, int, int]]:
    """The shares of the changes, each at least wide enough to be seen."""
    counts = [(action.value, count) for action, count in plan.count.items() if count]
    widths = [max(LARGEST_BAR // 50, LARGEST_BAR * count // len(plan.changes)) for _, count in counts]
    start = 0
    for (action, _), width in zip(counts, widths, strict=True):
        scaled = LARGEST_BAR * width // sum(widths)
        yield action, start, scaled
        start += scaled


def _held_back(plan: Plan) -> Iterator[_Risk]:
    for label, changes in (("withheld", plan.withheld), ("blocked", plan.blocked)):
        if changes:
            yield _risk(label, [_risk_row(Entry((change,)), words.cause(change), "") for change in changes])


def _risks(view: Outline, ids: dict[int, str]) -> Iterator[_Risk]:
    for risk, entries in view.risks:
        yield _risk(risk.name, [_risk_row(entry, risk.tell(entry.first), ids.get(id(entry), "")) for entry in entries])


def _risk(name: str, rows: list[_RiskRow]) -> _Risk:
    left = len(rows) - RISK_ROWS
    return _Risk(name, words.number(len(rows)), tuple(rows[:RISK_ROWS]), words.number(left) if left > 0 else "")


def _risk_row(entry: Entry, told: str, link: str) -> _RiskRow:
    change = entry.first
    customer = (change.customer or words.PLATFORM) if len(entry.customers) == 1 else ""
    title, ours = words.titled(entry.changes), told in words.OWN
    return _RiskRow(change.action.symbol, change.action.value, title, customer, told, ours, link)


def _section(group: Group, ids: dict[int, str], shared: Mapping[tuple[str, str, str], str]) -> _Section:
    counts = tuple((action.value, f"{action.symbol}{words.number(n)}") for action, n in group.count.items() if n)
    rows = tuple(_row(entry, ids[id(entry)], shared) for entry in group.entries)
    return _Section(group.customer or words.PLATFORM, counts, rows)


def _shared_row(one: Shared, row_id: str) -> _Row:
    names = tuple(words.titles(one.changes))
    return _Row(
        id=row_id,
        action=Action.UPDATE.value,
        symbol=Action.UPDATE.symbol,
        title=one.code.module,
        cause=f"in {words.alike(one.changes)}",
        gist=words.code_gist(one.code),
        where="",
        names=names,
        fields=(),
        fields_left="",
        modules=(_module(one.code, {}),),
        unread="",
        preflight=(),
        failed=False,
        search=" ".join((one.code.module, *names)).lower(),
        count=0,
    )


def _row(entry: Entry, row_id: str, shared: Mapping[tuple[str, str, str], str]) -> _Row:
    change, several = entry.first, len(entry.changes) > 1
    told = change.explanation
    names = tuple(words.titles(entry.changes)) if several else ()
    fields_left = len(words.fields(change)) - FIELDS_SHOWN
    gist, where = words.gist(change), change.after.where if change.after and not several else None
    searched = [words.titled(entry.changes), *names, *entry.customers, words.cause(change), *words.differences(change)]
    return _Row(
        id=row_id,
        action=change.action.value,
        symbol=change.action.symbol,
        title=words.titled(entry.changes),
        cause=words.cause(change),
        gist=gist,
        where=str(where or ""),
        names=names,
        fields=tuple(_field(one, change.action) for one in words.fields(change)[:FIELDS_SHOWN]),
        fields_left=words.number(fields_left) if fields_left > 0 else "",
        modules=tuple(_module(one, shared) for one in told.code) if told else (),
        unread=told.unread if told else "",
        preflight=tuple(words.preflight(change)),
        failed=bool(change.preflight and change.preflight.problems),
        search=" ".join(searched).lower(),
        count=len(entry.changes),
    )


def _field(change: FieldChange, action: Action) -> _Field:
    before, after = words.sides(change)
    if action is Action.UPDATE:
        return _Field(words.path(change), before, after)
    return _Field(words.path(change), *(("", after) if action is Action.CREATE else (before, "")))


def _module(change: CodeChange, shared: Mapping[tuple[str, str, str], str]) -> _Module:
    action = words.code_action(change)
    came, went = words.line_counts(change.diff)
    return _Module(
        name=change.module,
        action=action.value,
        symbol=action.symbol,
        injected=change.injected,
        came=came,
        went=went,
        size=words.code_size(change),
        diff=tuple(_runs(change.diff[:DIFF_LINES_SHOWN])),
        left=max(0, len(change.diff) - DIFF_LINES_SHOWN),
        same_as=shared.get(identity(change), ""),
    )


_TAGS = {"+": "ins", "-": "del", "@": "i"}


def _runs(diff: Sequence[str]) -> Iterator[_Run]:
    for tag, lines in groupby(diff, lambda line: _TAGS.get(line[:1], "span")):
        yield _Run(tag, tuple(line.expandtabs(4) for line in lines))


def _notes(plan: Plan) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    if plan.unverified:
        yield "not verified", f"{words.unverified(plan)}; --verify reads them back", ()
    if plan.coverage:
        yield "verified", words.coverage(plan.coverage), ()
    if plan.unmanaged:
        yield "unmanaged", words.unmanaged(plan), tuple(key.name for key in plan.unmanaged)
    if plan.orphans:
        yield "kept", words.orphans(plan), tuple(key.name for key in plan.orphans)
    if plan.scope:
        yield "scope", "only these customers were looked at; nothing else is touched", plan.scope
    if plan.undoes:
        yield "undoes", words.many(len(plan.undoes), "commit", "commits"), plan.undoes


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a Content-Security-Policy names an inline style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"

"""A plan as a GitHub comment: the first line says it all, then what is risky, then customer by customer, folded.

Law: never longer than the cap, and cut only between whole rows, with a count of what is left out. Every change is
told in a line before any is told with its fields, and all with their fields before any with its code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from reconciler.model import Key
from reconciler.plan import Action, Cause, Change, CodeChange, FieldChange, Plan
from reconciler.show import words
from reconciler.show.markdown import CAP, LONGEST_NAME, cell, code, details, fence, length, name, tag, within
from reconciler.show.outline import Entry, Group, Outline, Shared, outline
from reconciler.show.plan_text import problem_lines
from reconciler.show.style import Style

NAMES_SHOWN = 24  # of a fold
FIRST_NAMES_SHOWN = 6
DIFF_LINES_SHOWN = 300  # of one module
FIELDS_SHOWN = 60  # of one change
OPEN_UP_TO = 8  # entries; a plan of a few changes is shown unfolded
RISK_SHARE = 3  # the table of risks takes a third of the room at most, and refusals another
RISK_ROWS = 12  # of one risk; deletes as many as there is room for
_COUNT_OF_LEFT_OUT = 250  # room for the line that tells it

_FENCED = Style(width=110)


def render(plan: Plan, cap: int = CAP) -> str:
    """Markdown of at most `cap` UTF-16 code units (20,000 at the least)."""
    view = outline(plan)
    above = [*_head(plan), *_refused(plan, cap // RISK_SHARE), *_risks(view, plan, cap // RISK_SHARE)]
    below = list(_notes(plan))
    sections = _sections(view)
    left = _choose(sections, cap - length("\n\n".join(above + below)) - _COUNT_OF_LEFT_OUT)
    shown = [text for section in sections if (text := section.text())]
    return "\n\n".join([*above, *shown, *_left_out(left), *below]) + "\n"


@dataclass
class _Row:
    """One entry: its line, its more detailed forms, and the one that there is room for; none as long as it is ""."""

    entry: Entry
    line: str
    detailed: Callable[[Entry], list[str]]
    chosen: str = ""


@dataclass
class _Section:
    """What is folded together. Its rows share the cost of being there at all."""

    summary: str
    attribute: str = ""
    rows: list[_Row] = field(default_factory=list)

    def text(self) -> str:
        rows = [row.chosen for row in self.rows if row.chosen]
        joined = "".join(f"{_gap(before, row)}{row}" for before, row in zip(["", *rows], rows, strict=False))
        return details(self.summary, joined, attribute=self.attribute) if rows else ""


def _gap(before: str, row: str) -> str:
    """Lines of one list follow each other; everything else stands apart."""
    if not before:
        return ""
    return "\n" if before.startswith("- ") and row.startswith("- ") else "\n\n"


def _choose(sections: Sequence[_Section], room: int) -> list[_Row]:
    """Give every row the most detailed form that there is room for, and return the rows that there is none for."""
    rows = [row for section in sections for row in section.rows]
    frames = {id(section.rows[0]): length(details(section.summary, "")) + 10 for section in sections}
    kept = 0
    for row in rows:
        room -= length(row.line) + 2 + frames.get(id(row), 0)
        if room < 0:
            break
        row.chosen = row.line
        kept += 1
    forms = [row.detailed(row.entry) for row in rows[:kept]]
    for level in range(max(map(len, forms), default=0)):
        for row, detailed in zip(rows[:kept], forms, strict=True):
            more = length(detailed[level]) - length(row.chosen) if level < len(detailed) else room + 1
            if more <= room:
                room -= more
                row.chosen = detailed[level]
    return rows[kept:]


def _head(plan: Plan) -> Iterator[str]:
    counts, *_ = words.summary(plan)
    parts = [f"**{counts}**"]
    if customers := words.affected(plan):
        parts.append(words.some(list(map(name, customers[: words.NAMES_SHOWN + 1])), total=len(customers)))
    if plan.changes:
        parts.append(words.effort(plan.cost))
    if not plan:
        parts.append(f"{words.number(plan.unchanged)} as they should be")
    yield " · ".join(parts)
    environment = f" ({code(plan.environment)})" if plan.environment else ""
    yield f"<sub>namespace {code(plan.namespace)}{environment} · plan {code(plan.digest[: words.PLAN_DIGEST])}</sub>"


def _refused(plan: Plan, room: int) -> Iterator[str]:
    """What a guard or a foreign name stands in the way of."""
    parts = []
    if plan.withheld:
        parts.append(words.many(len(plan.withheld), "delete is withheld", "deletes are withheld"))
    if plan.blocked:
        parts.append(words.many(len(plan.blocked), "change is blocked", "changes are blocked"))
    if parts:
        yield f"> [!CAUTION]\n> **{' and '.join(parts)} in this run**"
    problems = [
        line for one in (*plan.problems, *plan.refusals, *plan.warnings) for line in problem_lines(one, _FENCED)
    ]
    if problems:
        yield "\n".join(within(fence(problems, "text"), room))


def _risks(view: Outline, plan: Plan, room: int) -> Iterator[str]:
    rows: list[tuple[str, list[str]]] = []
    for label, changes in (("withheld", plan.withheld), ("blocked", plan.blocked)):
        rows.append((label, [_risk_row(Entry((change,)), words.cause(change)) for change in changes]))
    for risk, entries in view.risks:
        told = [_risk_row(entry, risk.tell(entry.first)) for entry in entries]
        rows.append((risk.name, told if risk.name == "deletes" or len(told) <= RISK_ROWS else _first(told)))
    lines = ["| look twice | change | customer | what |", "|-|-|-|-|"]
    for label, told in rows:
        for position, row in enumerate(told):
            room -= length(row) + len(label) + 10
            if room < 0:
                lines.append(f"| **{label}** | … and {words.number(len(told) - position)} more | | |")
                break
            lines.append(f"| {f'**{label}**' if not position else ''} {row}")
    if len(lines) > 2:
        yield "\n".join(lines)


def _first(rows: list[str]) -> list[str]:
    return [*rows[:RISK_ROWS], f"| … and {words.number(len(rows) - RISK_ROWS)} more | | |"]


def _risk_row(entry: Entry, told: str) -> str:
    customer = name(entry.first.customer or words.PLATFORM) if len(entry.customers) == 1 else ""
    title = cell(f"{entry.first.action.symbol} {words.titled(entry.changes)}")
    return f"| {title} | {customer} | {_spoken(told)} |"


def _spoken(told: str) -> str:
    """Our own words as they are, everything else as code."""
    return told if told in words.OWN else cell(told)


def _sections(view: Outline) -> list[_Section]:
    attribute = " open" if view.entries <= OPEN_UP_TO else ""
    sections = [_shared(one, attribute) for one in view.shared]
    for entry in view.alike:
        sections.append(
            _Section(_fold_summary(entry), attribute, [_Row(entry, _names(entry, FIRST_NAMES_SHOWN), _fold)])
        )
    for group in view.groups:
        rows = [_Row(entry, _line(entry), _detailed) for entry in group.entries]
        sections.append(_Section(_group_summary(group), attribute, rows))
    return sections


def _shared(one: Shared, attribute: str) -> _Section:
    """Code that changed alike in several scripts: their names, then its diff as well."""
    came, went = words.line_counts(one.code.diff)
    scripts = tag(words.alike(one.changes))
    names = _names(Entry(one.changes), FIRST_NAMES_SHOWN)
    return _Section(
        f"<b>{tag(f'~ {one.code.module}')}</b>{_mark(one.code)} in {scripts} +{came} −{went}",
        attribute,
        [_Row(Entry(()), names, lambda _: ["\n\n".join([names, _fenced(one.code)])])],
    )


def _group_summary(group: Group) -> str:
    counts = " ".join(f"{action.symbol}{words.number(count)}" for action, count in group.count.items() if count)
    return f"<b>{tag(group.customer or words.PLATFORM)}</b> {counts}"


def _fold_summary(entry: Entry) -> str:
    gist = words.gist(entry.first)
    told = f"<b>{tag(words.alike(entry.changes))}</b>"
    return f"{told}: {tag(gist)}" if gist else told


def _fold(entry: Entry) -> list[str]:
    names = _names(entry, NAMES_SHOWN)
    fields, whole = (_blocks(entry.first, diffs=diffs) for diffs in (False, True))
    return [names, "\n\n".join([names, *fields]), "\n\n".join([names, *whole])]


def _names(entry: Entry, shown: int) -> str:
    titles = [code(title, LONGEST_NAME) for title in words.titles(entry.changes[: shown + 1])]
    return words.some(titles, shown, total=len(entry.changes))


def _line(entry: Entry) -> str:
    change = entry.first
    gist = words.gist(change)
    line = f"- {_title(entry)} {_cause(change)}{f' · {code(gist)}' if gist else ''}"
    return line if len(entry.changes) == 1 else f"{line}\n  {_names(entry, FIRST_NAMES_SHOWN)}"


def _detailed(entry: Entry) -> list[str]:
    """With the fields, and with the code; nothing where there is no more to tell."""
    change = entry.first
    where = change.after.where if change.after and len(entry.changes) == 1 else None
    head = f"**{_title(entry)}** {_cause(change)}{f' · {code(str(where))}' if where else ''}"
    if len(entry.changes) > 1:
        head += f"\n\n{_names(entry, NAMES_SHOWN)}"
    forms = [_blocks(change, diffs=diffs) for diffs in (False, True)]
    return ["\n\n".join([head, *blocks]) for blocks in forms if blocks]


def _title(entry: Entry) -> str:
    return code(f"{entry.first.action.symbol} {words.titled(entry.changes)}")


def _cause(change: Change) -> str:
    told = words.taken_over(change.explanation) if change.cause is Cause.ADOPTED else words.CAUSES[change.cause]
    replaced = change.after.previously if change.after and change.action is Action.CREATE else ()
    return f"{told}, was {words.some([code(one, LONGEST_NAME) for one in replaced])}" if replaced else told


def _blocks(change: Change, *, diffs: bool) -> list[str]:
    """The fields as a table, then the modules: by size, or with their diffs."""
    told = change.explanation
    if change.action is Action.DELETE:
        return []  # what a deleted one was is in git
    blocks = [f"preflight: {code(one)}" for one in words.preflight(change)]
    if told is None:
        return blocks
    if fields := words.fields(change):
        blocks.append(_table(fields[:FIELDS_SHOWN], change.action))
    if left := fields[FIELDS_SHOWN:]:
        blocks.append(f"… and {words.many(len(left), 'more field', 'more fields')}")
    lines = [line for module in told.code if not (diffs and _has_diff(module)) for line in [_module(module)]]
    if lines:
        blocks.append("\n".join(lines))
    if diffs:
        blocks += [_diff(module) for module in told.code if _has_diff(module)]
    if told.unread:
        blocks.append(code(told.unread))
    return blocks


def _table(fields: Sequence[FieldChange], action: Action) -> str:
    if action is Action.UPDATE:
        rows = [
            f"| {cell(words.path(one))} | {' | '.join(cell(side) if side else '' for side in words.sides(one))} |"
            for one in fields
        ]
        return "\n".join(["| | before | after |", "|-|-|-|", *rows])
    side = 1 if action is Action.CREATE else 0
    rows = [f"| {cell(words.path(one))} | {cell(words.sides(one)[side])} |" for one in fields]
    return "\n".join(["| | |", "|-|-|", *rows])


def _has_diff(module: CodeChange) -> bool:
    """A whole new file is in the pull request already, and one that goes is in git."""
    return bool(module.diff) and words.code_action(module) is Action.UPDATE


def _module(module: CodeChange) -> str:
    title = code(f"{words.code_action(module).symbol} {module.module}")
    return f"- {title}{_mark(module)} {code(words.code_size(module))}"


def _diff(module: CodeChange) -> str:
    came, went = words.line_counts(module.diff)
    return details(f"{tag(f'~ {module.module}')}{_mark(module)} +{came} −{went}", _fenced(module))


def _fenced(module: CodeChange) -> str:
    lines = list(module.diff[:DIFF_LINES_SHOWN])
    if left := len(module.diff) - len(lines):
        lines.append(f"@@ … {words.number(left)} more lines @@")
    return "\n".join(fence(lines, "diff"))


def _mark(module: CodeChange) -> str:
    return " (platform module)" if module.injected else ""


def _left_out(left: Sequence[_Row]) -> Iterator[str]:
    if left:
        changes = sum(len(row.entry.changes) for row in left)
        customers = {change.customer for row in left for change in row.entry.changes}
        told = f"{words.many(changes, 'change', 'changes')} of {words.many(len(customers), 'customer', 'customers')}"
        yield f"**{told} did not fit here**; the HTML and JSON forms of this plan show every change."


def _notes(plan: Plan) -> Iterator[str]:
    """What else a reader should know."""
    lines = [f"- cost: {words.bill(plan.cost)}"] if plan.changes else []
    if plan.unverified:
        lines.append(f"- not verified: {words.unverified(plan)}; `--verify` reads them back")
    if plan.coverage:
        lines.append(f"- verified: {words.coverage(plan.coverage)}")
    if plan.unmanaged:
        lines.append(f"- unmanaged: {words.unmanaged(plan)}: {_keys(plan.unmanaged)}")
    if plan.orphans:
        lines.append(f"- kept: {words.orphans(plan)}: {_keys(plan.orphans)}")
    if plan.scope:
        lines.append(f"- scope: only {words.some(list(map(name, plan.scope)))}; nothing else is touched")
    if plan.undoes:
        commits = words.some([code(one, LONGEST_NAME) for one in plan.undoes], words.COMMITS_SHOWN)
        lines.append(f"- undoes {words.many(len(plan.undoes), 'commit', 'commits')}: {commits}")
    if lines:
        yield "\n".join(lines)


def _keys(keys: Sequence[Key]) -> str:
    return words.some([code(key.name, LONGEST_NAME) for key in keys])

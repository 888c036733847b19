"""A plan for the terminal: what is refused first, then customer by customer, the summary last.

Law: every line that holds foreign text begins with a mark of ours, and all of it went through `printable`, so that
no name and no code can write escape sequences or commands of a CI log.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from reconciler.errors import Problem, Severity
from reconciler.model import Key
from reconciler.plan import Action, Change, CodeChange, FieldChange, Plan
from reconciler.show import words
from reconciler.show.outline import Entry, Group, Outline, outline
from reconciler.show.style import PLAIN, Style, columns, cut, pad, shown

# A plan of more entries than this is told in one line each, the first few of each customer; deletes always by name.
DETAILED_ENTRIES = 200
GROUPS_SHOWN = 40
ENTRIES_SHOWN = 4
DELETES_SHOWN = 200
DIFF_LINES_SHOWN = 80  # of one module
NAMES_SHOWN = 6
SHARED_SHOWN = 20
FIELDS_SHOWN = 40  # of one change

_WHOLE_WORDS: Any = {"break_long_words": False, "break_on_hyphens": False}  # a name is never cut


def render(plan: Plan, style: Style = PLAIN) -> str:
    """Ends with the summary, its last line, which alone is enough."""
    view = outline(plan)
    sections = [
        _refused(plan, style),
        _long(view, plan, style) if view.entries > DETAILED_ENTRIES else _whole(view, style),
        _notes(plan, style),
        [summary_line(plan, style)],
    ]
    told = ("\n".join(section).rstrip("\n") for section in sections)
    return "\n\n".join(section for section in told if section) + "\n"


def summary_line(plan: Plan, style: Style = PLAIN) -> str:
    """`Plan: 3 to create, 12 to update · globex, initech · 18 requests, about 5 s · 1f3c2a9b04d1`."""
    counts, *parts = words.summary(plan)
    if plan.changes:
        requests = words.many(plan.cost.requests, "request", "requests")
        parts.append(f"{requests}, about {words.duration(plan.cost.seconds)}")
    if not plan:
        parts.append(f"{words.number(plan.unchanged)} as they should be")
    told = " · ".join([style.paint("heading", f"Plan: {counts}"), *map(shown, parts)])
    return told + style.paint("faint", f" · {plan.digest[: words.PLAN_DIGEST]}")


def _refused(plan: Plan, style: Style) -> Iterator[str]:
    """What a guard or a foreign name stands in the way of, before all else."""
    if plan.withheld:
        deletes = words.many(len(plan.withheld), "delete is withheld", "deletes are withheld")
        yield style.paint("error", f"{deletes} in this run")
        yield from _named(plan.withheld, style)
    if plan.blocked:
        blocked = words.many(len(plan.blocked), "change is blocked", "changes are blocked")
        yield style.paint("error", f"{blocked} in this run")
        yield from _named(plan.blocked, style)
    for problem in (*plan.problems, *plan.refusals, *plan.warnings):
        yield from problem_lines(problem, style)


def _whole(view: Outline, style: Style) -> Iterator[str]:
    yield from _common(view, style)
    for group in view.groups:
        yield _heading(group, style)
        width = max(columns(shown(words.titled(entry.changes))) for entry in group.entries)
        for entry in group.entries:
            yield from _entry(entry, style, min(width, 40))
        yield ""


def _common(view: Outline, style: Style) -> Iterator[str]:
    """What is the same for several: told once, before the customers."""
    if view.shared:
        yield style.paint("heading", "the same change of code in several scripts")
        for one in view.shared[:SHARED_SHOWN]:
            yield from _code(one.code, Action.UPDATE, style, _fitted(words.titles(one.changes), style.width - 6))
        yield from _left_out(len(view.shared) - SHARED_SHOWN, style)
        yield ""
    if view.alike:
        yield style.paint("heading", "alike for several customers")
        for entry in view.alike:
            yield from _entry(entry, style, 0)
        yield ""


def _long(view: Outline, plan: Plan, style: Style) -> Iterator[str]:
    """Thousands of changes: deletes by name, the first few entries of the first customers, and counts of the rest."""
    deletes = [change for change in plan.changes if change.action is Action.DELETE]
    if deletes:
        yield style.paint("heading", words.many(len(deletes), "delete", "deletes"))
        yield from _deletes(deletes, style)
        yield ""
    yield from _common(view, style)
    for group in view.groups[:GROUPS_SHOWN]:
        yield _heading(group, style)
        entries = [entry for entry in group.entries if entry.first.action is not Action.DELETE]
        for entry in entries[:ENTRIES_SHOWN]:
            yield from _line(entry, style, 0)
            if gist := words.gist(entry.first):
                yield f"      {style.cut(shown(gist), 6)}"
        if left := entries[ENTRIES_SHOWN:]:
            yield style.paint("faint", f"  … and {words.many(len(left), 'more change', 'more changes')}")
    if rest := view.groups[GROUPS_SHOWN:]:
        changes = sum(sum(group.count.values()) for group in rest)
        yield style.paint(
            "faint",
            f"… and {words.number(changes)} changes of {words.many(len(rest), 'more customer', 'more customers')}",
        )
    yield style.paint("faint", "every change with its diff: --format html or --format json")


def _deletes(deletes: Sequence[Change], style: Style) -> Iterator[str]:
    """One block of names for each customer."""
    by_customer: dict[str, list[str]] = {}
    for change in deletes[:DELETES_SHOWN]:
        by_customer.setdefault(change.customer or words.PLATFORM, []).append(shown(words.title(change.key)))
    for customer, names in by_customer.items():
        yield f"  {style.symbol(Action.DELETE)} {style.paint('heading', shown(customer))}"
        yield from (f"      {line}" for line in textwrap.wrap(", ".join(names), style.width - 6, **_WHOLE_WORDS))
    yield from _left_out(len(deletes) - DELETES_SHOWN, style)


def _heading(group: Group, style: Style) -> str:
    counts = [f"{action.symbol}{words.number(count)}" for action, count in group.count.items() if count]
    name = style.paint("heading", shown(group.customer or words.PLATFORM))
    return f"▸ {name}  {style.paint('faint', ' '.join(counts))}"


def _entry(entry: Entry, style: Style, width: int) -> Iterator[str]:
    change = entry.first
    if len(entry.changes) == 1:
        yield from _line(entry, style, width)
        if change.action is Action.DELETE:
            return  # what it was is in git
        yield from _fields(change, style)
    else:
        gist = words.gist(change)
        told = f"{words.titled(entry.changes)}: {gist}" if gist else words.titled(entry.changes)
        yield f"  {style.symbol(change.action)} {style.cut(shown(told), 4)}"
        yield f"      {style.paint('faint', _fitted(words.titles(entry.changes), style.width - 6))}"
        if len(words.differences(change)) > words.GIST_SHOWN + 1:
            yield from _fields(change, style)
    for code in change.explanation.code if change.explanation else ():
        yield from _code(code, change.action, style)
    if change.explanation and change.explanation.unread and len(entry.changes) == 1:
        yield f"      {style.paint('faint', shown(change.explanation.unread))}"
    role = "error" if change.preflight and change.preflight.problems else "faint"
    yield from (f"      {style.paint(role, f'preflight: {shown(one)}')}" for one in words.preflight(change))


def _fields(change: Change, style: Style) -> Iterator[str]:
    fields = words.fields(change)
    yield from (_field(field, change.action, style) for field in fields[:FIELDS_SHOWN])
    if left := fields[FIELDS_SHOWN:]:
        yield style.paint("faint", f"      … and {words.many(len(left), 'more field', 'more fields')}")


def _line(entry: Entry, style: Style, width: int) -> Iterator[str]:
    change = entry.first
    name, cause = pad(shown(words.titled(entry.changes)), width), shown(words.cause(change))
    where = change.after.where if change.after and len(entry.changes) == 1 else None
    place = shown(str(where)) if where else ""
    told = f"  {style.symbol(change.action)} {_red(name, change, style)}  {style.paint('faint', cause)}"
    if not place:
        yield told
    elif columns(name) + columns(cause) + columns(place) + 8 <= style.width:
        yield f"{told}  {style.paint('place', place)}"
    else:
        yield from (told, f"      {style.paint('place', place)}")


def _red(name: str, change: Change, style: Style) -> str:
    return style.paint("delete", name) if change.action is Action.DELETE else name


def _field(field: FieldChange, action: Action, style: Style) -> str:
    path = shown(words.path(field))
    if action is not Action.UPDATE:
        one = words.sides(field)[1 if action is Action.CREATE else 0]
        return f"      {path}  {style.cut(shown(one), 8 + columns(path))}"
    return f"      {path}  {_moved(field, style, 8 + columns(path))}"


def _moved(field: FieldChange, style: Style, used: int) -> str:
    """`50 → 80`; where that is too long, as much of each side as fits, since the arrow is what tells."""
    told, room = shown(words.moved(field)), max(20, style.width - used)
    before, after = (shown(side) for side in words.sides(field))
    if columns(told) <= room or told != f"{before} → {after}":
        return style.cut(told, used)
    spare = room - columns(" → ")
    left = min(columns(before), max(spare // 2, spare - columns(after)))
    return f"{cut(before, left)} → {cut(after, spare - left)}"


def _code(code: CodeChange, action: Action, style: Style, whose: str = "") -> Iterator[str]:
    name = shown(code.module) + (" (platform module)" if code.injected else "")
    symbol = style.symbol(words.code_action(code))
    if not code.diff or action is not Action.UPDATE or words.code_action(code) is not Action.UPDATE:
        # A whole new file is in the pull request already, and one that goes is in git.
        yield f"      {symbol} {name}  {style.paint('faint', words.code_size(code))}"
        return
    came, went = words.line_counts(code.diff)
    counts = f"{style.paint('create', f'+{came}')} {style.paint('delete', f'−{went}')}"
    yield f"      {symbol} {name}  {counts}"
    if whose:
        yield f"        {style.paint('faint', whose)}"
    for line in code.diff[:DIFF_LINES_SHOWN]:
        # The bar keeps customer code from standing at the start of a line, where a CI log reads "::" as a command.
        told = style.cut(shown(line.expandtabs(4)).rstrip(), 10)
        yield f"        {style.paint('faint', '│')} {style.paint(_role(line), told)}".rstrip()
    if len(code.diff) > DIFF_LINES_SHOWN:
        left = words.many(len(code.diff) - DIFF_LINES_SHOWN, "more line", "more lines")
        yield f"        {style.paint('faint', f'│ … {left}')}"


def _role(line: str) -> str:
    return {"+": "create", "-": "delete", "@": "place"}.get(line[:1], "text")


def _named(changes: Sequence[Change], style: Style) -> Iterator[str]:
    for change in changes[:DELETES_SHOWN]:
        customer = shown(change.customer or words.PLATFORM)
        told = style.paint("faint", f"{customer} · {shown(words.cause(change))}")
        yield f"  {style.symbol(change.action)} {_red(shown(words.title(change.key)), change, style)}  {told}"
    yield from _left_out(len(changes) - DELETES_SHOWN, style)


def _left_out(count: int, style: Style) -> Iterator[str]:
    if count > 0:
        yield style.paint("faint", f"  … and {words.number(count)} more")


def problem_lines(problem: Problem, style: Style) -> Iterator[str]:
    """Where, what, why, fix; the first line alone is enough."""
    role = "error" if problem.severity is Severity.ERROR else "warning"
    place = f"{shown(str(problem.where))}: " if problem.where else ""
    if place.startswith((":", "#")):
        place = f"./{place}"
    yield f"{place}{style.paint(role, f'{problem.severity.value}:')} {shown(problem.what)}"
    for label, text in (("why", problem.why), ("fix", problem.fix)):
        if text:
            wrapped = textwrap.wrap(shown(text), style.width - 7, **_WHOLE_WORDS)
            yield f"  {style.paint('faint', f'{label}:')} {wrapped[0]}"
            yield from (f"       {line}" for line in wrapped[1:])


def _notes(plan: Plan, style: Style) -> Iterator[str]:
    """What else a reader should know: what is left alone, what is trusted, what it costs."""
    if plan.orphans:
        yield _note("kept", words.orphans(plan), plan.orphans, style)
    if plan.unmanaged:
        yield _note("unmanaged", words.unmanaged(plan), plan.unmanaged, style)
    if plan.unverified:
        yield f"{_label('unverified', style)}{words.unverified(plan)}; --verify reads them back"
    if plan.coverage:
        yield f"{_label('verified', style)}{words.coverage(plan.coverage)}"
    if plan.scope:
        yield f"{_label('scope', style)}only {shown(words.some(plan.scope))}; nothing else is touched"
    if plan.changes:
        yield f"{_label('cost', style)}{words.bill(plan.cost)}"
    if plan.undoes:
        yield f"{_label('undoes', style)}{words.many(len(plan.undoes), 'commit', 'commits')}"
        yield from (f"{'':12}{style.cut(shown(one), 12)}" for one in plan.undoes[: words.COMMITS_SHOWN])
    if len(plan.undoes) > words.COMMITS_SHOWN:
        yield f"{'':12}and {words.number(len(plan.undoes) - words.COMMITS_SHOWN)} more"


def _note(label: str, told: str, keys: Iterable[Key], style: Style) -> str:
    names = _fitted([key.name for key in keys], style.width - 14 - columns(told))
    return f"{_label(label, style)}{told}: {names}"


def _fitted(names: Sequence[str], width: int) -> str:
    """As many of the names as fit, and how many more there are; one at least."""
    told = (shown(words.some(names, count)) for count in range(NAMES_SHOWN, 1, -1))
    return next((one for one in told if columns(one) <= width), shown(words.some(names, 1)))


def _label(label: str, style: Style) -> str:
    return style.paint("faint", f"{label:<12}")

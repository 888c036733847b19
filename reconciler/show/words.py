"""The words and numbers that every format shares: kinds, causes, amounts, values. Raw text: formats escape it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.model import Key
from reconciler.names import kind_words
from reconciler.plan import ABSENT, Action, Cause, Change, CodeChange, Cost, Coverage, Explanation, FieldChange, Plan

CAUSES = {
    Cause.ADDED: "new in the repository",
    Cause.EDITED: "edited",
    Cause.DRIFTED: "changed by someone else, put back",
    Cause.BOTH: "edited, and changed by someone else",
    Cause.MISSING: "deleted by someone else, made again",
    Cause.ADOPTED: "taken over, was not ours",
    Cause.REMOVED: "gone from the repository",
    Cause.RENAMED: "renamed in the repository",
}
KEPT, REPLACED = "taken over as it is", "taken over and replaced"
PROTECTED, UNPROTECTED = "from now on protected", "no longer protected"
OWN = frozenset({*CAUSES.values(), KEPT, REPLACED, PROTECTED, UNPROTECTED})  # what needs no escape
PLATFORM = "platform"  # what a change that belongs to no customer stands under
NONE = "none"
SHORT_DIGEST = 8
PLAN_DIGEST = 12  # what --expect takes at least
NAMES_SHOWN = 4
COMMITS_SHOWN = 10
GIST_SHOWN = 3

_PLAIN = re.compile(r"[\w./:@+-]+")  # a string that can stand without quotes
_JSON_WORDS = frozenset({"true", "false", "null", NONE})


def summary_line(plan: Plan) -> str:
    """`3 to create, 12 to update, 1 to delete · globex, initech · 18 requests, 5 s`."""
    return " · ".join((*summary(plan), *([effort(plan.cost)] if plan.changes else [])))


def summary(plan: Plan) -> list[str]:
    """What happens, and to whom."""
    parts = [", ".join(counts(plan))]
    if customers := affected(plan):
        parts.append(some(customers))
    return parts


def counts(plan: Plan) -> list[str]:
    told = [f"{amount} to {action.value}" for action, n in plan.count.items() if n for amount in [number(n)]]
    if plan.withheld:
        told.append(f"{number(len(plan.withheld))} withheld")
    if plan.blocked:
        told.append(f"{number(len(plan.blocked))} blocked")
    if plan.problems:
        told.append(many(len(plan.problems), "problem", "problems"))
    return told or ["nothing to do"]


def affected(plan: Plan) -> list[str]:
    """Who is touched: the platform first, then customers by id."""
    customers = {change.customer for change in (*plan.changes, *plan.withheld, *plan.blocked)}
    return [customer or PLATFORM for customer in sorted(customers)]


def effort(cost: Cost) -> str:
    return f"{many(cost.requests, 'request', 'requests')}, {duration(cost.seconds)}"


def bill(cost: Cost) -> str:
    """`4,830 → 4,832 scripts · $101.60 → $101.64 a month`."""
    scripts = _moves(number(cost.scripts_before), number(cost.scripts_after))
    named = "script" if cost.scripts_after == 1 else "scripts"
    return f"{scripts} {named} · {_moves(money(cost.cents_before), money(cost.cents_after))} a month"


def coverage(one: Coverage) -> str:
    """`read back 500 of 4,830 · all content seen within 9 days`."""
    parts = [f"read back {number(one.checked)} of {number(one.total)}"]
    if one.altered:
        parts.append(f"{number(one.altered)} {'is' if one.altered == 1 else 'are'} not what the digest says")
    if one.unread:
        parts.append(f"{number(one.unread)} could not be read")
    if one.unseen:
        parts.append(f"{number(one.unseen)} not seen yet")
    elif one.days:
        parts.append(f"all content seen within {'a day' if one.days == 1 else f'{number(one.days)} days'}")
    return " · ".join(parts)


def unverified(plan: Plan) -> str:
    return f"{many(plan.unverified, 'script is', 'scripts are')} trusted by tag alone"


def unmanaged(plan: Plan) -> str:
    return f"{number(len(plan.unmanaged))} not ours, left alone"


def orphans(plan: Plan) -> str:
    return f"{number(len(plan.orphans))} ours, gone from the repository"


def title(key: Key) -> str:
    """Scripts by their name alone, everything else with its kind."""
    return key.name if key.kind == "user_worker" else key.told


def titles(changes: Iterable[Change]) -> list[str]:
    return [title(change.key) for change in changes]


def titled(changes: Sequence[Change]) -> str:
    """The name of one change, or how many alike there are."""
    return title(changes[0].key) if len(changes) == 1 else alike(changes)


def alike(changes: Sequence[Change]) -> str:
    """`4,812 scripts of 1,204 customers`."""
    customers = {change.customer for change in changes}
    told = many(len(changes), kind(changes[0].key.kind, 1), kind(changes[0].key.kind, 2))
    return f"{told} of {number(len(customers))} customers" if len(customers) > 1 else told


def cause(change: Change) -> str:
    told = CAUSES[change.cause]
    if change.cause is Cause.ADOPTED:
        return taken_over(change.explanation)
    if change.action is Action.CREATE and change.after and change.after.previously:
        return f"{told}, was {some(change.after.previously)}"
    return told


def taken_over(told: Explanation | None) -> str:
    """Whether anything but the tags is written, as far as what is live was read back."""
    if told is None or told.unread:
        return CAUSES[Cause.ADOPTED]
    return REPLACED if told.code or any(one.path[0] != "tags" for one in told.fields) else KEPT


def kind(name: str, count: int) -> str:
    return kind_words(name)[0 if count == 1 else 1]


def some(names: Iterable[str], shown: int = NAMES_SHOWN, *, total: int = 0) -> str:
    """The first names, and how many more there are. `total` counts them all where not all are given."""
    every = list(names)
    total = total or len(every)
    if total <= shown + 1:  # "and 1 more" is no shorter than the name
        return ", ".join(every)
    return f"{', '.join(every[:shown])} and {number(total - shown)} more"


def fields(change: Change) -> list[FieldChange]:
    """The fields worth a line. A new resource's maps are told by their members, and what is empty on it is not told."""
    told = change.explanation.fields if change.explanation else ()
    if change.action is Action.UPDATE:
        return list(told)
    return [member for one in told for member in _members(one) if _one_side(member) not in ({}, [], None, "")]


def _members(change: FieldChange) -> list[FieldChange]:
    whole = _one_side(change)
    if not isinstance(whole, dict):
        return [change]
    sides = [(one, ABSENT) if change.after is ABSENT else (ABSENT, one) for one in whole.values()]
    return [FieldChange((*change.path, name), *side) for name, side in zip(whole, sides, strict=True)]


def _one_side(change: FieldChange) -> Any:
    return change.before if change.after is ABSENT else change.after


def gist(change: Change) -> str:
    """What differs inside an update, in one line; "" where nothing is known."""
    return some(differences(change), GIST_SHOWN)


def differences(change: Change) -> list[str]:
    """What differs inside an update, a few words each: `limits.cpu_ms 50 → 80`, `shop.mjs 1f3c2a9b → 9ab2d011`."""
    told = change.explanation
    if change.action is not Action.UPDATE or told is None:
        return []
    parts = [f"{path(one)} {moved(one)}" for one in told.fields]
    parts += [f"{one.module} {code_gist(one)}" for one in told.code]
    return [*parts, told.unread] if told.unread else parts


def preflight(change: Change) -> list[str]:
    """What the runtime said of the script, for the place of its diff; [] where it was not asked."""
    seen = change.preflight
    if seen is None:
        return []
    if not seen.problems:
        return ["starts" + (f", {many(seen.tests, 'test passes', 'tests pass')}" if seen.tests else "")]
    return [f"{one.where}: {one.what}" if one.where else one.what for one in seen.problems]


def path(change: FieldChange) -> str:
    return ".".join(step if _PLAIN.fullmatch(step) else json.dumps(step, ensure_ascii=False) for step in change.path)


def sides(change: FieldChange) -> tuple[str, str]:
    """Both values in words. A list of plain values is told by what came and what went."""
    before, after = change.before, change.after
    if change.path[0] == "secrets" and len(change.path) == 2:
        return (NONE if before is ABSENT else f"version {before}"), (NONE if after is ABSENT else f"version {after}")
    if isinstance(before, list) and isinstance(after, list):
        came, went = _without(after, before), _without(before, after)
        if (came or went) and len(came) + len(went) < len(before) + len(after):
            return " ".join(f"−{value(one)}" for one in went), " ".join(f"+{value(one)}" for one in came)
    return value(before), value(after)


def moved(change: FieldChange) -> str:
    """`50 → 80`, or `+eu −us` for what came into a list and what went."""
    before, after = sides(change)
    if before.startswith("−") or after.startswith("+"):
        return f"{after} {before}".strip()
    return f"{before} → {after}"


def value(one: Any) -> str:
    """As one writes it in YAML: `50`, `eu`, `"50"`, `[eu, beta]`, `{type: plain_text, text: hello}`."""
    if one is ABSENT:
        return NONE
    if isinstance(one, dict):
        names = sorted(one, key=lambda name: (name != "type", name))
        return "{" + ", ".join(f"{value(name)}: {value(one[name])}" for name in names) + "}"
    if isinstance(one, list):
        return "[" + ", ".join(map(value, one)) + "]"
    if isinstance(one, str) and _PLAIN.fullmatch(one) and one not in _JSON_WORDS and not _like_number(one):
        return one
    return json.dumps(one, ensure_ascii=False)


def code_size(change: CodeChange) -> str:
    """`1f3c2a9b → 9ab2d011, 1.2 kB → 1.3 kB`; a side that does not exist is left out."""
    digests = [one[:SHORT_DIGEST] for one in (change.before_digest, change.after_digest) if one]
    before = [size(change.before_size)] if change.before_digest else []
    after = [size(change.after_size)] if change.after_digest else []
    return f"{' → '.join(digests)}, {' → '.join(dict.fromkeys(before + after))}"


def code_gist(change: CodeChange) -> str:
    """`1f3c2a9b → 9ab2d011`, or that it is new or gone."""
    if not change.before_digest or not change.after_digest:
        return "new" if change.after_digest else "gone"
    return f"{change.before_digest[:SHORT_DIGEST]} → {change.after_digest[:SHORT_DIGEST]}"


def code_action(change: CodeChange) -> Action:
    if not change.before_digest:
        return Action.CREATE
    return Action.UPDATE if change.after_digest else Action.DELETE


def line_counts(diff: Sequence[str]) -> tuple[int, int]:
    """How many lines of a diff came, and how many went."""
    return sum(line.startswith("+") for line in diff), sum(line.startswith("-") for line in diff)


def number(count: int) -> str:
    return f"{count:,}"


def many(count: int, one: str, several: str) -> str:
    return f"{number(count)} {one if count == 1 else several}"


def money(cents: int) -> str:
    return f"${cents / 100:,.2f}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def size(count: int) -> str:
    """Bytes in decimal units, as Cloudflare's dashboard has them."""
    if count < 1_000:
        return f"{count} B"
    for unit in ("kB", "MB"):
        count_of_unit = count / (1_000 if unit == "kB" else 1_000_000)
        if count_of_unit < 1_000 or unit == "MB":
            break
    return f"{count_of_unit:.1f} {unit}"


def _moves(before: str, after: str) -> str:
    return after if before == after else f"{before} → {after}"


def _without(values: list[Any], others: list[Any]) -> list[Any]:
    """What is in the one list and not in the other, by JSON so that 0 and false are two values."""
    known = {value(one) for one in others}
    return [one for one in values if value(one) not in known]


def _like_number(text: str) -> bool:
    """A text that would read as a number keeps its quotes."""
    return bool(re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?\d+)?", text))

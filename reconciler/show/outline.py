"""The order in which people read a plan: what is risky, what is alike, then customer by customer.

Every format for people is made from an Outline; none of them sorts, groups or compares by itself.
To point out a new risk: one line in RISKS.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.model import canonical
from reconciler.plan import ABSENT, Action, Cause, Change, CodeChange, Plan
from reconciler.show import words

ALIKE_FROM = 4  # fewer changes of one shape are told one by one


@dataclass(frozen=True, slots=True)
class Entry:
    """One change, or several of one shape: same action, kind, cause, fields and code."""

    changes: tuple[Change, ...]

    @property
    def first(self) -> Change:
        return self.changes[0]

    @property
    def customers(self) -> list[str]:
        return sorted({change.customer for change in self.changes})


@dataclass(frozen=True, slots=True)
class Group:
    """What happens to one customer, or to the platform itself (customer "")."""

    customer: str
    entries: tuple[Entry, ...]

    @property
    def count(self) -> Mapping[Action, int]:
        actions = [change.action for entry in self.entries for change in entry.changes]
        return {action: actions.count(action) for action in Action}


@dataclass(frozen=True, slots=True)
class Risk:
    """A reason to look twice: which changes it applies to, and what to tell of them."""

    name: str
    applies: Callable[[Change], bool]
    tell: Callable[[Change], str]


@dataclass(frozen=True, slots=True)
class Shared:
    """A diff that several entries hold. It is told here, and taken out of them."""

    code: CodeChange
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Outline:
    risks: tuple[tuple[Risk, tuple[Entry, ...]], ...]  # an entry may stand under several
    shared: tuple[Shared, ...]
    alike: tuple[Entry, ...]  # over several customers
    groups: tuple[Group, ...]  # the platform first, then customers by id

    @property
    def entries(self) -> int:
        return len(self.alike) + sum(len(group.entries) for group in self.groups)


def outline(plan: Plan) -> Outline:
    entries = _folded(plan.changes)
    shared = _shared(entries)
    entries = [_without(entry, shared) for entry in entries] if shared else entries
    by_customer: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_customer["" if len(entry.customers) > 1 else entry.first.customer].append(entry)
    return Outline(
        tuple((risk, found) for risk in RISKS if (found := _merged(risk, entries))),
        tuple(shared.values()),
        tuple(entry for entry in entries if len(entry.customers) > 1),
        tuple(
            Group(customer, found)
            for customer in sorted(by_customer)
            if (found := tuple(one for one in by_customer[customer] if len(one.customers) == 1))
        ),
    )


def _merged(risk: Risk, entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """What a risk applies to; updates of which it tells the same stand together."""
    by_telling: dict[str, list[Entry]] = {}
    for entry in entries:
        if risk.applies(entry.first):
            update = entry.first.action is Action.UPDATE
            telling = canonical([entry.first.key.kind, risk.tell(entry.first)]) if update else str(entry.first.key)
            by_telling.setdefault(telling, []).append(entry)
    found: list[Entry] = []
    for alike in by_telling.values():
        changes = tuple(change for entry in alike for change in entry.changes)
        found += alike if len(changes) < ALIKE_FROM or len(alike) == 1 else [Entry(changes)]
    return tuple(found)


_SharedCode = tuple[str, str, str]  # a module, and its digests before and after


def identity(code: CodeChange) -> _SharedCode:
    """Two changes of code with one identity have one diff."""
    return code.module, code.before_digest, code.after_digest


def _shared(entries: Iterable[Entry]) -> dict[_SharedCode, Shared]:
    """Diffs that more than one entry holds, by module."""
    found: dict[_SharedCode, list[tuple[CodeChange, Entry]]] = defaultdict(list)
    for entry in entries:
        for code in entry.first.explanation.code if entry.first.explanation else ():
            if code.diff and code.before_digest and code.after_digest:
                found[identity(code)].append((code, entry))
    return {
        identity: Shared(told[0][0], tuple(change for _, entry in told for change in entry.changes))
        for identity, told in sorted(found.items(), key=lambda one: one[0])
        if len(told) > 1
    }


def _without(entry: Entry, shared: Mapping[_SharedCode, Shared]) -> Entry:
    told = entry.first.explanation
    if told is None or not any(identity(code) in shared for code in told.code):
        return entry
    code = tuple(replace(one, diff=()) if identity(one) in shared else one for one in told.code)
    return Entry((replace(entry.first, explanation=replace(told, code=code)), *entry.changes[1:]))


def _folded(changes: Iterable[Change]) -> list[Entry]:
    """Changes of one shape together, where the first of them stands. Creates and deletes keep their names."""
    by_shape: dict[str, list[Change]] = {}
    for change in changes:
        shape = _shape(change) if change.action is Action.UPDATE else str(change.key)
        by_shape.setdefault(shape, []).append(change)
    folded: list[Entry] = []
    for alike in by_shape.values():
        folded += [Entry(tuple(alike))] if len(alike) >= ALIKE_FROM else [Entry((one,)) for one in alike]
    return sorted(folded, key=lambda entry: entry.first.key)


def _shape(change: Change) -> str:
    told = change.explanation
    return canonical(
        [
            change.key.kind,
            change.cause.value,
            [[one.path, _side(one.before), _side(one.after)] for one in told.fields] if told else [],
            [[one.module, one.before_digest, one.after_digest] for one in told.code] if told else [],
            told.unread if told else None,
            words.preflight(change),
            [one.protected for one in (change.before, change.after) if one],
        ]
    )


def _side(value: object) -> list[object]:
    return [] if value is ABSENT else [value]


def _deletes(change: Change) -> bool:
    return change.action is Action.DELETE


def _protection(change: Change) -> bool:
    return bool(change.before and change.after and change.before.protected != change.after.protected)


def _protection_told(change: Change) -> str:
    return words.PROTECTED if change.after and change.after.protected else words.UNPROTECTED


def _overwrites(change: Change) -> bool:
    return change.cause in (Cause.DRIFTED, Cause.BOTH, Cause.MISSING, Cause.ADOPTED)


def _outbound(change: Change) -> bool:
    return change.key.kind == "outbound_worker" or bool(_fields_told("outbound_worker", "outbound")(change))


def _outbound_told(change: Change) -> str:
    return _fields_told("outbound_worker", "outbound")(change) or _told(change)


def _fields_told(*names: str) -> Callable[[Change], str]:
    """Tells the changed fields whose path holds one of the names; "" where there is none."""

    def tell(change: Change) -> str:
        told = change.explanation.fields if change.explanation and change.action is Action.UPDATE else ()
        found = [one for one in told if any(name in one.path for name in names)]
        return words.some([f"{words.path(one)} {words.moved(one)}" for one in found], words.GIST_SHOWN)

    return tell


def _platform_module_told(change: Change) -> str:
    told = change.explanation.code if change.explanation and change.action is Action.UPDATE else ()
    return ", ".join(f"{one.module} {words.code_gist(one)}" for one in told if one.injected)


def _fails(change: Change) -> bool:
    return bool(change.preflight and change.preflight.problems)


def _fails_told(change: Change) -> str:
    return words.some(words.preflight(change), words.GIST_SHOWN)


def _front(change: Change) -> bool:
    return change.key.kind in ("namespace", "dispatcher", "route", "custom_domain")


def _front_told(change: Change) -> str:
    """Addresses before terms: those are told of their scripts already."""
    return _fields_told("hosts", "hostname", "path", "customers", "bindings")(change) or _told(change)


def _limits(change: Change) -> bool:
    """The dispatcher repeats the limits of every script, each of which is a change of its own."""
    return change.key.kind != "dispatcher" and bool(_fields_told("limits")(change))


def _told(change: Change) -> str:
    return words.gist(change) or words.cause(change)


RISKS = (
    Risk("fails its preflight", _fails, _fails_told),
    Risk("deletes", _deletes, words.cause),
    Risk("protection", _protection, _protection_told),
    Risk("overwrites what someone else did", _overwrites, _told),
    Risk("outbound traffic", _outbound, _outbound_told),
    Risk("limits", _limits, _fields_told("limits")),
    Risk("platform module", lambda change: bool(_platform_module_told(change)), _platform_module_told),
    Risk("dispatcher and routes", _front, _front_told),
)

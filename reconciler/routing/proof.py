"""What a switch of the routing table changes, and the proof that no route leads to nothing while it happens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from reconciler.errors import Problem, Severity, Where
from reconciler.routing.table import Table, Target, read_part, routes


@dataclass(frozen=True, slots=True)
class Existing:
    """Workers by name: what is there, what is put, or what is deleted."""

    scripts: Set[str] = frozenset()  # user Workers of the namespace
    outbounds: Set[str] = frozenset()

    def plus(self, other: Existing) -> Existing:
        return Existing(self.scripts | other.scripts, self.outbounds | other.outbounds)

    def less(self, other: Existing) -> Existing:
        return Existing(self.scripts - other.scripts, self.outbounds - other.outbounds)


@dataclass(frozen=True, slots=True)
class RouteChange:
    """One address that leads elsewhere, or there on other terms. None: it leads nowhere."""

    route: str  # a hostname, or a path
    before: Target | None
    after: Target | None


@dataclass(frozen=True)
class TableChanges:
    """All that differs between two tables. Where a pattern itself differs, its addresses are not listed one by one."""

    settings: tuple[tuple[str, Any, Any], ...]  # field, before, after
    routes: tuple[RouteChange, ...]


def prove(
    before: Table | None,
    after: Table,
    *,
    live: Existing,
    put: Existing,
    deleted: Existing,
    where: Mapping[str, Where | None] = MappingProxyType({}),
) -> list[Problem]:
    """The routes that would lead to nothing at some instant of an apply; none is the proof.

    instant             table    what exists
    -----------------   ------   -------------------------------
    before the switch   before   live (a warning: it is so now, and this apply mends it; what
                                 the tables have in common in KV is not read for this)
    at the switch       after    live and all that is put
    after the deletes   after    the same, less what is deleted

    `where`: the line that declares a script.
    """
    there = live.plus(put)
    today = _lacks(before, _different(before, after)[0], live) if before else ()
    problems = [_lacking(lack, "now", Severity.WARNING, where) for lack in today]
    at_switch = dict.fromkeys(_lacks(after, _numbers(after), there))
    problems += [_lacking(lack, "when the routing table is switched", Severity.ERROR, where) for lack in at_switch]
    late = [lack for lack in _lacks(after, _numbers(after), there.less(deleted)) if lack not in at_switch]
    return problems + [_lacking(lack, "after the deletes", Severity.ERROR, where) for lack in late]


def table_changes(before: Table | None, after: Table) -> TableChanges:
    """What a switch does to each address, sorted. Parts with the same digest are not read."""
    if before is None:
        return TableChanges((), tuple(sorted(_against({}, after, _numbers(after)), key=_by_route)))
    patterns = [name for name in ("hostname", "path") if before.head.get(name) != after.head.get(name)]
    fields = sorted(before.head.keys() | after.head.keys())
    settings = tuple(
        (name, before.head.get(name), after.head.get(name))
        for name in fields
        if before.head.get(name) != after.head.get(name)
    )
    before_numbers, after_numbers = _different(before, after)
    before_kept, after_kept = _without(before, patterns), _without(after, patterns)
    known = {route: target for number in before_numbers for route, target in routes(before_kept, number)}
    return TableChanges(settings, tuple(sorted(_against(known, after_kept, after_numbers), key=_by_route)))


def parts_to_read(before: Table, after: Table) -> int:
    """How many parts of the table that is live have to be read to tell what a switch changes."""
    return len(list(_different(before, after)[0])) if before.in_kv else 0


@dataclass(frozen=True, slots=True, order=True)
class _Lack:
    script: str
    what: str  # "script globex-shop", "outbound Worker egress-guard", ...


def _lacks(table: Table, numbers: Iterable[int], existing: Existing) -> Iterator[_Lack]:
    bindings: Mapping[str, str] = table.head["bindings"]
    seen: set[str] = set()
    for number in numbers:
        part = read_part(table.parts[number])
        for script, (_, place) in part["scripts"].items():
            if script in seen:
                continue
            seen.add(script)
            outbound = part["terms"][place].get("outbound", "")
            if script not in existing.scripts:
                yield _Lack(script, f"script {script}")
            if outbound and outbound not in bindings:
                yield _Lack(script, f"a binding for outbound Worker {outbound}")
            elif outbound and outbound not in existing.outbounds:
                yield _Lack(script, f"outbound Worker {outbound}")


def _lacking(lack: _Lack, instant: str, severity: Severity, where: Mapping[str, Where | None]) -> Problem:
    return Problem(
        f"the routes of script {lack.script} lack {lack.what} {instant}",
        where.get(lack.script),
        why="nothing is routed to before all that it needs exists, and nothing that is routed to is deleted",
        fix="apply again" if severity is Severity.WARNING else "report this: a plan must not come to it",
        code="route-proof",
        severity=severity,
    )


def _numbers(table: Table) -> Iterable[int]:
    return range(len(table.parts))


def _different(before: Table, after: Table) -> tuple[Iterable[int], Iterable[int]]:
    """The parts that have to be compared. Tables of different form or size have no parts in common."""
    if not before.in_kv or len(before.part_digests) != len(after.part_digests):
        return _numbers(before), _numbers(after)
    pairs = zip(before.part_digests, after.part_digests, strict=True)
    different = [number for number, (left, right) in enumerate(pairs) if left != right]
    return different, different


def _without(table: Table, patterns: list[str]) -> Table:
    return Table({**table.head, **dict.fromkeys(patterns)}, table.parts, table.part_digests)


def _against(known: dict[str, Target], after: Table, numbers: Iterable[int]) -> Iterator[RouteChange]:
    for number in numbers:
        for route, target in routes(after, number):
            old = known.pop(route, None)
            if old != target:
                yield RouteChange(route, old, target)
    yield from (RouteChange(route, target, None) for route, target in known.items())


def _by_route(change: RouteChange) -> str:
    return change.route

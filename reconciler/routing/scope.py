"""What a run of some customers must leave as it is: how all others are routed by now. Pure.

The table is one for everybody, so that a run that looks at some customers compiles it from what it wants for these,
and from what is live for the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from reconciler.errors import Problem, Where
from reconciler.routing.routes import Hostname, RoutedScript, normal_hostname
from reconciler.routing.table import Table, read_part


def routed_elsewhere(table: Table, scope: Collection[str]) -> tuple[RoutedScript, ...]:
    """The scripts of a live table that belong to customers out of `scope`, as it routes them, by name."""
    rows: dict[str, RoutedScript] = {}
    hosts: dict[str, list[str]] = {}
    for number in range(len(table.parts)):
        part = read_part(table.parts[number])
        for name, (customer, place) in part["scripts"].items():
            if customer not in scope and name not in rows:
                rows[name] = _script(name, customer, part["terms"][place])
        for host, name in part["hosts"].items():
            hosts.setdefault(name, []).append(host)
    return tuple(_with_hostnames(rows[name], hosts.get(name, ())) for name in sorted(rows))


def crossing(table: Table, wanted: Iterable[RoutedScript], scope: Collection[str]) -> list[Problem]:
    """What moves between a customer in scope and one that is not, since half a move would be made.

    wanted by      live: leads to   problem
    ------------   --------------   ---------------------------------------------------------
    in scope       out of scope     yes: it would be taken from a customer nobody looked at
    out of scope   in scope         yes: it would lead nowhere until the other half is applied
    """
    whose = _customers_by_route(table)
    problems = []
    for script in wanted:
        for text, route, where in _routes_of(script):
            before = whose.get(route)
            if before is not None and before != script.customer and (before in scope) != (script.customer in scope):
                problems.append(_moving(text, before, script.customer, where))
    return sorted(problems, key=lambda problem: problem.order)


def _routes_of(script: RoutedScript) -> Iterator[tuple[str, tuple[str, str], Where | None]]:
    yield f"script {script.name}", ("script", script.name), script.where
    for one in script.hostnames:
        yield f"hostname {one.name}", ("host", normal_hostname(one.name)), one.where


def _customers_by_route(table: Table) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for number in range(len(table.parts)):
        part = read_part(table.parts[number])
        found |= {("script", name): customer for name, (customer, _) in part["scripts"].items()}
        found |= {("host", host): part["scripts"][name][0] for host, name in part["hosts"].items()}
    return found


def _moving(what: str, before: str, after: str, where: Where | None) -> Problem:
    return Problem(
        f"{what} moves from customer {before} to customer {after}, and this run looks at one of them only",
        where,
        why="the routing table is one for all customers, and half a move would leave one of them without its route",
        fix=f"look at both with --customer {before} --customer {after}, or at all",
        code="move-out-of-scope",
    )


def _script(name: str, customer: str, terms: dict[str, object]) -> RoutedScript:
    limits = terms.get("limits")
    known = limits if isinstance(limits, dict) else {}
    return RoutedScript(
        name,
        customer,
        str(terms["tier"]),
        suspended=terms.get("suspended") is True,
        cpu_ms=known.get("cpuMs"),
        subrequests=known.get("subRequests"),
        outbound=str(terms.get("outbound", "")),
    )


def _with_hostnames(script: RoutedScript, hosts: Iterable[str]) -> RoutedScript:
    return replace(script, hostnames=tuple(Hostname(host) for host in sorted(hosts)))

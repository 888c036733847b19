"""The one thing that all customers share is the routing table: what a run may make of it, and the proof that it may.

Law: a plan never switches to a table in which a route leads to something that is not there at some instant of its
apply; such a plan keeps the table that is live, and deletes nothing. So does one whose deletes are refused because they
look like a slip: what may not be deleted may not be cut off, either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace

from reconciler import routing
from reconciler.errors import Problem, ReconcilerError, Severity
from reconciler.kinds import dispatcher, outbound_worker, routing_kv
from reconciler.kinds.connection import Connection
from reconciler.load import config
from reconciler.load.repository import Repository
from reconciler.look.listing import Seen
from reconciler.model import Key, Worker
from reconciler.plan import ABSENT, Action, Change, Explanation, FieldChange, Plan, guards
from reconciler.plan.guards import USER_WORKER
from reconciler.routing import Existing, RouteChange, Table, Target

PARTS_READ = 50  # of a table in KV, for a plan: one call and some 250 addresses each
# What a compiled module tells of its routes by itself; of a table in KV, `table_changes` tells it by address.
_SECTIONS = (("routes", "customers"), ("routes", "hosts"), ("routes", "scripts"))
_TERMS = tuple(one.name for one in fields(Target) if one.name != "script")


def narrowed(connection: Connection, seen: Seen, scope: frozenset[str]) -> tuple[Connection, tuple[Problem, ...]]:
    """The run's repository with the routes of customers out of scope as they are live, and what moves across it.

    Raises when these cannot be told. The parts of a table in KV that the whole repository would have too are not read.
    """
    repository = connection.repository
    if not scope or repository.platform.dispatcher is None:
        return replace(connection, repository=replace(repository, scope=scope)), ()
    table = _live_table(connection, seen)
    elsewhere = routing.routed_elsewhere(table, scope) if table is not None else ()
    wanted = list(config.routed_scripts(repository.customers.values()))
    problems = routing.crossing(table, wanted, scope) if table is not None else []
    narrow = replace(repository, scope=scope, elsewhere=elsewhere)
    return replace(connection, repository=narrow), tuple(problems)


def narrowed_offline(before: Repository, after: Repository, scope: frozenset[str]) -> Repository:
    """The same between two commits: customers out of scope are routed as they were."""
    if not scope:
        return after
    routed = config.routed_scripts(before.customers.values())
    return replace(after, scope=scope, elsewhere=tuple(one for one in routed if one.customer not in scope))


def proven(plan: Plan, repository: Repository, seen: Seen, crossing: Sequence[Problem]) -> Plan:
    """The plan, with the switch of the table held back where it would break a route or make half a move."""
    told_at = {one.where for one in plan.problems if one.code == "move-out-of-scope"}
    crossing = [one for one in crossing if one.where not in told_at]
    switch = _switch_of(plan)
    if switch is None:
        return replace(plan, problems=(*plan.problems, *crossing))
    return _guarded(plan, switch, [*crossing, *_unproven(plan, repository, seen)])


def proven_offline(plan: Plan) -> Plan:
    """The same between two commits, which know nothing of what else is live."""
    switch = _switch_of(plan)
    return plan if switch is None else _guarded(plan, switch, [])


def _switch_of(plan: Plan) -> Change | None:
    return next((one for one in plan.changes if one.key.kind == dispatcher.NAME and one.after is not None), None)


def _guarded(plan: Plan, switch: Change, found: Sequence[Problem]) -> Plan:
    cut_off = tuple(_cut_off(plan, switch))
    errors = [one for one in found if one.severity is Severity.ERROR]
    warnings = [one for one in (*found, *cut_off) if one.severity is Severity.WARNING]
    refused = [one for one in cut_off if one.severity is Severity.ERROR]
    told = replace(plan, warnings=(*plan.warnings, *warnings), refusals=(*plan.refusals, *refused))
    return _held_back(told, switch.key, errors) if errors or refused else told


def explained(connection: Connection, explanation: Explanation, before: Worker) -> Explanation:
    """What a switch of a table in Workers KV changes, address by address; the parts that differ are read for it."""
    live = routing_kv.table_in(connection, before.modules)
    if live is None:
        return explanation
    return _with_routes(explanation, live, dispatcher.table_of(connection.repository))


def explained_offline(explanation: Explanation, before: Repository, after: Repository) -> Explanation:
    """The same between two commits."""
    return _with_routes(explanation, dispatcher.table_of(before), dispatcher.table_of(after))


def _with_routes(explanation: Explanation, before: Table, after: Table) -> Explanation:
    if not before.in_kv and not after.in_kv:
        return explanation
    kept = tuple(one for one in explanation.fields if one.path[:2] not in _SECTIONS)
    differing = routing.parts_to_read(before, after)
    if differing > PARTS_READ:
        why = f"{differing:,} parts of the routing table differ: addresses are told one by one up to {PARTS_READ}"
        return replace(explanation, fields=kept, unread=why)
    try:
        changes = routing.table_changes(before, after).routes
    except ValueError as error:
        return replace(explanation, fields=kept, unread=str(error))
    return replace(explanation, fields=(*kept, *(field for one in changes for field in _fields(one))))


def _fields(change: RouteChange) -> Iterator[FieldChange]:
    """The script that an address leads to; where it is the same, what differs of its terms."""
    path, before, after = ("routes", change.route), change.before, change.after
    if before is None or after is None or before.script != after.script:
        yield FieldChange(path, before.script if before else ABSENT, after.script if after else ABSENT)
        return
    for name in _TERMS:
        old, new = (getattr(one, name) for one in (before, after))
        if old != new:
            yield FieldChange((*path, name), ABSENT if old in (None, "") else old, ABSENT if new in (None, "") else new)


def _cut_off(plan: Plan, switch: Change) -> Iterator[Problem]:
    """A script whose delete is withheld stays, but the repository's table does not lead to it any more.

    | deletes are withheld because                      | the table                                     |
    |---------------------------------------------------|-----------------------------------------------|
    | the repository is empty, or the run over its cap  | stays: most often a wrong branch, so an error |
    | anything else                                     | is switched, and a warning says who is cut off |
    """
    staying = [one.before for one in plan.withheld if one.key.kind == USER_WORKER and one.before is not None]
    if not staying or switch.before is None:
        return
    where = switch.after.where if switch.after else None
    if any(one.code in guards.SLIPS for one in plan.refusals):
        yield Problem(
            f"the routing table is not switched in this run; it would cut off {guards.named(staying)}",
            where,
            why="their deletes are refused, and a script that no request reaches is as good as deleted",
            fix="bring their files back, or allow the deletes: the table is then switched, too",
            code="table-cuts-off",
        )
        return
    yield Problem(
        f"an apply takes their requests from scripts that stay: {guards.named(staying)}",
        where,
        why="their deletes are withheld, but the routing table is made from the repository, and that has lost them",
        fix="if their files are gone by mistake, bring them back before an apply",
        code="withheld-not-routed",
        severity=Severity.WARNING,
    )


def _unproven(plan: Plan, repository: Repository, seen: Seen) -> list[Problem]:
    """What routing.prove finds. A customer's route that a run neither wants nor touches, and that leads to nothing
    already, is told as a warning: it is not this run's to mend."""
    names = {one.worker: name for name, one in outbound_worker.declared(repository).items()}
    lines = {one.name: one.where for one in repository.scripts()}
    live = Existing(
        frozenset(row.name for row in seen.scripts.rows), frozenset(names[one] for one in seen.workers if one in names)
    )
    broken = {one.name for one in repository.elsewhere or () if one.name not in live.scripts}
    put, deleted = (
        _existing([one for one in plan.changes if (one.after is None) is gone], names) for gone in (False, True)
    )
    problems = routing.prove(
        None,  # what is broken already is told below, of the customers that this run leaves as they are
        dispatcher.table_of(repository),
        live=live.plus(Existing(frozenset(broken))),
        put=put,
        deleted=deleted,
        where=lines,
    )
    return [
        *(_with_a_way_out(one, repository) for one in problems),
        *(_broken_already(name) for name in sorted(broken)),
    ]


def _existing(changes: Sequence[Change], names: Mapping[str, str]) -> Existing:
    scripts = frozenset(one.key.name for one in changes if one.key.kind == USER_WORKER)
    outbounds = frozenset(
        names[one.key.name] for one in changes if one.key.kind == outbound_worker.NAME and one.key.name in names
    )
    return Existing(scripts, outbounds)


def _held_back(plan: Plan, switch: Key, problems: Sequence[Problem]) -> Plan:
    """Without the switch, what waits for it, and every delete: what is live may be routed to."""
    held = {switch}
    while more := {one.key for one in plan.changes if one.after and one.key not in held and held & one.after.needs}:
        held |= more
    deletes = tuple(one for one in plan.changes if one.action is Action.DELETE)
    kept = tuple(one for one in plan.changes if one.key not in held and one.action is not Action.DELETE)
    blocked = tuple(one for one in plan.changes if one.key in held and one.action is not Action.DELETE)
    refusals = (*plan.refusals, _nothing_deleted(deletes)) if deletes else plan.refusals
    return replace(
        plan,
        changes=kept,
        blocked=tuple(sorted((*plan.blocked, *blocked), key=lambda one: one.key)),
        withheld=tuple(sorted((*plan.withheld, *deletes), key=lambda one: one.key)),
        refusals=refusals,
        problems=(*plan.problems, *problems),
    )


def _live_table(connection: Connection, seen: Seen) -> Table | None:
    """None when there is no dispatcher of ours. Raises for one whose table cannot be read."""
    settings = connection.repository.platform.dispatcher
    assert settings is not None
    ours = sorted(dispatcher.of_ours(seen, connection))
    names = [settings.name] if settings.name in seen.workers else ours
    if not names:
        return None
    table = routing_kv.live_table(connection, names[0], _compiled_parts(connection.repository))
    if table is None:
        raise ReconcilerError(
            [
                Problem(
                    f"the routing table of {names[0]} cannot be read",
                    settings.where,
                    why="a run that looks at some customers keeps all others routed as they are, and that is not known",
                    fix="apply once without --customer and --changed-since: it compiles the whole table anew",
                    code="table-unreadable",
                )
            ]
        )
    return table


def _compiled_parts(repository: Repository) -> Mapping[str, bytes]:
    """By their digests, so that what is live and equal has not to be read."""
    return {key: text.encode() for key, text in routing.kv_pairs(dispatcher.table_of(repository))}


def _with_a_way_out(problem: Problem, repository: Repository) -> Problem:
    if repository.elsewhere is None:
        return problem
    return replace(problem, fix="run without --customer and --changed-since: a customer that they leave out needs it")


def _broken_already(name: str) -> Problem:
    return Problem(
        f"the live routing table leads to script {name}, which is not there",
        why="this run does not look at its customer, and leaves the route as it is",
        fix="apply without --customer and --changed-since",
        code="route-broken",
        severity=Severity.WARNING,
    )


def _nothing_deleted(deletes: Sequence[Change]) -> Problem:
    amount = "1 resource stays" if len(deletes) == 1 else f"{len(deletes)} resources stay"
    named = guards.named([one.before for one in deletes if one.before is not None])
    return Problem(
        f"nothing is deleted in this run; {amount}: {named}",
        why="the routing table is not switched, so that the live one may still lead there",
        fix="solve the problems above; the deletes then come with the next run",
        code="table-not-switched",
    )
